/*
 * The encodings of MIME for `append`: strict in what is decoded, since what cannot be read for
 * sure is not changed; and insertions that leave what stood there as it was, byte for byte, but
 * for the end of a base64 text, whose last bytes share characters with what comes.
 */
#include "engine/append_priv.h"

#include <iconv.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/must.h"

enum { LINE_MOST = 76 };

bool
append_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* --- quoted-printable (RFC 2045 6.7) */

/* White space at the end of a line is transport's, not the text's. */
static bool
ends_line(struct slice raw, size_t at)
{
	while (at < raw.n && (raw.p[at] == ' ' || raw.p[at] == '\t'))
		at++;
	return at == raw.n || (raw.p[at] == '\r' && at + 1 < raw.n && raw.p[at + 1] == '\n');
}

/* One step at *at: a byte, or a soft break (false in *byte_out). False: malformed. */
static bool
quoted_step(struct slice raw, size_t *at, bool *byte_out, char *c_out)
{
	char c = raw.p[*at];
	*byte_out = true;
	*c_out = c;
	if (c != '=') {
		(*at)++;
		return true;
	}
	if (raw.n - *at < 3)
		return false; /* a soft break with nothing behind it, or half a character */
	if (raw.p[*at + 1] == '\r' && raw.p[*at + 2] == '\n') {
		*byte_out = false;
		*at += 3;
		return true;
	}
	int high = ascii_hex(raw.p[*at + 1]), low = ascii_hex(raw.p[*at + 2]);
	if (high < 0 || low < 0)
		return false;
	*c_out = (char)(high << 4 | low);
	*at += 3;
	return true;
}

/* Decodes until `most` bytes are there; *at_out is where in raw that was. */
static bool
quoted_decode(struct slice raw, size_t most, char *out, size_t *n_out, size_t *at_out)
{
	size_t at = 0, n = 0;
	while (at < raw.n && n < most) {
		bool byte;
		char c;
		if ((raw.p[at] == ' ' || raw.p[at] == '\t') && ends_line(raw, at)) {
			at++;
			continue;
		}
		if (!quoted_step(raw, &at, &byte, &c))
			return false;
		if (byte)
			out[n++] = c;
	}
	*n_out = n;
	*at_out = at;
	return true;
}

struct slice
append_quoted_printable(struct slice s, struct arena *a)
{
	struct buf out;
	size_t column = 0;
	buf_init(&out, 4 * s.n + 16);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool line_end = i + 1 < s.n && c == '\r' && s.p[i + 1] == '\n';
		if (line_end) {
			(void)buf_add_text(&out, "\r\n");
			column = 0;
			i++;
			continue;
		}
		bool blank = c == ' ' || c == '\t';
		bool last = i + 1 == s.n || (i + 2 < s.n && s.p[i + 1] == '\r');
		bool plain = (c > ' ' && c < 0x7f && c != '=') || (blank && !last);
		size_t width = plain ? 1 : 3;
		if (column + width > LINE_MOST - 1) {
			(void)buf_add_text(&out, "=\r\n");
			column = 0;
		}
		/* a dot alone, and what mailboxes take for their own, never begins a line */
		if (column == 0 && (c == '.' || c == 'F')) {
			plain = false;
			width = 3;
		}
		if (plain)
			(void)buf_add_byte(&out, (char)c);
		else
			(void)buf_printf(&out, "=%02X", c);
		column += width;
	}
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}

/* --- base64 */

struct slice
append_base64_lines(struct slice s, size_t column, struct arena *a)
{
	struct slice text = base64_encode(s, a);
	struct buf out;
	buf_init(&out, text.n + text.n / 32 + 16);
	while (text.n != 0) {
		if (column >= LINE_MOST) {
			(void)buf_add_text(&out, "\r\n");
			column = 0;
		}
		struct slice line = slice_first(text, LINE_MOST - column);
		(void)buf_add(&out, line);
		text = slice_from(text, line.n);
		column += line.n;
	}
	text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Where the character with this number stands; raw.n: behind all. */
static size_t
base64_at(struct slice raw, size_t number)
{
	size_t i = 0;
	for (; i < raw.n; i++)
		if (!is_blank(raw.p[i]) && number-- == 0)
			break;
	return i;
}

static void
insert_base64(struct slice raw, struct slice decoded, size_t where, struct slice insert,
	struct arena *a, struct append_splice *s)
{
	size_t quantum = where / 3 * 3, at = base64_at(raw, quantum / 3 * 4), end = raw.n;
	struct buf bytes;
	while (end > 0 && is_blank(raw.p[end - 1]))
		end--;
	if (at > end)
		at = end; /* on the last line, if it has room */
	size_t line = at;
	while (line > 0 && raw.p[line - 1] != '\n')
		line--;
	buf_init(&bytes, decoded.n + insert.n + 1);
	(void)buf_add(&bytes, slice_first(slice_from(decoded, quantum), where - quantum));
	(void)buf_add(&bytes, insert);
	(void)buf_add(&bytes, slice_from(decoded, where));
	*s = (struct append_splice){.at = at,
		.cut = end - at,
		.insert = append_base64_lines(buf_slice(&bytes), at - line, a)};
	buf_fini(&bytes);
}

/* --- any of them */

bool
append_decode(
	enum append_encoding e, struct slice raw, struct arena *a, struct slice *decoded_out)
{
	size_t n, at;
	switch (e) {
	case AS_IT_IS_7BIT:
	case AS_IT_IS_8BIT: *decoded_out = raw; return true;
	case AS_BASE64: return base64_decode_fws(raw, a, decoded_out);
	case AS_QUOTED_PRINTABLE: break;
	}
	char *out = arena_alloc(a, raw.n + 1);
	if (!quoted_decode(raw, SIZE_MAX, out, &n, &at))
		return false;
	*decoded_out = (struct slice){out, n};
	return true;
}

bool
append_insert(enum append_encoding e, struct slice raw, struct slice decoded, size_t where,
	struct slice insert, struct arena *a, struct append_splice *s)
{
	size_t n, at = where;
	must(where <= decoded.n);
	if (e == AS_BASE64) {
		insert_base64(raw, decoded, where, insert, a, s);
		return true;
	}
	if (e == AS_QUOTED_PRINTABLE) {
		char *out = arena_alloc(a, where + 1);
		if (where == decoded.n)
			at = raw.n;
		else if (!quoted_decode(raw, where, out, &n, &at))
			return false;
		bool in_line = at > 0 && raw.p[at - 1] != '\n';
		insert = append_quoted_printable(insert, a);
		if (in_line && !slice_starts(insert, SLICE("\r\n")))
			insert = arena_printf(a, "=\r\n%.*s", SLICE_ARG(insert));
	}
	*s = (struct append_splice){.at = at, .insert = insert};
	return true;
}

/* --- character sets */

/* iconv would write marks of byte order, or needs to know what stands before. */
static bool
is_stateless(const char *charset)
{
	struct slice s = slice_of(charset);
	return !slice_starts_nocase(s, SLICE("utf-16")) &&
	       !slice_starts_nocase(s, SLICE("utf-32")) &&
	       !slice_starts_nocase(s, SLICE("utf-7")) &&
	       !slice_starts_nocase(s, SLICE("unicode")) &&
	       !slice_starts_nocase(s, SLICE("ucs")) &&
	       !slice_starts_nocase(s, SLICE("csucs")) && !slice_has(s, '/');
}

bool
append_convert(
	const char *from, const char *to, struct slice s, struct arena *a, struct slice *out)
{
	if (!is_stateless(from) || !is_stateless(to))
		return false;
	iconv_t cd = iconv_open(to, from);
	if (cd == (iconv_t)-1)
		return false;
	size_t room = 4 * s.n + 64, left = room, in_left = s.n;
	char *bytes = arena_alloc(a, room), *to_p = bytes, *in = arena_text(a, s);
	/* 0: nothing was replaced by something alike */
	bool ok = iconv(cd, &in, &in_left, &to_p, &left) == 0 && in_left == 0 &&
		  iconv(cd, NULL, NULL, &to_p, &left) == 0;
	iconv_close(cd);
	*out = (struct slice){bytes, room - left};
	return ok;
}
