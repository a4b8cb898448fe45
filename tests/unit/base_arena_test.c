/* Arenas: zeroed, aligned and apart; the maximum holds to the byte; a reset gives all of it
 * back. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void
test_alloc(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 15, 16, 17, 1000, 1024, 1025, 70000, 3, 200000, 8};
	char *at[sizeof(sizes) / sizeof(sizes[0])];
	struct arena *a = arena_new(1 << 20);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			at[i] = arena_alloc(a, sizes[i]);
			assert_int_equal((uintptr_t)at[i] % alignof(max_align_t), 0);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(at[i][k], 0);
			memset(at[i], (int)i + 1, sizes[i]);
		}
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(at[i][k], i + 1);
		assert_true(arena_used(a) >= 272000 && arena_used(a) < 274000);
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
}

static void
test_most(void **state)
{
	(void)state;
	struct arena *a = arena_new(4096);
	assert_null(arena_try(a, 4097));
	assert_null(arena_try(a, SIZE_MAX));
	assert_null(arena_try(a, SIZE_MAX - 15));
	assert_int_equal(arena_room(a), 4096);
	assert_non_null(arena_try(a, 4000));
	assert_int_equal(arena_room(a) + arena_used(a), 4096);
	assert_null(arena_try(a, 97));
	assert_non_null(arena_try(a, 96));
	assert_int_equal(arena_room(a), 0);
	assert_null(arena_try(a, 1));
	arena_reset(a);
	assert_non_null(arena_try(a, 4096));
	arena_free(&a);
}

static void
test_text(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 16);
	struct slice s = arena_slice(a, (struct slice){"a\0B", 3});
	assert_true(slice_eq(s, (struct slice){"a\0B", 3}));
	assert_int_equal(s.p[3], 0);
	s = arena_lower(a, (struct slice){"A\0B\xc4Z@[", 7});
	assert_true(slice_eq(s, (struct slice){"a\0b\xc4z@[", 7}));
	assert_string_equal(arena_text(a, SLICE_NONE), "");
	assert_true(slice_eq(arena_printf(a, "%s %d", "x", 5), SLICE("x 5")));
	char longest[5000];
	memset(longest, 'y', sizeof(longest));
	s = arena_printf(a, "%.*s", (int)sizeof(longest), longest);
	assert_true(slice_eq(s, (struct slice){longest, sizeof(longest)}));
	assert_int_equal(s.p[s.n], 0);
	int *numbers = arena_array(a, 10, sizeof(*numbers));
	assert_int_equal(numbers[9], 0);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_most),
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
