/*
 * HTML and RTF as text; see markup.h. Written by hand over slices: a parser that builds a tree
 * of a hostile page costs more than it finds, and only the text is wanted.
 */
#include "engine/markup.h"

#include <string.h>

#include "engine/charset.h"
#include "engine/document.h"

enum { NAME_MOST = 24, DEPTH_MOST = 200, ENTITY_MOST = 12 };

/* --- single characters */

/* 0: not seen at all. */
static uint32_t
plain_char(uint32_t c)
{
	if (c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
		(c >= 0x2060 && c <= 0x2064) || (c >= 0x2066 && c <= 0x206f) || c == 0xfeff ||
		c == 0x034f || c == 0x180e)
		return 0;
	if (c == 0xa0 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f || c == 0x205f ||
		c == 0x3000)
		return ' ';
	if ((c >= 0x2010 && c <= 0x2015) || c == 0x2212)
		return '-';
	if (c >= 0xff01 && c <= 0xff5e)
		return c - 0xff01 + '!';
	return c;
}

static void
put(struct buf *out, uint32_t c)
{
	c = plain_char(c);
	if (c != 0)
		charset_put(out, c);
}

static bool
is_ascii(struct slice s)
{
	uint64_t all = 0, eight;
	for (; s.n >= sizeof(eight); s = slice_from(s, sizeof(eight))) {
		memcpy(&eight, s.p, sizeof(eight));
		all |= eight;
	}
	for (size_t i = 0; i < s.n; i++)
		all |= (unsigned char)s.p[i];
	return (all & UINT64_C(0x8080808080808080)) == 0;
}

bool
markup_tidy(struct slice s, struct buf *out)
{
	struct slice rest = s;
	if (is_ascii(s))
		return false;
	bool odd = false;
	uint32_t c;
	for (size_t n; !odd && (n = charset_next(rest, &c)) != 0; rest = slice_from(rest, n))
		odd = c != UINT32_MAX && c >= 0x80 && plain_char(c) != c;
	if (!odd)
		return false;
	for (size_t n; (n = charset_next(s, &c)) != 0; s = slice_from(s, n)) {
		if (c == UINT32_MAX)
			(void)buf_add_byte(out, s.p[0]);
		else if (c < 0x80)
			(void)buf_add_byte(out, (char)c);
		else
			put(out, c);
	}
	return true;
}

/* --- HTML */

struct page {
	struct slice rest;
	struct buf *out;
	bool space; /* what was written last is white */
};

static void
white(struct page *p, char c)
{
	if (p->space && c == ' ')
		return;
	(void)buf_add_byte(p->out, c);
	p->space = true;
}

/* "&amp;", "&#65;", "&#x41;", the ; may be missing: the bytes taken, 0: it is none. */
static size_t
entity(struct slice s, uint32_t *c_out)
{
	uint64_t v = 0;
	size_t i = 1;
	if (i < s.n && s.p[i] == '#') {
		unsigned base = 10;
		i++;
		if (i < s.n && ascii_lower(s.p[i]) == 'x') {
			base = 16;
			i++;
		}
		size_t from = i;
		for (; i < s.n && i < from + 10; i++) {
			int d = ascii_hex(s.p[i]);
			if (d < 0 || (unsigned)d >= base)
				break;
			v = v * base + (unsigned)d;
		}
		if (i == from)
			return 0;
		*c_out = v > 0x10ffff ? 0xfffd : (uint32_t)v;
	} else {
		char name[ENTITY_MOST + 1] = "";
		while (i < s.n && i <= ENTITY_MOST &&
			(ascii_alpha(s.p[i]) || ascii_digit(s.p[i]))) {
			name[i - 1] = s.p[i];
			i++;
		}
		*c_out = document_entity(name);
		if (*c_out == 0)
			return 0;
	}
	return i < s.n && s.p[i] == ';' ? i + 1 : i;
}

static bool
is_one(struct slice name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (slice_eq_nocase(name, slice_of(*names)))
			return true;
	return false;
}

/* Behind the tag that begins here; quoted values may hold '>'. */
static struct slice
after_tag(struct slice s)
{
	char quote = 0, before = 0;
	for (size_t i = 1; i < s.n; i++) {
		char c = s.p[i];
		if (quote != 0) {
			quote = c == quote ? 0 : quote;
		} else if ((c == '"' || c == '\'') && before == '=') {
			quote = c;
		} else if (c == '>') {
			return slice_from(s, i + 1);
		}
		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			before = c;
	}
	return quote != 0
		       ? slice_from(s, slice_find(s, '>') < s.n ? slice_find(s, '>') + 1 : s.n)
		       : SLICE_NONE;
}

/* Behind "</script" and the like. */
static struct slice
after_element(struct slice s, struct slice name)
{
	for (size_t i = 0; i + 2 + name.n <= s.n; i++)
		if (s.p[i] == '<' && s.p[i + 1] == '/' &&
			slice_starts_nocase(slice_from(s, i + 2), name))
			return after_tag(slice_from(s, i));
	return SLICE_NONE;
}

static void
tag(struct page *p)
{
	static const char *const hidden[] = {"script", "style", NULL};
	static const char *const lines[] = {"p", "br", "div", "tr", "li", "ul", "ol", "dl",
		"dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table", "pre",
		"blockquote", "body", "head", "title", "section", "article", "header", "footer",
		"form", "option", "center", "address", NULL};
	static const char *const cells[] = {"td", "th", NULL};
	struct slice s = p->rest;
	if (slice_starts(s, SLICE("<!--"))) {
		struct slice rest = slice_from(s, 4);
		size_t end = slice_find_slice(rest, SLICE("-->"));
		p->rest = slice_from(rest, end < rest.n ? end + 3 : rest.n);
		return;
	}
	size_t from = s.n > 1 && s.p[1] == '/' ? 2 : 1, n = from;
	while (n < s.n && n < from + NAME_MOST && (ascii_alpha(s.p[n]) || ascii_digit(s.p[n])))
		n++;
	struct slice name = {s.p + from, n - from};
	p->rest = after_tag(s);
	if (from == 1 && is_one(name, hidden))
		p->rest = after_element(p->rest, name);
	else if (is_one(name, lines))
		white(p, '\n');
	else if (is_one(name, cells))
		white(p, ' ');
}

void
markup_text(struct slice html, struct buf *out)
{
	struct page p = {.rest = html, .out = out, .space = true};
	while (p.rest.n != 0) {
		char c = p.rest.p[0], next = p.rest.n > 1 ? p.rest.p[1] : 0;
		uint32_t code = 0;
		size_t n = 0;
		if (c == '<' &&
			(ascii_alpha(next) || next == '/' || next == '!' || next == '?')) {
			tag(&p);
			continue;
		}
		if (c == '&')
			n = entity(p.rest, &code);
		if (n == 0)
			n = charset_next(p.rest, &code);
		p.rest = slice_from(p.rest, n);
		if (code == ' ' || code == '\t' || code == '\r' || code == '\n') {
			white(&p, ' ');
			continue;
		}
		p.space = false;
		put(out, code == UINT32_MAX ? 0xfffd : code);
	}
}

/* --- RTF */

struct rtf {
	struct slice rest;
	struct buf *out;
	unsigned depth, hidden; /* hidden: the depth at which a destination was passed over */
	unsigned skip[DEPTH_MOST]; /* \uc: how many characters stand for a \u */
	unsigned passing;
};

static void
rtf_put(struct rtf *r, uint32_t c)
{
	if (r->passing > 0)
		r->passing--;
	else if (r->hidden == 0)
		put(r->out, c);
}

static void
rtf_word(struct rtf *r, struct slice word, bool has_number, long number)
{
	static const char *const hidden[] = {"fonttbl", "colortbl", "stylesheet", "pict",
		"themedata", "colorschememapping", "datastore", "latentstyles", "listtable",
		"generator", NULL};
	static const char *const lines[] = {
		"par", "line", "row", "cell", "page", "sect", "nestcell", NULL};
	if (is_one(word, hidden) && r->hidden == 0)
		r->hidden = r->depth;
	else if (is_one(word, lines))
		rtf_put(r, '\n');
	else if (slice_eq(word, SLICE("tab")))
		rtf_put(r, '\t');
	else if (slice_eq(word, SLICE("emdash")) || slice_eq(word, SLICE("endash")))
		rtf_put(r, '-');
	else if (slice_eq(word, SLICE("uc")) && has_number && number >= 0 && number < 100)
		r->skip[r->depth] = (unsigned)number;
	else if (slice_eq(word, SLICE("bin")) && has_number && number > 0)
		r->rest = slice_from(r->rest, (size_t)number);
	else if (slice_eq(word, SLICE("u")) && has_number) {
		rtf_put(r, (uint32_t)(number < 0 ? number + 65536 : number));
		r->passing = r->skip[r->depth];
	}
}

static void
rtf_control(struct rtf *r)
{
	struct slice s = r->rest; /* behind the \ */
	if (s.n == 0)
		return;
	if (!ascii_alpha(s.p[0])) {
		int high = s.n > 2 ? ascii_hex(s.p[1]) : -1,
		    low = s.n > 2 ? ascii_hex(s.p[2]) : -1;
		bool byte = s.p[0] == '\'' && high >= 0 && low >= 0;
		r->rest = slice_from(s, byte ? 3 : 1);
		if (byte)
			rtf_put(r, (uint32_t)(high * 16 + low));
		else if (s.p[0] == '~')
			rtf_put(r, ' ');
		else if (s.p[0] == '_')
			rtf_put(r, '-');
		else if (s.p[0] == '*' && r->hidden == 0)
			r->hidden = r->depth;
		else if (s.p[0] == '{' || s.p[0] == '}' || s.p[0] == '\\')
			rtf_put(r, (unsigned char)s.p[0]);
		else if (s.p[0] == '\r' || s.p[0] == '\n')
			rtf_put(r, '\n');
		return;
	}
	size_t n = 0, digits = 0;
	long number = 0;
	while (n < s.n && n < 32 && ascii_alpha(s.p[n]))
		n++;
	struct slice word = slice_first(s, n);
	bool minus = n < s.n && s.p[n] == '-';
	n += minus;
	for (; n < s.n && digits < 9 && ascii_digit(s.p[n]); n++, digits++)
		number = number * 10 + (s.p[n] - '0');
	if (n < s.n && s.p[n] == ' ')
		n++;
	r->rest = slice_from(s, n);
	rtf_word(r, word, digits != 0, minus ? -number : number);
}

void
markup_rtf_text(struct slice rtf, struct buf *out)
{
	struct rtf r = {.rest = rtf, .out = out, .skip = {1}};
	while (r.rest.n != 0) {
		char c = r.rest.p[0];
		r.rest = slice_from(r.rest, 1);
		switch (c) {
		case '{':
			r.passing = 0;
			if (r.depth + 1 < DEPTH_MOST) {
				r.depth++;
				r.skip[r.depth] = r.skip[r.depth - 1];
			}
			break;
		case '}':
			r.passing = 0;
			if (r.hidden == r.depth)
				r.hidden = 0;
			r.depth -= r.depth > 0;
			break;
		case '\\': rtf_control(&r); break;
		case '\r':
		case '\n': break;
		default: rtf_put(&r, (unsigned char)c); break;
		}
	}
}
