/*
 * Expressions: what PCRE2 takes is looked through without a fault, in bounded time, and where
 * it is refused the place is within it. What is not taken by PCRE2 must do no harm either.
 */
#include <stdint.h>

#include "base/must.h"
#include "base/slice.h"
#include "conf/regex_bound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REGEX_MOST = 300 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = {(const char *)data, size < REGEX_MOST ? size : REGEX_MOST};
	for (int nocase = 0; nocase < 2; nocase++) {
		size_t at = 0;
		const char *why = regex_bound(s, nocase != 0, &at);
		must(why == NULL || at <= s.n);
	}
	return 0;
}
