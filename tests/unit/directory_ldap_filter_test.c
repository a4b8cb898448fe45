/*
 * Values in LDAP filters (RFC 4515): whatever the value, the filter has the parentheses, stars
 * and backslashes of its form and no others, and what is escaped is the value again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "directory/ldap_filter.h"

enum { ROUNDS = 5000, VALUE_MOST = 40 };

static void
test_table(void **state)
{
	static const struct {
		const char *form;
		struct slice value;
		const char *want;
	} cases[] = {
		{"(mail=%s)", {"bob@example.com", 15}, "(mail=bob@example.com)"},
		{"(|(mail=%s)(uid=%s))", {"a*", 2}, "(|(mail=a\\2a)(uid=a\\2a))"},
		{"(mail=%s)", {"*)(uid=*", 8}, "(mail=\\2a\\29\\28uid\\3d\\2a)"},
		{"(mail=%s)", {"a\\b", 3}, "(mail=a\\5cb)"},
		{"(mail=%s)", {"a\0b", 3}, "(mail=a\\00b)"},
		{"(mail=%s)", {"\xc3\xa9", 2}, "(mail=\\c3\\a9)"},
		{"(mail=%s)", {"%s", 2}, "(mail=\\25s)"},
		{"(mail=%s)", {" a+b#c", 6}, "(mail=\\20a\\2bb\\23c)"},
		{"(mail=%s)", {"", 0}, "(mail=)"},
		{"(mail=x*%s)", {"y", 1}, "(mail=x*y)"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new(1 << 16);
		struct slice got = ldap_filter(slice_of(cases[i].form), cases[i].value, a);
		assert_string_equal(got.p, cases[i].want);
		assert_int_equal(got.n, strlen(cases[i].want));
		arena_free(&a);
	}
}

static void
test_any_value(void **state)
{
	uint32_t seed = 4515;
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		char value[VALUE_MOST], back[VALUE_MOST];
		struct arena *a = arena_new(1 << 16);
		size_t n = 0, length = seed % VALUE_MOST;
		for (size_t i = 0; i < length; i++) {
			seed = seed * 1664525u + 1013904223u;
			value[i] = (seed >> 8) % 3 != 0 ? "()*\\&|!=<>~%s"[(seed >> 16) % 13]
							: (char)(seed >> 16);
		}
		seed = seed * 1664525u + 1013904223u;
		struct slice got =
			ldap_filter(SLICE("(a=%s)"), (struct slice){value, length}, a);
		assert_true(slice_starts(got, SLICE("(a=")) && slice_ends(got, SLICE(")")));
		struct slice inner = slice_first(slice_from(got, 3), got.n - 4);
		for (size_t i = 0; i < inner.n; i++) {
			char c = inner.p[i];
			assert_true(c != '(' && c != ')' && c != '*' && c != '\0');
			if (c == '\\') {
				int high = ascii_hex(inner.p[i + 1]);
				int low = ascii_hex(inner.p[i + 2]);
				assert_true(high >= 0 && low >= 0);
				c = (char)(high * 16 + low);
				i += 2;
			}
			assert_in_range(n, 0, length);
			back[n++] = c;
		}
		assert_int_equal(n, length);
		assert_memory_equal(back, value, length);
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_any_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
