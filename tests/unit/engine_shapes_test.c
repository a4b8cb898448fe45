/*
 * Parts: names in multiparts and forwarded mails, types and sizes, the decoded text for
 * patterns, and hostile shapes within their bounds. Names in each reading: engine_parts_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <time.h>

#include "engine/parts.h"

enum {
	ARENA_MOST = 32 * 1024 * 1024,
	SECONDS_MOST = 240 /* of CPU under ASan, to which each realloc is a copy */
};

static struct arena *arena;

static struct scan_report
scan(struct slice mail, const struct pattern_set *patterns)
{
	struct scan_report r = {.status = SCAN_CLEAN};
	r.attachments = arena_array(arena, SCAN_ATTACHMENTS_MOST, sizeof(*r.attachments));
	parts_scan(mail, SCAN_WANT_ATTACHMENTS | (patterns != NULL ? SCAN_WANT_PATTERNS : 0),
		patterns, 300000, arena, &r);
	return r;
}

#define PART(fields) "MIME-Version: 1.0\r\n" fields "\r\n\r\nbytes\r\n"
#define TYPE         "Content-Type: application/octet-stream"
#define ATTACHED     "Content-Disposition: attachment"

static const struct {
	const char *label, *mail;
	const char *names[4];
} names[] = {
	{"none", PART("Content-Type: text/plain"), {NULL}},
	{"no name", PART(TYPE "\r\n" ATTACHED), {""}},
	{"nothing behind the path", PART(TYPE "\r\n" ATTACHED "; filename=\"evil.exe/\""),
		{"evil.exe"}},
	{"inside a forwarded mail",
		"Content-Type: message/rfc822\r\n\r\n" PART(TYPE "; name=evil.exe"),
		{"evil.exe"}},
	{"of a forwarded mail",
		"Content-Type: message/rfc822; name=x.eml\r\n\r\n" PART(TYPE "; name=evil.exe"),
		{"x.eml", "evil.exe"}},
	{"in a multipart",
		"Content-Type: multipart/mixed; boundary=B\r\n\r\npreamble\r\n--B\r\n" TYPE
		"; name=one\r\n\r\n1\r\n--B\r\n" TYPE
		"; name=two\r\n\r\n2\r\n--B--\r\nepilogue\r\n",
		{"one", "two"}},
	{"the last boundary is missing",
		"Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n" TYPE
		"; name=evil.exe\r\n\r\n1\r\n",
		{"evil.exe"}},
	{"no header at all", "", {NULL}},
};

static void
test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct scan_report r = scan(slice_of(names[i].mail), NULL);
		size_t n = 0;
		assert_int_equal(r.status, SCAN_CLEAN);
		for (; n < 4 && names[i].names[n] != NULL; n++)
			if (n >= r.n_attachments ||
				!slice_eq(r.attachments[n].name, slice_of(names[i].names[n])))
				fail_msg("%s: %.*s", names[i].label,
					SLICE_ARG(n < r.n_attachments ? r.attachments[n].name
								      : SLICE("(no more)")));
		if (n != r.n_attachments)
			fail_msg("%s: also %.*s", names[i].label,
				SLICE_ARG(r.attachments[n].name));
		arena_reset(arena);
	}
}

static void
test_type_and_size(void **state)
{
	(void)state;
	struct scan_report r = scan(SLICE("Content-Type: Application/ZIP; name=a.zip\r\n"
					  "Content-Transfer-Encoding: base64\r\n\r\n"
					  "AAECAwQFBgcICQ==\r\n"),
		NULL);
	assert_int_equal(r.n_attachments, 1);
	assert_true(slice_eq(r.attachments[0].type, SLICE("application/zip")));
	assert_int_equal(r.attachments[0].bytes, 10);
	assert_int_equal(r.attachments[0].depth, 0);
	arena_reset(arena);
}

static const struct {
	const char *label, *mail;
	unsigned count;
} texts[] = {
	{"plain", "Content-Type: text/plain\r\n\r\nsecret secret\r\n", 2},
	{"no type", "Subject: x\r\n\r\nsecret\r\n", 1},
	{"subject", "Subject: the secret\r\n\r\nx\r\n", 1},
	{"encoded subject", "Subject: =?utf-8?Q?sec=72et?=\r\n\r\nx\r\n", 1},
	{"base64",
		"Content-Type: text/html\r\nContent-Transfer-Encoding: "
		"base64\r\n\r\nc2VjcmV0\r\n",
		1},
	{"quoted-printable",
		"Content-Type: text/plain\r\nContent-Transfer-Encoding: "
		"quoted-printable\r\n\r\n"
		"se=63re=\r\nt\r\n",
		1},
	{"UTF-16",
		"Content-Type: text/plain; charset=utf-16le\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\ncwBlAGMAcgBlAHQA\r\n",
		1},
	{"a charset that is none",
		"Content-Type: text/plain; charset=nonsense\r\n\r\nsecret\r\n", 1},
	{"an image is no text", "Content-Type: image/png\r\n\r\nsecret\r\n", 0},
	{"in a forwarded mail",
		"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nsecret\r\n", 1},
};

static void
test_texts(void **state)
{
	(void)state;
	struct pattern_set *s = pattern_set_new();
	struct err err;
	assert_int_equal(pattern_set_add(s, "secret", false, PATTERN_PLAIN_TEXT, &err), 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct scan_report r = scan(slice_of(texts[i].mail), s);
		if (r.status != SCAN_CLEAN || r.patterns[0] != texts[i].count)
			fail_msg("%s: %u, %.*s", texts[i].label, r.patterns[0],
				SLICE_ARG(r.why));
		arena_reset(arena);
	}
	pattern_set_free(&s);
}

static struct slice
read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	long n = ftell(f);
	assert_true(n >= 0);
	rewind(f);
	char *p = malloc((size_t)n + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)n, f), (size_t)n);
	fclose(f);
	return (struct slice){p, (size_t)n};
}

/* Too deep or too many is told as such; all of it in seconds and in the arena of a scan. */
static void
test_hostile(void **state)
{
	(void)state;
	static const char *const unscannable[] = {"nest100.eml", "nest1000.eml", "nest5000.eml",
		"nest20000.eml", "parts50k.eml", "rfc822nest1000.eml", "rfc822nest50000.eml"};
	char folder[400], path[800];
	struct pattern_set *s = pattern_set_new();
	struct err err;
	unsigned seen = 0;
	assert_int_equal(pattern_set_add(s, "secret", false, PATTERN_PLAIN_TEXT, &err), 0);
	snprintf(folder, sizeof(folder), "%s/tests/data/mime-hostile-own",
		getenv("POSTERN_SOURCE"));
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		bool bad = false;
		if (strstr(e->d_name, ".eml") == NULL)
			continue;
		for (size_t i = 0; i < sizeof(unscannable) / sizeof(unscannable[0]); i++)
			bad |= strcmp(e->d_name, unscannable[i]) == 0;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		struct slice mail = read_file(path);
		clock_t began = clock(); /* of our own work: a busy machine is no fault */
		struct scan_report r = scan(mail, s);
		if ((clock() - began) / CLOCKS_PER_SEC > SECONDS_MOST)
			fail_msg("%s took too long", e->d_name);
		if ((r.status == SCAN_UNSCANNABLE) != bad)
			fail_msg("%s: status %d, %.*s", e->d_name, r.status, SLICE_ARG(r.why));
		assert_true(r.n_attachments <= SCAN_ATTACHMENTS_MOST);
		seen++;
		arena_reset(arena);
		free(mail.p != NULL ? (void *)(uintptr_t)mail.p : NULL);
	}
	closedir(dir);
	assert_int_equal(seen, 17);
	pattern_set_free(&s);
}

static int
start(void **state)
{
	(void)state;
	look_init();
	arena = arena_new(ARENA_MOST);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_type_and_size),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests(tests, start, end);
}
