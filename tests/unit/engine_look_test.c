/*
 * What is inside of attachments: text of documents, members of archives, what is encrypted,
 * damaged or over a bound (MIM-06, MIM-07). Archives are made here, by libarchive's writer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "engine/look.h"

enum { ARENA_MOST = 512 << 20, MADE_MOST = 128 << 20 };

static struct arena *arena;
static struct pattern_set *secrets;
static char *made;

struct member {
	const char *name;
	struct slice bytes;
};

enum how {
	ZIP,
	ZIP_AES,
	ZIP_OLD,
	SEVEN,
	TAR,
	TAR_GZ,
	TAR_XZ,
	TAR_BZ2,
	TAR_ZSTD,
	GZ,
	CPIO,
	ISO
};

static void
set_format(struct archive *w, enum how how)
{
	switch (how) {
	case ZIP: assert_int_equal(archive_write_set_format_zip(w), 0); break;
	case ZIP_AES:
	case ZIP_OLD:
		assert_int_equal(archive_write_set_format_zip(w), 0);
		assert_int_equal(archive_write_set_options(
					 w, how == ZIP_AES ? "zip:encryption=aes256"
							   : "zip:encryption=traditional"),
			0);
		assert_int_equal(archive_write_set_passphrase(w, "password"), 0);
		break;
	case SEVEN: assert_int_equal(archive_write_set_format_7zip(w), 0); break;
	case GZ: assert_int_equal(archive_write_set_format_raw(w), 0); break;
	case CPIO: assert_int_equal(archive_write_set_format_cpio_newc(w), 0); break;
	case ISO: assert_int_equal(archive_write_set_format_iso9660(w), 0); break;
	case TAR:
	case TAR_GZ:
	case TAR_XZ:
	case TAR_BZ2:
	case TAR_ZSTD: assert_int_equal(archive_write_set_format_ustar(w), 0); break;
	}
	if (how == TAR_GZ || how == GZ)
		assert_int_equal(archive_write_add_filter_gzip(w), 0);
	if (how == TAR_XZ)
		assert_int_equal(archive_write_add_filter_xz(w), 0);
	if (how == TAR_BZ2)
		assert_int_equal(archive_write_add_filter_bzip2(w), 0);
	if (how == TAR_ZSTD)
		assert_int_equal(archive_write_add_filter_zstd(w), 0);
}

static struct slice
packed(enum how how, const struct member *m, size_t n)
{
	size_t used = 0;
	struct archive *w = archive_write_new();
	set_format(w, how);
	assert_int_equal(archive_write_set_bytes_in_last_block(w, 1), 0);
	assert_int_equal(archive_write_open_memory(w, made, MADE_MOST, &used), 0);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();
		archive_entry_set_pathname(e, m[i].name);
		archive_entry_set_size(e, (la_int64_t)m[i].bytes.n);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0644);
		assert_int_equal(archive_write_header(w, e), 0);
		for (size_t at = 0; at < m[i].bytes.n;) {
			la_ssize_t wrote =
				archive_write_data(w, m[i].bytes.p + at, m[i].bytes.n - at);
			assert_true(wrote > 0);
			at += (size_t)wrote;
		}
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_close(w), 0);
	archive_write_free(w);
	return arena_slice(arena, (struct slice){made, used});
}

static struct slice
one(enum how how, const char *name, struct slice bytes)
{
	return packed(how, &(struct member){name, bytes}, 1);
}

static struct scan_report
look(const char *name, struct slice bytes)
{
	struct scan_report r = {.attachments = arena_array(
					arena, SCAN_ATTACHMENTS_MOST, sizeof(*r.attachments))};
	struct look l = {.arena = arena,
		.report = &r,
		.patterns = secrets,
		.want = SCAN_WANT_ALL,
		.until_ms = clock_ms() + 300000};
	struct look_file f = {.bytes = bytes, .name = slice_of(name)};
	struct look_found found;
	look_file(&l, &f, &found);
	look_attach(&l, f.name, &f, &found);
	return r;
}

static const struct scan_attachment *
find(const struct scan_report *r, const char *name)
{
	for (size_t i = 0; i < r->n_attachments; i++)
		if (slice_eq(r->attachments[i].name, slice_of(name)))
			return &r->attachments[i];
	return NULL;
}

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
#define W   "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\""

static struct slice
docx(const char *body)
{
	struct member m[] = {
		{"[Content_Types].xml", SLICE(XML "<Types xmlns=\"x\"/>")},
		{"word/document.xml", arena_printf(arena,
					      XML "<w:document " W "><w:body>%s</w:body>"
						  "</w:document>",
					      body)},
	};
	return packed(ZIP, m, 2);
}

static struct slice
xlsx(const char *sheet, const char *strings)
{
	struct member m[] = {
		{"[Content_Types].xml", SLICE(XML "<Types xmlns=\"x\"/>")},
		{"xl/workbook.xml", SLICE(XML "<workbook xmlns=\"x\"/>")},
		{"xl/worksheets/sheet1.xml",
			arena_printf(arena,
				"<worksheet xmlns=\"x\"><sheetData><row>%s</row></sheetData>"
				"</worksheet>",
				sheet)},
		{"xl/sharedStrings.xml",
			arena_printf(arena, XML "<sst xmlns=\"x\">%s</sst>", strings)},
	};
	return packed(ZIP, m, 4);
}

static struct slice
odt(const char *body, const char *manifest)
{
	struct member m[] = {
		{"mimetype", SLICE("application/vnd.oasis.opendocument.text")},
		{"META-INF/manifest.xml", arena_printf(arena, XML "<m>%s</m>", manifest)},
		{"content.xml",
			arena_printf(arena,
				XML "<o:d xmlns:o=\"o\" xmlns:text=\"t\" xmlns:table=\"b\" "
				    "xmlns:office=\"f\">%s</o:d>",
				body)},
	};
	return packed(ZIP, m, 3);
}

/* A PDF of one page that shows the text; the table of positions is rebuilt by who reads it. */
static struct slice
pdf(const char *show, const char *trailer)
{
	struct slice stream = arena_printf(arena, "BT /F 12 Tf 20 100 Td %s ET", show);
	return arena_printf(arena,
		"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
		"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
		"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 200]/Contents 4 0 R"
		"/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
		"4 0 obj<</Length %zu>>stream\n%.*s\nendstream endobj\n"
		"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
		"6 0 obj<</Filter/Standard/V 1/R 2/P -4/O(%032d)/U(%032d)>>endobj\n"
		"trailer<</Root 1 0 R%s>>\n%%%%EOF\n",
		stream.n, SLICE_ARG(stream), 1, 2, trailer);
}

static struct slice
slice_replaced(struct slice s, const char *from, const char *to)
{
	size_t at = slice_find_slice(s, slice_of(from));
	assert_true(at < s.n);
	struct slice rest = slice_from(s, at + strlen(from));
	return arena_printf(
		arena, "%.*s%s%.*s", SLICE_ARG(slice_first(s, at)), to, SLICE_ARG(rest));
}

static void
expect(const char *label, const char *name, struct slice bytes, unsigned count, bool unread)
{
	struct scan_report r = look(name, bytes);
	if (r.patterns[0] != count || r.text_unread != unread || r.status != SCAN_CLEAN)
		fail_msg("%s: %u matches, unread %d (%.*s), status %d (%.*s)", label,
			r.patterns[0], r.text_unread, SLICE_ARG(r.unread_why), r.status,
			SLICE_ARG(r.why));
}

static void
test_documents(void **state)
{
	(void)state;
	expect("runs are joined", "a.docx",
		docx("<w:p><w:r><w:t>4111</w:t></w:r><w:r><w:rPr><w:b/><w:caps/></w:rPr><w:t>"
		     "1111</w:t></w:r><w:r><w:t>1111</w:t></w:r><w:r><w:t>1111</w:t></w:r>"
		     "</w:p>"),
		1, false);
	expect("paragraphs are not", "a.docx",
		docx("<w:p><w:r><w:t>41111111</w:t></w:r></w:p><w:p><w:r><w:t>11111111</w:t>"
		     "</w:r></w:p>"),
		0, false);
	expect("a space that is kept", "a.docx",
		docx("<w:p><w:r><w:t>4111 1111 1111</w:t></w:r><w:r><w:t "
		     "xml:space=\"preserve\">"
		     " </w:t></w:r><w:r><w:t>1111</w:t></w:r></w:p>"),
		1, false);
	expect("in a table", "a.docx",
		docx("<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Card</w:t></w:r></w:p></w:tc><w:tc>"
		     "<w:p><w:r><w:t>4111-1111-1111-1111</w:t></w:r></w:p></w:tc></w:tr>"
		     "</w:tbl>"),
		1, false);
	expect("identifiers are no text", "a.docx",
		docx("<w:p w:rsidR=\"4111111111111111\"><w:r><w:t>x</w:t></w:r></w:p>"), 0,
		false);
	expect("not well-formed", "a.docx", docx("<w:p><w:t>4111111111111111"), 1, true);
	expect("a shared string", "a.xlsx",
		xlsx("<c r=\"A1\" t=\"s\"><v>0</v></c>",
			"<si><r><t>4111 1111 </t></r><r><t>1111 1111</t></r></si>"),
		1, false);
	expect("an inline string", "a.xlsx",
		xlsx("<c t=\"inlineStr\"><is><t>4111111111111111</t></is></c>", ""), 1, false);
	expect("a number", "a.xlsx", xlsx("<c><v>4111111111111111</v></c>", ""), 1, false);
	expect("a number as it is stored", "a.xlsx",
		xlsx("<c><v>4.1111111111111110E+15</v></c><c><v>4.111111111111111E+15</v></c>",
			""),
		2, false);
	expect("cells are apart", "a.xlsx",
		xlsx("<c><v>41111111</v></c><c><v>11111111</v></c>", ""), 0, false);
	expect("ODF", "a.odt",
		odt("<text:p>4111<text:span>1111</text:span><text:s/>1111<text:s/>1111</"
		    "text:p>",
			""),
		1, false);
	expect("ODF, a value", "a.ods",
		odt("<table:table-cell office:value=\"4111111111111111\"><text:p>4.11E15"
		    "</text:p></table:table-cell>",
			""),
		1, false);
	expect("a member of no bytes", "a.docx",
		packed(ZIP,
			(struct member[]){{"[Content_Types].xml", SLICE(XML "<t/>")},
				{"current.xml", SLICE("")}},
			2),
		0, false);
	expect("a type of document", "a.docx",
		packed(ZIP,
			(struct member[]){
				{"[Content_Types].xml",
					SLICE(XML "<!DOCTYPE t PUBLIC \"x\" \"y\"><t/>")},
				{"word/document.xml",
					SLICE(XML "<d><t>4111111111111111</t></d>")}},
			2),
		1, false);
	expect("an entity of its own", "a.docx",
		packed(ZIP,
			(struct member[]){{"[Content_Types].xml", SLICE(XML "<t/>")},
				{"word/document.xml",
					SLICE(XML "<!DOCTYPE d [<!ENTITY e \"1111\">]>"
						  "<d><t>411111111111&e;</t></d>")}},
			2),
		0, true);
	expect("PDF", "a.pdf", pdf("(Card 4111 1111 1111 1111) Tj", ""), 1, false);
	expect("PDF in pieces", "a.pdf", pdf("[(4111 1111) -20 (1111) 10 (1111)] TJ", ""), 1,
		false);
	expect("PDF, by hex", "a.pdf", pdf("<34313131313131313131313131313131> Tj", ""), 1,
		false);
	expect("PDF, a filter that nobody knows", "a.pdf",
		slice_replaced(pdf("(x) Tj", ""), "<</Length", "<</Filter/NoSuch/Length"), 0,
		true);
	expect("PDF, a stream that is damaged", "a.pdf",
		slice_replaced(pdf("(x) Tj", ""), "<</Length", "<</Filter/FlateDecode/Length"),
		0, true);
	expect("PDF, a font that is not there", "a.pdf",
		slice_replaced(pdf("(x) Tj", ""), "<</Font<</F 5", "<</Font<</G 5"), 0, true);
	expect("PDF, a page that is not there", "a.pdf",
		slice_replaced(pdf("(x) Tj", ""), "/Contents 4", "/Contents 9"), 0, true);
	expect("a damaged PDF", "a.pdf", SLICE("%PDF-1.4\nnothing"), 0, true);
	expect("an entity in XML", "a.docx", docx("<w:p><w:t>&#52;111111111111111</w:t></w:p>"),
		1, false);
}

static void
test_texts(void **state)
{
	(void)state;
	expect("HTML: tags within", "a.html",
		SLICE("<html><b>4111</b><i>1111</i>1111<!-- 7 -->1111</html>"), 1, false);
	expect("HTML: entities", "a.html",
		SLICE("<html>&#52;111&nbsp;1111&#x20;1111&shy;1111</html>"), 1, false);
	expect("HTML: paragraphs", "a.html",
		SLICE("<html><p>41111111</p><p>11111111</p></html>"), 0, false);
	expect("HTML: lines are spaces", "a.html",
		SLICE("<html>4111\r\n1111\r\n1111\r\n1111</html>"), 1, false);
	expect("HTML: cells", "a.html",
		SLICE("<html><td>4111</td><td>1111</td><td>1111</td><td>1111</td>"), 1, false);
	expect("HTML: as written", "a.html", SLICE("<html><input value=\"4111111111111111\">"),
		1, false);
	expect("HTML: both is one", "a.html", SLICE("<html>4111111111111111</html>"), 1, false);
	expect("RTF", "a.rtf",
		SLICE("{\\rtf1\\ansi{\\fonttbl{\\f0 X;}}\\f0 4111{\\b 1111}\\u49?\\'31"
		      "11 1111\\par}"),
		1, false);
	expect("UTF-16", "a.txt",
		(struct slice){"\xff\xfe"
			       "4\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0"
			       "1\0",
			34},
		1, false);
	expect("unseen characters", "a.txt",
		SLICE("4111\xe2\x80\x8b"
		      "1111\xc2\xa0"
		      "1111\xc2\xad"
		      "1111"),
		1, false);
	expect("wide digits", "a.txt",
		SLICE("\xef\xbc\x94"
		      "111111111111111"),
		1, false);
	expect("a picture", "a.png", SLICE("\x89PNG\r\n\x1a\n 4111111111111111"), 0, false);
	expect("OLE", "a.doc", SLICE("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 4111111111111111"), 1,
		true);
	expect("TNEF", "winmail.dat", SLICE("\x78\x9f\x3e\x22 x"), 0, true);
	expect("XML", "a.xml", SLICE(XML "<a><t>4111</t><t>111111111111</t></a>"), 1, false);
}

/* Members in archives, and archives in archives: names, sizes, types, hashes, text. */
static void
test_archives(void **state)
{
	(void)state;
	static const enum how hows[] = {
		ZIP, SEVEN, TAR, TAR_GZ, TAR_XZ, TAR_BZ2, TAR_ZSTD, CPIO, ISO};
	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		struct slice inner = one(ZIP, "deep/CARD.TXT", SLICE("4111111111111111"));
		struct member m[] = {{"RUN.EXE", SLICE("MZ and more")}, {"IN.ZIP", inner}};
		struct scan_report r = look("x.bin", packed(hows[i], m, 2));
		const struct scan_attachment *exe = find(&r, "RUN.EXE"),
					     *card = find(&r, "CARD.TXT"),
					     *zip = find(&r, "IN.ZIP");
		if (exe == NULL || card == NULL || zip == NULL || r.patterns[0] != 1 ||
			r.status != SCAN_CLEAN || r.text_unread || r.encrypted)
			fail_msg("%zu: %zu attachments, %u matches, status %d", i,
				r.n_attachments, r.patterns[0], r.status);
		unsigned depth = hows[i] >= TAR_GZ && hows[i] <= TAR_ZSTD ? 2 : 1;
		assert_true(exe->bytes == 11 && exe->depth == depth);
		assert_int_equal(card->depth, depth + 1);
		assert_true(slice_eq(
			exe->type, SLICE("application/vnd.microsoft.portable-executable")));
		assert_true(slice_eq(zip->type, SLICE("application/zip")));
		/* of "4111111111111111" */
		static const unsigned char first[] = {0x9b, 0xbe, 0xf1, 0x94};
		assert_true(card->hashed && memcmp(card->sha256, first, 4) == 0);
	}
	struct scan_report r = look("letter.txt.gz", one(GZ, "x", SLICE("4111111111111111")));
	assert_true(find(&r, "letter.txt") != NULL && r.patterns[0] == 1);
	struct slice mail =
		SLICE("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
		      "name=in.txt\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		      "NDExMTExMTExMTExMTExMQ==\r\n");
	r = look("x.zip", one(ZIP, "a.eml", mail));
	assert_true(find(&r, "in.txt") != NULL && r.patterns[0] == 1);
	assert_int_equal(find(&r, "in.txt")->depth, 2);
	struct slice behind = arena_printf(arena, "MZ a program in front of it  ");
	struct slice zip = one(ZIP, "a.txt", SLICE("4111111111111111"));
	char *both = arena_alloc(arena, behind.n + zip.n);
	memcpy(both, behind.p, behind.n);
	memcpy(both + behind.n, zip.p, zip.n);
	r = look("setup.exe", (struct slice){both, behind.n + zip.n});
	assert_true(find(&r, "a.txt") != NULL && r.patterns[0] == 1);
}

/* MIM-07: what needs a key is told as such, and is not a match that is missing. */
static void
test_encrypted(void **state)
{
	(void)state;
	static const char cms[] =
		"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80";
	static const char ole[600] = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
				     "E\0n\0c\0r\0y\0p\0t\0"
				     "e\0d\0P\0a\0c\0k\0a\0g\0e\0";
	struct slice inside = one(ZIP_AES, "card.txt", SLICE("4111111111111111"));
	const struct {
		const char *label, *name;
		struct slice bytes;
	} rows[] = {
		{"zip, AES", "a.zip", inside},
		{"zip, traditional", "a.zip", one(ZIP_OLD, "a.txt", SLICE("4111111111111111"))},
		{"in a zip", "b.zip", one(ZIP, "a.zip", inside)},
		{"ODF", "a.odt", odt("\1\2\3", "<encryption-data/>")},
		{"OOXML", "a.docx", {ole, sizeof(ole)}},
		{"PDF", "a.pdf", pdf("(x) Tj", "/Encrypt 6 0 R/ID[<01><02>]")},
		{"S/MIME", "smime.p7m", {cms, sizeof(cms) - 1}},
		{"OpenPGP", "a.asc", SLICE("-----BEGIN PGP MESSAGE-----\n\nx\n")},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scan_report r = look(rows[i].name, rows[i].bytes);
		const struct scan_attachment *a = find(&r, rows[i].name);
		if (!r.encrypted || !r.text_unread || r.patterns[0] != 0 || a == NULL ||
			!a->encrypted || r.unread_why.n == 0)
			fail_msg("%s: encrypted %d, unread %d (%.*s), status %d", rows[i].label,
				r.encrypted, r.text_unread, SLICE_ARG(r.unread_why), r.status);
	}
	struct scan_report r = look("a.zip", inside);
	assert_true(find(&r, "card.txt") != NULL && find(&r, "card.txt")->encrypted);
	r = look("a.zip", one(ZIP, "plain.txt", SLICE("x")));
	assert_false(r.encrypted || r.text_unread || find(&r, "a.zip")->encrypted);
}

/* Headers of archives of which the members' names are encrypted too, or all of a member. */
static void
test_encrypted_headers(void **state)
{
	(void)state;
	/* RAR 4: the main header says that what follows is encrypted */
	static const char rar[] = "Rar!\x1a\7\0"
				  "\xce\x99\x73\x80\0\r\0\0\0\0\0\0\0"
				  "0123456789abcdef0123456789abcdef";
	/* RAR 5: a header of encryption (type 4) */
	static const char rar5[] = "Rar!\x1a\7\1\0"
				   "\x69\x80\x53\x1a\x15\x04\x00\x00\x00\x0f"
				   "0123456789abcdef0123456789abcdef";
	const struct {
		const char *label;
		struct slice bytes;
	} rows[] = {{"rar", {rar, sizeof(rar) - 1}}, {"rar5", {rar5, sizeof(rar5) - 1}}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scan_report r = look("a.rar", rows[i].bytes);
		if (!r.text_unread || !r.encrypted || !find(&r, "a.rar")->encrypted)
			fail_msg("%s: status %d, %.*s", rows[i].label, r.status,
				SLICE_ARG(r.unread_why));
	}
}

/* Damaged archives: what is in front of the damage is looked at, the rest is told. */
static void
test_damaged(void **state)
{
	(void)state;
	char *noise = arena_alloc(arena, 200000);
	for (size_t i = 0; i < 200000; i++)
		noise[i] = (char)(i * i * 2654435761u >> 13);
	static const enum how hows[] = {TAR_GZ, TAR_BZ2, TAR_XZ, ZIP, SEVEN};
	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		struct member m[] = {
			{"first.txt", SLICE("4111111111111111")}, {"noise", {noise, 200000}}};
		struct slice whole = packed(hows[i], m, 2);
		struct scan_report r = look("a", slice_first(whole, whole.n * 2 / 3));
		if (r.status != SCAN_UNSCANNABLE || r.reason != SCAN_REASON_BROKEN ||
			!r.text_unread)
			fail_msg("%zu: status %d, reason %d", i, r.status, r.reason);
		/* every cut of a small one ends, and none is clean but the whole */
		struct slice small = packed(hows[i], m, 1);
		for (size_t cut = 8; cut < small.n; cut += 7)
			(void)look("a", slice_first(small, cut));
	}
}

/* MIM-06: over a bound, and why; never clean. */
static void
test_bounds(void **state)
{
	(void)state;
	static char zeros[1 << 20];
	struct slice nested = one(ZIP, "x.txt", SLICE("4111111111111111"));
	for (int i = 0; i < LOOK_DEPTH_MOST - 1; i++)
		nested = one(ZIP, "n.zip", nested);
	expect("as deep as may be", "a.zip", nested, 1, false);
	struct scan_report r = look("a.zip", one(ZIP, "n.zip", nested));
	assert_true(
		r.status == SCAN_UNSCANNABLE && r.reason == SCAN_REASON_DEPTH && r.text_unread);
	struct member *many = arena_array(arena, LOOK_FILES_MOST + 1, sizeof(*many));
	for (size_t i = 0; i <= LOOK_FILES_MOST; i++)
		many[i] = (struct member){arena_printf(arena, "%zu", i).p, SLICE("x")};
	r = look("a.tar", packed(TAR_GZ, many, LOOK_FILES_MOST + 1));
	assert_true(r.status == SCAN_UNSCANNABLE && r.reason == SCAN_REASON_PARTS);
	/* too well packed; and a bomb within a bomb, of 42.zip's shape */
	struct member *bomb = arena_array(arena, 64, sizeof(*bomb));
	for (size_t i = 0; i < 64; i++)
		bomb[i] = (struct member){
			arena_printf(arena, "%zu", i).p, {zeros, sizeof(zeros)}};
	struct slice leaf = packed(ZIP, bomb, 64);
	r = look("a.zip", leaf);
	assert_true(r.status == SCAN_UNSCANNABLE && r.reason == SCAN_REASON_BYTES);
	for (size_t i = 0; i < 16; i++)
		bomb[i].bytes = leaf;
	struct slice level = packed(ZIP, bomb, 16);
	for (size_t i = 0; i < 16; i++)
		bomb[i].bytes = level;
	uint64_t began = clock_ms();
	r = look("42.zip", packed(ZIP, bomb, 16));
	assert_true(r.status == SCAN_UNSCANNABLE && r.reason == SCAN_REASON_BYTES);
	assert_true(clock_ms() - began < 60000);
}

/* A gzip of 10 GiB of zeros, made of members of 1 MiB one after the other. */
static void
test_zeros(void **state)
{
	(void)state;
	static char zeros[1 << 20];
	struct slice g = one(GZ, "z", (struct slice){zeros, sizeof(zeros)});
	enum { TIMES = 10240 };
	char *all = arena_alloc(arena, g.n * TIMES);
	for (size_t i = 0; i < TIMES; i++)
		memcpy(all + i * g.n, g.p, g.n);
	struct scan_report r = look("zeros.gz", (struct slice){all, g.n * TIMES});
	if (r.status != SCAN_UNSCANNABLE || r.reason != SCAN_REASON_BYTES || !r.text_unread)
		fail_msg("status %d, reason %d, %.*s: %zu, %zu bytes", r.status, r.reason,
			SLICE_ARG(r.why), r.n_attachments, (size_t)r.attachments[0].bytes);
}

/* 300 members that share the bytes of one: 29 KB are 300 MB. */
static void
test_overlapping(void **state)
{
	(void)state;
	char path[600];
	snprintf(path, sizeof(path), "%s/tests/data/archives-own/overlapping.zip",
		getenv("POSTERN_SOURCE"));
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	size_t n = fread(made, 1, MADE_MOST, f);
	fclose(f);
	assert_int_equal(n, 28950);
	struct scan_report r = look("a.zip", (struct slice){made, n});
	assert_true(r.status == SCAN_UNSCANNABLE && r.reason == SCAN_REASON_BYTES);
	assert_true(r.text_unread);
}

static int
start(void **state)
{
	struct err err;
	(void)state;
	look_init();
	made = malloc(MADE_MOST);
	secrets = pattern_set_new();
	return made != NULL ? pattern_set_add(secrets, "\\b(?:\\d[ -]?){13,16}\\b", false,
				      PATTERN_WITH_LUHN, &err)
			    : -1;
}

static int
end(void **state)
{
	(void)state;
	free(made);
	pattern_set_free(&secrets);
	return 0;
}

static int
each(void **state)
{
	(void)state;
	arena = arena_new(ARENA_MOST);
	return 0;
}

static int
after(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_documents, each, after),
		cmocka_unit_test_setup_teardown(test_texts, each, after),
		cmocka_unit_test_setup_teardown(test_archives, each, after),
		cmocka_unit_test_setup_teardown(test_encrypted, each, after),
		cmocka_unit_test_setup_teardown(test_encrypted_headers, each, after),
		cmocka_unit_test_setup_teardown(test_damaged, each, after),
		cmocka_unit_test_setup_teardown(test_bounds, each, after),
		cmocka_unit_test_setup_teardown(test_overlapping, each, after),
		cmocka_unit_test_setup_teardown(test_zeros, each, after),
	};
	return cmocka_run_group_tests(tests, start, end);
}
