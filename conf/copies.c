/*
 * What mails leave behind or take along beside their own way: the journal of a direction, whose
 * address must be one of ours, and the texts of `append`, read here once and checked line by
 * line, so that a mail never meets a text that cannot stand under it.
 */
#include <string.h>

#include "conf/file.h"
#include "conf/parse_priv.h"

enum {
	TEXT_MOST = 16 * 1024,
	LINE_MOST = 900, /* RFC 5322 2.1.1: 998, with room for what an encoding adds */
};

bool
parse_rcpt_address(struct parser *p, struct slice *out)
{
	struct conf_at at = p->tok.at;
	struct slice text;
	struct address address;
	if (!parse_string(p, "an address, as in \"archive@example.com\"", &text))
		return false;
	if (address_parse(text, true, p->arena, &address) != ADDRESS_OK)
		return parse_fail(p, at,
			"\"%.*s\" is no address, as in \"archive@example.com\"",
			SLICE_ARG(slice_first(text, 80)));
	*out = arena_slice(p->arena, address.text);
	return true;
}

/* --- journal */

static bool
journal(struct parser *p, struct conf_at at, struct conf *c, bool inbound, bool outbound)
{
	struct slice to;
	if (!parse_rcpt_address(p, &to))
		return false;
	for (size_t i = 0; i < 2; i++) {
		struct conf_journal *j = &c->journal[i];
		if (!(i == 0 ? inbound : outbound))
			continue;
		if (j->to.n != 0)
			return parse_fail(p, at,
				"the journal of %s mail stands a second time, first in line %u",
				i == 0 ? "inbound" : "outbound", j->at.line);
		*j = (struct conf_journal){at, to};
	}
	return true;
}

bool
parse_journal(struct parser *p, struct conf_at at, void *target)
{
	return journal(p, at, target, true, true);
}

bool
parse_inbound_journal(struct parser *p, struct conf_at at, void *target)
{
	return journal(p, at, target, true, false);
}

bool
parse_outbound_journal(struct parser *p, struct conf_at at, void *target)
{
	return journal(p, at, target, false, true);
}

/* --- texts of `append` */

/* Bytes of the UTF-8 character at s (RFC 3629: neither surrogates nor overlong), or 0. */
static size_t
utf8_length(struct slice s)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4 || s.n < n)
		return 0;
	unsigned v = c & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	return v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) ? 0 : n;
}

static const char *
line_fault(struct slice line)
{
	if (line.n > LINE_MOST)
		return "has a line of more than 900 bytes";
	for (size_t i = 0, n; i < line.n; i += n) {
		n = utf8_length(slice_from(line, i));
		if (n == 0)
			return "is not UTF-8";
		if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
			return "has control characters in it";
	}
	return NULL;
}

/* But that a signature begins with "-- " (RFC 3676 4.3). */
static struct slice
without_blanks(struct slice line)
{
	while (line.n != 0 && (slice_ends(line, SLICE(" ")) || slice_ends(line, SLICE("\t")) ||
				      slice_ends(line, SLICE("\r")))) {
		if (slice_eq(line, SLICE("-- ")))
			break;
		line.n--;
	}
	return line;
}

/* Without what readers of mail do not see: blank lines around it, blanks at ends of lines. */
static const char *
take_lines(struct slice text, struct arena *a, struct slice *out)
{
	struct slice line;
	char *to = arena_alloc(a, text.n + 2);
	size_t n = 0, end = 0;
	if (slice_starts(text, SLICE("\xef\xbb\xbf")))
		text = slice_from(text, 3);
	while (text.n != 0) {
		slice_cut(text, '\n', &line, &text);
		line = without_blanks(line);
		const char *fault = line_fault(line);
		if (fault != NULL)
			return fault;
		if (line.n == 0 && n == 0)
			continue;
		memcpy(to + n, line.p, line.n);
		n += line.n;
		to[n++] = '\n';
		if (line.n != 0)
			end = n;
	}
	*out = (struct slice){to, end};
	return end == 0 ? "is empty" : NULL;
}

bool
parse_append_text(struct parser *p, bool html, struct slice *out)
{
	struct conf_at at = p->tok.at;
	struct slice text, path;
	struct err err;
	bool file = parse_accept(p, "file");
	if (file) {
		if (!parse_string(p, "the name of a file", &path))
			return false;
		path = file_absolute(path, p->source->folder, p->arena);
		if (slice_has(path, '\0') ||
			file_read(path.p, TEXT_MOST, p->arena, &text, &err) < 0)
			return parse_fail(p, at, "%s", err.text);
	} else if (!parse_string(p, "the text in double quotes, or file \"FILE\"", &text)) {
		return false;
	}
	const char *fault = take_lines(text, p->arena, out);
	if (fault != NULL)
		return parse_fail(p, at, "the %s to append %s", html ? "HTML" : "text", fault);
	return true;
}
