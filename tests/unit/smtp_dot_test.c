/* The reader and the writer of a mail's data (SRV-01, SMG-01 to SMG-04, SRV-05). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "smtp/dot.h"

struct reader_case {
	struct slice in;   /* what stands behind DATA's CRLF */
	struct slice data; /* of the mail, where it is clean */
	struct slice rest; /* what is not of this mail */
	unsigned faults;
	bool ended;
};

#define CASE(in, data, rest, faults, ended)                        \
	{                                                          \
		SLICE(in), SLICE(data), SLICE(rest), faults, ended \
	}

static const struct reader_case reader_cases[] = {
	CASE(".\r\n", "", "", 0, true),
	CASE(".\r\nQUIT\r\n", "", "QUIT\r\n", 0, true),
	CASE("a\r\n.\r\n", "a\r\n", "", 0, true),
	CASE("a\r\n.\r\n.\r\n", "a\r\n", ".\r\n", 0, true),
	CASE("\r\n\r\n.\r\n", "\r\n\r\n", "", 0, true),
	CASE("..\r\n.\r\n", ".\r\n", "", 0, true),
	CASE("..a\r\n...\r\nb.\r\n.\r\n", ".a\r\n..\r\nb.\r\n", "", 0, true),
	CASE(".a\r\n. \r\n.\r\n", "a\r\n \r\n", "", 0, true),
	CASE("a.\r\n", "a.\r\n", "", 0, false),
	CASE("a\r\n.", "a\r\n", "", 0, false),
	CASE("a\r\n.\r", "a\r\n", "", 0, false),
	CASE("a\rb\r\n.\r\n", "", "", DOT_BARE_CR, true),
	CASE("a\nb\r\n.\r\n", "", "", DOT_BARE_LF, true),
	CASE("a\0b\r\n.\r\n", "", "", DOT_NUL, true),
	CASE("a\r\r\n.\r\n", "", "", DOT_BARE_CR, true),
	CASE("\n.\r\n", "", "", DOT_BARE_LF, false),
	CASE("\r.\r\n", "", "", DOT_BARE_CR, false),
	CASE(".\n", "", "", DOT_BARE_LF, false),
	CASE(".\r\r\n", "", "", DOT_BARE_CR, false),
	CASE(".\0\r\n", "", "", DOT_NUL, false),
	CASE(".\r.\r\n", "", "", DOT_BARE_CR, false),
	CASE("a\r\n.\r\r\n.\r\nQ", "", "Q", DOT_BARE_CR, true),
	CASE("12345678\r\n.\r\n", "12345678\r\n", "", 0, true),
	CASE(".12345678\r\n.\r\n", "12345678\r\n", "", 0,
		true), /* the stuffed dot is not counted */
	CASE("123456789\r\n.\r\n", "", "", DOT_LONG_LINE, true),
	CASE("1234567\r\n\r\n123456789", "", "", DOT_LONG_LINE, false),
	CASE("12345678\r\n1234\r\n12\r\n.\r\n", "12345678\r\n1234\r\n12\r\n", "", 0,
		true), /* 20 */
	CASE("12345678\r\n1234\r\n123\r\n.\r\n", "", "", DOT_TOO_LARGE, true),
	CASE("12345678\r\n12345678\r\n.\r\n", "12345678\r\n12345678\r\n", "", 0, true),
};

static void
read_pieces(void *arg, const struct slice *pieces, size_t n)
{
	const struct reader_case *c = arg;
	struct dot_reader r;
	char got[256], rest[256];
	size_t n_got = 0, n_rest = 0;
	dot_reader_init(&r, 8, 20);
	for (size_t i = 0; i < n; i++) {
		struct slice in = pieces[i], data;
		while (in.n > 0 && !r.ended) {
			size_t taken = dot_reader_feed(&r, in, &data);
			assert_true(taken > 0 && taken <= in.n);
			if (data.n > 0)
				memcpy(got + n_got, data.p, data.n);
			n_got += data.n;
			in = slice_from(in, taken);
		}
		if (in.n > 0)
			memcpy(rest + n_rest, in.p, in.n);
		n_rest += in.n;
	}
	assert_int_equal(r.faults, c->faults);
	assert_int_equal(r.ended, c->ended);
	assert_int_equal(n_rest, c->rest.n);
	assert_memory_equal(rest, c->rest.p, n_rest);
	if (c->faults != 0)
		return;
	assert_int_equal(n_got, c->data.n);
	assert_memory_equal(got, c->data.p, n_got);
	assert_int_equal(r.bytes, n_got);
}

static void
test_reader(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(reader_cases) / sizeof(reader_cases[0]); i++) {
		struct reader_case c = reader_cases[i];
		feed_every_way(c.in, read_pieces, &c);
	}
}

struct writer_case {
	struct slice in, out;
	bool clean;
};

static const struct writer_case writer_cases[] = {
	{SLICE(""), SLICE(".\r\n"), true},
	{SLICE("a\r\n"), SLICE("a\r\n.\r\n"), true},
	{SLICE("a"), SLICE("a\r\n.\r\n"), true},
	{SLICE("."), SLICE("..\r\n.\r\n"), true},
	{SLICE(".\r\n..\r\na.b\r\n"), SLICE("..\r\n...\r\na.b\r\n.\r\n"), true},
	{SLICE("\r\n\r\n"), SLICE("\r\n\r\n.\r\n"), true},
	{SLICE("a\nb"), SLICE(""), false},
	{SLICE("a\rb"), SLICE(""), false},
	{SLICE("a\r"), SLICE(""), false},
	{SLICE("\r"), SLICE(""), false},
	{SLICE("\n"), SLICE(""), false},
	{SLICE("a\r\r\n"), SLICE(""), false},
	{SLICE("a\r\n\n"), SLICE(""), false},
	{SLICE("a\0"), SLICE(""), false},
};

static void
write_pieces(void *arg, const struct slice *pieces, size_t n)
{
	const struct writer_case *c = arg;
	struct dot_writer w;
	struct buf out;
	bool clean = true;
	buf_init(&out, 1000);
	dot_writer_init(&w);
	for (size_t i = 0; i < n; i++)
		clean = clean && dot_writer_add(&w, pieces[i], &out) == 0;
	clean = clean && dot_writer_end(&w, &out) == 0;
	assert_int_equal(clean, c->clean);
	assert_int_equal(w.clean, c->clean);
	if (clean) {
		assert_int_equal(buf_slice(&out).n, c->out.n);
		assert_memory_equal(buf_slice(&out).p, c->out.p, c->out.n);
	}
	buf_fini(&out);
}

static void
test_writer(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(writer_cases) / sizeof(writer_cases[0]); i++) {
		struct writer_case c = writer_cases[i];
		feed_every_way(c.in, write_pieces, &c);
	}
}

/* A full buffer takes nothing, and the same bytes can be given again. */
static void
test_writer_full(void **state)
{
	(void)state;
	struct dot_writer w;
	struct buf out;
	struct slice data = SLICE("a\r\n.b\r\n");
	for (size_t max = 0; max < data.n + 1; max++) {
		buf_init(&out, max);
		dot_writer_init(&w);
		assert_int_equal(dot_writer_add(&w, data, &out), -1);
		assert_int_equal(buf_slice(&out).n, 0);
		out.max = data.n + 1;
		assert_int_equal(dot_writer_add(&w, data, &out), 0);
		assert_true(slice_eq(buf_slice(&out), SLICE("a\r\n..b\r\n")));
		assert_int_equal(dot_writer_end(&w, &out), -1);
		out.max += 3;
		assert_int_equal(dot_writer_end(&w, &out), 0);
		buf_fini(&out);
	}
}

/* What the writer makes of any text, the reader gives back: 1,000 mails of every kind of line.
 */
static void
test_round_trip(void **state)
{
	(void)state;
	static const char *const parts[] = {"a", ".", "..", "\r\n", "\r\n.", "b c"};
	unsigned seed = 1;
	for (int mail = 0; mail < 1000; mail++) {
		char text[256] = "";
		for (unsigned i = 0, n = seed % 40; i < n; i++) {
			seed = seed * 1103515245u + 12345u;
			const char *part =
				parts[(seed >> 16) % (sizeof(parts) / sizeof(parts[0]))];
			memcpy(text + strlen(text), part, strlen(part) + 1);
		}
		seed = seed * 1103515245u + 12345u;
		struct dot_writer w;
		struct dot_reader r;
		struct buf wire, back;
		buf_init(&wire, 1000);
		buf_init(&back, 1000);
		dot_writer_init(&w);
		dot_reader_init(&r, 998, 1000);
		assert_int_equal(dot_writer_add(&w, slice_of(text), &wire), 0);
		bool open = !w.line_start;
		assert_int_equal(dot_writer_end(&w, &wire), 0);
		struct slice in = buf_slice(&wire), data;
		while (!r.ended) {
			in = slice_from(in, dot_reader_feed(&r, in, &data));
			assert_int_equal(buf_add(&back, data), 0);
		}
		assert_int_equal(in.n, 0);
		struct slice got = buf_slice(&back);
		if (open) {
			assert_true(slice_ends(got, SLICE("\r\n")));
			got.n -= 2;
		}
		assert_true(slice_eq(got, slice_of(text)));
		buf_fini(&wire);
		buf_fini(&back);
	}
}

/* Text that is no data of SMTP: dots stay, what may not be in a mail is found all the same. */
static void
test_plain(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned faults;
	} cases[] = {
		{"", DOT_CLEAN},
		{"a\r\n.\r\n..b\r\n", DOT_CLEAN},
		{".\r\n", DOT_CLEAN},
		{"no end", DOT_CLEAN},
		{"a\r", DOT_BARE_CR},
		{"a\rb\r\n", DOT_BARE_CR},
		{"a\nb", DOT_BARE_LF},
		{"12345678901\r\n", DOT_LONG_LINE},
		{"1234567890\r\n1234567890\r\n1234567890\r\n", DOT_CLEAN},
		{"1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n0\r\n1\r\n2\r\n3\r\n4\r\n",
			DOT_TOO_LARGE},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int by_byte = 0; by_byte < 2; by_byte++) {
			struct slice in = slice_of(cases[i].text);
			struct dot_reader r;
			size_t came = 0;
			dot_reader_init(&r, 10, 40);
			r.plain = true;
			while (in.n != 0) {
				struct slice data;
				size_t n = dot_reader_feed(
					&r, slice_first(in, by_byte ? 1 : in.n), &data);
				came += data.n;
				in = slice_from(in, n);
			}
			dot_reader_end(&r);
			assert_int_equal(r.faults, cases[i].faults);
			assert_true(r.faults != DOT_CLEAN || came == strlen(cases[i].text));
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_writer_full),
		cmocka_unit_test(test_round_trip),
	};
	return cmocka_run_group_tests_name("smtp_dot", tests, NULL, NULL);
}
