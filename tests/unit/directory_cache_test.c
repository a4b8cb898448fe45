/* Answers that are kept: how long, the last one counts, and what guessing cannot push out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "directory/cache.h"

static void
test_times(void **state)
{
	struct directory_cache *c = directory_cache_new();
	bool found;
	(void)state;
	assert_false(directory_cache_get(c, SLICE("a"), 0, &found));
	directory_cache_put(c, SLICE("a"), true, 100);
	assert_true(directory_cache_get(c, SLICE("a"), 99, &found) && found);
	assert_false(directory_cache_get(c, SLICE("a"), 100, &found));
	assert_false(directory_cache_get(c, SLICE("A"), 50, &found));
	directory_cache_put(c, SLICE("a"), false, 200);
	assert_true(directory_cache_get(c, SLICE("a"), 150, &found) && !found);
	directory_cache_put(c, SLICE("a"), true, 300);
	assert_true(directory_cache_get(c, SLICE("a"), 150, &found) && found);
	directory_cache_free(&c);
	assert_null(c);
	directory_cache_free(&c);
}

/* A million names that are not there leave every one that is. */
static void
test_guessing(void **state)
{
	enum { KNOWN = 1000, GUESSED = 1000000 };
	struct directory_cache *c = directory_cache_new();
	char name[40];
	unsigned kept = 0, no = 0;
	bool found;
	(void)state;
	for (unsigned i = 0; i < KNOWN; i++) {
		int n = snprintf(name, sizeof(name), "known%u", i);
		directory_cache_put(c, (struct slice){name, (size_t)n}, true, 1000 + i);
	}
	for (unsigned i = 0; i < GUESSED; i++) {
		int n = snprintf(name, sizeof(name), "guess%u", i);
		directory_cache_put(c, (struct slice){name, (size_t)n}, false, 1000000 + i);
	}
	for (unsigned i = 0; i < KNOWN; i++) {
		int n = snprintf(name, sizeof(name), "known%u", i);
		kept += directory_cache_get(c, (struct slice){name, (size_t)n}, 500, &found) &&
			found;
	}
	for (unsigned i = 0; i < GUESSED; i++) {
		int n = snprintf(name, sizeof(name), "guess%u", i);
		no += directory_cache_get(c, (struct slice){name, (size_t)n}, 500, &found);
	}
	assert_int_equal(kept, KNOWN);
	assert_in_range(no, DIRECTORY_CACHE_NO / 2, DIRECTORY_CACHE_NO);
	directory_cache_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_guessing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
