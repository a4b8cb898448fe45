/*
 * A walk over the MIME tree. GMime parses; names are taken in every reading that a reader of
 * mail may take (MIM-05): each filename and name of each field, decoded as any of them would.
 * What a leaf holds goes to look.h, decoded; a mail in an archive comes back here from there.
 */
#include "engine/parts.h"

#include "base/buf.h"
#include "base/clock.h"
#include "engine/markup.h"
#include "engine/names.h"
#include "engine/plain.h"

#include <gmime/gmime.h>
#include <string.h>

struct walk {
	struct look *look;
	struct arena *arena;
	struct scan_report *report;
	unsigned parts, depth; /* depth: of its attachments */
};

void
parts_init(void)
{
	g_mime_init();
}

static bool
has_name(const struct scan_report *r, size_t from, struct slice name)
{
	for (size_t i = from; i < r->n_attachments; i++)
		if (slice_eq(r->attachments[i].name, name))
			return true;
	return false;
}

static void
add_one_name(struct walk *w, size_t from, struct slice s, struct slice type)
{
	struct look_file f = {.type = type, .depth = w->depth};
	struct look_found found = {.encrypted = false};
	if (!has_name(w->report, from, s))
		look_attach(w->look, s, &f, &found);
}

/* As it is written, and without the characters that nobody sees. */
static void
add_name(struct walk *w, size_t from, const char *name, struct slice type)
{
	struct slice s = plain_name(slice_of(name));
	struct buf tidy;
	if (name == NULL)
		return;
	add_one_name(w, from, s, type);
	buf_init(&tidy, SCAN_NAME_MOST);
	if (markup_tidy(s, &tidy))
		add_one_name(w, from, plain_name(buf_slice(&tidy)), type);
	buf_fini(&tidy);
}

static struct slice
declared_type(struct walk *w, GMimeContentType *type)
{
	if (type == NULL)
		return SLICE("application/octet-stream");
	char *text = g_mime_content_type_get_mime_type(type);
	struct slice s = arena_lower(w->arena, slice_first(slice_of(text), 80));
	g_free(text);
	return s;
}

/* Every parameter of that name: of two, one reader takes the first and another the last. */
static void
add_parameters(
	struct walk *w, size_t from, GMimeParamList *list, const char *name, struct slice type)
{
	int n = list != NULL ? g_mime_param_list_length(list) : 0;
	for (int i = 0; i < n; i++) {
		GMimeParam *p = g_mime_param_list_get_parameter_at(list, i);
		if (g_ascii_strcasecmp(g_mime_param_get_name(p), name) == 0)
			add_name(w, from, g_mime_param_get_value(p), type);
	}
}

/* Every field that may hold a name, since of two fields too readers take different ones. */
static void
add_field(struct walk *w, size_t from, GMimeHeader *field, struct slice type)
{
	const char *name = g_mime_header_get_name(field);
	const char *value = g_mime_header_get_raw_value(field);
	if (value == NULL)
		return;
	if (g_ascii_strcasecmp(name, "Content-Disposition") == 0) {
		GMimeContentDisposition *d = g_mime_content_disposition_parse(NULL, value);
		add_parameters(w, from, g_mime_content_disposition_get_parameters(d),
			"filename", type);
		g_object_unref(d);
	} else if (g_ascii_strcasecmp(name, "Content-Type") == 0) {
		GMimeContentType *t = g_mime_content_type_parse(NULL, value);
		add_parameters(w, from, g_mime_content_type_get_parameters(t), "name", type);
		g_object_unref(t);
	}
}

static void
add_names(struct walk *w, GMimeObject *part, struct slice type)
{
	struct scan_report *r = w->report;
	GMimeContentDisposition *disposition = g_mime_object_get_content_disposition(part);
	GMimeHeaderList *fields = g_mime_object_get_header_list(part);
	size_t from = r->n_attachments;
	for (int i = 0; i < g_mime_header_list_get_count(fields); i++)
		add_field(w, from, g_mime_header_list_get_header_at(fields, i), type);
	if (GMIME_IS_PART(part))
		add_name(w, from, g_mime_part_get_filename(GMIME_PART(part)), type);
	if (r->n_attachments == from && disposition != NULL &&
		g_mime_content_disposition_is_attachment(disposition))
		add_name(w, from, "", type);
}

static struct slice
parameter(struct walk *w, GMimeContentType *type, const char *name)
{
	const char *value = type != NULL ? g_mime_content_type_get_parameter(type, name) : NULL;
	return arena_lower(w->arena, slice_first(slice_of(value), 80));
}

/* The content of a leaf, decoded, to be looked at; what is found holds for all its names. */
static void
look_leaf(struct walk *w, GMimePart *part, struct slice type, size_t from, size_t to)
{
	struct scan_report *r = w->report;
	GMimeContentType *declared = g_mime_object_get_content_type(GMIME_OBJECT(part));
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	struct look_found found;
	if (content == NULL)
		return;
	GMimeStream *memory = g_mime_stream_mem_new();
	if (g_mime_data_wrapper_write_to_stream(content, memory) < 0)
		look_unread(w->look, "a part that cannot be decoded");
	GByteArray *bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory));
	struct look_file f = {.bytes = {(const char *)bytes->data, bytes->len},
		.name = from < to ? r->attachments[from].name : SLICE_NONE,
		.type = declared != NULL ? type : SLICE("text/plain"),
		.charset = parameter(w, declared, "charset"),
		.depth = w->depth};
	look_file(w->look, &f, &found);
	for (size_t i = from; i < to; i++) {
		r->attachments[i].bytes = f.bytes.n;
		r->attachments[i].encrypted = found.encrypted;
		r->attachments[i].hashed = found.hashed;
		memcpy(r->attachments[i].sha256, found.sha256, sizeof(found.sha256));
		if (found.type.n != 0)
			r->attachments[i].type = found.type;
	}
	g_object_unref(memory);
}

/* What says of itself that it is encrypted (RFC 8551 3.3, RFC 3156 4), whatever it holds. */
static bool
says_encrypted(struct walk *w, GMimeObject *part, struct slice type)
{
	GMimeContentType *declared = g_mime_object_get_content_type(part);
	struct slice kind = parameter(w, declared, "smime-type");
	return slice_eq(type, SLICE("multipart/encrypted")) ||
	       (slice_ends(type, SLICE("pkcs7-mime")) &&
		       slice_find_slice(kind, SLICE("enveloped")) < kind.n);
}

static void walk_part(struct walk *w, GMimeObject *part, unsigned depth);

static void
walk_multipart(struct walk *w, GMimeMultipart *m, unsigned depth)
{
	int n = g_mime_multipart_get_count(m);
	for (int i = 0; i < n && w->parts <= PARTS_MOST; i++)
		walk_part(w, g_mime_multipart_get_part(m, i), depth + 1);
}

static void walk_message(struct walk *w, GMimeMessage *m, unsigned depth);

static void
walk_part(struct walk *w, GMimeObject *part, unsigned depth)
{
	if (part == NULL)
		return;
	if (++w->parts > PARTS_MOST || depth > PARTS_DEPTH_MOST) {
		bool many = w->parts > PARTS_MOST;
		const char *why = many ? "too many parts" : "parts nested too deep";
		look_unscannable(w->look, many ? SCAN_REASON_PARTS : SCAN_REASON_DEPTH, why);
		look_unread(w->look, why);
		return;
	}
	struct slice type = declared_type(w, g_mime_object_get_content_type(part));
	size_t from = w->report->n_attachments;
	add_names(w, part, type);
	size_t to = w->report->n_attachments;
	bool encrypted = says_encrypted(w, part, type);
	if (encrypted)
		look_encrypted(w->look, "an encrypted message");
	if (GMIME_IS_MULTIPART(part))
		walk_multipart(w, GMIME_MULTIPART(part), depth);
	else if (GMIME_IS_MESSAGE_PART(part))
		walk_message(w, g_mime_message_part_get_message(GMIME_MESSAGE_PART(part)),
			depth + 1);
	else if (GMIME_IS_MESSAGE_PARTIAL(part))
		look_unread(w->look, "a piece of a message");
	else if (GMIME_IS_PART(part))
		look_leaf(w, GMIME_PART(part), type, from, to);
	for (size_t i = from; encrypted && i < to; i++)
		w->report->attachments[i].encrypted = true;
}

static void
walk_message(struct walk *w, GMimeMessage *m, unsigned depth)
{
	if (m == NULL)
		return;
	look_text(w->look, slice_of(g_mime_message_get_subject(m)));
	walk_part(w, g_mime_message_get_mime_part(m), depth);
}

static void
walk_plain(struct walk *w, struct slice subject, struct slice body)
{
	struct look_file f = {.bytes = body, .type = SLICE("text/plain"), .depth = w->depth};
	struct look_found found;
	look_text(w->look, subject);
	look_file(w->look, &f, &found);
}

static void
walk_mail(struct walk *w, struct slice mail)
{
	struct slice subject, body;
	if (plain_mail(mail, &subject, &body)) {
		walk_plain(w, subject, body);
		return;
	}
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(mail.p, mail.n);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);
	g_object_unref(parser);
	g_object_unref(stream);
	if (message == NULL) /* no header at all: there are no parts */
		look_text(w->look, mail);
	else
		walk_message(w, message, 0);
	if (message != NULL)
		g_object_unref(message);
}

void
parts_walk_inside(struct look *l, struct slice mail, unsigned depth)
{
	struct walk w = {.look = l, .arena = l->arena, .report = l->report, .depth = depth + 1};
	walk_mail(&w, mail);
}

void
parts_scan(struct slice mail, unsigned want, const struct pattern_set *patterns, unsigned ms,
	struct arena *a, struct scan_report *r)
{
	struct look l = {.arena = a,
		.report = r,
		.patterns = patterns,
		.want = want,
		.until_ms = clock_ms() + ms};
	struct walk w = {.look = &l, .arena = a, .report = r};
	walk_mail(&w, mail);
}
