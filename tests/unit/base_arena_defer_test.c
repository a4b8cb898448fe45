/* arena_defer: what hangs on an arena is run once, the newest first, at its reset or its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static char ran[8];

static void
note(void *arg)
{
	size_t n = strlen(ran);
	ran[n] = *(const char *)arg;
	ran[n + 1] = '\0';
}

static void
test_defer(void **state)
{
	(void)state;
	char one = '1', two = '2', three = '3';
	struct arena *a = arena_new(4096);
	arena_defer(a, note, &one);
	arena_defer(a, note, &two);
	arena_reset(a);
	assert_string_equal(ran, "21");
	arena_reset(a);
	assert_string_equal(ran, "21");
	arena_defer(a, note, &three);
	arena_free(&a);
	assert_string_equal(ran, "213");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_defer)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
