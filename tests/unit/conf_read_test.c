/*
 * Configurations right and wrong: each tests/conf/NAME.conf is read, and what the report says
 * must be tests/conf/NAME.expect to the byte (none there: nothing to say). Paths of the folder
 * are written as "@". POSTERN_WRITE=1 writes the .expect files anew, for a person to read
 * through.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/file.h"

enum { TEXT_MOST = 1 << 20 };

/* Every `folder` in the text becomes "@". */
static struct slice
without_folder(struct slice text, const char *folder, struct arena *a)
{
	struct slice f = slice_of(folder), out = SLICE("");
	for (;;) {
		size_t at = slice_find_slice(text, f);
		out = arena_printf(a, "%.*s%.*s%s", SLICE_ARG(out),
			SLICE_ARG(slice_first(text, at)), at < text.n ? "@" : "");
		if (at == text.n)
			return out;
		text = slice_from(text, at + f.n);
	}
}

static void
write_expect(const char *path, struct slice text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	fclose(f);
}

static void
check_file(const char *name, const char *folder)
{
	char expect_path[300];
	struct arena *a = arena_new(TEXT_MOST);
	struct conf_report r;
	struct slice expect = SLICE("");
	struct err err;
	conf_report_init(&r);
	struct conf *c = conf_read(name, &r);
	struct slice text = without_folder(conf_report_text(&r, a), folder, a);
	snprintf(
		expect_path, sizeof(expect_path), "%.*s.expect", (int)(strlen(name) - 5), name);
	if (getenv("POSTERN_WRITE") != NULL && text.n != 0)
		write_expect(expect_path, text);
	if (access(expect_path, F_OK) == 0)
		assert_int_equal(file_read(expect_path, TEXT_MOST / 2, a, &expect, &err), 0);
	if (!slice_eq(text, expect))
		fail_msg("%s: expected\n%.*s\nfound\n%.*s", name, SLICE_ARG(expect),
			SLICE_ARG(text));
	/* A snapshot comes exactly where there is no error. */
	assert_int_equal(c != NULL, r.n_errors == 0);
	conf_free(&c);
	conf_report_fini(&r);
	arena_free(&a);
}

static void
test_every_file(void **state)
{
	char folder[4096];
	size_t n = 0;
	struct dirent *e;
	(void)state;
	assert_non_null(getenv("POSTERN_SOURCE"));
	assert_int_equal(chdir(getenv("POSTERN_SOURCE")), 0);
	assert_int_equal(chdir("tests/conf"), 0);
	assert_non_null(getcwd(folder, sizeof(folder)));
	DIR *d = opendir(".");
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (!slice_ends(slice_of(e->d_name), SLICE(".conf")))
			continue;
		check_file(e->d_name, folder);
		n++;
	}
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
