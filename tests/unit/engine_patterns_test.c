/*
 * Patterns on text: what is counted, the check digits, and bounds: neither a costly text nor a
 * thousand decoys may hide a match (DLP by `body contains`).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/patterns.h"
#include "feed.h"

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
#define CARD "\\b(?:\\d[ -]?){13,16}\\b"
#define IBAN "\\b[A-Z]{2}\\d{2}(?: ?[A-Z0-9]){11,30}\\b"

static void
test_luhn(void **state)
{
	(void)state;
	static const struct {
		const char *digits;
		bool good;
	} rows[] = {{"4111111111111111", true}, {"4111 1111-1111 1111", true},
		{"4111111111111112", false}, {"79927398713", true}, {"79927398710", false},
		{"1411111111111111", false}, {"0", true}, {"", false}, {"no digits", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(luhn_is_good(slice_of(rows[i].digits)), rows[i].good);
}

static void
test_iban(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} rows[] = {{"DE89370400440532013000", true}, {"DE89 3704 0044 0532 0130 00", true},
		{"de89370400440532013000", true}, {"DE88370400440532013000", false},
		{"GB82 WEST 1234 5698 7654 32", true}, {"NO9386011117947", true},
		{"MT84MALT011000012345MTLCAST001S", true}, {"DE8937040044053201300", false},
		{"DE89370400440532013000000000000000000000", false}, {"", false},
		{"DE89-3704", false}, {"DE8937040044053201300\xc3", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guarded g = guarded_new(slice_of(rows[i].text));
		if (iban_is_good(g.in) != rows[i].good)
			fail_msg("%s", rows[i].text);
		guarded_free(&g);
	}
}

static const struct {
	const char *label, *regex;
	bool nocase;
	enum pattern_kind kind;
	struct slice text;
	unsigned count;
	bool trusted;
} rows[] = {
	{"plain", "se[ck]ret", false, PATTERN_PLAIN_TEXT, BYTES("secret sekret Secret"), 2,
		true},
	{"without case", "secret", true, PATTERN_PLAIN_TEXT, BYTES("secret SECRET"), 2, true},
	{"none", "x", false, PATTERN_PLAIN_TEXT, BYTES("abc"), 0, true},
	{"empty text", "x*", false, PATTERN_PLAIN_TEXT, BYTES(""), 0, true},
	{"empty matches", "x*", false, PATTERN_PLAIN_TEXT, BYTES("axb"), 4, true},
	{"card", CARD, false, PATTERN_WITH_LUHN, BYTES("no: 4111 1111 1111 1111."), 1, true},
	{"no card", CARD, false, PATTERN_WITH_LUHN, BYTES("no: 4111 1111 1111 1112."), 0, true},
	{"two cards", CARD, false, PATTERN_WITH_LUHN,
		BYTES("4111111111111111, 5500005555555559"), 2, true},
	{"iban", IBAN, false, PATTERN_WITH_IBAN,
		BYTES("to DE89 3704 0044 0532 0130 00, please"), 1, true},
	{"card behind other digits", CARD, false, PATTERN_WITH_LUHN,
		BYTES("1234 4111 1111 1111 1111"), 1, true},
	{"card before other digits", CARD, false, PATTERN_WITH_LUHN,
		BYTES("4111 1111 1111 1111 77"), 1, true},
	{"card of 15 before a digit", CARD, false, PATTERN_WITH_LUHN,
		BYTES("3782 822463 10005 1"), 1, true},
	{"cards one behind the other", CARD, false, PATTERN_WITH_LUHN,
		BYTES("4111 1111 1111 1111 5500 0055 5555 5559"), 2, true},
	{"no card within a longer number", CARD, false, PATTERN_WITH_LUHN,
		BYTES("41111111111111110"), 0, true},
	{"iban before a word", IBAN, false, PATTERN_WITH_IBAN,
		BYTES("DE89 3704 0044 0532 0130 00 THANKS A LOT"), 1, true},
	{"iban behind a word", IBAN, false, PATTERN_WITH_IBAN,
		BYTES("IBAN: XX12 DE89 3704 0044 0532 0130 00"), 1, true},
	{"iban of another length", IBAN, false, PATTERN_WITH_IBAN,
		BYTES("DE893704004405320130"), 0, true},
	{"after bytes that are no UTF-8", "secret", false, PATTERN_PLAIN_TEXT,
		BYTES("\xff\xfe secret \xc3 secret\xe2\x82"), 2, true},
	{"after NUL", "secret", false, PATTERN_PLAIN_TEXT, BYTES("\0\0secret\0"), 1, true},
	{"letters of UTF-8", "\xc3\xa4+", true, PATTERN_PLAIN_TEXT,
		BYTES("\xc3\xa4\xc3\x84 \xc3\xa4"), 2, true},
	{"empty matches in UTF-8", "x*", false, PATTERN_PLAIN_TEXT,
		BYTES("\xc3\xa4\xe2\x82\xac"), 3, true},
	{"too costly", "(a+)+$", false, PATTERN_PLAIN_TEXT,
		BYTES("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"), 0, false},
};

static void
test_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pattern_set *s = pattern_set_new();
		struct guarded g = guarded_new(rows[i].text);
		unsigned counts[SCAN_PATTERNS_MOST] = {0};
		struct err err;
		if (pattern_set_add(s, rows[i].regex, rows[i].nocase, rows[i].kind, &err) < 0)
			fail_msg("%s: %s", rows[i].label, err.text);
		if (pattern_set_count(s, g.in, counts) != rows[i].trusted ||
			counts[0] != rows[i].count)
			fail_msg("%s: %u", rows[i].label, counts[0]);
		guarded_free(&g);
		pattern_set_free(&s);
		assert_null(s);
	}
}

/* Each pattern has its own count, and a text adds to what is there. */
static void
test_set(void **state)
{
	(void)state;
	struct pattern_set *s = pattern_set_new();
	unsigned counts[SCAN_PATTERNS_MOST] = {[1] = 10};
	struct err err;
	assert_int_equal(pattern_set_add(s, "a", false, PATTERN_PLAIN_TEXT, &err), 0);
	assert_int_equal(pattern_set_add(s, "b", false, PATTERN_PLAIN_TEXT, &err), 0);
	assert_int_equal(pattern_set_add(s, "(", false, PATTERN_PLAIN_TEXT, &err), -1);
	assert_non_null(strstr(err.text, "offset"));
	assert_true(pattern_set_count(s, SLICE("abba"), counts));
	assert_true(counts[0] == 2 && counts[1] == 12 && counts[2] == 0);
	for (int i = 2; i < SCAN_PATTERNS_MOST; i++)
		assert_int_equal(pattern_set_add(s, "a", false, PATTERN_PLAIN_TEXT, &err), 0);
	assert_int_equal(pattern_set_add(s, "a", false, PATTERN_PLAIN_TEXT, &err), -1);
	pattern_set_free(&s);
	pattern_set_free(&s);
}

/* Words: whole, without case, whatever stands between those of a phrase. */
static void
test_words(void **state)
{
	static const struct {
		const char *words, *text;
		unsigned count;
	} cases[] = {
		{"secret", "a Secret, SECRET.", 2},
		{"secret", "secrets secretary", 0},
		{"top secret", "Top\n Secret top-secret topsecret top, secret", 3},
		{"top secret\ntop", "top secret top", 2},
		{"a b c", "a b a b c", 1},
		{"\xc3\xa9t\xc3\xa9", "\xc3\x89T\xc3\x89 e\xcc\x81te\xcc\x81", 2},
		{"stra\xc3\x9f"
		 "e",
			"STRA\xc3\x9f"
			"E",
			1},
		{"\xce\xbb\xcf\x8c\xce\xb3\xce\xbf\xcf\x82",
			"\xce\x9b\xce\x8c\xce\x93\xce\x9f\xce\xa3", 1},
		{"\xd1\x82\xd0\xb0\xd0\xb9\xd0\xbd\xd0\xb0",
			"\xd0\xa2\xd0\x90\xd0\x99\xd0\x9d\xd0\x90!", 1},
		{"\xe7\xa7\x98\xe5\xaf\x86", "\xe7\xa7\x98\xe5\xaf\x86", 1},
		{"secret",
			"se\xe2\x80\x8b"
			"cret",
			1},
		{"secret", "\xff secret \xc3", 1},
		{"42", "42 420 4.2", 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pattern_set *s = pattern_set_new();
		unsigned counts[SCAN_PATTERNS_MOST] = {0};
		struct err err;
		assert_int_equal(pattern_set_add_words(s, slice_of(cases[i].words), &err), 0);
		struct guarded g = guarded_new(slice_of(cases[i].text));
		assert_true(pattern_set_count(s, g.in, counts));
		guarded_free(&g);
		if (counts[0] != cases[i].count)
			fail_msg("%zu, %s: %u", i, cases[i].words, counts[0]);
		pattern_set_free(&s);
	}
	struct pattern_set *s = pattern_set_new();
	struct err err;
	assert_int_equal(pattern_set_add_words(s, SLICE(""), &err), -1);
	assert_int_equal(pattern_set_add_words(s, SLICE("a\n?!\n"), &err), -1);
	pattern_set_free(&s);
}

/* Ten thousand words over a text of a megabyte: the time is told, and has a bound. */
static void
test_many_words(void **state)
{
	enum { WORDS = 10000, TEXT = 1 << 20 };
	char *list = malloc(WORDS * 20), *text = malloc(TEXT);
	size_t n = 0, m = 0;
	(void)state;
	assert_true(list != NULL && text != NULL);
	for (size_t i = 0; i < WORDS; i++)
		n += (size_t)snprintf(list + n, 20, "word%zux\n", i);
	for (size_t i = 0; m + 20 < TEXT; i++)
		m += (size_t)snprintf(text + m, 20, "word%zu ", i % 20000);
	m += (size_t)snprintf(text + m, 20, "WORD9999X");
	struct pattern_set *s = pattern_set_new();
	unsigned counts[SCAN_PATTERNS_MOST] = {0};
	struct err err;
	assert_int_equal(pattern_set_add_words(s, (struct slice){list, n}, &err), 0);
	clock_t began = clock();
	assert_true(pattern_set_count(s, (struct slice){text, m}, counts));
	double ms = 1000.0 * (double)(clock() - began) / CLOCKS_PER_SEC;
	print_message("%d words, %d bytes of text: %.1f ms of CPU\n", WORDS, TEXT, ms);
	assert_true(ms < 5000);
	assert_int_equal(counts[0], 1);
	pattern_set_free(&s);
	free(list);
	free(text);
}

/* A number that passes the check is found behind any number of those that do not. */
static void
test_decoys(void **state)
{
	(void)state;
	enum { DECOYS = 5000 };
	static const char decoy[] = "4111111111111112\n", card[] = "4111111111111111\n";
	char *text = malloc(DECOYS * (sizeof(decoy) - 1) + sizeof(card));
	assert_non_null(text);
	for (size_t i = 0; i < DECOYS; i++)
		memcpy(text + i * (sizeof(decoy) - 1), decoy, sizeof(decoy) - 1);
	memcpy(text + DECOYS * (sizeof(decoy) - 1), card, sizeof(card));
	struct pattern_set *s = pattern_set_new();
	unsigned counts[SCAN_PATTERNS_MOST] = {0};
	struct err err;
	assert_int_equal(pattern_set_add(s, CARD, false, PATTERN_WITH_LUHN, &err), 0);
	assert_true(pattern_set_count(s, slice_of(text), counts));
	assert_int_equal(counts[0], 1);
	pattern_set_free(&s);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_luhn),
		cmocka_unit_test(test_iban),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_decoys),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_many_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
