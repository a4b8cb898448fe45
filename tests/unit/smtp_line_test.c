/* Lines of commands end in CRLF alone (SRV-02, SMG-01), and are bounded (SRV-05). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "smtp/line.h"

/* Lines in brackets; B bare, L too long, A bare again. */
struct line_case {
	struct slice in;
	const char *want;
	bool empty; /* nothing is left of a line at the end */
};

static const struct line_case cases[] = {
	{SLICE(""), "", true},
	{SLICE("a\r\n"), "[a]", true},
	{SLICE("\r\n\r\n"), "[][]", true},
	{SLICE("a b\r\nc"), "[a b]", false},
	{SLICE("a\r"), "", false},
	{SLICE("a\nb\r\nc\r\n"), "B[c]", true},
	{SLICE("a\n"), "B", false},
	{SLICE("a\nb\nc\nd\r\ne\r\n"), "BAA[e]", true},
	{SLICE("a\rb\r\nc\r\n"), "B[c]", true},
	{SLICE("\r\r\nc\r\n"), "B[c]", true},
	{SLICE("\r\r\r\nc\r\n"), "B[c]", true},
	{SLICE("a\0b\r\nc\r\n"), "B[c]", true},
	{SLICE("a\r\0\nb\r\nc\r\n"), "BA[c]", true},
	{SLICE("\n\r\nc\r\n"), "B[c]", true},
	{SLICE("a\0\r\n\r\n"), "B[]", true},
};

static void
add(char *got, const char *text)
{
	size_t n = strlen(got);
	memcpy(got + n, text, strlen(text) + 1);
}

static void
feed_pieces(void *arg, const struct slice *pieces, size_t n)
{
	const struct line_case *c = arg;
	struct line_reader r;
	char got[256] = "";
	line_reader_init(&r);
	for (size_t i = 0; i < n; i++) {
		struct slice in = pieces[i], line;
		while (in.n > 0) {
			enum line_result result;
			in = slice_from(in, line_reader_feed(&r, in, &result, &line));
			if (result == LINE_WHOLE) {
				add(got, "[");
				strncat(got, line.n > 0 ? line.p : "", line.n);
				add(got, "]");
			} else if (result != LINE_MORE) {
				add(got, result == LINE_BARE   ? "B"
					 : result == LINE_LONG ? "L"
							       : "A");
			}
		}
	}
	assert_string_equal(got, c->want);
	assert_int_equal(line_reader_is_empty(&r), c->empty);
	line_reader_fini(&r);
}

static void
test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct line_case c = cases[i];
		feed_every_way(c.in, feed_pieces, &c);
	}
}

/* Lines of n bytes with CRLF, in pieces of several sizes; what follows is read rightly. */
static void
test_long_lines(void **state)
{
	(void)state;
	static const size_t piece_sizes[] = {1, 7, 4096, SIZE_MAX};
	for (size_t n = LINE_BYTES_MOST - 2; n <= LINE_BYTES_MOST + 3; n++) {
		char *text = test_malloc(n + 3);
		memset(text, 'x', n);
		memcpy(text + n - 2, "\r\ny\r\n", 5);
		for (size_t k = 0; k < sizeof(piece_sizes) / sizeof(piece_sizes[0]); k++) {
			struct line_reader r;
			struct slice in = {text, n + 3}, line;
			size_t lengths[2], lines = 0;
			int too_long = 0;
			line_reader_init(&r);
			while (in.n > 0) {
				enum line_result result;
				in = slice_from(in,
					line_reader_feed(&r, slice_first(in, piece_sizes[k]),
						&result, &line));
				too_long += result == LINE_LONG;
				if (result == LINE_WHOLE)
					lengths[lines++] = line.n;
			}
			assert_int_equal(too_long, n > LINE_BYTES_MOST);
			assert_int_equal(lines, n > LINE_BYTES_MOST ? 1 : 2);
			assert_int_equal(lengths[lines - 1], 1);
			if (n <= LINE_BYTES_MOST)
				assert_int_equal(lengths[0], n - 2);
			line_reader_fini(&r);
		}
		test_free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long_lines),
	};
	return cmocka_run_group_tests_name("smtp_line", tests, NULL, NULL);
}
