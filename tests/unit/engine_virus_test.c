/*
 * libclamav behind its door: what is found by hash in a mail and inside of archives, the names
 * of members, limits that make a mail unscannable, and the 44 containers of its own test files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "engine/virus.h"

enum { ARENA_MOST = 64 * 1024 * 1024, ZIP_MOST = 8 * 1024 * 1024 };

static char dir[] = "/tmp/virus-test-XXXXXX";
static char database[64];
static struct virus_engine *engine;
static struct arena *arena;

/* In two halves, so that this file itself is nobody's virus. */
static struct slice
eicar(void)
{
	return arena_printf(arena, "%s%s", "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR",
		"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*");
}

static struct scan_report
scan(struct virus_engine *e, struct slice mail)
{
	struct scan_report r = {.status = SCAN_CLEAN};
	r.attachments = arena_array(arena, SCAN_ATTACHMENTS_MOST, sizeof(*r.attachments));
	virus_engine_scan(e, mail, false, arena, &r);
	return r;
}

static struct slice
attached(struct slice bytes)
{
	return arena_printf(arena,
		"From: a@example.net\r\nMIME-Version: 1.0\r\nContent-Type: "
		"application/octet-stream; "
		"name=\"x.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n",
		base64_encode(bytes, arena).p);
}

static uint32_t
crc32_of(struct slice s)
{
	uint32_t c = ~0u;
	for (size_t i = 0; i < s.n; i++) {
		c ^= (unsigned char)s.p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (0xedb88320u & (0u - (c & 1)));
	}
	return ~c;
}

static void
put(struct buf *b, uint32_t v, unsigned bytes)
{
	for (; bytes > 0; bytes--, v >>= 8)
		assert_int_equal(buf_add_byte(b, (char)v), 0);
}

struct member {
	const char *name;
	struct slice bytes;
};

/* A zip of stored members. */
static struct slice
zip(const struct member *m, size_t n)
{
	struct buf files, central;
	buf_init(&files, ZIP_MOST);
	buf_init(&central, ZIP_MOST);
	for (size_t i = 0; i < n; i++) {
		uint32_t at = (uint32_t)buf_slice(&files).n, size = (uint32_t)m[i].bytes.n;
		for (int where = 0; where < 2; where++) {
			struct buf *b = where == 0 ? &files : &central;
			put(b, where == 0 ? 0x04034b50 : 0x02014b50, 4);
			if (where == 1)
				put(b, 20, 2);
			put(b, 20, 2);
			put(b, 0, 8);
			put(b, crc32_of(m[i].bytes), 4);
			put(b, size, 4);
			put(b, size, 4);
			put(b, (uint32_t)strlen(m[i].name), 2);
			put(b, 0, where == 0 ? 2 : 12);
			if (where == 1)
				put(b, at, 4);
			assert_int_equal(buf_add_text(b, m[i].name), 0);
		}
		assert_int_equal(buf_add(&files, m[i].bytes), 0);
	}
	uint32_t at = (uint32_t)buf_slice(&files).n;
	assert_int_equal(buf_add(&files, buf_slice(&central)), 0);
	put(&files, 0x06054b50, 4);
	put(&files, 0, 4);
	put(&files, (uint32_t)n, 2);
	put(&files, (uint32_t)n, 2);
	put(&files, (uint32_t)buf_slice(&central).n, 4);
	put(&files, at, 4);
	put(&files, 0, 2);
	struct slice all = arena_slice(arena, buf_slice(&files));
	buf_fini(&files);
	buf_fini(&central);
	return all;
}

static void
test_found(void **state)
{
	(void)state;
	struct member inside[] = {{"dir/readme.txt", SLICE("hello")}, {"eicar.com", eicar()}};
	struct member clean[] = {{"dir/readme.txt", SLICE("hello")}};
	struct member outer[] = {{"inner.zip", zip(inside, 2)}};
	const struct {
		const char *label;
		struct slice mail;
		bool infected;
	} rows[] = {
		{"clean", attached(SLICE("hello")), false},
		{"nothing", SLICE_NONE, false},
		{"as a part", attached(eicar()), true},
		{"in a zip", attached(zip(inside, 2)), true},
		{"in a zip in a zip", attached(zip(outer, 1)), true},
		{"a clean zip", attached(zip(clean, 1)), false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scan_report r = scan(engine, rows[i].mail);
		if (r.status != (rows[i].infected ? SCAN_INFECTED : SCAN_CLEAN))
			fail_msg("%s: %d %.*s", rows[i].label, r.status, SLICE_ARG(r.why));
		if (rows[i].infected)
			assert_true(slice_starts(r.virus, SLICE("Eicar-Test")));
	}
}

static const struct scan_attachment *
find(const struct scan_report *r, const char *name)
{
	for (size_t i = 0; i < r->n_attachments; i++)
		if (slice_eq(r->attachments[i].name, slice_of(name)))
			return &r->attachments[i];
	return NULL;
}

/* Members by their own names, deeper ones deeper (MIM-05); no database is needed for it. */
static void
test_names(void **state)
{
	(void)state;
	struct err err;
	struct member inner[] = {{"deep.exe", SLICE("MZ, more or less")}};
	struct member outer[] = {{"a/b/evil.exe", SLICE("hello, world")},
		{"inner.zip", zip(inner, 1)}, {"c\\d\\win.scr", SLICE("hello there")}};
	struct virus_engine *e = virus_engine_new(NULL, dir, &virus_limits_default, &err);
	assert_non_null(e);
	assert_int_equal(virus_engine_signatures(e), 0);
	struct scan_report r = scan(e, attached(zip(outer, 3)));
	assert_int_equal(r.status, SCAN_CLEAN);
	const struct scan_attachment *evil = find(&r, "evil.exe"),
				     *zipped = find(&r, "inner.zip"),
				     *deep = find(&r, "deep.exe");
	assert_non_null(find(&r, "win.scr"));
	assert_true(evil != NULL && zipped != NULL && deep != NULL);
	assert_true(evil->depth >= 1 && deep->depth > zipped->depth);
	assert_true(slice_eq(zipped->type, SLICE("application/zip")));
	assert_int_equal(evil->bytes, 12);
	virus_engine_free(&e);
	assert_null(e);
	virus_engine_free(&e);
}

static void
test_limits(void **state)
{
	(void)state;
	char *bytes = arena_alloc(arena, 300000);
	struct member big[] = {{"big", {bytes, 300000}}};
	struct member many[] = {{"1", SLICE("one")}, {"2", SLICE("two")}, {"3", SLICE("three")},
		{"4", SLICE("four")}, {"5", SLICE("five")}};
	struct slice nested = zip(many, 1);
	for (int i = 0; i < 8; i++)
		nested = zip(&(struct member){"n.zip", nested}, 1);
	const struct {
		const char *label;
		struct virus_limits limits;
		struct slice mail;
	} rows[] = {
		{"a member",
			{.scan_bytes = 1u << 20,
				.file_bytes = 100000,
				.files = 100,
				.depth = 16,
				.time_ms = 60000},
			attached(zip(big, 1))},
		{"all together",
			{.scan_bytes = 200000,
				.file_bytes = 1u << 20,
				.files = 100,
				.depth = 16,
				.time_ms = 60000},
			attached(zip(big, 1))},
		{"members",
			{.scan_bytes = 1u << 20,
				.file_bytes = 1u << 20,
				.files = 4,
				.depth = 16,
				.time_ms = 60000},
			attached(zip(many, 5))},
		{"depth",
			{.scan_bytes = 1u << 20,
				.file_bytes = 1u << 20,
				.files = 100,
				.depth = 5,
				.time_ms = 60000},
			attached(nested)},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err;
		struct virus_engine *e = virus_engine_new(database, dir, &rows[i].limits, &err);
		assert_non_null(e);
		struct scan_report r = scan(e, rows[i].mail);
		if (r.status != SCAN_UNSCANNABLE || r.why.n == 0)
			fail_msg("%s: %d", rows[i].label, r.status);
		r = scan(engine, rows[i].mail);
		if (r.status != SCAN_CLEAN)
			fail_msg("%s, by default: %d %.*s", rows[i].label, r.status,
				SLICE_ARG(r.why));
		virus_engine_free(&e);
	}
}

static void
test_no_database(void **state)
{
	(void)state;
	struct err err;
	char path[100];
	assert_null(virus_engine_new("/nonexistent/x.hdb", dir, &virus_limits_default, &err));
	assert_non_null(strstr(err.text, "/nonexistent/x.hdb"));
	snprintf(path, sizeof(path), "%s/empty.hdb", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_null(virus_engine_new(path, dir, &virus_limits_default, &err));
	assert_non_null(strstr(err.text, "empty.hdb"));
	unlink(path);
}

/* libclamav's own containers, each as an attachment: all of them are opened. */
static void
test_containers(void **state)
{
	(void)state;
	static char bytes[4 * 1024 * 1024];
	char folder[500], path[1000], line[100];
	unsigned found = 0, seen = 0;
	const char *suites = getenv("POSTERN_SUITES");
	snprintf(folder, sizeof(folder), "%s/archives/clamav-testfiles",
		suites != NULL ? suites : "");
	DIR *d = opendir(folder);
	if (d == NULL) {
		print_message("SKIPPED: no %s\n", folder);
		skip();
	}
	struct err err;
	snprintf(path, sizeof(path), "%s/clam.hdb", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	snprintf(line, sizeof(line), "aa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test-File\n");
	assert_true(fputs(line, f) >= 0);
	fclose(f);
	struct virus_limits deep = virus_limits_default;
	deep.depth = 40; /* clam_cache_emax.tgz is nested deeper than our default takes */
	struct virus_engine *e = virus_engine_new(path, dir, &deep, &err);
	assert_non_null(e);
	for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
		if (strncmp(entry->d_name, "clam", 4) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		f = fopen(path, "rb");
		assert_non_null(f);
		size_t n = fread(bytes, 1, sizeof(bytes), f);
		fclose(f);
		struct scan_report r = scan(e, attached((struct slice){bytes, n}));
		seen++;
		if (r.status == SCAN_INFECTED)
			found++;
		else
			print_error("%s: %d %.*s\n", entry->d_name, r.status, SLICE_ARG(r.why));
		arena_reset(arena);
	}
	closedir(d);
	virus_engine_free(&e);
	snprintf(path, sizeof(path), "%s/clam.hdb", dir);
	unlink(path);
	print_message("%u of %u containers\n", found, seen);
	assert_true(seen == 44 && found == 44);
}

static int
open_engine(void **state)
{
	struct err err;
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	arena = arena_new(ARENA_MOST);
	snprintf(database, sizeof(database), "%s/eicar.hdb", dir);
	FILE *f = fopen(database, "w");
	if (f == NULL || fputs("44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test\n", f) < 0 ||
		fclose(f) != 0)
		return -1;
	engine = virus_engine_new(database, dir, &virus_limits_default, &err);
	return engine != NULL && virus_engine_signatures(engine) == 1 ? 0 : -1;
}

static int
close_engine(void **state)
{
	(void)state;
	virus_engine_free(&engine);
	arena_free(&arena);
	unlink(database);
	return rmdir(dir); /* libclamav has left nothing behind */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_database),
		cmocka_unit_test(test_containers),
	};
	return cmocka_run_group_tests(tests, open_engine, close_engine);
}
