/*
 * Real signed mails through the verifier: the 174 of tests/data/dkim-matrix-own (signed with
 * dkimpy: algorithms, canonicalisations, damage, odd keys), those of go-msgauth where they are
 * (the example of RFC 8463, a bare RSAPublicKey, more signatures than are verified), each fed
 * in several ways. Expectations are those of RFC 6376, 8301 and HDR-07, by the names that the
 * files were given.
 */
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "filters/dkim.h"

enum { WALL_S = 1795317600 }; /* the mails were signed shortly before */

struct expectation {
	const char *name; /* beginning of the file's name */
	const char *has;  /* and somewhere in it, or NULL */
	enum dkim_result result;
};

/* The first that fits. */
static const struct expectation expectations[] = {
	{"ok-", "-rsa-sha1-", DKIM_POLICY}, /* RFC 8301 */
	{"append-", "-rsa-sha1-", DKIM_POLICY}, {"body-", "-rsa-sha1-", DKIM_POLICY},
	{"hdr-", "-rsa-sha1-", DKIM_POLICY}, {"over", "-rsa-sha1-", DKIM_POLICY},
	{"ok-", NULL, DKIM_PASS},
	{"append-", "-l.eml", DKIM_NEUTRAL}, /* l= does not cover what was appended */
	{"append-", "-n.eml", DKIM_FAIL}, {"body-", NULL, DKIM_FAIL}, {"hdr-", NULL, DKIM_FAIL},
	{"over-", NULL, DKIM_PASS},
	{"overadd-", NULL, DKIM_FAIL}, /* a field was added that is oversigned */
	{"rsa512", NULL, DKIM_POLICY}, {"rsa", NULL, DKIM_PASS}, {"key-pkcs1", NULL, DKIM_PASS},
	{"key-t", NULL, DKIM_PASS}, /* t=y:s, i= is d= */
	{"key-h1", NULL, DKIM_PERMERROR}, {"key-nx", NULL, DKIM_PERMERROR},
	{"key-rev", NULL, DKIM_PERMERROR}, {"key-svc", NULL, DKIM_PERMERROR},
	{"multi-", NULL, DKIM_PASS}, /* a bad signature does not spoil a good one */
	{"many-", NULL, DKIM_PASS}, {"twofrom", NULL, DKIM_POLICY},
	{"emptybody-", NULL, DKIM_PASS}, {"longline", NULL, DKIM_PASS},
	{"unktag", NULL, DKIM_PASS}, {"utf8hdr", NULL, DKIM_PASS},
	{"gomsgauth-verified", NULL, DKIM_PASS},
	{"gomsgauth-tooMany", NULL, DKIM_PASS}, /* one good one is enough */
};

struct zone {
	struct {
		struct slice name, text;
	} row[64];
	size_t n;
};

static struct slice
read_file(const char *path, struct arena *a)
{
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	struct buf b;
	buf_init(&b, 1 << 20);
	char piece[4096];
	for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
		assert_int_equal(buf_add(&b, (struct slice){piece, n}), 0);
	fclose(f);
	struct slice out = arena_slice(a, buf_slice(&b));
	buf_fini(&b);
	return out;
}

/* Some sets keep their mails with bare LF. */
static struct slice
with_crlf(struct slice in, struct arena *a)
{
	if (slice_has(in, '\r'))
		return in;
	char *out = arena_alloc(a, in.n * 2);
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\n')
			out[n++] = '\r';
		out[n++] = in.p[i];
	}
	return (struct slice){out, n};
}

/* "NAME text" a line. */
static void
read_zone(const char *path, struct arena *a, struct zone *zone)
{
	struct slice rest = read_file(path, a), line;
	zone->n = 0;
	while (rest.n > 0) {
		slice_cut(rest, '\n', &line, &rest);
		if (line.n == 0)
			continue;
		assert_true(zone->n < 64);
		slice_cut(line, ' ', &zone->row[zone->n].name, &zone->row[zone->n].text);
		zone->n++;
	}
	assert_true(zone->n > 0);
}

static void
answer(const struct zone *zone, struct dkim_verify *v, size_t i)
{
	struct slice name = dkim_verify_signature(v, i)->key_name;
	struct dns_rr rr = {0};
	struct dns_answer a = {.status = DNS_NXDOMAIN, .rr = &rr};
	for (size_t k = 0; k < zone->n; k++) {
		if (slice_eq_nocase(zone->row[k].name, name)) {
			rr.text = zone->row[k].text;
			a.status = DNS_OK;
			a.n = 1;
		}
	}
	dkim_verify_key(v, i, &a);
}

static enum dkim_result
verify(struct slice mail, const struct zone *zone, size_t step)
{
	struct arena *a = arena_new(1 << 20);
	struct message m;
	size_t header = message_header_end(mail, 0);
	assert_true(header > 0);
	struct slice body = slice_from(mail, header);
	message_parse(slice_first(mail, header), SLICE("mx.example.com"), false, a, &m);
	struct dkim_verify *v = dkim_verify_begin(m.fields, m.n_fields, false, WALL_S, a);
	for (size_t at = 0; at < body.n; at += step)
		dkim_verify_body(v, slice_first(slice_from(body, at), step));
	dkim_verify_body_end(v);
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		if (dkim_verify_signature(v, i)->key_name.n > 0)
			answer(zone, v, i);
		assert_int_not_equal(dkim_verify_signature(v, i)->result, DKIM_NONE);
	}
	enum dkim_result r = dkim_verify_overall(v);
	arena_free(&a);
	return r;
}

static enum dkim_result
expected(const char *name)
{
	for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
		const struct expectation *e = &expectations[i];
		if (strncmp(name, e->name, strlen(e->name)) == 0 &&
			(e->has == NULL || strstr(name, e->has) != NULL))
			return e->result;
	}
	fail_msg("%s: no expectation", name);
	return DKIM_NONE;
}

static unsigned
run_folder(const char *folder)
{
	static const size_t steps[] = {1, 7, 4096};
	char path[PATH_MAX];
	unsigned good = 0, wrong = 0;
	struct arena *a = arena_new(16 << 20);
	struct zone zone;
	snprintf(path, sizeof(path), "%s/keys.txt", folder);
	read_zone(path, a, &zone);
	DIR *d = opendir(folder);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (strstr(e->d_name, ".eml") == NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		struct slice mail = with_crlf(read_file(path, a), a);
		for (size_t i = 0; i < 3; i++) {
			enum dkim_result r = verify(mail, &zone, steps[i]);
			if (r != expected(e->d_name)) {
				print_error("%s: %s\n", e->d_name, dkim_result_text(r));
				wrong++;
				break;
			}
			good += i == 2;
		}
	}
	closedir(d);
	arena_free(&a);
	assert_int_equal(wrong, 0);
	return good;
}

static void
test_matrix(void **state)
{
	(void)state;
	char path[PATH_MAX];
	const char *source = getenv("POSTERN_SOURCE");
	assert_non_null(source);
	snprintf(path, sizeof(path), "%s/tests/data/dkim-matrix-own", source);
	assert_int_equal(run_folder(path), 174);
}

static void
test_gomsgauth(void **state)
{
	(void)state;
	char path[PATH_MAX];
	const char *suites = getenv("POSTERN_SUITES");
	snprintf(path, sizeof(path), "%s/dkim-gomsgauth", suites != NULL ? suites : "");
	DIR *d = opendir(path);
	if (d == NULL) {
		print_message("SKIPPED: %s is not there\n", path);
		skip();
	}
	closedir(d);
	assert_int_equal(run_folder(path), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_gomsgauth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
