/* Wildcards of `matches`: what they match, what is refused, and that none takes long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "conf/glob.h"

static const struct {
	const char *pattern, *text;
	bool want;
} cases[] = {
	{"*", "", true},
	{"", "", true},
	{"", "a", false},
	{"a", "A", true},
	{"*.exe", "setup.EXE", true},
	{"*.exe", "setup.exe.txt", false},
	{"*.exe", ".exe", true},
	{"*.{exe,scr,js}", "a.scr", true},
	{"*.{exe,scr,js}", "a.jsx", false},
	{"{a,b{c,d}}e", "bde", true},
	{"{a,b{c,d}}e", "be", false},
	{"a{,b}", "a", true},
	{"?", "\303\274", true}, /* one character of two bytes */
	{"?", "ab", false},
	{"a*b*c", "aXbXbXc", true},
	{"a*b*c", "aXcXb", false},
	{"a\\*b", "a*b", true},
	{"a\\*b", "axb", false},
	{"a\\{b", "a{b", true},
	{"a,b}", "a,b}", true},
	{"*a", "\377\376a", true}, /* a text may hold any byte */
	{"?", "\377", true},
};

static void
test_matches(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		const char *why = NULL;
		const struct glob *g = glob_compile(slice_of(cases[i].pattern), a, &why);
		assert_null(why);
		if (glob_match(g, slice_of(cases[i].text)) != cases[i].want)
			fail_msg("\"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
		arena_free(&a);
	}
}

static void
test_refused(void **state)
{
	(void)state;
	static const char *const patterns[] = {"{a", "*.{exe,{js}", "\377",
		"{{{{{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}}}}}",
		"{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}" /* 512 ways */};
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct arena *a = arena_new(16 << 20);
		const char *why = NULL;
		assert_null(glob_compile(slice_of(patterns[i]), a, &why));
		assert_non_null(why);
		arena_free(&a);
	}
}

/* What takes other matchers exponential time: at most text times pattern here. */
static void
test_bounded(void **state)
{
	(void)state;
	static char text[100000];
	struct arena *a = arena_new(1 << 20);
	const char *why = NULL;
	const struct glob *g = glob_compile(SLICE("*a*a*a*a*a*a*a*a*a*a*a*a*b"), a, &why);
	memset(text, 'a', sizeof(text));
	uint64_t start = clock_ms();
	assert_false(glob_match(g, (struct slice){text, sizeof(text)}));
	assert_true(clock_ms() - start < 5000);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
