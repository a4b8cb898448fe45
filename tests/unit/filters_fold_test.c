/* Folding at 78 columns: between tokens, within base64, and where one goes on with an older
 * text. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "filters/fold.h"

#define X60 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void
check(struct fold *f, const char *expect)
{
	struct slice got = buf_slice(&f->text);
	if (!slice_eq(got, slice_of(expect)))
		fail_msg("%.*s", SLICE_ARG(got));
	fold_fini(f);
}

static void
test_tokens(void **state)
{
	(void)state;
	struct fold f;
	fold_init(&f, 1000, SLICE("Name:"));
	fold_add(&f, true, SLICE(X60));           /* 66 columns */
	fold_add(&f, true, SLICE("12345678901")); /* 78: the last that fits */
	fold_add(&f, false, SLICE(";"));
	fold_add(&f, true, SLICE("next"));
	check(&f, "Name: " X60 " 12345678901\r\n\t; next");
}

static void
test_lines(void **state)
{
	(void)state;
	struct fold f;
	fold_init(&f, 1000, SLICE("Name:"));
	fold_line(&f);
	fold_add(&f, true, SLICE("first")); /* no blank behind the tab */
	fold_add(&f, true, SLICE(X60 X60)); /* longer than a line: on one of its own */
	fold_add(&f, true, SLICE("last"));
	check(&f, "Name:\r\n\tfirst\r\n\t" X60 X60 "\r\n\tlast");
}

static void
test_cut(void **state)
{
	(void)state;
	struct fold f;
	fold_init(&f, 1000, SLICE("A:\r\n\tb=")); /* 10 columns */
	fold_add_cut(&f, SLICE(X60 "12345678"
				   "90"));
	check(&f, "A:\r\n\tb=" X60 "12345678\r\n\t90");
	fold_init(&f, 1000, SLICE("A: "));
	fold_add_cut(&f, SLICE(""));
	check(&f, "A: ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
