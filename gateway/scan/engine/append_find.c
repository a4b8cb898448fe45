/*
 * The parts of a mail that are its body, for `append`: GMime parses, and what it says of places
 * is held against the bytes before it is believed. Whatever makes a reader of mail see another
 * mail than we do is a reason to leave it alone.
 */
#include <gmime/gmime.h>
#include <string.h>

#include "base/buf.h"
#include "engine/append_priv.h"

enum { PARTS_MOST = 1000, DEPTH_MOST = 32 };

struct find {
	struct slice mail;
	struct arena *arena;
	struct append_body *bodies;
	size_t n;
	unsigned parts;
	const char *why;
};

static void
refuse(struct find *f, const char *why)
{
	if (f->why == NULL)
		f->why = why;
}

/* What it warns of and another reader may read otherwise. */
static void
on_warning(gint64 offset, GMimeParserWarning code, const gchar *item, gpointer arg)
{
	(void)offset;
	(void)item;
	if (code == GMIME_WARN_MALFORMED_MULTIPART || code == GMIME_WARN_TRUNCATED_MESSAGE ||
		code == GMIME_WARN_INVALID_CONTENT_TYPE ||
		(code >= GMIME_CRIT_INVALID_HEADER_NAME &&
			code <= GMIME_CRIT_MULTIPART_WITHOUT_BOUNDARY) ||
		code == GMIME_CRIT_NESTING_OVERFLOW ||
		code == GMIME_CRIT_PART_WITHOUT_HEADERS_OR_CONTENT)
		refuse(arg, "its MIME is malformed");
}

/* --- fields */

/* The whole field that begins there, its CRLF too; 0: none of that name does. */
static uint64_t
field_bytes(struct slice mail, uint64_t at, const char *name)
{
	struct slice rest = slice_from(mail, at);
	struct slice want = slice_of(name);
	if (at >= mail.n || !slice_starts_nocase(rest, want) || rest.n == want.n)
		return 0;
	for (size_t i = want.n; i + 1 < rest.n; i++)
		if (rest.p[i] == '\r' && rest.p[i + 1] == '\n' &&
			(i + 2 == rest.n || (rest.p[i + 2] != ' ' && rest.p[i + 2] != '\t')))
			return i + 2;
	return 0;
}

/* Where the part has this field. False: it has two, or it is not where GMime says. */
static bool
find_field(struct find *f, GMimeObject *part, const char *name, uint64_t *at_out,
	uint64_t *bytes_out)
{
	GMimeHeaderList *fields = g_mime_object_get_header_list(part);
	unsigned n = 0;
	for (int i = 0; i < g_mime_header_list_get_count(fields); i++) {
		GMimeHeader *h = g_mime_header_list_get_header_at(fields, i);
		gint64 at = g_mime_header_get_offset(h);
		if (g_ascii_strcasecmp(g_mime_header_get_name(h), name) != 0)
			continue;
		if (at < 0 || n++ != 0)
			return false;
		*at_out = (uint64_t)at;
		*bytes_out = field_bytes(f->mail, *at_out, name);
		if (*bytes_out == 0)
			return false;
	}
	return true;
}

static bool
is_token(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~' || strchr("()<>@,;:\\\"/[]?=", *s) != NULL)
			return false;
	return true;
}

/* All parameters but the charset, as a new field would have them. */
static void
read_params(struct find *f, GMimeContentType *type, struct append_body *b)
{
	GMimeParamList *list = g_mime_content_type_get_parameters(type);
	struct buf out;
	buf_init(&out, 4096);
	for (int i = 0; i < g_mime_param_list_length(list); i++) {
		GMimeParam *p = g_mime_param_list_get_parameter_at(list, i);
		const char *name = g_mime_param_get_name(p), *value = g_mime_param_get_value(p);
		if (g_ascii_strcasecmp(name, "charset") == 0)
			continue;
		struct slice v = slice_of(value);
		bool bad = !is_token(name) || v.n > 60 || slice_has(v, '"') ||
			   slice_has(v, '\\') || !append_is_ascii(v);
		for (size_t k = 0; k < v.n; k++)
			bad = bad || v.p[k] < ' ' || v.p[k] == 0x7f;
		b->params_bad = b->params_bad || bad ||
				buf_printf(&out, ";\r\n\t%s=\"%s\"", name, value) < 0;
		if (g_ascii_strcasecmp(name, "format") == 0 &&
			g_ascii_strcasecmp(value, "flowed") == 0)
			b->flowed = true;
	}
	b->type_params = arena_slice(f->arena, buf_slice(&out));
	buf_fini(&out);
}

static bool
read_encoding(struct find *f, GMimePart *part, struct append_body *b)
{
	if (!find_field(f, GMIME_OBJECT(part), "Content-Transfer-Encoding", &b->encoding_at,
		    &b->encoding_bytes))
		return false;
	switch (g_mime_part_get_content_encoding(part)) {
	case GMIME_CONTENT_ENCODING_DEFAULT:
		b->encoding = AS_IT_IS_7BIT;
		return b->encoding_bytes == 0; /* else one that nobody knows */
	case GMIME_CONTENT_ENCODING_7BIT: b->encoding = AS_IT_IS_7BIT; return true;
	case GMIME_CONTENT_ENCODING_8BIT: b->encoding = AS_IT_IS_8BIT; return true;
	case GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE:
		b->encoding = AS_QUOTED_PRINTABLE;
		return true;
	case GMIME_CONTENT_ENCODING_BASE64: b->encoding = AS_BASE64; return true;
	case GMIME_CONTENT_ENCODING_BINARY:
	case GMIME_CONTENT_ENCODING_UUENCODE: break;
	}
	return false;
}

/* --- a text of the body */

/* In the mail, behind a blank line, and up to a boundary or the mail's end. */
static bool
find_content(struct find *f, GMimePart *part, struct append_body *b)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	GMimeStream *s = content != NULL ? g_mime_data_wrapper_get_stream(content) : NULL;
	if (s == NULL || s->bound_start < 2 || s->bound_end < s->bound_start ||
		(uint64_t)s->bound_end > f->mail.n)
		return false;
	b->at = (uint64_t)s->bound_start;
	b->bytes = (uint64_t)(s->bound_end - s->bound_start);
	b->raw = (struct slice){f->mail.p + b->at, b->bytes};
	struct slice before = slice_first(f->mail, b->at),
		     behind = slice_from(f->mail, b->at + b->bytes);
	return slice_ends(before, SLICE("\n\r\n")) &&
	       (b->top ? behind.n == 0 : slice_starts(behind, SLICE("\r\n--")));
}

static bool
has_pgp(struct slice text)
{
	size_t at = slice_find_slice(text, SLICE("-----BEGIN PGP "));
	return at < text.n && (at == 0 || text.p[at - 1] == '\n');
}

static void
add_body(struct find *f, GMimePart *part, bool html, bool top)
{
	struct append_body *b = &f->bodies[f->n];
	GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
	for (size_t i = 0; i < f->n; i++)
		if (f->bodies[i].html == html)
			return; /* the first of each */
	*b = (struct append_body){.html = html, .top = top};
	const char *charset = g_mime_content_type_get_parameter(type, "charset");
	b->charset = charset != NULL ? arena_text(f->arena, slice_of(charset)) : NULL;
	read_params(f, type, b);
	if (!read_encoding(f, part, b) ||
		!find_field(
			f, GMIME_OBJECT(part), "Content-Type", &b->type_at, &b->type_bytes) ||
		!find_content(f, part, b)) {
		refuse(f, "its MIME is malformed");
		return;
	}
	if (b->bytes > BODY_BYTES_MOST) {
		refuse(f, "its text is too large");
		return;
	}
	if (!append_decode(b->encoding, b->raw, f->arena, &b->decoded))
		refuse(f, "its text does not decode");
	else if (has_pgp(b->decoded))
		refuse(f, "it is signed or encrypted by PGP");
	f->n++;
}

/* --- the walk */

static bool
is_type(GMimeObject *part, const char *type, const char *subtype)
{
	GMimeContentType *t = g_mime_object_get_content_type(part);
	return t != NULL && g_mime_content_type_is_type(t, type, subtype);
}

/* What is signed, encrypted or for programs, wherever it stands. */
static void
look_at(struct find *f, GMimeObject *part)
{
	static const struct {
		const char *type, *subtype, *why;
	} leave[] = {
		{"multipart", "signed", "it is signed"},
		{"application", "pkcs7-mime", "it is signed or encrypted by S/MIME"},
		{"application", "x-pkcs7-mime", "it is signed or encrypted by S/MIME"},
		{"multipart", "encrypted", "it is encrypted"},
		{"application", "pgp-encrypted", "it is encrypted"},
		{"application", "pgp", "it is signed or encrypted by PGP"},
		{"multipart", "report", "it is a report"},
		{"message", "delivery-status", "it is a report"},
		{"message", "partial", "it is a piece of a mail"},
		{"text", "calendar", "it is an invitation"},
	};
	for (size_t i = 0; i < sizeof(leave) / sizeof(leave[0]); i++)
		if (is_type(part, leave[i].type, leave[i].subtype))
			refuse(f, leave[i].why);
}

static bool
is_attachment(GMimeObject *part)
{
	GMimeContentDisposition *d = g_mime_object_get_content_disposition(part);
	return (d != NULL && g_mime_content_disposition_is_attachment(d)) ||
	       (GMIME_IS_PART(part) && g_mime_part_get_filename(GMIME_PART(part)) != NULL);
}

/* body: this part is the mail's text, or holds it. */
static void
walk(struct find *f, GMimeObject *part, bool body, bool top, unsigned depth)
{
	if (part == NULL || ++f->parts > PARTS_MOST || depth > DEPTH_MOST) {
		refuse(f, part == NULL ? "its MIME is malformed" : "it has too many parts");
		return;
	}
	look_at(f, part);
	if (GMIME_IS_MULTIPART(part)) {
		GMimeMultipart *m = GMIME_MULTIPART(part);
		bool all = is_type(part, "multipart", "alternative");
		bool first = is_type(part, "multipart", "mixed") ||
			     is_type(part, "multipart", "related");
		for (int i = 0; i < g_mime_multipart_get_count(m); i++)
			walk(f, g_mime_multipart_get_part(m, i),
				body && (all || (first && i == 0)), false, depth + 1);
		if (g_mime_multipart_get_count(m) == 0)
			refuse(f, "its MIME is malformed");
		return;
	}
	if (!body || !GMIME_IS_PART(part) || is_attachment(part))
		return;
	if (is_type(part, "text", "plain"))
		add_body(f, GMIME_PART(part), false, top);
	else if (is_type(part, "text", "html"))
		add_body(f, GMIME_PART(part), true, top);
}

const char *
append_find(struct slice mail, struct arena *a, struct append_body bodies[2], size_t *n_out,
	unsigned *parts_out)
{
	struct find f = {.mail = mail, .arena = a, .bodies = bodies};
	GMimeParserOptions *options = g_mime_parser_options_new();
	g_mime_parser_options_set_warning_callback(options, on_warning, &f);
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(mail.p, mail.n);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	g_mime_parser_set_persist_stream(parser, TRUE);
	GMimeMessage *message = g_mime_parser_construct_message(parser, options);
	if (message != NULL) {
		walk(&f, g_mime_message_get_mime_part(message), true, true, 0);
		bool version =
			g_mime_object_get_header(GMIME_OBJECT(message), "MIME-Version") != NULL;
		for (size_t i = 0; i < f.n; i++)
			bodies[i].has_version = version;
		g_object_unref(message);
	} else {
		refuse(&f, "its MIME is malformed");
	}
	g_object_unref(parser);
	g_object_unref(stream);
	g_mime_parser_options_free(options);
	*n_out = f.n;
	*parts_out = f.parts;
	return f.why != NULL ? f.why : f.n == 0 ? "it has no text" : NULL;
}
