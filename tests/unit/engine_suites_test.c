/*
 * The MIME suites of others through the scanner's walk: every message ends within its bounds,
 * and where other readers see a name of an attachment, the rules see it too (MIM-05). The names
 * are what Python's email package and the suites' own expectations say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>

#include "engine/parts.h"

enum { ARENA_MOST = 128 << 20, BYTES_MOST = 8 << 20 };

static const struct {
	const char *file;
	const char *names[4];
} rows[] = {
	{"mime-mime4j/mimetools-testmsgs/2002_06_12_doublebound.msg",
		{"The Mutt E-Mail Client.html"}},
	{"mime-mime4j/mimetools-testmsgs/attachment-filename-encoding-Latin1.msg",
		{"attachment.\xc3\xa4\xc3\xb6\xc3\xbc"}},
	{"mime-mime4j/mimetools-testmsgs/attachment-filename-encoding-UTF8.msg",
		{"attachment.\xc3\xa4\xc3\xb6\xc3\xbc"}},
	{"mime-mime4j/mimetools-testmsgs/badfile.msg", {"whoa"}},
	{"mime-mime4j/mimetools-testmsgs/dup-names.msg", {"one.gif", "two.nice.gif"}},
	{"mime-mime4j/mimetools-testmsgs/frag.msg", {"aprilfools.jpg"}},
	{"mime-mime4j/mimetools-testmsgs/lennie.msg", {"Pull3.html", "WWWIcon.gif"}},
	{"mime-mime4j/mimetools-testmsgs/multi-nested.msg",
		{"3d-vise.gif", "3d-eye.gif", "filename"}},
	{"mime-mime4j/mimetools-testmsgs/multi-igor.msg",
		{"Makefile", "multi-nested.msg", "Parser.n.out"}},
	{"mime-mime4j/mimetools-testmsgs/multi-weirdspace.msg",
		{"3d-compress.gif", "3d-eye.gif"}},
	{"mime-mime4j/mimetools-testmsgs/twopart.msg", {"uk7200_110_6.jpg"}},
	{"mime-mime4j/mimetools-testmsgs/x-gzip64.msg", {".signature"}},
	{"mime-mime4j/testmsgs/boundary-name-clash.msg", {"Daily_Stats-2022-05-12-0700.pdf"}},
	{"mime-mime4j/testmsgs/example.msg", {"blob.png", "rhubarb.txt"}},
	{"mime-mime4j/testmsgs/simple-attachment.msg", {"data.bin"}},
	{"mime-python/msg_04.txt", {"msg.txt"}},
	{"mime-python/msg_07.txt", {"dingusfish.gif"}},
	{"mime-python/msg_22.txt", {"wibble.JPG", "wibble2.JPG"}},
	{"mime-python/msg_26.txt", {"clock.bmp"}},
	{"mime-python/msg_36.txt", {"draft-ietf-mboned-mix-00.txt"}},
	{"mime-python/msg_45.txt", {"signature.asc"}},
};

static char bytes[BYTES_MOST];
static struct arena *arena;
static struct pattern_set *patterns;

static struct scan_report
scan(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("no %s", path);
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	arena_reset(arena);
	struct scan_report r = {.attachments = arena_array(
					arena, SCAN_ATTACHMENTS_MOST, sizeof(*r.attachments))};
	parts_scan((struct slice){bytes, n}, SCAN_WANT_ALL, patterns, 300000, arena, &r);
	return r;
}

static const char *
suites(const char *folder)
{
	const char *root = getenv("POSTERN_SUITES");
	static char path[600];
	snprintf(path, sizeof(path), "%s/%s", root != NULL ? root : "", folder);
	DIR *d = opendir(path);
	if (d == NULL) {
		print_message("SKIPPED: no %s\n", path);
		skip();
	}
	closedir(d);
	return path;
}

static void
test_names(void **state)
{
	(void)state;
	char path[1000];
	unsigned wrong = 0;
	(void)suites("mime-mime4j");
	(void)suites("mime-python");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", getenv("POSTERN_SUITES"), rows[i].file);
		struct scan_report r = scan(path);
		for (size_t k = 0; k < 4 && rows[i].names[k] != NULL; k++) {
			bool found = false;
			for (size_t n = 0; n < r.n_attachments; n++)
				found |= slice_eq(
					r.attachments[n].name, slice_of(rows[i].names[k]));
			if (!found)
				print_error("%s: no [%s]\n", rows[i].file, rows[i].names[k]);
			wrong += !found;
		}
	}
	assert_int_equal(wrong, 0);
}

static unsigned
scan_folder(const char *folder, const char *end)
{
	char path[1000];
	unsigned seen = 0;
	const char *whole = suites(folder);
	DIR *d = opendir(whole);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.' || !slice_ends(slice_of(e->d_name), slice_of(end)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", whole, e->d_name);
		struct scan_report r = scan(path);
		assert_true(r.n_attachments <= SCAN_ATTACHMENTS_MOST);
		assert_true(r.status == SCAN_CLEAN || r.status == SCAN_UNSCANNABLE);
		assert_true((r.status == SCAN_UNSCANNABLE) == (r.reason != SCAN_REASON_NONE));
		seen++;
	}
	closedir(d);
	return seen;
}

static void
test_all_end(void **state)
{
	(void)state;
	assert_int_equal(scan_folder("mime-mime4j/testmsgs", ".msg"), 32);
	assert_int_equal(scan_folder("mime-mime4j/mimetools-testmsgs", ".msg"), 48);
	assert_int_equal(scan_folder("mime-python", ".txt"), 47);
	assert_int_equal(scan_folder("archives/clamav-testfiles", ""), 44);
}

static int
start(void **state)
{
	struct err err;
	(void)state;
	look_init();
	arena = arena_new(ARENA_MOST);
	patterns = pattern_set_new();
	return pattern_set_add(patterns, "[a-z]+@[a-z]+", true, PATTERN_PLAIN_TEXT, &err);
}

static int
end(void **state)
{
	(void)state;
	arena_free(&arena);
	pattern_set_free(&patterns);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_all_end),
	};
	return cmocka_run_group_tests(tests, start, end);
}
