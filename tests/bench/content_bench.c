/*
 * What rules on content cost, CPU time of one core and one mail: looking for cards, IBANs and
 * ten thousand words in a text of 50 KB and in a document of 100 KB, names and hashes of
 * attachments, beside libclamav without a signature on the same mails. One line a figure: name
 * TAB value TAB what it is.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"
#include "engine/parts.h"
#include "engine/virus.h"

enum { TEXT = 50 * 1024, DOCX = 100 * 1024, MAIL_MOST = 8 << 20, WORDS = 10000, ROUNDS = 100 };

static unsigned seed = 1;

static unsigned
next(unsigned below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % below;
}

static double
now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Words of three to ten letters; now and then a number that is no card's. */
static void
add_prose(struct buf *b, size_t bytes, const char *line_end)
{
	size_t line = 0, end = buf_slice(b).n + bytes;
	while (buf_slice(b).n < end) {
		if (next(40) == 0)
			buf_printf(b, "%u%08u%05u ", 1 + next(9), next(32768), next(32768));
		for (unsigned n = 3 + next(8); n > 0; n--)
			buf_add_byte(b, (char)('a' + next(26)));
		buf_add_byte(b, ' ');
		if (++line % 10 == 0)
			buf_add_text(b, line_end);
	}
}

static struct slice
text_mail(void)
{
	static struct buf b;
	buf_init(&b, MAIL_MOST);
	buf_add_text(&b, "From: a@b.example\r\nMIME-Version: 1.0\r\n"
			 "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	add_prose(&b, TEXT, "\r\n");
	return buf_slice(&b);
}

static void
add_member(struct archive *w, const char *name, struct slice bytes)
{
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_pathname(e, name);
	archive_entry_set_size(e, (la_int64_t)bytes.n);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	if (archive_write_header(w, e) != 0 ||
		archive_write_data(w, bytes.p, bytes.n) != (la_ssize_t)bytes.n)
		errx(1, "%s", archive_error_string(w));
	archive_entry_free(e);
}

static size_t
docx(char *out, size_t room)
{
	struct buf xml;
	size_t used = 0;
	buf_init(&xml, MAIL_MOST);
	buf_add_text(&xml, "<?xml version=\"1.0\"?><w:document xmlns:w=\"w\"><w:body>");
	while (buf_slice(&xml).n < 6 * DOCX / 2) {
		buf_add_text(&xml,
			"<w:p w:rsidR=\"00AB12CD\"><w:pPr><w:pStyle w:val=\"Normal\"/>"
			"</w:pPr>");
		for (int run = 0; run < 4; run++) {
			buf_add_text(&xml, "<w:r><w:rPr><w:lang w:val=\"en-US\"/></w:rPr>"
					   "<w:t xml:space=\"preserve\">");
			add_prose(&xml, 90, "");
			buf_add_text(&xml, "</w:t></w:r>");
		}
		buf_add_text(&xml, "</w:p>");
	}
	buf_add_text(&xml, "</w:body></w:document>");
	struct archive *w = archive_write_new();
	archive_write_set_format_zip(w);
	archive_write_set_bytes_in_last_block(w, 1);
	if (archive_write_open_memory(w, out, room, &used) != 0)
		errx(1, "%s", archive_error_string(w));
	add_member(w, "[Content_Types].xml", SLICE("<?xml version=\"1.0\"?><Types/>"));
	add_member(w, "word/document.xml", buf_slice(&xml));
	archive_write_close(w);
	archive_write_free(w);
	buf_fini(&xml);
	return used;
}

static struct slice
docx_mail(size_t *docx_bytes)
{
	static struct buf b;
	char *zip = mem_new(MAIL_MOST);
	struct arena *a = arena_new(MAIL_MOST);
	*docx_bytes = docx(zip, MAIL_MOST);
	struct slice encoded = base64_encode((struct slice){zip, *docx_bytes}, a);
	buf_init(&b, MAIL_MOST);
	buf_add_text(&b, "From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: "
			 "application/octet-stream; name=a.docx\r\n"
			 "Content-Transfer-Encoding: base64\r\n\r\n");
	for (; encoded.n != 0; encoded = slice_from(encoded, 76)) {
		buf_add(&b, slice_first(encoded, 76));
		buf_add_text(&b, "\r\n");
	}
	arena_free(&a);
	mem_free(zip);
	return buf_slice(&b);
}

static struct pattern_set *
patterns(bool words)
{
	struct pattern_set *s = pattern_set_new();
	struct buf list;
	struct err err;
	if (pattern_set_add(s, "\\b(?:\\d[ -]?){13,16}\\b", false, PATTERN_WITH_LUHN, &err) <
			0 ||
		pattern_set_add(s, "\\b[A-Z]{2}\\d{2}(?: ?[A-Z0-9]){11,30}\\b", false,
			PATTERN_WITH_IBAN, &err) < 0)
		errx(1, "%s", err.text);
	buf_init(&list, MAIL_MOST);
	for (int i = 0; i < WORDS; i++)
		buf_printf(&list, "word%d phrase%d\n", i, i);
	if (words && pattern_set_add_words(s, buf_slice(&list), &err) < 0)
		errx(1, "%s", err.text);
	buf_fini(&list);
	return s;
}

static double
looked(struct slice mail, unsigned want, const struct pattern_set *s)
{
	double begin = now_us();
	for (int i = 0; i < ROUNDS; i++) {
		struct arena *a = arena_new(32 << 20);
		struct scan_report r = {.attachments = arena_array(a, SCAN_ATTACHMENTS_MOST,
						sizeof(*r.attachments))};
		parts_scan(mail, want, s, 60000, a, &r);
		if (r.status != SCAN_CLEAN || r.text_unread)
			errx(1, "not read: %.*s", SLICE_ARG(r.why));
		arena_free(&a);
	}
	return (now_us() - begin) / ROUNDS;
}

static double
scanned(struct virus_engine *e, struct slice mail)
{
	double begin = now_us();
	for (int i = 0; i < ROUNDS; i++) {
		struct arena *a = arena_new(32 << 20);
		struct scan_report r = {.attachments = arena_array(a, SCAN_ATTACHMENTS_MOST,
						sizeof(*r.attachments))};
		virus_engine_scan(e, mail, false, a, &r);
		if (r.status != SCAN_CLEAN)
			errx(1, "not scanned: %.*s", SLICE_ARG(r.why));
		arena_free(&a);
	}
	return (now_us() - begin) / ROUNDS;
}

static void
measure(const char *name, struct slice mail, struct virus_engine *e)
{
	struct pattern_set *few = patterns(false), *many = patterns(true);
	printf("%s, libclamav\t%.0f us\tno signature, beside which the rest is\n", name,
		scanned(e, mail));
	printf("%s, attachments\t%.0f us\tnames, types, sizes\n", name,
		looked(mail, SCAN_WANT_ATTACHMENTS, NULL));
	printf("%s, hashes\t%.0f us\tand SHA-256 of each\n", name,
		looked(mail, SCAN_WANT_ATTACHMENTS | SCAN_WANT_HASHES, NULL));
	printf("%s, cards and IBANs\t%.0f us\ttwo expressions with their checks\n", name,
		looked(mail, SCAN_WANT_PATTERNS, few));
	printf("%s, and 10,000 phrases\t%.0f us\t\n", name,
		looked(mail, SCAN_WANT_PATTERNS, many));
	pattern_set_free(&few);
	pattern_set_free(&many);
}

int
main(void)
{
	struct err err;
	size_t bytes;
	look_init();
	struct virus_engine *e = virus_engine_new(NULL, "/tmp", &virus_limits_default, &err);
	if (e == NULL)
		errx(1, "%s", err.text);
	measure("content text of 50 KB", text_mail(), e);
	struct slice mail = docx_mail(&bytes);
	char name[64];
	snprintf(name, sizeof(name), "content DOCX of %zu KB", bytes / 1024);
	measure(name, mail, e);
	virus_engine_free(&e);
	return 0;
}
