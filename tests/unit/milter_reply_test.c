/*
 * Replies in the form of the milter protocol (MLT-03): lines parted by CRLF without a last one,
 * '%' twice, nothing that the MTA could read as more than it is; and names of events.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/must.h"
#include "milter/milter.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	struct smtp_reply reply;
	const char *written;
} replies[] = {
	{{550, {5, 7, 1}, true, {"no", 2}}, "550 5.7.1 no"},
	{{421, {4, 3, 2}, true, {"later", 5}}, "421 4.3.2 later"},
	{{554, {0}, false, {"no", 2}}, "554 no"},
	{{599, {5, 999, 999}, true, {"", 0}}, "599 5.999.999 "},
	{{450, {0}, false, {"", 0}}, "450 "},
	{{550, {5, 7, 1}, true, {"a\nb\nc", 5}}, "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c"},
	{{550, {5, 7, 1}, true, {"a\n", 2}}, "550-5.7.1 a\r\n550 5.7.1 "},
	{{550, {5, 7, 1}, true, {"100% %s %%", 10}}, "550 5.7.1 100%% %%s %%%%"},
	{{550, {5, 7, 1}, true, {"%\n%", 3}}, "550-5.7.1 %%\r\n550 5.7.1 %%"},
	/* no line ends but ours */
	{{550, {5, 7, 1}, true, {"a\r\n250 b\rc\0d", 12}},
		"550-5.7.1 a?\r\n550 5.7.1 250 b?c?d"},
	{{550, {5, 7, 1}, true, {"\t\x1b\x7f", 3}}, "550 5.7.1 ???"},
};

static void
test_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(replies); i++) {
		struct buf out;
		buf_init(&out, MILTER_REPLY_BYTES_MOST);
		milter_reply_write(&replies[i].reply, &out);
		if (!slice_eq(buf_slice(&out), slice_of(replies[i].written)))
			fail_msg("%.*s", SLICE_ARG(buf_slice(&out)));
		buf_fini(&out);
	}
}

static void
test_behind_what_is_there(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, MILTER_REPLY_BYTES_MOST + 2);
	must(buf_add_text(&out, "xab") == 0);
	buf_consume(&out, 1);
	milter_reply_write(&replies[5].reply, &out);
	assert_true(slice_eq(
		buf_slice(&out), SLICE("ab550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c")));
	buf_fini(&out);
}

/* Each line whole, with code and words, none but the last with a blank behind the code. */
static void
check_lines(struct slice text, size_t lines)
{
	struct slice line;
	bool more;
	do {
		more = slice_cut(text, '\n', &line, &text);
		assert_true(line.n > 10 && line.n < 2 * SMTP_REPLY_LINE_BYTES);
		assert_true(!more || line.p[line.n - 1] == '\r');
		line.n -= more;
		assert_false(slice_has(line, '\r'));
		assert_true(
			slice_starts(line, more ? SLICE("550-5.7.1 ") : SLICE("550 5.7.1 ")));
		size_t percents = 0;
		for (size_t i = 0; i < line.n; i++)
			percents += line.p[i] == '%';
		assert_true(percents % 2 == 0);
		assert_true(lines-- > 0);
	} while (more);
	assert_int_equal(lines, 0);
}

static void
check_large(const char *line, size_t text_bytes, size_t lines)
{
	static char text[4 * SMTP_REPLY_BYTES_MOST];
	size_t n = strlen(line);
	for (size_t i = 0; i < text_bytes; i++)
		text[i] = line[i % n];
	struct smtp_reply r = {550, {5, 7, 1}, true, {text, text_bytes}};
	struct buf out;
	buf_init(&out, MILTER_REPLY_BYTES_MOST);
	milter_reply_write(&r, &out);
	check_lines(buf_slice(&out), lines);
	buf_fini(&out);
}

static void
test_large_replies(void **state)
{
	(void)state;
	check_large("a", SMTP_REPLY_BYTES_MOST, 33); /* 500 bytes a line */
	check_large("a\n", SMTP_REPLY_BYTES_MOST, SMTP_REPLY_LINES_MOST);
	/* 64 lines of 510 bytes fit, with their CRLF between them */
	check_large("a", 64 * 500, 64);
	/* a line of '%' is 1010 bytes then, and CRLF: the 33rd would be too much */
	check_large("%", 32 * 500, 32);
	check_large("%", 33 * 500, 32);
	check_large("%", 4 * SMTP_REPLY_BYTES_MOST, 32);
}

static void
test_event_texts(void **state)
{
	(void)state;
	for (enum milter_event_type t = MILTER_EV_NONE; t < MILTER_EVENTS; t++) {
		assert_non_null(milter_event_text(t));
		for (enum milter_event_type u = MILTER_EV_NONE; u < t; u++)
			assert_string_not_equal(milter_event_text(t), milter_event_text(u));
	}
	assert_string_equal(milter_event_text(MILTER_EV_HEADER_END), "header-end");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_behind_what_is_there),
		cmocka_unit_test(test_large_replies),
		cmocka_unit_test(test_event_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
