/*
 * One file of a mail, and what becomes of it: its kind by content, its hash, its text, what is
 * inside. The readers of the kinds (archive.c, document_xml.c, document_pdf.c, markup.c,
 * charset.c) call back here for what they find, so that bounds and reports are in one place.
 */
#include "engine/look.h"

#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "engine/archive.h"
#include "engine/charset.h"
#include "engine/document.h"
#include "engine/hash.h"
#include "engine/kind.h"
#include "engine/markup.h"
#include "engine/names.h"
#include "engine/parts.h"
#include "engine/pdf.h"

void
look_init(void)
{
	parts_init();
	hash_init();
	charset_init();
	document_init();
	pdf_init();
}

void
look_unscannable(struct look *l, enum scan_reason reason, const char *why)
{
	struct scan_report *r = l->report;
	/* What hides more goes before what hides less: a bound, damage, a pattern's limit. */
	static const unsigned char weights[SCAN_REASONS] = {[SCAN_REASON_NONE] = 0,
		[SCAN_REASON_PATTERN] = 1,
		[SCAN_REASON_BROKEN] = 2,
		[SCAN_REASON_DEPTH] = 3,
		[SCAN_REASON_PARTS] = 3,
		[SCAN_REASON_BYTES] = 3,
		[SCAN_REASON_TIME] = 3,
		[SCAN_REASON_CRASHED] = 3};
	if (weights[reason] <= weights[r->reason] ||
		(r->status != SCAN_CLEAN && r->status != SCAN_UNSCANNABLE))
		return;
	r->status = SCAN_UNSCANNABLE;
	r->reason = reason;
	r->why = slice_of(why);
}

void
look_unread(struct look *l, const char *why)
{
	if (!l->report->text_unread)
		l->report->unread_why = slice_of(why);
	l->report->text_unread = true;
}

void
look_encrypted(struct look *l, const char *what)
{
	l->report->encrypted = true;
	look_unread(l, what);
}

bool
look_late(struct look *l)
{
	if (clock_ms() < l->until_ms)
		return false;
	look_unscannable(l, SCAN_REASON_TIME, "looking into it takes too long");
	look_unread(l, "looking into it takes too long");
	return true;
}

/* False: nothing more of this mail is searched. */
static bool
text_fits(struct look *l, size_t bytes)
{
	l->text_bytes += bytes;
	if (l->text_bytes <= LOOK_TEXT_MOST)
		return !look_late(l);
	look_unscannable(l, SCAN_REASON_BYTES, "more text than is searched");
	look_unread(l, "more text than is searched");
	return false;
}

static void
count(struct look *l, struct slice utf8, unsigned counts[SCAN_PATTERNS_MOST])
{
	if (pattern_set_count(l->patterns, utf8, counts))
		return;
	look_unscannable(l, SCAN_REASON_PATTERN, "a pattern reached its limit");
	look_unread(l, "a pattern reached its limit");
}

void
look_text(struct look *l, struct slice utf8)
{
	struct buf tidy;
	if (l->patterns == NULL || utf8.n == 0)
		return;
	buf_init(&tidy, LOOK_TEXT_MOST);
	if (utf8.n <= LOOK_TEXT_MOST && markup_tidy(utf8, &tidy))
		look_text_twice(l, utf8, buf_slice(&tidy));
	else if (text_fits(l, utf8.n))
		count(l, utf8, l->report->patterns);
	buf_fini(&tidy);
}

void
look_text_twice(struct look *l, struct slice one, struct slice other)
{
	unsigned counts[2][SCAN_PATTERNS_MOST] = {{0}};
	if (l->patterns == NULL || !text_fits(l, one.n > other.n ? one.n : other.n))
		return;
	count(l, one, counts[0]);
	count(l, other, counts[1]);
	for (size_t i = 0; i < SCAN_PATTERNS_MOST; i++)
		l->report->patterns[i] +=
			counts[0][i] > counts[1][i] ? counts[0][i] : counts[1][i];
}

void
look_attach(struct look *l, struct slice name, const struct look_file *f,
	const struct look_found *found)
{
	struct scan_report *r = l->report;
	if (r->n_attachments >= SCAN_ATTACHMENTS_MOST) {
		look_unscannable(l, SCAN_REASON_PARTS, "too many attachments");
		return;
	}
	struct scan_attachment *a = &r->attachments[r->n_attachments++];
	*a = (struct scan_attachment){.name = arena_slice(l->arena, plain_name(name)),
		.type = found->type.n != 0 ? found->type
			: f->type.n != 0   ? f->type
					   : SLICE("application/octet-stream"),
		.bytes = f->bytes.n,
		.depth = f->depth,
		.encrypted = found->encrypted,
		.hashed = found->hashed};
	memcpy(a->sha256, found->sha256, sizeof(a->sha256));
}

/* --- text in its kinds */

/* Markup is searched as it is shown and as it is written: both are read by somebody. */
static void
look_markup(struct look *l, struct slice utf8)
{
	struct buf shown;
	if (l->patterns == NULL || utf8.n > LOOK_TEXT_MOST) {
		look_text(l, utf8);
		return;
	}
	buf_init(&shown, LOOK_TEXT_MOST);
	markup_text(utf8, &shown);
	look_text_twice(l, utf8, buf_slice(&shown));
	buf_fini(&shown);
}

/* As UTF-8, and as it came: a reader may hold the charset for wrong. */
static void
look_plain(struct look *l, const struct look_file *f, enum kind k)
{
	bool html = k == KIND_HTML || slice_eq(f->type, SLICE("text/html"));
	struct buf utf8;
	struct slice text = f->bytes;
	if (l->patterns == NULL)
		return;
	buf_init(&utf8, 4 * (size_t)LOOK_TEXT_MOST);
	if (f->bytes.n > LOOK_TEXT_MOST) {
		(void)text_fits(l, f->bytes.n);
	} else {
		switch (charset_decode(f->bytes, f->charset, &utf8)) {
		case CHARSET_AS_IT_IS: break;
		case CHARSET_DECODED: text = buf_slice(&utf8); break;
		case CHARSET_UNKNOWN:
			look_unread(l, "a text in a charset that is not known");
			break;
		}
		if (html)
			look_markup(l, text);
		else
			look_text(l, text);
		if (text.p != f->bytes.p)
			look_text(l, f->bytes);
	}
	buf_fini(&utf8);
}

static void
look_xml(struct look *l, const struct look_file *f, struct look_found *found)
{
	struct buf text;
	if (l->members_of_package != 0 &&
		slice_find_slice(f->bytes, SLICE("encryption-data")) < f->bytes.n &&
		slice_ends(f->name, SLICE("META-INF/manifest.xml"))) {
		found->encrypted = true;
		look_encrypted(l, "an encrypted document");
	}
	if (l->patterns == NULL)
		return;
	buf_init(&text, LOOK_TEXT_MOST);
	if (document_xml_text(f->bytes, &text) < 0) {
		look_unread(l, "an XML text that cannot be read");
		look_plain(l, f, KIND_XML);
	} else if (l->members_of_package != 0) {
		look_text(l, buf_slice(&text)); /* its markup is for machines */
	} else {
		look_text_twice(l, buf_slice(&text), f->bytes);
	}
	buf_fini(&text);
}

static void
look_rtf(struct look *l, const struct look_file *f)
{
	struct buf text;
	if (l->patterns == NULL)
		return;
	buf_init(&text, LOOK_TEXT_MOST);
	if (f->bytes.n > LOOK_TEXT_MOST)
		look_unread(l, "an RTF document that is too large");
	else {
		markup_rtf_text(f->bytes, &text);
		look_text_twice(l, buf_slice(&text), f->bytes);
	}
	buf_fini(&text);
}

/* Documents as they were: their text stands in them in pieces, in 8 or 16 bits. A match is one;
 * that there is none is not known. */
static void
look_ole(struct look *l, const struct look_file *f, struct look_found *found)
{
	if (document_ole_encrypted(f->bytes)) {
		found->encrypted = true;
		look_encrypted(l, "an encrypted document");
		return;
	}
	if (slice_ends_nocase(f->name, SLICE("vbaProject.bin")) && l->members_of_package != 0)
		return; /* programs of a document, not its text */
	look_unread(l, "a document of a kind that is not read");
	if (l->patterns == NULL || f->bytes.n > LOOK_TEXT_MOST)
		return;
	struct buf narrow;
	buf_init(&narrow, LOOK_TEXT_MOST);
	charset_narrow(f->bytes, &narrow);
	look_text_twice(l, f->bytes, buf_slice(&narrow));
	buf_fini(&narrow);
}

static void
look_cms(struct look *l, const struct look_file *f, struct look_found *found)
{
	static const char enveloped[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03",
			  authenticated[] =
				  "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17";
	struct slice head = slice_first(f->bytes, 32);
	if (slice_find_slice(head, SLICE("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")) <
		head.n) {
		if (!slice_ends(f->type, SLICE("-signature")))
			look_unread(l, "a signed message in one piece");
		return;
	}
	if (slice_find_slice(head, slice_of(enveloped)) < head.n ||
		slice_find_slice(head, slice_of(authenticated)) < head.n) {
		found->encrypted = true;
		look_encrypted(l, "an encrypted message (S/MIME)");
	}
}

/* Documents of programs of others, known by their names and types alone. */
static bool
is_unread_document(const struct look_file *f)
{
	static const char *const types[] = {"application/vnd.apple.", "application/vnd.lotus-",
		"application/wordperfect", "application/vnd.wordperfect", "image/vnd.djvu",
		"application/onenote", "application/vnd.visio"};
	static const char *const ends[] = {".pages", ".numbers", ".key", ".wpd", ".wk4",
		".djvu", ".one", ".iwa", ".xlsb", ".hwp", ".mobi"};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (slice_starts(f->type, slice_of(types[i])))
			return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (slice_ends_nocase(f->name, slice_of(ends[i])))
			return true;
	return false;
}

static bool
is_mail(const struct look_file *f)
{
	return f->depth > 0 && (slice_ends_nocase(f->name, SLICE(".eml")) ||
				       slice_ends_nocase(f->name, SLICE(".mht")) ||
				       slice_ends_nocase(f->name, SLICE(".mhtml")));
}

/* Declared as one, and not named as something else. */
static bool
is_picture(const struct look_file *f)
{
	static const char *const types[] = {"image/", "audio/", "video/", "font/"};
	static const char *const ends[] = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".ico",
		".tif", ".tiff", ".webp", ".mp3", ".mp4", ".wav", ".ogg", ".ttf", ".woff"};
	bool declared = false, named = f->name.n == 0;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		declared |= slice_starts(f->type, slice_of(types[i]));
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		named |= slice_ends_nocase(f->name, slice_of(ends[i]));
	return declared && named;
}

static void
look_unknown(struct look *l, const struct look_file *f)
{
	bool text = slice_starts(f->type, SLICE("text/"));
	if (is_mail(f))
		parts_walk_inside(l, f->bytes, f->depth);
	else if (is_unread_document(f) && kind_is_binary(f->bytes))
		look_unread(l, "a document of a kind that is not read");
	else if (text || (!kind_is_binary(f->bytes) && !is_picture(f)))
		look_plain(l, f, KIND_UNKNOWN);
}

/* A member of a document whose text stands in its markup, which need not say so. */
static bool
is_member_text(const struct look *l, const struct look_file *f)
{
	return l->members_of_package != 0 &&
	       (slice_ends_nocase(f->name, SLICE(".xml")) ||
		       slice_ends_nocase(f->name, SLICE(".rels")));
}

/* False: its bytes are still to be looked at as text. */
static bool
look_inside(struct look *l, const struct look_file *f, enum kind k, struct look_found *found)
{
	switch ((int)k) {
	case KIND_UNKNOWN: return false;
	case KIND_XML: look_xml(l, f, found); return true;
	case KIND_HTML:
	case KIND_UTF16: look_plain(l, f, k); return true;
	case KIND_RTF: look_rtf(l, f); return true;
	case KIND_PDF: pdf_look(l, f, found); break;
	case KIND_OLE: look_ole(l, f, found); break;
	case KIND_TNEF: look_unread(l, "an attachment in the format of Outlook (TNEF)"); break;
	case KIND_CMS: look_cms(l, f, found); break;
	case KIND_PGP:
		found->encrypted = true;
		look_encrypted(l, "an encrypted message (OpenPGP)");
		break;
	default: break;
	}
	if (kind_is_archive(k)) {
		archive_look(l, f, k, found);
		if (is_unread_document(f))
			look_unread(l, "a document of a kind that is not read");
	}
	/* What is declared as text is shown as one, whatever it begins with. */
	return !slice_starts(f->type, SLICE("text/"));
}

void
look_file(struct look *l, const struct look_file *f, struct look_found *found)
{
	*found = (struct look_found){.encrypted = false};
	if ((l->want & SCAN_WANT_HASHES) != 0) {
		hash_sha256(f->bytes, found->sha256);
		found->hashed = true;
	}
	enum kind k = kind_of(f->bytes);
	found->type = kind_type(k, f->bytes);
	if (look_late(l))
		return;
	if (l->nested >= LOOK_DEPTH_MOST && (kind_is_archive(k) || is_mail(f))) {
		look_unscannable(l, SCAN_REASON_DEPTH, "nested too deep");
		look_unread(l, "nested too deep");
		return;
	}
	l->nested++;
	if (is_member_text(l, f))
		look_xml(l, f, found);
	else if (!look_inside(l, f, k, found))
		look_unknown(l, f);
	l->nested--;
}
