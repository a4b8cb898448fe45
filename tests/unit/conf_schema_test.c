/*
 * The table of settings: conf/sample.conf is what it prints, every example in it is taken by
 * the parser, every row is documented, and defaults lie within their bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/file.h"
#include "conf/schema.h"

enum { TEXT_MOST = 4 << 20 };

static void
test_sample_is_printed(void **state)
{
	struct arena *a = arena_new(TEXT_MOST);
	struct slice have;
	struct err err;
	(void)state;
	const char *path = arena_printf(a, "%s/conf/sample.conf", getenv("POSTERN_SOURCE")).p;
	assert_int_equal(file_read(path, TEXT_MOST / 4, a, &have, &err), 0);
	struct slice want = schema_sample(a);
	if (!slice_eq(have, want))
		fail_msg("conf/sample.conf is not what `postern sample` prints");
	arena_free(&a);
}

/* The sample with its examples switched on: only the files that it names are missing. */
static void
test_examples_are_read(void **state)
{
	struct arena *a = arena_new(TEXT_MOST);
	struct slice line, rest = schema_sample(a);
	struct buf b;
	struct conf_report r;
	char path[64];
	(void)state;
	buf_init(&b, TEXT_MOST);
	while (rest.n != 0) {
		slice_cut(rest, '\n', &line, &rest);
		if (line.n > 1 && line.p[0] == '#' && line.p[1] != ' ')
			line = slice_from(line, 1);
		buf_printf(&b, "%.*s\n", SLICE_ARG(line));
	}
	int fd = memfd_create("sample", 0);
	struct slice text = buf_slice(&b);
	assert_int_equal(write(fd, text.p, text.n), text.n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf_report_init(&r);
	struct conf *c = conf_read(path, &r);
	assert_null(c);
	assert_true(r.n >= 4 && r.n == r.n_errors);
	for (size_t i = 0; i < r.n; i++)
		if (strncmp(r.problems[i].text, "cannot read ", 12) != 0)
			fail_msg("line %u: %s", r.problems[i].at.line, r.problems[i].text);
	conf_report_fini(&r);
	buf_fini(&b);
	close(fd);
	arena_free(&a);
}

static void
test_rows(void **state)
{
	struct arena *a = arena_new(TEXT_MOST);
	struct slice manual = schema_manual(a);
	(void)state;
	for (size_t i = 0; i < schema_n_rows; i++) {
		const struct schema_row *r = &schema_rows[i];
		if (r->text == NULL || r->text[strlen(r->text) - 1] != '.')
			fail_msg("%s %s has no sentence", r->group, r->name);
		if (r->later == NULL && r->type == SCHEMA_OWN && r->parse == NULL)
			fail_msg("%s %s cannot be read", r->group, r->name);
		if (r->initial != 0 && (r->initial < r->least || r->initial > r->most))
			fail_msg("%s %s: its default is out of bounds", r->group, r->name);
		struct slice bold = arena_printf(a, "\\fB%s\\fR", r->name);
		assert_true(slice_find_slice(manual, bold) < manual.n);
	}
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample_is_printed),
		cmocka_unit_test(test_examples_are_read),
		cmocka_unit_test(test_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
