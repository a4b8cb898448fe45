/* Log lines: hostile bytes never break a line or forge a key (SRV-10), and what is too long is
 * cut at a value. Read back from a pipe in the place of stderr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static char line[LOG_LINE_BYTES * 2];

static void
write_line(struct log_line *l)
{
	int fds[2], saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(fds), 0);
	assert_true(saved >= 0 && dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
	log_end(l);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	close(fds[1]);
	ssize_t n = read(fds[0], line, sizeof(line) - 1);
	assert_true(n > 0);
	close(fds[0]);
	line[n] = '\0';
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	line[n - 1] = '\0';
}

static void
test_escapes(void **state)
{
	(void)state;
	static const struct {
		struct slice value;
		const char *written;
	} rows[] = {
#define ROW(value, written) {{value, sizeof(value) - 1}, written}
		ROW("plain.word-7@example:+!", " k=plain.word-7@example:+!"),
		ROW("", " k=\"\""),
		ROW("two words", " k=\"two words\""),
		ROW("a=b", " k=\"a=b\""),
		ROW("a\"b\\c", " k=\"a\\\"b\\\\c\""),
		ROW("x\r\nevent=accept", " k=\"x\\x0d\\x0aevent=accept\""),
		ROW("\0\x1b[2J\x7f", " k=\"\\x00\\x1b[2J\\x7f\""),
		ROW("\xc3\xa4\xff", " k=\"\\xc3\\xa4\\xff\""),
#undef ROW
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct log_line l;
		log_begin(&l, EV_REJECT, NULL);
		log_slice(&l, "k", rows[i].value);
		write_line(&l);
		const char *at = strstr(line, " k=");
		assert_non_null(at);
		assert_string_equal(at, rows[i].written);
	}
}

static void
test_context(void **state)
{
	(void)state;
	struct log_context session = {.key = "session", .value = "S1"};
	struct log_context empty = {.up = &session, .key = "none"};
	struct log_context mail = {.up = &empty, .key = "mail", .value = "M 2"};
	struct log_line l;
	struct ip ip = {.family = 4, .bytes = {192, 0, 2, 9}};
	log_begin(&l, EV_REJECT, &mail);
	log_number(&l, "n", INT64_MIN);
	log_ip(&l, "client", &ip);
	log_text(&l, "nothing", NULL);
	write_line(&l);
	const char *at = strstr(line, "event=");
	assert_non_null(at);
	assert_string_equal(at, "event=reject process=test session=S1 mail=\"M 2\" "
				"n=-9223372036854775808 client=192.0.2.9 nothing=\"\"");
	/* the time in front: 2026-11-22T03:04:05.678Z and a space */
	assert_int_equal(at - line, 25);
}

/* The value that does not fit is left out whole, and so is everything behind it. */
static void
test_cut(void **state)
{
	(void)state;
	char value[LOG_LINE_BYTES];
	memset(value, 'v', sizeof(value));
	struct log_line l;
	log_begin(&l, EV_REJECT, NULL);
	size_t room = LOG_LINE_BYTES - 1 - l.used - strlen(" k=");
	log_slice(&l, "k", (struct slice){value, room});
	assert_false(l.cut);
	log_text(&l, "more", "x");
	assert_true(l.cut);
	write_line(&l);
	assert_int_equal(strlen(line), LOG_LINE_BYTES - 1);
	assert_null(strstr(line, "more"));

	log_begin(&l, EV_REJECT, NULL);
	log_slice(&l, "k", (struct slice){value, room + 1});
	assert_true(l.cut);
	log_text(&l, "short", "x");
	write_line(&l);
	assert_null(strstr(line, "k="));
	assert_null(strstr(line, "short="));

	/* an escape is not cut in two either */
	memset(value, '\n', sizeof(value));
	log_begin(&l, EV_REJECT, NULL);
	log_slice(&l, "k", (struct slice){value, 1500});
	assert_true(l.cut);
	write_line(&l);
	assert_null(strstr(line, "k="));
}

static void
test_names(void **state)
{
	(void)state;
	for (int i = 0; i < LOG_EVENT_COUNT; i++) {
		enum log_event e = (enum log_event)i;
		assert_true(log_event_name(e)[0] != '\0' && log_event_text(e)[0] != '\0');
		assert_int_equal(strspn(log_event_name(e), "abcdefghijklmnopqrstuvwxyz-"),
			strlen(log_event_name(e)));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(
				log_event_name(e), log_event_name((enum log_event)k));
	}
}

static int
open_log(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_open(LOG_TO_STDERR, "test");
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_context),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, open_log, NULL);
}
