/*
 * Poppler, the only place that includes it; see pdf.h. It is C++ that meets hostile files: what
 * it does to this process costs the worker, and a mail that kills two is unscannable.
 */
#include "engine/pdf.h"

#include <poppler/glib/poppler.h>
#include <string.h>

#include "base/buf.h"
#include "engine/markup.h"

enum { PAGES_MOST = 2000, ATTACHMENTS_MOST = 1000 };

/* The smallest that Poppler opens: whatever it does first is then done. */
static const char nothing[] =
	"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
	"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<<"
	"/F 5 0 R>>>>>>endobj\n"
	"4 0 obj<</Length 26>>stream\nBT /F 9 Tf (a b) Tj ET    \nendstream endobj\n"
	"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
	"trailer<</Root 1 0 R>>\n%%EOF\n";

/* Of the document under way: what Poppler says when it leaves text away. */
static bool left_away;

static void
on_words(const char *domain, GLogLevelFlags level, const char *words, gpointer arg)
{
	static const char *const telling[] = {"flate stream", "LZW stream", "ASCIIHex stream",
		"ASCII85 stream", "Unknown filter", "language pack", "No font in show",
		"Invalid XRef entry"};
	(void)domain;
	(void)level;
	(void)arg;
	for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++)
		left_away |= strstr(words, telling[i]) != NULL;
}

static PopplerDocument *
open_pdf(struct slice bytes, GError **error)
{
	GBytes *b = g_bytes_new_static(bytes.p, bytes.n);
	PopplerDocument *d = poppler_document_new_from_bytes(b, NULL, error);
	g_bytes_unref(b);
	return d;
}

void
pdf_init(void)
{
	g_log_set_handler("Poppler",
		(GLogLevelFlags)(G_LOG_LEVEL_MASK | G_LOG_FLAG_FATAL | G_LOG_FLAG_RECURSION),
		on_words, NULL);
	PopplerDocument *d = open_pdf((struct slice){nothing, sizeof(nothing) - 1}, NULL);
	PopplerPage *page = d != NULL ? poppler_document_get_page(d, 0) : NULL;
	if (page != NULL) {
		g_free(poppler_page_get_text(page));
		g_object_unref(page);
	}
	if (d != NULL)
		g_object_unref(d);
}

/* What was typed into a form may be drawn nowhere. */
static void
add_fields(PopplerPage *page, struct buf *text)
{
	GList *fields = poppler_page_get_form_field_mapping(page);
	for (GList *i = fields; i != NULL; i = i->next) {
		PopplerFormField *field = ((PopplerFormFieldMapping *)i->data)->field;
		if (poppler_form_field_get_field_type(field) != POPPLER_FORM_FIELD_TEXT)
			continue;
		char *value = poppler_form_field_text_get_text(field);
		(void)buf_add(text, slice_of(value));
		(void)buf_add_byte(text, '\n');
		g_free(value);
	}
	poppler_page_free_form_field_mapping(fields);
}

/* False: a page could not be read, or there is no room for its text. */
static bool
add_page(PopplerDocument *d, int at, struct buf *text)
{
	PopplerPage *page = poppler_document_get_page(d, at);
	if (page == NULL)
		return false;
	char *words = poppler_page_get_text(page);
	bool fits = words != NULL && buf_add(text, slice_of(words)) == 0 &&
		    buf_add_byte(text, '\n') == 0;
	g_free(words);
	add_fields(page, text);
	g_object_unref(page);
	return fits;
}

static void
look_pages(struct look *l, PopplerDocument *d)
{
	struct buf text;
	int n = poppler_document_get_n_pages(d);
	buf_init(&text, LOOK_TEXT_MOST);
	if (n <= 0)
		look_unread(l, "a damaged PDF document");
	left_away = false;
	for (int i = 0; i < n && !look_late(l); i++) {
		if (i < PAGES_MOST && add_page(d, i, &text))
			continue;
		look_unread(l, i < PAGES_MOST ? "a page of a PDF document that cannot be read"
					      : "a PDF document of too many pages");
		if (i >= PAGES_MOST)
			break;
	}
	if (left_away)
		look_unread(l, "a PDF document of which not all text can be read");
	look_text(l, buf_slice(&text));
	buf_fini(&text);
}

struct saved {
	struct buf buf;
	struct look *look;
};

static gboolean
save(const char *bytes, gsize n, gpointer arg, GError **error)
{
	struct saved *s = arg;
	(void)error;
	s->look->unpacked += n;
	if (s->look->unpacked <= LOOK_BYTES_MOST &&
		buf_add(&s->buf, (struct slice){bytes, n}) == 0)
		return TRUE;
	look_unscannable(s->look, SCAN_REASON_BYTES, "too large when unpacked");
	look_unread(s->look, "too large when unpacked");
	return FALSE;
}

static void
look_attached(struct look *l, const struct look_file *f, PopplerAttachment *a,
	struct look_found *found)
{
	struct saved s = {.look = l};
	struct look_found inside = {.encrypted = false};
	GError *error = NULL;
	buf_init(&s.buf, LOOK_FILE_BYTES);
	if (!poppler_attachment_save_to_callback(a, save, &s, &error))
		look_unread(l, "a file in a PDF document that cannot be read");
	if (error != NULL)
		g_error_free(error);
	struct look_file file = {.bytes = buf_slice(&s.buf),
		.name = arena_slice(l->arena, slice_of(a->name)),
		.depth = f->depth + 1};
	look_file(l, &file, &inside);
	look_attach(l, file.name, &file, &inside);
	found->encrypted |= inside.encrypted;
	buf_fini(&s.buf);
}

static void
look_attachments(
	struct look *l, const struct look_file *f, PopplerDocument *d, struct look_found *found)
{
	unsigned n = 0;
	if (!poppler_document_has_attachments(d))
		return;
	GList *list = poppler_document_get_attachments(d);
	for (GList *i = list; i != NULL; i = i->next) {
		if (n++ < ATTACHMENTS_MOST && !look_late(l)) {
			look_attached(l, f, i->data, found);
		} else {
			look_unscannable(l, SCAN_REASON_PARTS, "too many files inside");
			look_unread(l, "too many files inside");
		}
		g_object_unref(i->data);
	}
	g_list_free(list);
}

void
pdf_look(struct look *l, const struct look_file *f, struct look_found *found)
{
	GError *error = NULL;
	size_t at = slice_find_slice(f->bytes, SLICE("%PDF-"));
	PopplerDocument *d = open_pdf(slice_from(f->bytes, at < f->bytes.n ? at : 0), &error);
	if (d == NULL) {
		if (g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED)) {
			found->encrypted = true;
			look_encrypted(l, "an encrypted PDF document");
		} else {
			look_unread(l, "a damaged PDF document");
		}
		g_clear_error(&error);
		return;
	}
	if (l->patterns != NULL)
		look_pages(l, d);
	look_attachments(l, f, d, found);
	g_object_unref(d);
}
