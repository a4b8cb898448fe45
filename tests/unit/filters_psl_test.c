/*
 * The registrable domain: cases of our own, and the list's public ones where the suites are
 * (POSTERN_SUITES).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "filters/psl.h"

static void
ours(void **state)
{
	(void)state;
	static const struct {
		const char *name, *of;
	} cases[] = {
		{"", ""},
		{".", ""},
		{"com", ""},
		{"example", ""},
		{"co.uk", ""},
		{"example.com", "example.com"},
		{"example.com.", "example.com"},
		{"a.b.example.com", "example.com"},
		{"A.Example.COM", "Example.COM"},
		{"a.example.co.uk", "example.co.uk"},
		{".example.com", ""},
		{"a.sub.unlisted", "sub.unlisted"},
		{"192.0.2.1", ""},
		{"[192.0.2.1]", ""},
		{"2001:db8::1", ""},
		{"shop.xn--85x722f.com.cn", "xn--85x722f.com.cn"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice of = psl_registrable(slice_of(cases[i].name));
		if (!slice_eq(of, slice_of(cases[i].of)))
			fail_msg("%s: %.*s", cases[i].name, SLICE_ARG(of));
	}
	assert_int_equal(psl_registrable((struct slice){"a\0b.com", 7}).n, 0);
	char longest[256];
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + 249, ".com", 4);
	assert_int_equal(psl_registrable((struct slice){longest, 253}).n, 253);
	assert_int_equal(psl_registrable((struct slice){longest, 254}).n, 0);
}

static void
same(void **state)
{
	(void)state;
	assert_true(psl_same(SLICE("a.example.com"), SLICE("b.EXAMPLE.com")));
	assert_false(psl_same(SLICE("a.co.uk"), SLICE("b.co.uk")));
	assert_false(psl_same(SLICE("com"), SLICE("example.com")));
	assert_true(psl_same(SLICE("localhost"), SLICE("localhost")));
	assert_false(psl_same(SLICE("192.0.2.1"), SLICE("192.0.2.2")));
	assert_false(psl_same(SLICE(""), SLICE("example.com")));
}

/* "name answer" a line, "null" for none; false: the file is not here. */
static bool
play(const char *path, unsigned *checked_out)
{
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return false;
	char line[600];
	*checked_out = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		struct slice name, of, s = slice_trim(slice_of(line));
		if (s.n == 0 || slice_starts(s, SLICE("//")) || !slice_cut(s, ' ', &name, &of))
			continue;
		if (slice_eq(name, SLICE("null")))
			name = SLICE_NONE;
		if (slice_eq(of, SLICE("null")))
			of = SLICE_NONE;
		struct slice got = psl_registrable(name);
		if (!slice_eq_nocase(got, of))
			fail_msg("%.*s: %.*s, not %.*s", SLICE_ARG(name), SLICE_ARG(got),
				SLICE_ARG(of));
		++*checked_out;
	}
	must(fclose(f) == 0);
	return true;
}

static void
public_cases(void **state)
{
	(void)state;
	const char *suites = getenv("POSTERN_SUITES");
	char path[500];
	snprintf(path, sizeof(path), "%s/psl/tests.txt", suites != NULL ? suites : "");
	unsigned checked;
	if (!play(path, &checked)) {
		printf("SKIPPED: no %s\n", path);
		skip();
	}
	assert_in_range(checked, 70, 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours),
		cmocka_unit_test(same),
		cmocka_unit_test(public_cases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
