/*
 * The text of a mail for a terminal; see mail_text.h. The mail is the work of a stranger and
 * the reader is an administrator: nothing is believed that cannot be printed, parts and depth
 * have bounds, and what is not understood is shown as it stands.
 */
#include "main/mail_text.h"

#include <stdint.h>

#include "base/arena.h"
#include "base/base64.h"

enum { ARENA_MOST = 1024 * 1024 * 1024, VALUE_MOST = 2000 };

struct printer {
	FILE *f;
	struct arena *arena;
	unsigned parts;
};

/* ---- bytes ---- */

/* Turns the direction of writing, or hides: Unicode's Cf that text in a mail has no use for. */
static bool
is_sly(uint32_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* The bytes of the UTF-8 character at the front and what it is; 0: there is none. */
static size_t
utf8_at(struct slice s, uint32_t *c_out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char b = (unsigned char)s.p[0];
	size_t n = b < 0x80 ? 1 : b >> 5 == 6 ? 2 : b >> 4 == 14 ? 3 : b >> 3 == 30 ? 4 : 0;
	if (n == 0 || n > s.n)
		return 0;
	uint32_t c = n == 1 ? b : b & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	*c_out = c;
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

void
mail_text_safe(FILE *f, struct slice s, bool latin)
{
	while (s.n != 0) {
		unsigned char b = (unsigned char)s.p[0];
		uint32_t c = 0;
		size_t n = latin ? 1 : utf8_at(s, &c);
		if (b == '\n' || b == '\t' || (b >= ' ' && b < 0x7f))
			fputc(b, f);
		else if (latin && b >= 0xa0)
			fprintf(f, "%c%c", 0xc0 | b >> 6, 0x80 | (b & 0x3f));
		else if (!latin && n > 1 && c >= 0xa0 && !is_sly(c))
			fprintf(f, "%.*s", (int)n, s.p);
		else if (b != '\r')
			fputc('?', f);
		s = slice_from(s, n > 0 ? n : 1);
	}
}

/* ---- a header ---- */

/* The header with its last CRLF, and what stands behind the empty line. */
static void
split(struct slice mail, struct slice *head, struct slice *body)
{
	size_t at = slice_find_slice(mail, SLICE("\r\n\r\n"));
	if (slice_starts(mail, SLICE("\r\n"))) {
		*head = SLICE_NONE;
		*body = slice_from(mail, 2);
	} else {
		*head = slice_first(mail, at < mail.n ? at + 2 : mail.n);
		*body = slice_from(mail, at < mail.n ? at + 4 : mail.n);
	}
}

/* The first field of that name, its lines as they are; empty: there is none. */
static struct slice
field(struct slice head, const char *name)
{
	struct slice wanted = slice_of(name), line, rest = head;
	while (rest.n != 0) {
		struct slice from = rest;
		slice_cut(rest, '\n', &line, &rest);
		if (line.n <= wanted.n || line.p[wanted.n] != ':' ||
			!slice_starts_nocase(line, wanted))
			continue;
		while (rest.n != 0 && (rest.p[0] == ' ' || rest.p[0] == '\t'))
			slice_cut(rest, '\n', &line, &rest);
		from = slice_first(from, from.n - rest.n);
		return slice_first(slice_trim(slice_from(from, wanted.n + 1)), VALUE_MOST);
	}
	return SLICE_NONE;
}

/* What stands before the first ';'. */
static struct slice
value_of(struct slice value)
{
	struct slice head, rest;
	slice_cut(value, ';', &head, &rest);
	return slice_trim(head);
}

/* A parameter, out of its quotes; a ';' within quotes ends nothing. */
static struct slice
parameter(struct slice value, const char *name)
{
	struct slice wanted = slice_of(name);
	bool quoted = false;
	for (size_t i = 0; i < value.n; i++) {
		quoted = value.p[i] == '"' ? !quoted : quoted;
		if (quoted || value.p[i] != ';')
			continue;
		struct slice one = slice_trim(slice_from(value, i + 1));
		if (one.n <= wanted.n || one.p[wanted.n] != '=' ||
			!slice_starts_nocase(one, wanted))
			continue;
		one = slice_from(one, wanted.n + 1);
		bool in_quotes = slice_starts(one, SLICE("\""));
		size_t n = in_quotes ? 1 : 0;
		while (n < one.n &&
			(in_quotes ? one.p[n] != '"' : one.p[n] != ';' && one.p[n] > ' '))
			n++;
		return slice_from(slice_first(one, n), in_quotes ? 1 : 0);
	}
	return SLICE_NONE;
}

/* ---- parts ---- */

static int
hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

static struct slice
unquote(struct slice in, struct arena *a)
{
	char *out = arena_alloc(a, in.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		bool more = in.p[i] == '=' && i + 2 < in.n;
		if (more && in.p[i + 1] == '\r' && in.p[i + 2] == '\n') {
			i += 2;
		} else if (more && hex(in.p[i + 1]) >= 0 && hex(in.p[i + 2]) >= 0) {
			out[n++] = (char)(hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]));
			i += 2;
		} else {
			out[n++] = in.p[i];
		}
	}
	return (struct slice){out, n};
}

static void
print_text(struct printer *p, struct slice head, struct slice body)
{
	struct slice how = value_of(field(head, "Content-Transfer-Encoding"));
	struct slice charset = parameter(field(head, "Content-Type"), "charset");
	struct slice text = body;
	if (slice_eq_nocase(how, SLICE("quoted-printable")))
		text = unquote(body, p->arena);
	else if (slice_eq_nocase(how, SLICE("base64")) &&
		 !base64_decode_fws(body, p->arena, &text))
		text = body; /* as it stands */
	mail_text_safe(p->f, text,
		slice_starts_nocase(charset, SLICE("iso-8859-1")) ||
			slice_eq_nocase(charset, SLICE("windows-1252")));
	if (text.n != 0 && text.p[text.n - 1] != '\n')
		fputc('\n', p->f);
}

static void
print_other(struct printer *p, struct slice head, struct slice type, struct slice body)
{
	struct slice name = parameter(field(head, "Content-Disposition"), "filename");
	if (name.n == 0)
		name = parameter(field(head, "Content-Type"), "name");
	fputc('[', p->f);
	mail_text_safe(p->f, type, false);
	fprintf(p->f, ", %zu bytes as sent", body.n);
	if (name.n != 0) {
		fputs(", \"", p->f);
		mail_text_safe(p->f, name, false);
		fputc('"', p->f);
	}
	fputs("]\n", p->f);
}

static void print_part(struct printer *p, struct slice part, unsigned depth);

/* "--boundary" at the front of a line; what stands before the first and behind the last is no
 * part. */
static void
print_parts(struct printer *p, struct slice body, struct slice boundary, unsigned depth)
{
	struct slice line, rest = body, part = SLICE_NONE;
	bool within = false;
	while (rest.n != 0) {
		const char *from = rest.p;
		slice_cut(rest, '\n', &line, &rest);
		if (!slice_starts(line, SLICE("--")) ||
			!slice_starts(slice_from(line, 2), boundary))
			continue;
		struct slice behind = slice_trim(slice_from(line, 2 + boundary.n));
		if (behind.n != 0 && !slice_eq(behind, SLICE("--")))
			continue;
		if (within) /* the CRLF before it belongs to it */
			print_part(p, slice_first(part, (size_t)(from - part.p)), depth);
		within = behind.n == 0;
		part = rest;
	}
	if (within)
		print_part(p, part, depth);
}

static void
print_part(struct printer *p, struct slice part, unsigned depth)
{
	struct slice head, body;
	split(part, &head, &body);
	struct slice content = field(head, "Content-Type"), type = value_of(content);
	struct slice boundary = parameter(content, "boundary");
	if (++p->parts > MAIL_TEXT_PARTS_MOST || depth > MAIL_TEXT_DEPTH_MOST) {
		if (p->parts <= MAIL_TEXT_PARTS_MOST + 1)
			fputs("[more parts than are shown]\n", p->f);
		return;
	}
	if (slice_starts_nocase(type, SLICE("multipart/")) && boundary.n != 0) {
		print_parts(p, body, boundary, depth + 1);
	} else if (slice_eq_nocase(type, SLICE("message/rfc822"))) {
		fputs("[a mail within the mail]\n", p->f);
		split(body, &head, &part);
		mail_text_safe(p->f, head, false);
		fputc('\n', p->f);
		print_part(p, body, depth + 1);
	} else if (type.n == 0 || slice_starts_nocase(type, SLICE("text/"))) {
		print_text(p, head, body);
	} else {
		print_other(p, head, type, body);
	}
}

void
mail_text(FILE *f, struct slice mail)
{
	struct printer p = {.f = f, .arena = arena_new(ARENA_MOST)};
	struct slice head, body;
	split(mail, &head, &body);
	mail_text_safe(f, head, false);
	fputc('\n', f);
	print_part(&p, mail, 0);
	arena_free(&p.arena);
}
