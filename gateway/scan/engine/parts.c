/*
 * A walk over the MIME tree. GMime parses; names are taken in every reading that a reader of
 * mail may take (MIM-05): each filename and name of each field, decoded as any of them would.
 */
#include "engine/parts.h"

#include "engine/names.h"

#include <gmime/gmime.h>
#include <string.h>

struct walk {
	struct arena *arena;
	struct scan_report *report;
	const struct pattern_set *patterns;
	unsigned parts;
	uint64_t text_bytes;
};

void
parts_init(void)
{
	g_mime_init();
}

static void
unscannable(struct walk *w, const char *why)
{
	if (w->report->status != SCAN_CLEAN)
		return;
	w->report->status = SCAN_UNSCANNABLE;
	w->report->why = slice_of(why);
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
add_name(struct walk *w, size_t from, const char *name, struct slice type)
{
	struct scan_report *r = w->report;
	struct slice s = plain_name(slice_of(name));
	if (r->n_attachments >= SCAN_ATTACHMENTS_MOST) {
		unscannable(w, "too many attachments");
		return;
	}
	if (name == NULL || has_name(r, from, s))
		return;
	r->attachments[r->n_attachments++] =
		(struct scan_attachment){.name = arena_slice(w->arena, s), .type = type};
}

static uint64_t
decoded_bytes(GMimePart *part)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	GMimeStream *null = g_mime_stream_null_new();
	gint64 n = content != NULL ? g_mime_data_wrapper_write_to_stream(content, null) : 0;
	g_object_unref(null);
	return n > 0 ? (uint64_t)n : 0;
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
add_attachment(struct walk *w, GMimeObject *part)
{
	struct scan_report *r = w->report;
	GMimeContentDisposition *disposition = g_mime_object_get_content_disposition(part);
	GMimeHeaderList *fields = g_mime_object_get_header_list(part);
	struct slice type = declared_type(w, g_mime_object_get_content_type(part));
	size_t from = r->n_attachments;
	for (int i = 0; i < g_mime_header_list_get_count(fields); i++)
		add_field(w, from, g_mime_header_list_get_header_at(fields, i), type);
	if (GMIME_IS_PART(part))
		add_name(w, from, g_mime_part_get_filename(GMIME_PART(part)), type);
	if (r->n_attachments == from && disposition != NULL &&
		g_mime_content_disposition_is_attachment(disposition))
		add_name(w, from, "", type);
	if (r->n_attachments == from || !GMIME_IS_PART(part))
		return;
	uint64_t bytes = decoded_bytes(GMIME_PART(part));
	for (size_t i = from; i < r->n_attachments; i++)
		r->attachments[i].bytes = bytes;
}

/* Text as UTF-8, whatever its charset says; what does not decode is searched as it is. */
static void
search_text(struct walk *w, GMimePart *part)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
	if (content == NULL)
		return;
	GMimeStream *memory = g_mime_stream_mem_new();
	GMimeStream *filtered = g_mime_stream_filter_new(memory);
	const char *charset = g_mime_content_type_get_parameter(type, "charset");
	GMimeFilter *convert =
		charset != NULL ? g_mime_filter_charset_new(charset, "UTF-8") : NULL;
	if (convert != NULL) {
		g_mime_stream_filter_add(GMIME_STREAM_FILTER(filtered), convert);
		g_object_unref(convert);
	}
	g_mime_data_wrapper_write_to_stream(content, filtered);
	g_mime_stream_flush(filtered);
	GByteArray *bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory));
	w->text_bytes += bytes->len;
	if (w->text_bytes > PARTS_TEXT_MOST)
		unscannable(w, "more text than is searched");
	else if (!pattern_set_count(w->patterns,
			 (struct slice){(const char *)bytes->data, bytes->len},
			 w->report->patterns))
		unscannable(w, "a pattern reached its limit");
	g_object_unref(filtered);
	g_object_unref(memory);
}

static void walk_part(struct walk *w, GMimeObject *part, unsigned depth);

static void
walk_multipart(struct walk *w, GMimeMultipart *m, unsigned depth)
{
	int n = g_mime_multipart_get_count(m);
	for (int i = 0; i < n && w->parts <= PARTS_MOST; i++)
		walk_part(w, g_mime_multipart_get_part(m, i), depth + 1);
}

static void
walk_part(struct walk *w, GMimeObject *part, unsigned depth)
{
	if (part == NULL)
		return;
	if (++w->parts > PARTS_MOST || depth > PARTS_DEPTH_MOST) {
		unscannable(
			w, w->parts > PARTS_MOST ? "too many parts" : "parts nested too deep");
		return;
	}
	add_attachment(w, part);
	if (GMIME_IS_MULTIPART(part)) {
		walk_multipart(w, GMIME_MULTIPART(part), depth);
	} else if (GMIME_IS_MESSAGE_PART(part)) {
		GMimeMessage *m = g_mime_message_part_get_message(GMIME_MESSAGE_PART(part));
		walk_part(w, m != NULL ? g_mime_message_get_mime_part(m) : NULL, depth + 1);
	} else if (GMIME_IS_PART(part) && w->patterns != NULL) {
		GMimeContentType *type = g_mime_object_get_content_type(part);
		if (type == NULL || g_mime_content_type_is_type(type, "text", "*"))
			search_text(w, GMIME_PART(part));
	}
}

void
parts_scan(struct slice mail, const struct pattern_set *patterns, struct arena *a,
	struct scan_report *r)
{
	struct walk w = {.arena = a, .report = r, .patterns = patterns};
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(mail.p, mail.n);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);
	g_object_unref(parser);
	g_object_unref(stream);
	if (message == NULL)
		return; /* no header at all: there are no parts */
	const char *subject = g_mime_message_get_subject(message);
	if (patterns != NULL && subject != NULL &&
		!pattern_set_count(patterns, slice_of(subject), r->patterns))
		unscannable(&w, "a pattern reached its limit");
	walk_part(&w, g_mime_message_get_mime_part(message), 0);
	g_object_unref(message);
}
