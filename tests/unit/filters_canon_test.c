/*
 * Canonicalisation (RFC 6376 3.4): the cases of its text and the odd ones, each input whole,
 * byte by byte and split at every point; and long random bodies against the plainest reading of
 * the rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "feed.h"
#include "filters/canon.h"

static void
sink(void *arg, struct slice bytes)
{
	assert_int_equal(buf_add(arg, bytes), 0);
}

struct body_case {
	const char *in, *simple, *relaxed;
};

static const struct body_case body_cases[] = {
	{"", "\r\n", ""},
	{"\r\n", "\r\n", ""},
	{"\r\n\r\n\r\n", "\r\n", ""},
	{" \r\n\t\r\n", " \r\n\t\r\n", ""},
	{"   ", "   \r\n", ""},
	{"a", "a\r\n", "a\r\n"},
	{"a\r\n", "a\r\n", "a\r\n"},
	{"a\r\n\r\n\r\n", "a\r\n", "a\r\n"},
	{"a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
	{"\r\na", "\r\na\r\n", "\r\na\r\n"},
	{" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
	{"a\tb", "a\tb\r\n", "a b\r\n"},
	{"a \t\r\n \t \r\nb", "a \t\r\n \t \r\nb\r\n", "a\r\n\r\nb\r\n"},
	{"a\r\n  ", "a\r\n  \r\n", "a\r\n"},
	{"a\rb", "a\rb\r\n", "a\rb\r\n"},
	{"a\nb", "a\nb\r\n", "a\nb\r\n"},
	{"a\r", "a\r\r\n", "a\r\r\n"},
	{"a\r\r\n", "a\r\r\n", "a\r\r\n"},
	{"a\r\n\r", "a\r\n\r\r\n", "a\r\n\r\r\n"},
	{"a \rb", "a \rb\r\n", "a \rb\r\n"},
	{"\r", "\r\r\n", "\r\r\n"},
	{"\n\n\n", "\n\n\n\r\n", "\n\n\n\r\n"},
	{"0123456789 0123456789 0123456789 0123456789 0123456789 0123456789  x\r\n\r\ny "
	 "\r\n\r\n",
		"0123456789 0123456789 0123456789 0123456789 0123456789 0123456789  x\r\n\r\ny "
		"\r\n",
		"0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 "
		"x\r\n\r\ny\r\n"},
};

struct body_feed {
	bool relaxed;
	uint64_t limit;
	struct slice expect;
	uint64_t total;
};

static void
feed_body(void *arg, const struct slice *pieces, size_t n)
{
	const struct body_feed *f = arg;
	struct buf out;
	struct canon_body c;
	buf_init(&out, 1 << 20);
	canon_body_init(&c, f->relaxed, f->limit, sink, &out);
	for (size_t i = 0; i < n; i++)
		canon_body_feed(&c, pieces[i]);
	canon_body_end(&c);
	assert_true(slice_eq(buf_slice(&out), f->expect));
	assert_int_equal(c.total, f->total);
	buf_fini(&out);
}

static void
test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(body_cases) / sizeof(body_cases[0]); i++) {
		const struct body_case *c = &body_cases[i];
		for (int relaxed = 0; relaxed < 2; relaxed++) {
			struct slice expect = slice_of(relaxed ? c->relaxed : c->simple);
			struct body_feed f = {relaxed, UINT64_MAX, expect, expect.n};
			feed_every_way(slice_of(c->in), feed_body, &f);
			/* l=: what is let through is cut, what is counted is not (HDR-07). */
			for (size_t limit = 0; limit <= expect.n; limit++) {
				struct body_feed cut = {
					relaxed, limit, slice_first(expect, limit), expect.n};
				feed_every_way(slice_of(c->in), feed_body, &cut);
			}
		}
	}
}

/* The rules read literally: lines, then blanks, then the empty ones at the end. */
static void
plain_reading(struct slice in, bool relaxed, struct buf *out)
{
	struct slice rest = in;
	size_t keep = 0; /* bytes of out up to the last line that is not empty */
	while (rest.n > 0) {
		size_t at = slice_find_slice(rest, SLICE("\r\n"));
		struct slice line = slice_first(rest, at);
		rest = slice_from(rest, at + 2);
		size_t before = buf_slice(out).n;
		for (size_t i = 0; i < line.n; i++) {
			bool blank = line.p[i] == ' ' || line.p[i] == '\t';
			if (!relaxed || !blank)
				assert_int_equal(buf_add_byte(out, line.p[i]), 0);
			else if (i + 1 < line.n && line.p[i + 1] != ' ' &&
				 line.p[i + 1] != '\t')
				assert_int_equal(buf_add_byte(out, ' '), 0);
		}
		bool empty = buf_slice(out).n == before;
		assert_int_equal(buf_add(out, SLICE("\r\n")), 0);
		if (!empty)
			keep = buf_slice(out).n;
	}
	out->used = keep;
	if (keep == 0 && !relaxed)
		assert_int_equal(buf_add(out, SLICE("\r\n")), 0);
}

static void
test_random(void **state)
{
	(void)state;
	static const char *const alphabets[] = {
		"a \t\r\n", "ab\r\n", "abcdefgh ij", "x\r\n\r\n  "};
	static char body[6000];
	unsigned seed = 6376;
	for (int round = 0; round < 4000; round++) {
		const char *alphabet = alphabets[rand_r(&seed) % 4];
		size_t n = (size_t)rand_r(&seed) % (round % 10 == 0 ? sizeof(body) : 120);
		for (size_t i = 0; i < n; i++)
			body[i] = rand_r(&seed) % 5 == 0
					  ? "\r\n \t-"[rand_r(&seed) % 5]
					  : alphabet[(size_t)rand_r(&seed) % strlen(alphabet)];
		for (int relaxed = 0; relaxed < 2; relaxed++) {
			struct buf expect, out;
			struct canon_body c;
			buf_init(&expect, 1 << 20);
			buf_init(&out, 1 << 20);
			plain_reading((struct slice){body, n}, relaxed, &expect);
			canon_body_init(&c, relaxed, UINT64_MAX, sink, &out);
			for (size_t at = 0; at < n;) {
				size_t piece = 1 + (size_t)rand_r(&seed) % 300;
				piece = piece < n - at ? piece : n - at;
				canon_body_feed(&c, (struct slice){body + at, piece});
				at += piece;
			}
			canon_body_end(&c);
			assert_true(slice_eq(buf_slice(&out), buf_slice(&expect)));
			buf_fini(&expect);
			buf_fini(&out);
		}
	}
}

struct field_case {
	const char *name, *value, *relaxed;
};

static const struct field_case field_cases[] = {
	{"A", " X", "a:X\r\n"},
	{"B ", " Y\t\r\n\tZ  ", "b:Y Z\r\n"},
	{"SubJect", "", "subject:\r\n"},
	{"X", " \t\r\n ", "x:\r\n"},
	{"X", "a\r\n b\t \tc", "x:a b c\r\n"},
	{"X", "a", "x:a\r\n"},
};

struct field_feed {
	const struct field_case *c;
	bool relaxed;
};

static void
feed_field(void *arg, const struct slice *pieces, size_t n)
{
	const struct field_feed *f = arg;
	struct buf got;
	struct canon_out out;
	struct canon_field field;
	char simple[200];
	buf_init(&got, 1000);
	canon_out_init(&out, sink, &got);
	canon_field_begin(&field, f->relaxed, &out, slice_of(f->c->name));
	for (size_t i = 0; i < n; i++)
		canon_field_feed(&field, pieces[i]);
	canon_field_end(&field, true);
	canon_out_flush(&out);
	snprintf(simple, sizeof(simple), "%s:%s\r\n", f->c->name, f->c->value);
	assert_true(slice_eq(buf_slice(&got), slice_of(f->relaxed ? f->c->relaxed : simple)));
	buf_fini(&got);
}

static void
test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(field_cases) / sizeof(field_cases[0]); i++) {
		for (int relaxed = 0; relaxed < 2; relaxed++) {
			struct field_feed f = {&field_cases[i], relaxed};
			feed_every_way(slice_of(field_cases[i].value), feed_field, &f);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
