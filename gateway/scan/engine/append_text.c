/*
 * What a text becomes under one part of a mail. Where the part's own character set and encoding
 * can carry it, it is put in and all else stays; where they cannot, a plain text is written
 * anew as UTF-8, in quoted-printable or base64, with the two fields that say so. HTML names
 * characters by number and needs neither.
 */
#include <string.h>

#include "base/buf.h"
#include "engine/append_priv.h"

static const char why_there[] = "it ends in the text already";
static const char why_charset[] = "its character set cannot carry the text";
static const char why_size[] = "too much of it would have to be written anew";

/* --- whether it is there already */

/* The last line of s that is not blank, without it; false: there is none. */
static bool
last_line(struct slice *s, struct slice *line_out)
{
	while (s->n != 0) {
		size_t at = slice_find_last(*s, '\n');
		struct slice line = at < s->n ? slice_from(*s, at + 1) : *s;
		*s = slice_first(*s, at < s->n ? at : 0);
		*line_out = slice_trim(line);
		if (line_out->n != 0)
			return true;
	}
	return false;
}

/* Line by line, blank ones and blanks around them left out: how a reader sees it. */
static bool
ends_in(struct slice body, struct slice text)
{
	struct slice a, b;
	while (last_line(&text, &a))
		if (!last_line(&body, &b) || !slice_eq(a, b))
			return false;
	return true;
}

/* --- splices */

static bool
add_splice(struct append_plan *plan, uint64_t at, uint64_t cut, struct slice insert)
{
	if (plan->n == APPEND_SPLICES_MOST || insert.n > APPEND_INSERT_MOST)
		return false;
	plan->splices[plan->n++] = (struct append_splice){at, cut, insert};
	return true;
}

static struct slice
joined(struct slice head, struct slice insert, struct slice tail, struct arena *a)
{
	char *p = arena_alloc(a, head.n + insert.n + tail.n + 1);
	memcpy(p, head.n != 0 ? head.p : "", head.n);
	memcpy(p + head.n, insert.n != 0 ? insert.p : "", insert.n);
	memcpy(p + head.n + insert.n, tail.n != 0 ? tail.p : "", tail.n);
	return (struct slice){p, head.n + insert.n + tail.n};
}

static const char *
put_in(struct append_body *b, size_t where, struct slice insert, struct arena *a,
	struct append_plan *plan, struct slice *expect)
{
	struct append_splice s;
	if (!append_insert(b->encoding, b->raw, b->decoded, where, insert, a, &s))
		return "its text does not decode";
	if (!add_splice(plan, b->at + s.at, s.cut, s.insert))
		return why_size;
	*expect = joined(
		slice_first(b->decoded, where), insert, slice_from(b->decoded, where), a);
	return NULL;
}

/* --- plain text */

/* CRLF lines behind a blank one. RFC 3676 4.4: what looks like a quote is space-stuffed. */
static struct slice
as_lines(struct slice decoded, struct slice text, bool flowed, struct arena *a)
{
	struct slice line;
	struct buf out;
	buf_init(&out, 3 * text.n + 64);
	if (decoded.n != 0)
		(void)buf_add_text(
			&out, slice_ends(decoded, SLICE("\n")) ? "\r\n" : "\r\n\r\n");
	while (text.n != 0) {
		slice_cut(text, '\n', &line, &text);
		if (flowed &&
			(slice_starts(line, SLICE(" ")) || slice_starts(line, SLICE(">")) ||
				slice_starts(line, SLICE("From "))))
			(void)buf_add_text(&out, " ");
		(void)buf_add(&out, line);
		(void)buf_add_text(&out, "\r\n");
	}
	struct slice s = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return s;
}

/* US-ASCII where nothing is said (RFC 2045 5.2). */
static const char *
charset_of(const struct append_body *b)
{
	return b->charset != NULL ? b->charset : "us-ascii";
}

/* A field in place of the one that is there, or in front of the blank line. */
static bool
set_field(const struct append_body *b, uint64_t at, uint64_t bytes, struct slice field,
	struct append_plan *plan)
{
	return add_splice(plan, bytes != 0 ? at : b->at - 2, bytes, field);
}

/* Splices ascend: the two fields, by their places, then the content. */
static bool
set_fields(const struct append_body *b, struct arena *a, struct append_plan *plan)
{
	struct slice type = arena_printf(a, "Content-Type: text/plain; charset=utf-8%.*s\r\n",
		SLICE_ARG(b->type_params));
	struct slice encoding = arena_printf(a, "Content-Transfer-Encoding: %s\r\n",
		b->encoding == AS_BASE64 ? "base64" : "quoted-printable");
	if (b->top && !b->has_version)
		type = arena_printf(a, "MIME-Version: 1.0\r\n%.*s", SLICE_ARG(type));
	if (b->type_bytes == 0 && b->encoding_bytes == 0)
		return set_field(b, 0, 0,
			arena_printf(a, "%.*s%.*s", SLICE_ARG(type), SLICE_ARG(encoding)),
			plan);
	if (b->encoding_bytes == 0) /* both in the one's place */
		return set_field(b, b->type_at, b->type_bytes,
			arena_printf(a, "%.*s%.*s", SLICE_ARG(type), SLICE_ARG(encoding)),
			plan);
	if (b->type_bytes == 0)
		return set_field(b, b->encoding_at, b->encoding_bytes,
			arena_printf(a, "%.*s%.*s", SLICE_ARG(type), SLICE_ARG(encoding)),
			plan);
	uint64_t type_end = b->type_at + b->type_bytes;
	uint64_t encoding_end = b->encoding_at + b->encoding_bytes;
	if (type_end == b->encoding_at) /* neighbours are one splice */
		return set_field(b, b->type_at, b->type_bytes + b->encoding_bytes,
			arena_printf(a, "%.*s%.*s", SLICE_ARG(type), SLICE_ARG(encoding)),
			plan);
	if (encoding_end == b->type_at)
		return set_field(b, b->encoding_at, b->type_bytes + b->encoding_bytes,
			arena_printf(a, "%.*s%.*s", SLICE_ARG(encoding), SLICE_ARG(type)),
			plan);
	bool type_first = b->type_at < b->encoding_at;
	return set_field(b, type_first ? b->type_at : b->encoding_at,
		       type_first ? b->type_bytes : b->encoding_bytes,
		       type_first ? type : encoding, plan) &&
	       set_field(b, type_first ? b->encoding_at : b->type_at,
		       type_first ? b->encoding_bytes : b->type_bytes,
		       type_first ? encoding : type, plan);
}

/* The whole part as UTF-8. */
static const char *
write_anew(struct append_body *b, struct slice lines, struct arena *a, struct append_plan *plan,
	struct slice *expect)
{
	struct slice old;
	if (b->params_bad || !append_convert(charset_of(b), "utf-8", b->decoded, a, &old))
		return why_charset;
	*expect = joined(old, lines, SLICE_NONE, a);
	struct slice content = b->encoding == AS_BASE64 ? append_base64_lines(*expect, 0, a)
							: append_quoted_printable(*expect, a);
	if (!set_fields(b, a, plan) || !add_splice(plan, b->at, b->bytes, content))
		return why_size;
	return NULL;
}

const char *
append_text(struct append_body *b, struct slice text, struct arena *a, struct append_plan *plan,
	struct slice *expect)
{
	struct slice lines = as_lines(b->decoded, text, b->flowed, a), mine, there;
	bool fits = append_convert("utf-8", charset_of(b), lines, a, &mine);
	if (!fits && append_is_ascii(lines))
		return why_charset; /* a set that nobody knows */
	if (append_convert("utf-8", charset_of(b), text, a, &there) &&
		ends_in(b->decoded, there))
		return why_there;
	/* raw bytes above 127 only where there are some already: BODY= stays true */
	bool raw = b->encoding == AS_IT_IS_7BIT ||
		   (b->encoding == AS_IT_IS_8BIT && append_is_ascii(b->decoded));
	if (!fits || (raw && !append_is_ascii(mine)))
		return write_anew(b, lines, a, plan, expect);
	return put_in(b, b->decoded.n, mine, a, plan, expect);
}

/* --- HTML */

/* Every character beyond ASCII by its number: any character set carries that. */
static struct slice
by_number(struct slice html, struct arena *a)
{
	struct buf out;
	buf_init(&out, 10 * html.n + 64);
	for (size_t i = 0; i < html.n; i++) {
		unsigned char c = (unsigned char)html.p[i];
		unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
		if (c == '\n') {
			(void)buf_add_text(&out, "\r\n");
		} else if (c < 0x80) {
			(void)buf_add_byte(&out, (char)c);
		} else if (i + more < html.n) {
			unsigned long v = c & (0x3fu >> more);
			for (; more > 0; more--)
				v = v << 6 | ((unsigned char)html.p[++i] & 0x3f);
			(void)buf_printf(&out, "&#%lu;", v);
		}
	}
	struct slice s = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return s;
}

/* Where the last such tag begins; s.n: none does. */
static size_t
find_last_tag(struct slice s, struct slice tag)
{
	for (size_t i = s.n; i-- > 0;)
		if (slice_starts_nocase(slice_from(s, i), tag))
			return i;
	return s.n;
}

const char *
append_html(struct append_body *b, struct slice html, struct arena *a, struct append_plan *plan,
	struct slice *expect)
{
	struct slice lines = by_number(html, a), same;
	size_t where = find_last_tag(b->decoded, SLICE("</body"));
	if (where == b->decoded.n)
		where = find_last_tag(b->decoded, SLICE("</html"));
	if (!append_convert("us-ascii", charset_of(b), lines, a, &same) ||
		!slice_eq(lines, same))
		return why_charset;
	if (ends_in(slice_first(b->decoded, where), lines))
		return why_there;
	if (where != 0 && b->decoded.p[where - 1] != '\n')
		lines = arena_printf(a, "\r\n%.*s", SLICE_ARG(lines));
	return put_in(b, where, lines, a, plan, expect);
}
