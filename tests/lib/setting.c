/*
 * Numbers for the property tests from the environment; see setting.h.
 */
#include "setting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/slice.h"

uint64_t
setting(const char *name, uint64_t otherwise)
{
	uint64_t v = otherwise;
	const char *text = getenv(name);
	assert_true(text == NULL || slice_u64(slice_of(text), &v));
	return v;
}
