/* Buffers with a maximum: full is a verdict that changes nothing, and what is consumed makes
 * room. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void
test_full(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 5);
	assert_int_equal(buf_left(&b), 5);
	assert_int_equal(buf_add(&b, SLICE("abcdef")), -1);
	assert_int_equal(buf_slice(&b).n, 0);
	assert_int_equal(buf_add(&b, SLICE("abcde")), 0);
	assert_int_equal(buf_left(&b), 0);
	assert_int_equal(buf_add(&b, SLICE_NONE), 0);
	assert_int_equal(buf_add_byte(&b, 'f'), -1);
	assert_int_equal(buf_add_text(&b, "f"), -1);
	assert_int_equal(buf_printf(&b, "%d", 1), -1);
	assert_null(buf_reserve(&b, 1));
	assert_true(slice_eq(buf_slice(&b), SLICE("abcde")));
	buf_consume(&b, 2);
	assert_true(slice_eq(buf_slice(&b), SLICE("cde")));
	assert_int_equal(buf_add(&b, SLICE("fgh")), -1);
	assert_int_equal(buf_add(&b, SLICE("fg")), 0);
	assert_true(slice_eq(buf_slice(&b), SLICE("cdefg")));
	buf_fini(&b);
	buf_init(&b, 0);
	assert_int_equal(buf_add_byte(&b, 'a'), -1);
	buf_fini(&b);
}

/* What is printed may fill the buffer to its last byte, as what is added may. */
static void
test_printf(void **state)
{
	(void)state;
	struct buf b;
	for (size_t max = 0; max < 8; max++) {
		buf_init(&b, max);
		assert_int_equal(buf_printf(&b, "%s-%d", "ab", 12), max >= 5 ? 0 : -1);
		assert_true(slice_eq(buf_slice(&b), max >= 5 ? SLICE("ab-12") : SLICE("")));
		assert_int_equal(buf_printf(&b, "%s", ""), 0);
		assert_true(max >= 5 || b.data == NULL);
		buf_fini(&b);
	}
}

static void
test_reserve(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 1000);
	char *to = buf_reserve(&b, 300);
	assert_non_null(to);
	memset(to, 'a', 300);
	buf_commit(&b, 300);
	buf_consume(&b, 299);
	/* the room in front is used again: the one byte left moves, and the most is to be had
	 */
	to = buf_reserve(&b, 999);
	assert_non_null(to);
	memset(to, 'b', 999);
	buf_commit(&b, 999);
	assert_null(buf_reserve(&b, 1));
	struct slice s = buf_slice(&b);
	assert_int_equal(s.n, 1000);
	assert_int_equal(s.p[0], 'a');
	for (size_t i = 1; i < s.n; i++)
		assert_int_equal(s.p[i], 'b');
	assert_non_null(buf_reserve(&b, 0));
	buf_fini(&b);
}

/* An idle connection costs no memory: an empty buffer holds none. */
static void
test_empty_holds_nothing(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 100);
	assert_int_equal(buf_add_text(&b, "text"), 0);
	buf_consume(&b, 4);
	assert_null(b.data);
	assert_int_equal(buf_add_text(&b, "again"), 0);
	buf_consume(&b, SIZE_MAX);
	assert_null(b.data);
	assert_int_equal(buf_left(&b), 100);
	assert_int_equal(buf_add_text(&b, "again"), 0);
	buf_clear(&b);
	assert_null(b.data);
	buf_consume(&b, 1);
	assert_int_equal(buf_slice(&b).n, 0);
	buf_fini(&b);
	buf_fini(&b);
}

/* A ring of uneven steps against a plain array: nothing is lost, doubled or out of order. */
static void
test_stream(void **state)
{
	(void)state;
	struct buf b;
	unsigned char in = 0, out = 0;
	buf_init(&b, 700);
	for (unsigned round = 0; round < 5000; round++) {
		for (unsigned n = (round * 7) % 23; n > 0 && buf_left(&b) > 0; n--)
			assert_int_equal(buf_add_byte(&b, (char)in++), 0);
		struct slice s = slice_first(buf_slice(&b), (round * 11) % 29);
		for (size_t i = 0; i < s.n; i++)
			assert_int_equal((unsigned char)s.p[i], out++);
		buf_consume(&b, s.n);
	}
	assert_int_equal(
		buf_slice(&b).n, (unsigned char)(in - out) + buf_slice(&b).n / 256 * 256);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_printf),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_empty_holds_nothing),
		cmocka_unit_test(test_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
