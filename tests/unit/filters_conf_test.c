/*
 * Rules right and wrong, with the facts of all filters: each tests/conf/NAME.conf that is read
 * without an error is compiled as posternd compiles it, and what is said of its rules must be
 * tests/conf/NAME.policy to the byte (none there: nothing to say). POSTERN_WRITE=1 writes the
 * .policy files anew, for a person to read through. See conf_read_test.c for what is wrong
 * before.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/file.h"
#include "filters/facts.h"

enum { TEXT_MOST = 16 << 20, EXPECT_MOST = 1 << 20 };

static void
write_expect(const char *path, struct slice text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

/* What is said of both blocks; false: the file itself is wrong. */
static bool
compile_file(const char *name, struct arena *a, struct slice *text_out)
{
	struct conf_report read, said;
	conf_report_init(&read);
	conf_report_init(&said);
	struct conf *c = conf_read(name, &read);
	if (c != NULL)
		filters_check(c, &said);
	for (int d = INBOUND; c != NULL && d <= OUTBOUND; d++) {
		struct policy *p = NULL;
		if (conf_uses_block(c, d == OUTBOUND))
			p = policy_compile(c, (enum direction)d, facts_all(), a, &said);
		if (p != NULL)
			policy_check(p, &said);
	}
	bool right = c != NULL;
	*text_out = conf_report_text(&said, a);
	conf_report_fini(&said);
	conf_report_fini(&read);
	conf_free(&c);
	return right;
}

/* Whether there was something to compile. */
static bool
check_file(const char *name)
{
	char path[300];
	struct arena *a = arena_new(TEXT_MOST);
	struct slice text, expect = SLICE("");
	struct err err;
	snprintf(path, sizeof(path), "%.*s.policy", (int)(strlen(name) - 5), name);
	bool right = compile_file(name, a, &text);
	if (getenv("POSTERN_WRITE") != NULL && text.n != 0)
		write_expect(path, text);
	if (access(path, F_OK) == 0)
		assert_int_equal(file_read(path, EXPECT_MOST, a, &expect, &err), 0);
	if (!slice_eq(text, expect))
		fail_msg("%s: expected\n%.*s\nfound\n%.*s", path, SLICE_ARG(expect),
			SLICE_ARG(text));
	arena_free(&a);
	return right;
}

static void
test_every_file(void **state)
{
	size_t n = 0;
	struct dirent *e;
	(void)state;
	assert_non_null(getenv("POSTERN_SOURCE"));
	assert_int_equal(chdir(getenv("POSTERN_SOURCE")), 0);
	assert_int_equal(chdir("tests/conf"), 0);
	DIR *d = opendir(".");
	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		if (slice_ends(slice_of(e->d_name), SLICE(".conf")))
			n += check_file(e->d_name);
	closedir(d);
	print_message("%zu configurations\n", n);
	assert_true(n >= 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_file)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
