/*
 * Files as a sender attaches them: every reader of the scanner behind look.h. Whatever they
 * hold, the walk ends, and what the report says goes together; what is text in itself is found
 * whatever its charset is said to be.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "engine/look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MOST = 64 * 1024 * 1024, MS_MOST = 10000 };

static struct pattern_set *patterns;

static void
start(void)
{
	struct err err;
	look_init();
	patterns = pattern_set_new();
	must(pattern_set_add(patterns, "\\b(?:\\d[ -]?){13,16}\\b", false, PATTERN_WITH_LUHN,
		     &err) == 0);
	must(pattern_set_add_words(patterns, SLICE("secret\nblue harbour\n"), &err) == 0);
}

/* The first byte: under which name and type the rest is looked at. */
static const struct {
	const char *name, *type, *charset;
} ways[] = {{"", "", ""}, {"a.txt", "text/plain", "iso-8859-1"}, {"a.html", "text/html", ""},
	{"a.docx", "application/zip", ""}, {"a.eml", "", ""}, {"a.txt", "text/plain", "utf-16"},
	{"a.txt", "text/plain", "iso-2022-jp"}, {"a.png", "image/png", ""}};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (patterns == NULL)
		start();
	size_t way = data[0] % (sizeof(ways) / sizeof(ways[0]));
	struct arena *a = arena_new(ARENA_MOST);
	struct scan_report r = {
		.attachments = arena_array(a, SCAN_ATTACHMENTS_MOST, sizeof(*r.attachments))};
	struct look l = {.arena = a,
		.report = &r,
		.patterns = patterns,
		.want = SCAN_WANT_ALL,
		.until_ms = clock_ms() + MS_MOST};
	struct look_file f = {.bytes = {(const char *)data + 1, size - 1},
		.name = slice_of(ways[way].name),
		.type = slice_of(ways[way].type),
		.charset = slice_of(ways[way].charset),
		.depth = way == 4}; /* a mail in an archive */
	struct look_found found;
	look_file(&l, &f, &found);
	must(found.hashed && l.nested == 0 && l.members_of_package == 0);
	must(r.status == SCAN_CLEAN || r.status == SCAN_UNSCANNABLE);
	must((r.status == SCAN_UNSCANNABLE) == (r.reason != SCAN_REASON_NONE));
	must(r.status == SCAN_CLEAN || r.text_unread);
	must(!r.encrypted || r.text_unread);
	must(!found.encrypted || r.encrypted);
	must(r.n_attachments <= SCAN_ATTACHMENTS_MOST);
	for (size_t i = 0; i < r.n_attachments; i++)
		must(r.attachments[i].name.n <= SCAN_NAME_MOST);
	arena_free(&a);
	return 0;
}
