/* Slices: comparing, cutting and searching, with empty ones, bytes of any value, and at the
 * ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/slice.h"
#include "feed.h"

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

static void
test_compare(void **state)
{
	(void)state;
	static const struct {
		struct slice a, b;
		bool eq, nocase, starts, starts_nocase, ends, ends_nocase;
		int cmp;
	} rows[] = {
		{BYTES(""), BYTES(""), true, true, true, true, true, true, 0},
		{{NULL, 0}, BYTES(""), true, true, true, true, true, true, 0},
		{BYTES("a"), {NULL, 0}, false, false, true, true, true, true, 1},
		{BYTES(""), BYTES("a"), false, false, false, false, false, false, -1},
		{BYTES("abc"), BYTES("ABC"), false, true, false, true, false, true, 1},
		{BYTES("abc"), BYTES("ab"), false, false, true, true, false, false, 1},
		{BYTES("abc"), BYTES("BC"), false, false, false, false, false, true, 1},
		{BYTES("a\0b"), BYTES("a\0c"), false, false, false, false, false, false, -1},
		{BYTES("a\0b"), BYTES("a\0B"), false, true, false, true, false, true, 1},
		/* a case of ASCII alone: neither @ and `, nor bytes above 127 */
		{BYTES("@[\xc4"), BYTES("`{\xe4"), false, false, false, false, false, false,
			-1},
		{BYTES("\xff"), BYTES("\x01"), false, false, false, false, false, false, 1},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guarded ga = guarded_new(rows[i].a), gb = guarded_new(rows[i].b);
		struct slice a = ga.in, b = gb.in;
		int cmp = slice_cmp(a, b);
		if (slice_eq(a, b) != rows[i].eq || slice_eq_nocase(a, b) != rows[i].nocase ||
			slice_starts(a, b) != rows[i].starts ||
			slice_starts_nocase(a, b) != rows[i].starts_nocase ||
			slice_ends(a, b) != rows[i].ends ||
			slice_ends_nocase(a, b) != rows[i].ends_nocase ||
			(cmp > 0) - (cmp < 0) != rows[i].cmp ||
			(slice_hash(a) == slice_hash(b)) != rows[i].eq ||
			(slice_hash_nocase(a) == slice_hash_nocase(b)) != rows[i].nocase)
			fail_msg("row %zu", i);
		guarded_free(&ga);
		guarded_free(&gb);
	}
	assert_true(slice_eq(slice_of(NULL), SLICE("")));
}

static void
test_find(void **state)
{
	(void)state;
	static const struct {
		struct slice s, needle;
		size_t first, last, whole; /* of the needle's first byte, and of all of it */
	} rows[] = {
		{BYTES(""), BYTES("x"), 0, 0, 0},
		{BYTES("abcabc"), BYTES("b"), 1, 4, 1},
		{BYTES("abcabc"), BYTES("ca"), 2, 5, 2},
		{BYTES("abcabc"), BYTES("cb"), 2, 5, 6},
		{BYTES("abc"), BYTES("abcd"), 0, 0, 3},
		{BYTES("a\0b\0"), BYTES("\0"), 1, 3, 1},
		{BYTES("abc"), BYTES("c"), 2, 2, 2},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guarded g = guarded_new(rows[i].s);
		char c = rows[i].needle.p[0];
		if (slice_find(g.in, c) != rows[i].first ||
			slice_find_last(g.in, c) != rows[i].last ||
			slice_find_slice(g.in, rows[i].needle) != rows[i].whole ||
			slice_has(g.in, c) != (rows[i].first < g.in.n))
			fail_msg("row %zu", i);
		guarded_free(&g);
	}
	assert_int_equal(slice_find_slice(SLICE("abc"), SLICE_NONE), 0);
	assert_int_equal(slice_find_slice(SLICE_NONE, SLICE_NONE), 0);
}

/* Short and long texts are searched in two ways: a needle at each place of texts of each
 * length. */
static void
test_find_slice(void **state)
{
	enum { LONGEST = 260 };
	char text[LONGEST];
	(void)state;
	for (size_t n = 3; n <= LONGEST; n++) {
		for (size_t at = 0; at + 3 <= n; at++) {
			memset(text, 'a', sizeof(text));
			memcpy(text + at, "aab", 3);
			struct guarded g = guarded_new((struct slice){text, n});
			assert_int_equal(slice_find_slice(g.in, SLICE("aab")), at);
			assert_int_equal(slice_find_slice(g.in, SLICE("abb")), n);
			guarded_free(&g);
		}
		n += n > 10 && n < 120 ? 7 : n > 140 ? 17 : 0;
	}
}

static void
test_cut(void **state)
{
	(void)state;
	static const struct {
		struct slice in, head, rest;
		bool found;
	} rows[] = {
		{BYTES(""), BYTES(""), BYTES(""), false},
		{BYTES("ab"), BYTES("ab"), BYTES(""), false},
		{BYTES("a:b"), BYTES("a"), BYTES("b"), true},
		{BYTES(":"), BYTES(""), BYTES(""), true},
		{BYTES("a:"), BYTES("a"), BYTES(""), true},
		{BYTES(":b:c"), BYTES(""), BYTES("b:c"), true},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice head, rest, self = rows[i].in;
		assert_int_equal(slice_cut(rows[i].in, ':', &head, &rest), rows[i].found);
		if (!slice_eq(head, rows[i].head) || !slice_eq(rest, rows[i].rest))
			fail_msg("row %zu", i);
		assert_int_equal(slice_cut(self, ':', &head, &self), rows[i].found);
		assert_true(slice_eq(self, rows[i].rest));
	}
	assert_true(slice_eq(slice_first(SLICE("abc"), 9), SLICE("abc")));
	assert_true(slice_eq(slice_from(SLICE("abc"), 1), SLICE("bc")));
	assert_int_equal(slice_from(SLICE("abc"), 3).n, 0);
	assert_int_equal(slice_from(SLICE("abc"), SIZE_MAX).n, 0);
	assert_true(slice_eq(slice_trim(SLICE(" \t\r\n a b\v\r\n")), SLICE("a b\v")));
	assert_int_equal(slice_trim(SLICE(" \r\n\t")).n, 0);
}

static void
test_number(void **state)
{
	(void)state;
	static const struct {
		struct slice in;
		bool good;
		uint64_t value;
	} rows[] = {
		{BYTES("0"), true, 0},
		{BYTES("007"), true, 7},
		{BYTES("18446744073709551615"), true, UINT64_MAX},
		{BYTES("18446744073709551616"), false, 0},
		{BYTES("99999999999999999999"), false, 0},
		{BYTES(""), false, 0},
		{BYTES("-1"), false, 0},
		{BYTES("+1"), false, 0},
		{BYTES(" 1"), false, 0},
		{BYTES("1 "), false, 0},
		{BYTES("1\0"), false, 0},
		{BYTES("0x1"), false, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t v = 42;
		struct guarded g = guarded_new(rows[i].in);
		if (slice_u64(g.in, &v) != rows[i].good ||
			v != (rows[i].good ? rows[i].value : 42))
			fail_msg("row %zu", i);
		guarded_free(&g);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_slice),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
