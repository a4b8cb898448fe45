/* MIM-05: what a name comes to where it is opened, for parts and for members of archives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/names.h"

static void
test_names(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a.exe", "a.exe"},
		{"a.exe.", "a.exe"},
		{"a.exe . ", "a.exe"},
		{"dir/a.exe", "a.exe"},
		{"dir\\a.exe", "a.exe"},
		{"dir\\x/a.exe", "a.exe"},
		{"dir/x\\a.exe", "a.exe"},
		{"../../etc/passwd", "passwd"},
		{"a.exe/", "a.exe"},
		{"a.exe\\.", "a.exe"},
		{"...", ""},
		{"", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice s = plain_name(slice_of(cases[i].in));
		if (!slice_eq(s, slice_of(cases[i].out)))
			fail_msg("\"%s\" became \"%.*s\"", cases[i].in, SLICE_ARG(s));
	}
}

static void
test_long_name_keeps_its_end(void **state)
{
	char name[600];
	(void)state;
	memset(name, 'a', sizeof(name));
	memcpy(name + sizeof(name) - 4, ".exe", 4);
	struct slice s = plain_name((struct slice){name, sizeof(name)});
	assert_true(s.n <= SCAN_NAME_MOST);
	assert_true(slice_ends(s, SLICE(".exe")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_name_keeps_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
