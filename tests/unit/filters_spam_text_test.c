/*
 * A judgement in words: pieces, the list of them, the header field. Details are out of mails:
 * whatever stands in them, lines are short, printable, and read back as what they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "filters/authres.h"
#include "filters/spam_text.h"

enum { COLUMNS = 78, TAB = 8 };

static void
is(struct slice got, const char *want)
{
	if (!slice_eq(got, slice_of(want)))
		fail_msg("%.*s\n--- wanted\n%s", SLICE_ARG(got), want);
}

static const struct spam_judgement plain = {.probability = 0.97349,
	.why = {{"model.site", 3.2, {NULL, 0}}, {"dmarc.fail", 1.2, {"p=reject", 8}},
		{"list.client", -0.5, {"192.0.2.1 on good.example", 25}}},
	.n_why = 3};

static void
test_plain(void **state)
{
	struct arena *a = arena_new(1 << 20);
	(void)state;
	is(spam_piece_text(&plain.why[0], a), "model.site +3.20");
	is(spam_piece_text(&plain.why[1], a), "dmarc.fail +1.20 (p=reject)");
	is(spam_why_text(&plain, a), "model.site +3.20, dmarc.fail +1.20 (p=reject), "
				     "list.client -0.50 (192.0.2.1 on good.example)");
	is(spam_field(SLICE("mx.example.com"), &plain, a),
		"X-Spam-Evidence: mx.example.com; spam=0.973; model.site=+3.20;\r\n"
		"\tdmarc.fail=+1.20 (p=reject); list.client=-0.50 (192.0.2.1 on\r\n"
		"\tgood.example)\r\n");
	static const struct {
		double weight;
		const char *text;
	} weights[] = {{0, "x +0.00"}, {-0.001, "x +0.00"}, {0.005, "x +0.01"},
		{-0.05, "x -0.05"}, {9.999, "x +10.00"}, {-30, "x -30.00"},
		{123.456, "x +123.46"}};
	for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++)
		is(spam_piece_text(&(struct spam_piece){"x", weights[i].weight, {NULL, 0}}, a),
			weights[i].text);
	struct spam_judgement nothing = {.probability = 0.5};
	is(spam_why_text(&nothing, a), "");
	is(spam_field(SLICE("mx.example.com"), &nothing, a),
		"X-Spam-Evidence: mx.example.com; spam=0.500\r\n");
	arena_free(&a);
}

/* A field of ours is known as ours, and one of another host is not. */
static void
check_field(struct slice field, struct arena *a)
{
	struct slice rest = field, line, value = slice_from(field, strlen(SPAM_FIELD) + 1);
	assert_true(slice_starts(field, SLICE(SPAM_FIELD ": mx.example.com; spam=")));
	assert_true(field.n < SPAM_WORDS_MOST * 5 / 4);
	assert_true(authres_is_ours(value, SLICE("MX.example.com"), a));
	assert_false(authres_is_ours(value, SLICE("example.com"), a));
	int depth = 0;
	while (rest.n != 0) {
		size_t end = slice_find_slice(rest, SLICE("\r\n"));
		assert_true(end < rest.n);
		line = slice_first(rest, end);
		rest = slice_from(rest, end + 2);
		assert_int_equal(line.p[0] == '\t', line.p != field.p);
		assert_true(line.n <= COLUMNS && slice_trim(line).n != 0);
		for (size_t i = line.p[0] == '\t'; i < line.n; i++) {
			char c = line.p[i];
			assert_true(c >= ' ' && c <= '~' && c != '\\');
			depth += (c == '(') - (c == ')');
			assert_in_range(depth, 0, 1);
			assert_true(c != ';' || depth == 0);
		}
	}
	assert_int_equal(depth, 0);
}

static void
test_hostile(void **state)
{
	static const struct slice details[] = {SLICE("a\r\nX-Evil: yes"), SLICE("(((((((\\"),
		SLICE("); spam=0.000; ("), SLICE("\0\x01\x7f\xff"), SLICE("\"quoted\""),
		SLICE("a, b +9.00"), SLICE("   "), SLICE("\t\t")};
	(void)state;
	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct spam_judgement j = plain;
		j.why[1].detail = details[i];
		check_field(spam_field(SLICE("mx.example.com"), &j, a), a);
		struct slice why = spam_why_text(&j, a);
		size_t commas = 0;
		for (size_t k = 0; k < why.n; k++) {
			assert_true(why.p[k] >= ' ' && why.p[k] <= '~');
			commas += why.p[k] == ',';
		}
		assert_int_equal(commas, 2);
		arena_free(&a);
	}
}

/* Ten pieces with details of any length: whole ones, the strongest first, within the bound. */
static void
test_bounds(void **state)
{
	char detail[300];
	(void)state;
	memset(detail, 'x', sizeof(detail));
	for (size_t n = 0; n <= sizeof(detail); n += 7) {
		struct arena *a = arena_new(1 << 20);
		struct spam_judgement j = {.probability = 1, .n_why = SPAM_WHY_MOST};
		for (size_t i = 0; i < SPAM_WHY_MOST; i++)
			j.why[i] = (struct spam_piece){
				"a.piece.of.evidence.with.a.long.name", -30, {detail, n}};
		struct slice why = spam_why_text(&j, a);
		assert_true(why.n <= SPAM_WORDS_MOST);
		assert_true(n != 0 ? slice_ends(why, SLICE("x)"))
				   : slice_ends(why, SLICE("-30.00")));
		check_field(spam_field(SLICE("mx.example.com"), &j, a), a);
		assert_true(spam_piece_text(&j.why[0], a).n <= SPAM_DETAIL_MOST + 50);
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
