/*
 * RFC 2047 encoded words of unstructured fields, to UTF-8, as a reader's program would show
 * them. Words of a run that share charset and encoding are joined before conversion, since
 * mailers cut characters in the middle. What is malformed, or of a charset not in the table,
 * stays as it came.
 */
#include <errno.h>
#include <iconv.h>
#include <string.h>

#include "base/buf.h"
#include "filters/message.h"

enum { CHARSET_MOST = 40, WORD_MOST = 2000, DECODED_MOST = 1024 * 1024 };

/* Converters that we ask libc for, by the names it knows; a bound on what a mail can make us
 * load. */
static const struct charset {
	const char *name, *libc;
} charsets[] = {
	{"iso-8859-2", "ISO-8859-2"},
	{"iso-8859-5", "ISO-8859-5"},
	{"iso-8859-7", "ISO-8859-7"},
	{"iso-8859-8", "ISO-8859-8"},
	{"iso-8859-9", "ISO-8859-9"},
	{"iso-8859-15", "ISO-8859-15"},
	{"windows-1250", "CP1250"},
	{"windows-1251", "CP1251"},
	{"windows-1253", "CP1253"},
	{"windows-1254", "CP1254"},
	{"windows-1255", "CP1255"},
	{"windows-1256", "CP1256"},
	{"koi8-r", "KOI8-R"},
	{"koi8-u", "KOI8-U"},
	{"gb2312", "GBK"},
	{"gbk", "GBK"},
	{"gb18030", "GB18030"},
	{"big5", "BIG5"},
	{"shift_jis", "CP932"},
	{"euc-jp", "EUC-JP"},
	{"iso-2022-jp", "ISO-2022-JP"},
	{"euc-kr", "EUC-KR"},
	{"ks_c_5601-1987", "CP949"},
	{"tis-620", "TIS-620"},
};
enum { CHARSETS = sizeof(charsets) / sizeof(charsets[0]) };

/* Windows-1252 from 0x80 to 0x9f; 0: not a character. */
static const uint16_t windows_1252[32] = {
	0x20ac,
	0,
	0x201a,
	0x0192,
	0x201e,
	0x2026,
	0x2020,
	0x2021,
	0x02c6,
	0x2030,
	0x0160,
	0x2039,
	0x0152,
	0,
	0x017d,
	0,
	0,
	0x2018,
	0x2019,
	0x201c,
	0x201d,
	0x2022,
	0x2013,
	0x2014,
	0x02dc,
	0x2122,
	0x0161,
	0x203a,
	0x0153,
	0,
	0x017e,
	0x0178,
};

void
message_load_charsets(void)
{
	/* Kept open for good: libc drops a converter that no one uses. */
	static iconv_t kept[CHARSETS];
	for (size_t i = 0; i < CHARSETS; i++)
		if (kept[i] == 0)
			kept[i] = iconv_open("UTF-8", charsets[i].libc);
}

struct words {
	struct buf out;
	struct slice charset;   /* of the run that is being joined; empty: none */
	struct slice raw;       /* the run as it came */
	struct buf bytes;       /* the run's bytes, encoding undone */
	iconv_t open[CHARSETS]; /* made when first used; 0: not yet */
};

static bool
is_utf8(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	for (size_t i = 0; i < s.n;) {
		size_t n = p[i] < 0x80   ? 1
			   : p[i] < 0xc2 ? 0
			   : p[i] < 0xe0 ? 2
			   : p[i] < 0xf0 ? 3
					 : 4;
		if (n == 0 || p[i] > 0xf4 || s.n - i < n)
			return false;
		for (size_t k = 1; k < n; k++)
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
		if ((p[i] == 0xe0 && p[i + 1] < 0xa0) || (p[i] == 0xed && p[i + 1] > 0x9f) ||
			(p[i] == 0xf0 && p[i + 1] < 0x90) || (p[i] == 0xf4 && p[i + 1] > 0x8f))
			return false;
		i += n;
	}
	return true;
}

static void
add_character(struct buf *out, unsigned u)
{
	char c[3] = {(char)u, 0, 0};
	size_t n = 1;
	if (u >= 0x800) {
		c[0] = (char)(0xe0 | u >> 12);
		c[1] = (char)(0x80 | (u >> 6 & 0x3f));
		c[2] = (char)(0x80 | (u & 0x3f));
		n = 3;
	} else if (u >= 0x80) {
		c[0] = (char)(0xc0 | u >> 6);
		c[1] = (char)(0x80 | (u & 0x3f));
		n = 2;
	}
	buf_add(out, (struct slice){c, n});
}

/* One byte, one character. windows: with the table; else bytes from 0x80 are ISO-8859-1. */
static bool
convert_single(struct slice in, bool windows, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		unsigned u = (unsigned char)in.p[i];
		if (windows && u >= 0x80 && u < 0xa0)
			u = windows_1252[u - 0x80];
		if (u == 0 && in.p[i] != '\0')
			return false;
		add_character(out, u);
	}
	return true;
}

static bool
convert_libc(struct words *w, size_t which, struct slice in, struct buf *out)
{
	if (w->open[which] == 0)
		w->open[which] = iconv_open("UTF-8", charsets[which].libc);
	iconv_t cd = w->open[which];
	if (cd == (iconv_t)-1)
		return false;
	iconv(cd, NULL, NULL, NULL, NULL);
	char to[512];
	char *from = (char *)(uintptr_t)in.p; /* iconv only reads it */
	size_t left = in.n;
	while (left > 0) {
		char *at = to;
		size_t room = sizeof(to);
		size_t r = iconv(cd, &from, &left, &at, &room);
		buf_add(out, (struct slice){to, sizeof(to) - room});
		if (r == (size_t)-1 && errno != E2BIG)
			return false;
	}
	return true;
}

static bool
convert(struct words *w, struct slice charset, struct slice in, struct buf *out)
{
	if (slice_eq_nocase(charset, SLICE("utf-8")) ||
		slice_eq_nocase(charset, SLICE("us-ascii")) ||
		slice_eq_nocase(charset, SLICE("utf8")))
		return is_utf8(in) && buf_add(out, in) == 0;
	if (slice_eq_nocase(charset, SLICE("iso-8859-1")))
		return convert_single(in, false, out);
	if (slice_eq_nocase(charset, SLICE("windows-1252")))
		return convert_single(in, true, out);
	for (size_t i = 0; i < CHARSETS; i++)
		if (slice_eq_nocase(charset, slice_of(charsets[i].name)))
			return convert_libc(w, i, in, out);
	return false;
}

/* Ends the run that is being joined. */
static void
flush(struct words *w)
{
	if (w->raw.n == 0)
		return;
	struct buf text;
	buf_init(&text, DECODED_MOST);
	if (convert(w, w->charset, buf_slice(&w->bytes), &text))
		buf_add(&w->out, buf_slice(&text));
	else
		buf_add(&w->out, w->raw);
	buf_fini(&text);
	buf_clear(&w->bytes);
	w->raw = SLICE_NONE;
	w->charset = SLICE_NONE;
}

static bool
decode_q(struct slice in, char *to, size_t *n_out)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '=') {
			if (in.n - i < 3 || ascii_hex(in.p[i + 1]) < 0 ||
				ascii_hex(in.p[i + 2]) < 0)
				return false;
			to[n++] = (char)(ascii_hex(in.p[i + 1]) << 4 | ascii_hex(in.p[i + 2]));
			i += 2;
		} else {
			to[n++] = in.p[i] == '_' ? ' ' : in.p[i];
		}
	}
	*n_out = n;
	return true;
}

static int
base64_value(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
	return at != NULL ? (int)(at - alphabet) : -1;
}

/* Padding may be missing, as it often is. */
static bool
decode_b(struct slice in, char *to, size_t *n_out)
{
	unsigned bits = 0, have = 0;
	size_t n = 0;
	while (in.n > 0 && in.p[in.n - 1] == '=')
		in.n--;
	for (size_t i = 0; i < in.n; i++) {
		int v = base64_value(in.p[i]);
		if (v < 0)
			return false;
		bits = bits << 6 | (unsigned)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[n++] = (char)(bits >> have & 0xff);
		}
	}
	*n_out = n;
	return true;
}

/* One encoded word at the front: its length, 0 where there is none. */
static size_t
cut_word(struct slice in, struct slice *charset_out, char *encoding_out, struct slice *text_out)
{
	in = slice_first(in, WORD_MOST);
	if (!slice_starts(in, SLICE("=?")))
		return 0;
	struct slice rest = slice_from(in, 2), encoding, text;
	size_t n = 0;
	while (n < rest.n && n < CHARSET_MOST && rest.p[n] != '?' && rest.p[n] > ' ')
		n++;
	if (n == 0 || n == rest.n || rest.p[n] != '?')
		return 0;
	slice_cut(slice_first(rest, n), '*', charset_out, &text); /* RFC 2231 5: a language */
	encoding = slice_from(rest, n + 1);
	if (encoding.n < 2 || encoding.p[1] != '?')
		return 0;
	*encoding_out = ascii_lower(encoding.p[0]);
	rest = slice_from(encoding, 2);
	for (n = 0; n < rest.n && rest.p[n] != '?' && rest.p[n] != ' ' && rest.p[n] != '\t';)
		n++;
	if (rest.n - n < 2 || rest.p[n] != '?' || rest.p[n + 1] != '=')
		return 0;
	*text_out = slice_first(rest, n);
	return (size_t)(rest.p + n + 2 - in.p);
}

/* Undoes the encoding of the word at the front: its length, 0 where it is none. */
static size_t
undo_word(struct slice in, struct slice *charset_out, char bytes[WORD_MOST], size_t *n_out)
{
	struct slice text;
	char encoding;
	size_t length = cut_word(in, charset_out, &encoding, &text);
	if (length == 0 || charset_out->n == 0)
		return 0;
	if (encoding == 'q' && decode_q(text, bytes, n_out))
		return length;
	return encoding == 'b' && decode_b(text, bytes, n_out) ? length : 0;
}

static bool
all_blank(struct slice s)
{
	return slice_trim(s).n == 0;
}

static void
decode(struct words *w, struct slice in)
{
	size_t plain = 0, at = 0, n, length; /* plain: where the text not yet written begins */
	while (at < in.n) {
		struct slice rest = slice_from(in, at), charset;
		char bytes[WORD_MOST];
		if (!slice_starts(rest, SLICE("=?")) ||
			(length = undo_word(rest, &charset, bytes, &n)) == 0) {
			at += 1 + slice_find(slice_from(rest, 1), '=');
			continue;
		}
		/* Blanks between two encoded words are not text (RFC 2047 6.2). */
		struct slice gap = slice_first(slice_from(in, plain), at - plain);
		if (w->raw.n == 0 || !all_blank(gap)) {
			flush(w);
			buf_add(&w->out, gap);
			gap.n = 0;
		} else if (!slice_eq_nocase(w->charset, charset)) {
			flush(w);
		}
		w->raw = w->raw.n == 0 ? slice_first(rest, length)
				       : (struct slice){w->raw.p, w->raw.n + gap.n + length};
		w->charset = charset;
		buf_add(&w->bytes, (struct slice){bytes, n});
		plain = at += length;
	}
	flush(w);
	buf_add(&w->out, slice_from(in, plain));
}

unsigned
message_windows_1252(unsigned char c)
{
	return c >= 0x80 && c < 0xa0 ? windows_1252[c - 0x80] : c;
}

/* What the converter cannot take is passed over, byte by byte. */
static size_t
convert_loosely(iconv_t cd, struct slice in, char *to, size_t room)
{
	char *from = (char *)(uintptr_t)in.p, *at = to; /* iconv only reads the first */
	size_t left = in.n;
	while (left > 0 && iconv(cd, &from, &left, &at, &room) == (size_t)-1 &&
		errno != E2BIG) {
		from++;
		if (--left > 0 && room > 0) {
			*at++ = ' ';
			room--;
		}
	}
	return (size_t)(at - to);
}

bool
message_to_utf8(struct slice charset, struct slice in, char *to, size_t room, size_t *n_out)
{
	for (size_t i = 0; i < CHARSETS; i++) {
		if (!slice_eq_nocase(charset, slice_of(charsets[i].name)))
			continue;
		iconv_t cd = iconv_open("UTF-8", charsets[i].libc);
		if (cd == (iconv_t)-1)
			return false;
		*n_out = convert_loosely(cd, in, to, room);
		iconv_close(cd);
		return true;
	}
	return false;
}

struct slice
message_decode_words(struct slice value, struct arena *a)
{
	if (slice_find_slice(value, SLICE("=?")) == value.n)
		return value;
	struct words w = {0};
	buf_init(&w.out, DECODED_MOST);
	buf_init(&w.bytes, DECODED_MOST);
	decode(&w, value);
	struct slice text = arena_slice(a, buf_slice(&w.out));
	buf_fini(&w.out);
	buf_fini(&w.bytes);
	for (size_t i = 0; i < CHARSETS; i++)
		if (w.open[i] != 0 && w.open[i] != (iconv_t)-1)
			iconv_close(w.open[i]);
	return text;
}
