/*
 * Expressions whose cost has a bound and those that have none. What is refused is also shown to
 * be costly: PCRE2 reaches its match limit on a short text; what is taken does not, on texts
 * made for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "conf/regex_bound.h"

enum { LIMIT = 200000, TEXT_BYTES = 400 };

static int
run(const char *regex, const char *text)
{
	int code;
	PCRE2_SIZE at;
	pcre2_code *c = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_NO_START_OPTIMIZE, &code, &at, NULL);
	if (c == NULL)
		fail_msg("%s does not compile, at %zu", regex, (size_t)at);
	pcre2_match_context *m = pcre2_match_context_create(NULL);
	pcre2_match_data *d = pcre2_match_data_create(1, NULL);
	pcre2_set_match_limit(m, LIMIT);
	int n = pcre2_match(c, (PCRE2_SPTR)text, strlen(text), 0, 0, d, m);
	pcre2_match_data_free(d);
	pcre2_match_context_free(m);
	pcre2_code_free(c);
	return n;
}

/* With a text of which PCRE2 tries more ways than its limit. */
static const struct {
	const char *regex, *part, *end;
	size_t at;
} costly[] = {
	{"(a+)+$", "a", "!", 4},
	{"^(a*)*$", "a", "!", 5},
	{"(?:a|a)*$", "a", "!", 7},
	{"(?:a|aa)+$", "a", "!", 8},
	{"x(?:\\w+\\s?)+$", "x", "!", 11},
	{"^(?:.*,)*x", ",", "!", 8},
	{"^(?:a?b?)*$", "ab", "!", 9},
	{"^(?:a|b|ab)*$", "ab", "!", 11},
	{"^(?:[a-c]+|[b-d]+)*$", "b", "!", 18},
	{"^(?:a{1,9}){2,}$", "a", "!", 11},
	{"^(?:\\d+[ -]?)+$", "1", "!", 13},
	{"^(?i:(?:x|X)+)$", "x", "!", 12},
	{"^((?:a+|b)c?)+$", "a", "!", 13},
};

/* With a text that comes near, on which no limit is reached. */
static const struct {
	const char *regex, *part, *end;
} cheap[] = {
	{"\\b(?:\\d[ -]?){13,16}\\b", "4", "!"},
	{"\\b[A-Z]{2}\\d{2}(?: ?[A-Z0-9]){11,30}\\b", "A", "!"},
	{"^(?:\\d+,)+$", "12,", "!"},
	{"^(?:[a-z]+\\d)*$", "ab1", "!"},
	{"^\\w+@\\w+(?:\\.\\w+)+$", "a.", "!"},
	{"^(?:a+b)+$", "aab", "!"},
	{"^(?:ab|ac)*$", "ab", "!"},
	{"^(?:a++)+$", "a", "!"},
	{"^(?>a+)*$", "a", "!"},
	{"^(?:a|b)*+c", "ab", "!"},
	{"secret", "secre", "!"},
	{"^[^\"]*(?:\"[^\"]*\"[^\"]*)*$", "\"a\" ", "\""},
	{"^(a)b*\\1$", "ab", "!"},
	{"(?<=ab|cde)x+", "ab", "!"},
	{"\\Qa+)+\\E", "a+)", "!"},
	{"^[]a]+[[:digit:]-]*$", "a]", "!"},
	{"^(?#(a+)a+$", "a", "!"},
	{"^(?:\\x41+\\x{42})+$", "AAB", "!"},
	{"^\xc3\xa4+\xc3\xb6*$", "\xc3\xa4", "!"},
	{"a{,3}b", "a{,3}", "!"},
};

static void
make(char *text, const char *part, const char *end)
{
	size_t n = 0, bytes = strlen(part);
	for (; n + bytes < TEXT_BYTES; n += bytes)
		memcpy(text + n, part, bytes);
	memcpy(text + n, end, strlen(end) + 1);
}

static void
test_costly(void **state)
{
	char text[TEXT_BYTES + 10];
	(void)state;
	for (size_t i = 0; i < sizeof(costly) / sizeof(costly[0]); i++) {
		size_t at = 0;
		const char *why = regex_bound(slice_of(costly[i].regex), false, &at);
		make(text, costly[i].part, costly[i].end);
		if (why == NULL || at != costly[i].at)
			fail_msg("%s: %s at %zu", costly[i].regex, why != NULL ? why : "", at);
		if (run(costly[i].regex, text) != PCRE2_ERROR_MATCHLIMIT)
			fail_msg("%s is not costly", costly[i].regex);
	}
}

static void
test_cheap(void **state)
{
	char text[TEXT_BYTES + 10];
	(void)state;
	for (size_t i = 0; i < sizeof(cheap) / sizeof(cheap[0]); i++) {
		size_t at = 0;
		const char *why = regex_bound(slice_of(cheap[i].regex), false, &at);
		make(text, cheap[i].part, cheap[i].end);
		if (why != NULL)
			fail_msg("%s: %s at %zu", cheap[i].regex, why, at);
		int n = run(cheap[i].regex, text);
		if (n < 0 && n != PCRE2_ERROR_NOMATCH)
			fail_msg("%s: %d", cheap[i].regex, n);
	}
}

/* Refused for what they are; PCRE2 may end on some text all the same. */
static void
test_refused(void **state)
{
	static const struct {
		const char *regex, *word;
		size_t at;
	} rows[] = {
		{"x(?R)?y", "calls itself", 1},
		{"(?1)(a)", "calls itself", 0},
		{"(?<n>a(?&n)?b)", "calls itself", 6},
		{"(?<n>a\\g<n>?b)", "calls itself", 6},
		{"(a)(?:\\1b)*", "reference", 6},
		{"(?<n>a)(?:\\k<n>b)+", "reference", 10},
		{"(?P<n>a)(?:(?P=n)b)+", "reference", 11},
		{"(a)?(?(1)b|c)", "condition", 4},
		{"(*atomic:a+)b", "form of a group", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t at = 0;
		const char *why = regex_bound(slice_of(rows[i].regex), false, &at);
		if (why == NULL || strstr(why, rows[i].word) == NULL || at != rows[i].at)
			fail_msg("%s: %s at %zu", rows[i].regex, why != NULL ? why : "", at);
	}
	size_t at;
	assert_non_null(regex_bound(SLICE("(?:x|X)+"), true, &at));
	assert_null(regex_bound(SLICE("(?:x|X)+"), false, &at));
	/* more than is looked through, said as such */
	char many[1000] = "(?:";
	for (size_t i = 0; i < 200; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%c%c|",
			(int)('a' + i % 26), (int)('0' + i % 10));
	snprintf(many + strlen(many), sizeof(many) - strlen(many), "x)+");
	assert_non_null(strstr(regex_bound(slice_of(many), false, &at), "looked through"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costly),
		cmocka_unit_test(test_cheap),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
