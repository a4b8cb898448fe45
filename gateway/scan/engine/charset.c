/*
 * iconv for the texts of mails; see charset.h. A handle for each charset that is common stays
 * open from the start of the zygote, so that its table is in memory whatever a worker may open;
 * rarer ones are tried and are unknown where the sandbox refuses them.
 */
#include "engine/charset.h"

#include <errno.h>
#include <iconv.h>

enum { NAME_MOST = 40, STEP_BYTES = 16 * 1024 };

static const char *const common[] = {"ISO-8859-1", "ISO-8859-2", "ISO-8859-3", "ISO-8859-4",
	"ISO-8859-5", "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-9", "ISO-8859-10",
	"ISO-8859-13", "ISO-8859-14", "ISO-8859-15", "ISO-8859-16", "WINDOWS-1250",
	"WINDOWS-1251", "WINDOWS-1252", "WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255",
	"WINDOWS-1256", "WINDOWS-1257", "WINDOWS-1258", "KOI8-R", "KOI8-U", "MACINTOSH",
	"IBM437", "IBM850", "IBM852", "IBM866", "IBM037", "IBM500", "GBK", "GB18030", "GB2312",
	"BIG5", "BIG5-HKSCS", "SHIFT_JIS", "CP932", "EUC-JP", "ISO-2022-JP", "EUC-KR", "CP949",
	"ISO-2022-KR", "TIS-620", "UTF-7", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32",
	"UTF-32LE", "UTF-32BE"};

enum { COMMON = sizeof(common) / sizeof(common[0]) };
static iconv_t kept[COMMON];
static bool ready;

void
charset_init(void)
{
	if (ready)
		return;
	for (size_t i = 0; i < COMMON; i++) {
		char in[] = "a", out[16], *from = in, *to = out;
		size_t left = 1, room = sizeof(out);
		kept[i] = iconv_open("UTF-8", common[i]);
		if (kept[i] != (iconv_t)-1) /* a table is loaded at its first use */
			(void)iconv(kept[i], &from, &left, &to, &room);
	}
	ready = true;
}

void
charset_put(struct buf *out, uint32_t c)
{
	char b[4];
	size_t n = 0;
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	if (c < 0x80) {
		b[n++] = (char)c;
	} else if (c < 0x800) {
		b[n++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		b[n++] = (char)(0xe0 | c >> 12);
		b[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		b[n++] = (char)(0xf0 | c >> 18);
		b[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		b[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		b[n++] = (char)(0x80 | (c & 0x3f));
	(void)buf_add(out, (struct slice){b, n});
}

size_t
charset_next(struct slice s, uint32_t *c_out)
{
	if (s.n == 0)
		return 0;
	unsigned char first = (unsigned char)s.p[0];
	size_t n = first < 0x80    ? 1
		   : first >= 0xf0 ? 4
		   : first >= 0xe0 ? 3
		   : first >= 0xc2 ? 2
				   : 0;
	*c_out = UINT32_MAX;
	if (n == 0 || n > s.n)
		return 1;
	uint32_t c = n == 1 ? first : first & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		if ((b & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (b & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 1;
	*c_out = c;
	return n;
}

static bool
is_utf8(struct slice s)
{
	uint32_t c;
	for (size_t n; (n = charset_next(s, &c)) != 0; s = slice_from(s, n))
		if (c == UINT32_MAX)
			return false;
	return true;
}

static void
convert(iconv_t cd, struct slice bytes, struct buf *out)
{
	union { /* iconv takes what it does not change as if it did */
		const char *from;
		char *to;
	} in = {.from = bytes.p};
	size_t left = bytes.n;
	(void)iconv(cd, NULL, NULL, NULL, NULL);
	while (left > 0) {
		char *room = buf_reserve(out, STEP_BYTES);
		size_t free_bytes = STEP_BYTES;
		if (room == NULL)
			return;
		char *to = room;
		size_t result = iconv(cd, &in.to, &left, &to, &free_bytes);
		int why = errno;
		buf_commit(out, STEP_BYTES - free_bytes);
		if (result != (size_t)-1)
			return;
		if (why == EINVAL) /* half a character at the end */
			return;
		if (why == EILSEQ && left > 0) {
			charset_put(out, 0xfffd);
			in.to++;
			left--;
		} else if (why != E2BIG) {
			return;
		}
	}
}

/* By the mark at the front, or by zeros where nobody would have them in eight bits. */
static const char *
marked(struct slice b)
{
	if (slice_starts(b, SLICE("\xff\xfe\0\0")) || slice_starts(b, SLICE("\0\0\xfe\xff")))
		return "UTF-32";
	if (slice_starts(b, SLICE("\xff\xfe")) || slice_starts(b, SLICE("\xfe\xff")))
		return "UTF-16";
	size_t zeros[2] = {0, 0}, n = b.n < 4096 ? b.n : 4096;
	if (!slice_has(slice_first(b, n), '\0'))
		return NULL;
	for (size_t i = 0; i < n; i++)
		zeros[i % 2] += b.p[i] == '\0';
	if (n >= 8 && zeros[1] > n * 3 / 8 && zeros[0] < n / 16)
		return "UTF-16LE";
	if (n >= 8 && zeros[0] > n * 3 / 8 && zeros[1] < n / 16)
		return "UTF-16BE";
	return NULL;
}

static bool
is_plain_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' &&
			s.p[i] != '_' && s.p[i] != '.' && s.p[i] != ':')
			return false;
	return s.n != 0 && s.n < NAME_MOST;
}

enum charset_result
charset_decode(struct slice bytes, struct slice charset, struct buf *out)
{
	const char *mark = marked(bytes);
	char name[NAME_MOST + 1] = "";
	charset_init();
	if (mark != NULL)
		charset = slice_of(mark);
	else if (charset.n == 0 || slice_eq_nocase(charset, SLICE("utf-8")) ||
		 slice_eq_nocase(charset, SLICE("utf8")) ||
		 slice_eq_nocase(charset, SLICE("us-ascii")))
		return CHARSET_AS_IT_IS;
	for (size_t i = 0; i < COMMON; i++) {
		if (kept[i] == (iconv_t)-1 || !slice_eq_nocase(charset, slice_of(common[i])))
			continue;
		convert(kept[i], bytes, out);
		return CHARSET_DECODED;
	}
	for (size_t i = 0; i < charset.n && i < NAME_MOST; i++)
		name[i] = charset.p[i];
	iconv_t cd = is_plain_name(charset) ? iconv_open("UTF-8", name) : (iconv_t)-1;
	if (cd == (iconv_t)-1)
		return is_utf8(bytes) ? CHARSET_AS_IT_IS : CHARSET_UNKNOWN;
	convert(cd, bytes, out);
	(void)iconv_close(cd);
	return CHARSET_DECODED;
}

void
charset_narrow(struct slice b, struct buf *out)
{
	bool broken = true;
	for (size_t i = 0; i + 1 < b.n;) {
		bool wide = b.p[i + 1] == '\0' && b.p[i] >= ' ' && b.p[i] <= '~';
		if (wide)
			(void)buf_add_byte(out, b.p[i]);
		else if (!broken)
			(void)buf_add_byte(out, '\n');
		broken = !wide;
		i += wide ? 2 : 1;
	}
}
