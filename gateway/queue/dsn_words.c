/*
 * The words of a DSN; see dsn_priv.h. All that strangers have said goes through here: whatever
 * its bytes are, lines stay short, no line begins or ends where we have not said so, and 7 bits
 * stay 7 bits.
 */
#include "base/clock.h"
#include "base/must.h"
#include "queue/dsn_priv.h"

static const uint64_t date_most_ms = UINT64_C(253402300799000); /* the end of the year 9999 */

bool
dsn_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* The character, and its bytes in *n_out; 0 bytes: no UTF-8 (RFC 3629 4). */
static uint32_t
utf8_at(struct slice s, size_t *n_out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = s.n > 0 ? (unsigned char)s.p[0] : 0x80;
	size_t n = first < 0x80   ? 1
		   : first < 0xc2 ? 0
		   : first < 0xe0 ? 2
		   : first < 0xf0 ? 3
				  : 4;
	*n_out = 0;
	if (n == 0 || n > s.n || first > 0xf4)
		return 0;
	uint32_t c = n == 1 ? first : first & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*n_out = n;
	return c;
}

size_t
dsn_utf8_length(struct slice s)
{
	size_t n;
	utf8_at(s, &n);
	return n;
}

/* Controls, line ends and what turns the writing direction. */
static bool
is_control(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void
dsn_put(struct buf *b, struct slice s)
{
	must(buf_add(b, s) == 0);
}

void
dsn_put_text(struct buf *b, const char *text)
{
	dsn_put(b, slice_of(text));
}

void
dsn_put_clean(struct buf *b, struct slice s, size_t most, bool utf8)
{
	s = slice_first(s, most);
	while (s.n > 0) {
		size_t n;
		uint32_t c = utf8_at(s, &n);
		if (n == 0 || is_control(c) || (n > 1 && !utf8)) {
			dsn_put(b, SLICE("?"));
			n = n > 0 ? n : 1;
		} else {
			dsn_put(b, slice_first(s, n));
		}
		s = slice_from(s, n);
	}
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

void
dsn_put_words(struct buf *b, struct slice s, size_t column, const char *indent, bool utf8)
{
	bool begun = false;
	for (size_t i = 0; i < s.n;) {
		size_t end = i;
		while (end < s.n && !is_blank(s.p[end]))
			end++;
		struct slice word = slice_from(slice_first(s, end), i);
		i = end + 1;
		if (word.n == 0)
			continue;
		if (begun && column + 1 + word.n > DSN_COLUMNS) {
			dsn_put(b, SLICE("\r\n"));
			dsn_put_text(b, indent);
			column = slice_of(indent).n;
		} else if (begun) {
			dsn_put(b, SLICE(" "));
			column++;
		}
		dsn_put_clean(b, word, DSN_ADDRESS_MOST, utf8);
		column += word.n;
		begun = true;
	}
}

void
dsn_put_date(struct buf *b, uint64_t wall_ms)
{
	char text[CLOCK_DATE_BYTES];
	/* A damaged note may say any time. */
	dsn_put(b,
		clock_date((int64_t)(wall_ms < date_most_ms ? wall_ms : date_most_ms), text));
}

void
dsn_put_codes(struct buf *b, const struct smtp_reply *r)
{
	if (r->code == 0)
		return;
	must(buf_printf(b, " %d", r->code) == 0);
	if (r->has_enhanced)
		must(buf_printf(b, " %u.%u.%u", r->enhanced[0], r->enhanced[1],
			     r->enhanced[2]) == 0);
}

/* As it is within a line: what RFC 2045 6.7 (2) allows, blanks apart. */
static bool
is_literal(char c)
{
	return c > ' ' && c <= '~' && c != '=';
}

void
dsn_put_quoted_printable(struct buf *b, struct slice s)
{
	size_t column = 0;
	for (size_t i = 0; i < s.n; i++) {
		struct slice rest = slice_from(s, i);
		if (slice_starts(rest, SLICE("\r\n"))) {
			dsn_put(b, SLICE("\r\n"));
			column = 0;
			i++;
			continue;
		}
		bool blank = (s.p[i] == ' ' || s.p[i] == '\t') && rest.n > 1 &&
			     rest.p[1] != '\r' && rest.p[1] != '\n';
		bool literal = blank || is_literal(s.p[i]);
		if (column + (literal ? 1 : 3) > DSN_COLUMNS - 1) {
			dsn_put(b, SLICE("=\r\n"));
			column = 0;
		}
		if (literal)
			dsn_put(b, slice_first(rest, 1));
		else
			must(buf_printf(b, "=%02X", (unsigned char)s.p[i]) == 0);
		column += literal ? 1 : 3;
	}
}

/* "\x{10FFFF}" at the front: how many bytes it takes, or 0. */
static size_t
embedded_character(struct slice s, uint32_t *c_out)
{
	size_t end = slice_find(slice_first(s, 10), '}');
	*c_out = 0;
	if (!slice_starts(s, SLICE("\\x{")) || end < 5 || end >= slice_first(s, 10).n)
		return 0;
	for (size_t i = 3; i < end; i++) {
		int digit = ascii_hex(s.p[i]);
		if (digit < 0)
			return 0;
		*c_out = *c_out << 4 | (uint32_t)digit;
	}
	return *c_out <= 0x10ffff ? end + 1 : 0;
}

static size_t
utf8_write(uint32_t c, char out[4])
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n; i-- > 1; c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(lead[n] | c);
	return n;
}

struct slice
dsn_decode_xtext(struct slice s, bool utf8, char out[DSN_ADDRESS_MOST])
{
	size_t n = 0;
	s = slice_first(s, DSN_ADDRESS_MOST); /* an escape is longer than what it stands for */
	for (size_t i = 0; i < s.n; i++) {
		struct slice rest = slice_from(s, i);
		int high = rest.n > 2 ? ascii_hex(rest.p[1]) : -1;
		int low = rest.n > 2 ? ascii_hex(rest.p[2]) : -1;
		uint32_t c;
		size_t taken = utf8 ? embedded_character(rest, &c) : 0;
		if (taken > 0) {
			n += utf8_write(c, out + n);
			i += taken - 1;
		} else if (s.p[i] == '+' && high >= 0 && low >= 0) {
			out[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			out[n++] = s.p[i];
		}
	}
	return (struct slice){out, n};
}

bool
dsn_original_recipient(struct slice orcpt, bool utf8, char room[DSN_ADDRESS_MOST],
	struct slice *type, struct slice *address)
{
	if (!slice_cut(orcpt, ';', type, address) || type->n == 0 || address->n == 0)
		return false;
	utf8 = utf8 && slice_eq_nocase(*type, SLICE("utf-8"));
	*address = dsn_decode_xtext(*address, utf8, room);
	return true;
}
