/* Replies that we give and that we read (EXT-02, SMG-08). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "smtp/reply.h"

struct read_case {
	struct slice in;
	int result;
	const char *line; /* by smtp_reply_line, where result is 0 */
	size_t taken;     /* 0: all */
};

static const struct read_case read_cases[] = {
	{SLICE("250 ok\r\n"), 0, "250 ok", 0},
	{SLICE("250\r\n"), 0, "250", 0},
	{SLICE("250 \r\n"), 0, "250", 0},
	{SLICE("250 2.1.5 ok\r\n"), 0, "250 2.1.5 ok", 0},
	{SLICE("550-5.7.1 no\r\n550 5.7.1 never\r\n"), 0, "550 5.7.1 no never", 0},
	{SLICE("550-5.7.1 no\r\n550 5.7.2 never\r\n"), 0, "550 5.7.1 no 5.7.2 never", 0},
	{SLICE("550 4.7.1 no\r\n"), 0, "550 4.7.1 no", 0}, /* of another class: only text */
	{SLICE("550 5.999.123\r\n"), 0, "550 5.999.123", 0},
	{SLICE("550 5.1000.1 x\r\n"), 0, "550 5.1000.1 x", 0},
	{SLICE("250-a\r\n250-SIZE 1\r\n250 b\r\nrest"), 0, "250 a SIZE 1 b", 26},
	{SLICE("250 a\r\n250 b\r\n"), 0, "250 a", 7},
	{SLICE("550 \x1b[2Jcaf\xc3\xa9\r\n"), 0, "550 ?[2Jcaf??", 0},
	{SLICE("354 go\r\n"), 0, "354 go", 0},
	{SLICE(""), 1, NULL, 0},
	{SLICE("2"), 1, NULL, 0},
	{SLICE("250 ok"), 1, NULL, 0},
	{SLICE("250 ok\r"), 1, NULL, 0},
	{SLICE("250-ok\r\n"), 1, NULL, 0},
	{SLICE("250-ok\r\n250"), 1, NULL, 0},
	{SLICE("150 x\r\n"), -1, NULL, 0},
	{SLICE("650 x\r\n"), -1, NULL, 0},
	{SLICE("25 x\r\n"), -1, NULL, 0},
	{SLICE("2500 x\r\n"), -1, NULL, 0},
	{SLICE("250_x\r\n"), -1, NULL, 0},
	{SLICE("\r\n"), -1, NULL, 0},
	{SLICE("250 ok\n"), -1, NULL, 0},
	{SLICE("250 o\rk\r\n"), -1, NULL, 0},
	{SLICE("250 o\0k\r\n"), -1, NULL, 0},
	{SLICE("250-ok\r\n251 x\r\n"), -1, NULL, 0},
	{SLICE("250-ok\r\nHTTP\r\n"), -1, NULL, 0},
	{SLICE("SSH-2.0"), -1, NULL, 0},
};

/* A prefix is "more" or an early "no reply", never something else than the whole. */
static void
test_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(read_cases) / sizeof(read_cases[0]); i++) {
		const struct read_case *c = &read_cases[i];
		size_t need = c->taken != 0 ? c->taken : c->in.n;
		for (size_t n = 0; n <= c->in.n; n++) {
			struct guarded g = guarded_new(slice_first(c->in, n));
			struct arena *a = arena_new(64 * 1024);
			struct smtp_reply r;
			size_t taken = 0;
			int result = smtp_reply_read(g.in, a, &r, &taken);
			if (n == c->in.n || (c->result == 0 && n >= need))
				assert_int_equal(result, c->result);
			else if (c->result >= 0)
				assert_int_equal(result, 1);
			else
				assert_true(result != 0);
			if (result == 0) {
				assert_int_equal(taken, need);
				assert_true(
					slice_eq(smtp_reply_line(&r, a), slice_of(c->line)));
			}
			arena_free(&a);
			guarded_free(&g);
		}
	}
}

static void
test_read_limits(void **state)
{
	(void)state;
	for (int lines = SMTP_REPLY_LINES_MOST - 1; lines <= SMTP_REPLY_LINES_MOST + 1;
		lines++) {
		struct buf b;
		struct arena *a = arena_new(64 * 1024);
		struct smtp_reply r;
		size_t taken;
		buf_init(&b, 64 * 1024);
		for (int i = 1; i < lines; i++)
			buf_add_text(&b, "250-x\r\n");
		buf_add_text(&b, "250 x\r\n");
		assert_int_equal(smtp_reply_read(buf_slice(&b), a, &r, &taken),
			lines <= SMTP_REPLY_LINES_MOST ? 0 : -1);
		buf_fini(&b);
		arena_free(&a);
	}
	for (size_t n = SMTP_REPLY_BYTES_MOST - 1; n <= SMTP_REPLY_BYTES_MOST + 1; n++) {
		struct arena *a = arena_new(64 * 1024);
		struct smtp_reply r;
		size_t taken;
		char *text = test_malloc(n);
		memset(text, 'x', n);
		memcpy(text, "250 ", 4);
		assert_int_equal(smtp_reply_read((struct slice){text, n - 1}, a, &r, &taken),
			n - 1 < SMTP_REPLY_BYTES_MOST ? 1 : -1);
		memcpy(text + n - 2, "\r\n", 2);
		assert_int_equal(smtp_reply_read((struct slice){text, n}, a, &r, &taken),
			n <= SMTP_REPLY_BYTES_MOST ? 0 : -1);
		test_free(text);
		arena_free(&a);
	}
}

static void
test_parse_text(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"550 5.7.1 no", true},
		{"550 no", true},
		{"550", true},
		{"250 2.0.0", true},
		{"451 4.7.1 later", true},
		{"354 go", true},
		{"550 4.7.1 no", false},
		{"354 3.0.0 go", false},
		{"150 x", false},
		{"600 x", false},
		{"55 x", false},
		{"5501 x", false},
		{"550-x", false},
		{"", false},
		{"550 5.7.1 a\rb", false},
		{"550 caf\xc3\xa9", false},
		{"550 a\tb", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guarded g = guarded_new(slice_of(cases[i].text));
		struct smtp_reply r;
		assert_int_equal(smtp_reply_parse_text(g.in, &r), cases[i].good);
		guarded_free(&g);
	}
	struct smtp_reply r = smtp_reply_of("550 5.7.26 not you");
	assert_int_equal(r.code, 550);
	assert_true(r.has_enhanced && r.enhanced[1] == 7 && r.enhanced[2] == 26);
	assert_true(slice_eq(r.text, SLICE("not you")));
}

static void
expect_wire(struct smtp_reply r, const char *wire)
{
	struct buf out;
	buf_init(&out, 64 * 1024);
	assert_int_equal(smtp_reply_write(&r, &out), 0);
	assert_true(slice_eq(buf_slice(&out), slice_of(wire)));
	buf_fini(&out);
	/* one byte less: nothing is added */
	buf_init(&out, strlen(wire) - 1);
	assert_int_equal(smtp_reply_write(&r, &out), -1);
	assert_int_equal(buf_slice(&out).n, 0);
	buf_fini(&out);
}

static void
test_write(void **state)
{
	(void)state;
	expect_wire(smtp_reply_of("250 2.0.0 ok"), "250 2.0.0 ok\r\n");
	expect_wire(smtp_reply_of("250"), "250 \r\n");
	expect_wire(smtp_reply_of("550 5.7.1 a\nb"), "550-5.7.1 a\r\n550 5.7.1 b\r\n");
	expect_wire(smtp_reply_of("354 go"), "354 go\r\n");
	struct smtp_reply r = smtp_reply_of("550 5.7.1 x");
	r.text = SLICE("a\r250 ok\x7f");
	expect_wire(r, "550 5.7.1 a?250 ok?\r\n");
	struct arena *a = arena_new(64 * 1024);
	r = smtp_reply_text(r, SLICE("x\r\n250 ok\r\n\0caf\xc3\xa9"), a);
	expect_wire(r, "550-5.7.1 x?\r\n550-5.7.1 250 ok?\r\n550 5.7.1 ?caf??\r\n");
	arena_free(&a);
}

/* Lines of 512 bytes and 64 lines at most; every line bears code and enhanced code. */
static void
test_write_long(void **state)
{
	(void)state;
	char text[2000];
	memset(text, 'x', sizeof(text));
	for (size_t n = 490; n < 1100; n++) {
		struct smtp_reply r = smtp_reply_of("550 5.7.1 x");
		struct buf out;
		r.text = (struct slice){text, n};
		buf_init(&out, 64 * 1024);
		assert_int_equal(smtp_reply_write(&r, &out), 0);
		struct slice rest = buf_slice(&out), line;
		size_t words = 0;
		while (rest.n > 0) {
			assert_true(slice_cut(rest, '\n', &line, &rest));
			assert_true(line.n + 1 <= SMTP_REPLY_LINE_BYTES);
			assert_true(slice_starts(
				line, rest.n > 0 ? SLICE("550-5.7.1 ") : SLICE("550 5.7.1 ")));
			words += line.n - 11;
		}
		assert_int_equal(words, n);
		buf_fini(&out);
	}
	struct smtp_reply many = smtp_reply_of("550 x");
	memset(text, '\n', sizeof(text));
	many.text = (struct slice){text, sizeof(text)};
	struct buf out;
	buf_init(&out, 64 * 1024);
	assert_int_equal(smtp_reply_write(&many, &out), 0);
	assert_int_equal(buf_slice(&out).n, SMTP_REPLY_LINES_MOST * 6);
	assert_true(slice_ends(buf_slice(&out), SLICE("550-\r\n550 \r\n")));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_limits),
		cmocka_unit_test(test_parse_text),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_long),
	};
	return cmocka_run_group_tests_name("smtp_reply", tests, NULL, NULL);
}
