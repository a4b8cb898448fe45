/* Maps from byte strings: replacing, order of insertion, growth, keys that are copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"

static void
test_case(void **state)
{
	(void)state;
	for (int nocase = 0; nocase < 2; nocase++) {
		struct arena *a = arena_new(1 << 16);
		struct map *m = map_new(a, nocase);
		int one = 1, two = 2;
		assert_null(map_get(m, SLICE("Key")));
		assert_int_equal(map_count(m), 0);
		map_put(m, SLICE("Key"), &one);
		map_put(m, SLICE("kEY"), &two);
		assert_int_equal(map_count(m), nocase ? 1 : 2);
		assert_ptr_equal(map_get(m, SLICE("Key")), nocase ? &two : &one);
		assert_ptr_equal(map_get(m, SLICE("KEY")), nocase ? &two : NULL);
		arena_free(&a);
	}
}

static void
test_many(void **state)
{
	(void)state;
	enum { MANY = 3000 };
	static int values[MANY];
	struct arena *a = arena_new(8 << 20);
	struct map *m = map_new(a, false);
	char text[16];
	for (size_t i = 0; i < MANY; i++) {
		int n = snprintf(text, sizeof(text), "key%zu", i);
		map_put(m, (struct slice){text, (size_t)n}, &values[i]);
		memset(text, 'x', sizeof(text)); /* the key is the map's own copy */
	}
	for (size_t i = 0; i < MANY; i += 3) {
		snprintf(text, sizeof(text), "key%zu", i);
		map_put(m, slice_of(text), &values[0]);
	}
	assert_int_equal(map_count(m), MANY);
	for (size_t i = 0; i < MANY; i++) {
		struct slice key;
		void *value;
		snprintf(text, sizeof(text), "key%zu", i);
		assert_ptr_equal(map_get(m, slice_of(text)), &values[i % 3 == 0 ? 0 : i]);
		assert_true(map_at(m, i, &key, &value));
		assert_true(slice_eq(key, slice_of(text)));
		assert_ptr_equal(value, map_get(m, key));
	}
	assert_null(map_get(m, SLICE("key")));
	assert_null(map_get(m, SLICE("key3000")));
	struct slice key;
	void *value;
	assert_false(map_at(m, MANY, &key, &value));
	arena_free(&a);
}

static void
test_odd_keys(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 16);
	struct map *m = map_new(a, true);
	int v[4];
	map_put(m, SLICE_NONE, &v[0]);
	map_put(m, (struct slice){"\0", 1}, &v[1]);
	map_put(m, (struct slice){"\0\0", 2}, &v[2]);
	map_put(m, SLICE("\xff"), &v[3]);
	assert_int_equal(map_count(m), 4);
	assert_ptr_equal(map_get(m, SLICE("")), &v[0]);
	assert_ptr_equal(map_get(m, (struct slice){"\0", 1}), &v[1]);
	assert_ptr_equal(map_get(m, (struct slice){"\0\0", 2}), &v[2]);
	assert_ptr_equal(map_get(m, SLICE("\xff")), &v[3]);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_case),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_odd_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
