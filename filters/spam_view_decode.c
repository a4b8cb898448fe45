/*
 * From the bytes of a part to text: base64 and quoted-printable (RFC 2045 6), read as loosely
 * as mail programs do, charsets to UTF-8, and the sink that leaves out what no eye sees:
 * zero-width characters, soft hyphens, joined blanks. Letters in disguise (full width,
 * mathematical, circled) become what they look like. Bytes that are no UTF-8 are windows-1252.
 */
#include <string.h>

#include "filters/spam_view_priv.h"

/* enum spam_class of each byte. */
/* clang-format off */
const uint8_t spam_classes[256] = {
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
};

/* 64: not of the alphabet, 65: the padding. */
static const uint8_t base64_values[256] = {
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, 64, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 65, 64, 64,
	64, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 64,
	64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
};
/* clang-format on */

enum { NOT_BASE64 = 64 };
static const uint64_t each_byte = 0x0101010101010101, upper_bits = 0x8080808080808080;

/* Bytes outside the alphabet are passed over; padding in the middle begins anew. */
static size_t
decode_base64(struct slice in, char *to)
{
	const unsigned char *p = (const unsigned char *)in.p, *end = p + in.n;
	size_t n = 0;
	unsigned bits = 0, have = 0;
	while (p < end) {
		if (have == 0 && end - p >= 4) {
			unsigned a = base64_values[p[0]], b = base64_values[p[1]],
				 c = base64_values[p[2]], d = base64_values[p[3]];
			if ((a | b | c | d) < NOT_BASE64) {
				unsigned all = a << 18 | b << 12 | c << 6 | d;
				to[n++] = (char)(all >> 16);
				to[n++] = (char)(all >> 8 & 0xff);
				to[n++] = (char)(all & 0xff);
				p += 4;
				continue;
			}
		}
		unsigned v = base64_values[*p++];
		if (v == NOT_BASE64 + 1)
			have = 0;
		if (v >= NOT_BASE64)
			continue;
		bits = bits << 6 | v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[n++] = (char)(bits >> have & 0xff);
		}
	}
	return n;
}

/* What is no escape stands for itself. */
static size_t
decode_quoted(struct slice in, char *to)
{
	size_t n = 0, i = 0;
	while (i < in.n) {
		const char *at = memchr(in.p + i, '=', in.n - i);
		size_t run = at != NULL ? (size_t)(at - in.p) - i : in.n - i;
		memcpy(to + n, in.p + i, run);
		n += run;
		i += run;
		if (at == NULL)
			break;
		size_t k = i + 1;
		while (k < in.n && (in.p[k] == ' ' || in.p[k] == '\t' || in.p[k] == '\r'))
			k++;
		if (k == in.n || in.p[k] == '\n') {
			i = k == in.n ? k : k + 1;
		} else if (in.n - i > 2 && ascii_hex(in.p[i + 1]) >= 0 &&
			   ascii_hex(in.p[i + 2]) >= 0) {
			to[n++] = (char)(ascii_hex(in.p[i + 1]) << 4 | ascii_hex(in.p[i + 2]));
			i += 3;
		} else {
			to[n++] = in.p[i++];
		}
	}
	return n;
}

/* Whether a charset has something to undo in these bytes: most text is ASCII, whatever it says.
 */
static bool
has_shifts(struct slice s)
{
	uint64_t all = 0, w;
	size_t n = 0;
	for (; s.n - n >= sizeof(w); n += sizeof(w)) {
		memcpy(&w, s.p + n, sizeof(w));
		all |= w;
	}
	for (; n < s.n; n++)
		all |= (unsigned char)s.p[n];
	return (all & upper_bits) != 0 || memchr(s.p, 0x1b, s.n) != NULL;
}

/* What spam_char reads without being told. */
static bool
is_ours(struct slice charset)
{
	return charset.n == 0 || slice_starts(charset, SLICE("utf")) ||
	       slice_eq(charset, SLICE("us-ascii")) || slice_eq(charset, SLICE("iso-8859-1")) ||
	       slice_eq(charset, SLICE("windows-1252"));
}

/* Other names of charsets that message_to_utf8 knows. */
static struct slice
usual_name(struct slice charset)
{
	static const struct slice names[][2] = {{SLICE("cp1250"), SLICE("windows-1250")},
		{SLICE("cp1251"), SLICE("windows-1251")},
		{SLICE("win-1251"), SLICE("windows-1251")},
		{SLICE("cp1254"), SLICE("windows-1254")},
		{SLICE("iso8859-2"), SLICE("iso-8859-2")},
		{SLICE("iso-8859-8-i"), SLICE("iso-8859-8")}, {SLICE("x-gbk"), SLICE("gbk")},
		{SLICE("cp936"), SLICE("gbk")}, {SLICE("big5-hkscs"), SLICE("big5")},
		{SLICE("shift-jis"), SLICE("shift_jis")}, {SLICE("x-sjis"), SLICE("shift_jis")},
		{SLICE("sjis"), SLICE("shift_jis")}, {SLICE("cp932"), SLICE("shift_jis")},
		{SLICE("cp949"), SLICE("ks_c_5601-1987")},
		{SLICE("windows-949"), SLICE("ks_c_5601-1987")},
		{SLICE("windows-874"), SLICE("tis-620")}};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_eq(charset, names[i][0]))
			return names[i][1];
	return charset;
}

/* Two bytes a character; pairs of surrogates are let go. */
static struct slice
from_utf16(struct slice in, bool big, struct arena *a)
{
	char *to = arena_alloc(a, in.n / 2 * 3);
	size_t n = 0;
	if (slice_starts(in, SLICE("\xfe\xff")))
		big = true;
	else if (slice_starts(in, SLICE("\xff\xfe")))
		big = false;
	for (size_t i = 0; i + 1 < in.n; i += 2) {
		uint32_t high = (unsigned char)in.p[big ? i : i + 1];
		uint32_t low = (unsigned char)in.p[big ? i + 1 : i];
		if (high < 0xd8 || high > 0xdf)
			n += spam_char_put(high << 8 | low, to + n);
	}
	return (struct slice){to, n};
}

struct slice
spam_decode(const struct spam_part *part, struct slice raw, struct arena *a)
{
	bool base64 = slice_eq(part->encoding, SLICE("base64"));
	struct slice out = raw;
	if (raw.n == 0)
		return raw;
	if (base64 || slice_eq(part->encoding, SLICE("quoted-printable"))) {
		char *to = arena_alloc(a, raw.n);
		out = (struct slice){
			to, base64 ? decode_base64(raw, to) : decode_quoted(raw, to)};
	}
	if (slice_starts(part->charset, SLICE("utf-16")))
		return from_utf16(out, slice_ends(part->charset, SLICE("be")), a);
	if (is_ours(part->charset) || out.n == 0 || !has_shifts(out))
		return out;
	size_t room = out.n * 3, n;
	char *to = arena_alloc(a, room);
	return message_to_utf8(usual_name(part->charset), out, to, room, &n)
		       ? (struct slice){to, n}
		       : out;
}

uint32_t
spam_char(struct slice in, size_t *n_out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	*n_out = 1;
	if (p[0] < 0x80)
		return p[0];
	if (n == 0 || in.n < n)
		return message_windows_1252(p[0]);
	uint32_t u = p[0] & (0x7fU >> n);
	for (size_t k = 1; k < n; k++) {
		if ((p[k] & 0xc0) != 0x80)
			return message_windows_1252(p[0]);
		u = u << 6 | (p[k] & 0x3fU);
	}
	if (u < (n == 3          ? 0x800U
			: n == 4 ? 0x10000U
				 : 0U) ||
		u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
		return message_windows_1252(p[0]);
	*n_out = n;
	return u;
}

size_t
spam_char_put(uint32_t u, char *to)
{
	if (u < 0x80) {
		to[0] = (char)u;
		return 1;
	}
	size_t n = u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
	for (size_t k = n - 1; k > 0; k--, u >>= 6)
		to[k] = (char)(0x80 | (u & 0x3f));
	to[0] = (char)((0xf00U >> n & 0xf0U) | u);
	return n;
}

struct range {
	uint32_t first, last;
};

static bool
is_in(const struct range *r, size_t n, uint32_t u)
{
	for (size_t i = 0; i < n; i++)
		if (u >= r[i].first && u <= r[i].last)
			return true;
	return false;
}

static const struct range blanks[] = {{0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a},
	{0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
	{0x2800, 0x2800}};
/* No width, joiners, directions, fillers, selectors, combining marks, tags. */
static const struct range unseen[] = {{0xad, 0xad}, {0x300, 0x36f}, {0x61c, 0x61c},
	{0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},
	{0x202a, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
	{0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};

/* Letters of other blocks that are shown as those of ours. */
static uint32_t
plain_form(uint32_t u)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	if (u >= 0xff01 && u <= 0xff5e)
		return u - 0xfee0;
	if (u >= 0x24b6 && u <= 0x24e9)
		return (unsigned char)letters[u - 0x24b6];
	if (u >= 0x1d400 && u <= 0x1d6a3)
		return (unsigned char)letters[(u - 0x1d400) % 52];
	if (u >= 0x1d7ce && u <= 0x1d7ff)
		return '0' + (u - 0x1d7ce) % 10;
	if (u >= 0x1f130 && u <= 0x1f189 && (u - 0x1f130) % 32 < 26)
		return 'A' + (u - 0x1f130) % 32;
	return u;
}

uint32_t
spam_char_fold(uint32_t u)
{
	if (u < 0xa0)
		return u <= ' ' || (u >= 0x7f && u < 0xa0) ? ' ' : u;
	if ((u >= 0x370 && u < 0x1100) || (u >= 0x3041 && u < 0xd7a4)) /* most there is */
		return u == 0x61c || u == 0x3164 ? 0 : u;
	if (is_in(blanks, sizeof(blanks) / sizeof(blanks[0]), u))
		return ' ';
	if (u < 0x250 && u != 0xad)
		return u;
	if (is_in(unseen, sizeof(unseen) / sizeof(unseen[0]), u))
		return 0;
	return plain_form(u);
}

void
spam_sink_run(struct spam_sink *s, const char *p, size_t n)
{
	if (s->most - s->n < 2)
		return;
	if (s->blank && s->n > 0)
		s->p[s->n++] = ' ';
	s->blank = false;
	if (n > s->most - s->n) {
		n = s->most - s->n;
		while (n > 0 && ((p[n] & 0xc0) == 0x80 || p[n - 1] == ' '))
			n--; /* no half characters, no blank at the end */
	}
	memcpy(s->p + s->n, p, n);
	s->n += n;
}

void
spam_sink_char(struct spam_sink *s, uint32_t u)
{
	char c[4];
	u = spam_char_fold(u);
	if (u == ' ') {
		s->blank = true;
	} else if (u != 0) {
		size_t n = spam_char_put(u, c);
		if (s->most - s->n < n + 1) { /* no half characters */
			s->most = s->n;
			return;
		}
		spam_sink_run(s, c, n);
	}
}

/* The bytes of a character that nothing is done to, of most scripts; 0: look at it. */
static size_t
plain_character(struct slice in)
{
	const unsigned char *p = (const unsigned char *)in.p;
	if (p[0] >= 0xc3 && p[0] <= 0xdf && p[0] != 0xcc && p[0] != 0xcd && p[0] != 0xd8)
		return in.n > 1 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if (p[0] >= 0xe4 && p[0] <= 0xec)
		return in.n > 2 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 ? 3 : 0;
	return 0;
}

/* What can be copied as it is, up to a blank or a character to be looked at. */
static size_t
visible_run(struct slice in)
{
	size_t i = 0, n;
	while (i < in.n) {
		unsigned c = spam_classes[(unsigned char)in.p[i]];
		if (c == SPAM_BLANK && !spam_one_blank(in, i))
			break;
		n = c == SPAM_HIGH ? plain_character(slice_from(in, i)) : 1;
		if (n == 0)
			break;
		i += n;
	}
	return i;
}

void
spam_sink_text(struct spam_sink *s, struct slice in)
{
	size_t i = 0, n;
	while (i < in.n && s->n < s->most) {
		unsigned c = spam_classes[(unsigned char)in.p[i]];
		if (c == SPAM_BLANK) {
			s->blank = true;
			i++;
		} else if ((n = visible_run(slice_from(in, i))) > 0) {
			spam_sink_run(s, in.p + i, n);
			i += n;
		} else {
			spam_sink_char(s, spam_char(slice_from(in, i), &n));
			i += n;
		}
	}
	s->blank = true;
}

/* Of two bytes in UTF-8, both: Latin-1, Latin Extended-A, Greek, Cyrillic. */
static uint32_t
lower_of(uint32_t u)
{
	if (u >= 0x400) /* Cyrillic, without branches: most text of this kind */
		return u + (u < 0x410 ? 0x50U : 0U) + (u >= 0x410 && u < 0x430 ? 0x20U : 0U);
	if ((u >= 0xc0 && u <= 0xde && u != 0xd7) || (u >= 0x391 && u <= 0x3a9))
		return u + 0x20;
	if ((u >= 0x100 && u <= 0x12f) || (u >= 0x132 && u <= 0x137) ||
		(u >= 0x14a && u <= 0x177))
		return u | 1;
	if ((u >= 0x139 && u <= 0x148) || (u >= 0x179 && u <= 0x17e))
		return u + (u & 1);
	return u;
}

/* ASCII letters of eight bytes at once: in each byte a carry tells from 'A' on, and beyond 'Z'.
 */
static uint64_t
lower_eight(uint64_t w)
{
	uint64_t low = w & ~upper_bits;
	uint64_t from_a = low + each_byte * (0x80 - 'A');
	uint64_t past_z = low + each_byte * (0x80 - 'Z' - 1);
	return w | ((from_a ^ past_z) & ~w & upper_bits) >> 2;
}

struct slice
spam_lower(struct slice s, struct arena *a)
{
	if (s.n == 0)
		return SLICE_NONE;
	char *to = arena_alloc(a, s.n);
	uint64_t all = 0;
	size_t n = 0;
	for (; s.n - n >= sizeof(all); n += sizeof(all)) {
		uint64_t w;
		memcpy(&w, s.p + n, sizeof(w));
		all |= w;
		w = lower_eight(w);
		memcpy(to + n, &w, sizeof(w));
	}
	for (; n < s.n; n++) {
		to[n] = ascii_lower(s.p[n]);
		all |= (unsigned char)s.p[n];
	}
	if ((all & upper_bits) == 0)
		return (struct slice){to, s.n};
	for (size_t i = 0; i + 1 < s.n;) {
		unsigned c = (unsigned char)s.p[i], d = (unsigned char)s.p[i + 1];
		if (c < 0xc3 || c > 0xd1 || (d & 0xc0) != 0x80) {
			i++;
			continue;
		}
		uint32_t u = lower_of((c & 0x1fU) << 6 | (d & 0x3fU));
		to[i] = (char)(0xc0 | u >> 6);
		to[i + 1] = (char)(0x80 | (u & 0x3f));
		i += 2;
	}
	return (struct slice){to, s.n};
}
