/* The PROXY protocol, versions 1 and 2 (EXT-08): cases here, and the vectors of others and our
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "smtp/proxy.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4  "\xc0\0\2\1\xc6\x33\x64\1\4\xd2\0\x19"
#define V6                                                                                   \
	"\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2\4\xd2\0" \
	"\x19"

struct proxy_case {
	struct slice in;
	bool good;
	size_t taken;    /* 0: all */
	const char *src; /* NULL: local */
	uint16_t src_port, dst_port;
};

static const struct proxy_case cases[] = {
	{SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 1234 25\r\n"), true, 0, "192.0.2.1", 1234,
		25},
	{SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 1234 25\r\nEHLO x\r\n"), true, 43,
		"192.0.2.1", 1234, 25},
	{SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n"), true, 0, "192.0.2.1", 0,
		65535},
	{SLICE("PROXY TCP6 2001:db8::1 2001:db8::2 1234 25\r\n"), true, 0, "2001:db8::1", 1234,
		25},
	{SLICE("PROXY UNKNOWN\r\n"), true, 0, NULL, 0, 0},
	{SLICE("PROXY UNKNOWN a b c d e f\r\n"), true, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 1234  25\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY  TCP4 192.0.2.1 198.51.100.1 1234 25\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 1234 25 \r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 1234 25 x\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.256 198.51.100.1 1234 25\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2 198.51.100.1 1234 25\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.1.1 198.51.100.1 1234 25\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 1234 25\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.1\0 198.51.100.1 1234 25\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY TCP4 192.0.2.1\r 198.51.100.1 1234 25\r\n"), false, 0, NULL, 0, 0},
	{SLICE("PROXY\r\n"), false, 0, NULL, 0, 0},
	{SLICE("proxy UNKNOWN\r\n"), false, 0, NULL, 0, 0},
	{SLICE("EHLO x\r\n"), false, 0, NULL, 0, 0},
	{SLICE(SIG "\x21\x11\0\xc" V4), true, 0, "192.0.2.1", 1234, 25},
	{SLICE(SIG "\x21\x11\0\xc" V4 "EHLO x\r\n"), true, 28, "192.0.2.1", 1234, 25},
	{SLICE(SIG "\x21\x21\0\x24" V6), true, 0, "2001:db8::1", 1234, 25},
	{SLICE(SIG "\x21\x11\0\x13" V4 "\3\0\4abcd"), true, 0, "192.0.2.1", 1234, 25},
	{SLICE(SIG "\x20\0\0\0"), true, 0, NULL, 0, 0},
	{SLICE(SIG "\x20\x11\0\xc" V4), true, 0, NULL, 0, 0},
	{SLICE(SIG "\x21\0\0\0"), true, 0, NULL, 0, 0},
	{SLICE(SIG "\x21\x11\0\xb" V4), false, 0, NULL, 0, 0},
	{SLICE(SIG "\x21\x21\0\x23" V6), false, 0, NULL, 0, 0},
	{SLICE(SIG "\x21\x11\0\xe" V4 "\3\0"), false, 0, NULL, 0, 0},
	{SLICE(SIG "\x21\x11\0\x13" V4 "\3\0\5abcd"), false, 0, NULL, 0, 0},
	{SLICE(SIG "\x21\x12\0\xc" V4), false, 0, NULL, 0, 0},
	{SLICE(SIG "\x11\x11\0\xc" V4), false, 0, NULL, 0, 0},
};

/* One header and every prefix of it: a good one needs all of itself, a bad one is never done.
 */
static void
try_prefixes(const struct proxy_case *c)
{
	size_t need = c->taken != 0 ? c->taken : c->in.n;
	for (size_t n = 0; n <= c->in.n; n++) {
		struct guarded g = guarded_new(slice_first(c->in, n));
		struct proxy_header h;
		const char *why;
		enum proxy_result result = proxy_parse(g.in, &h, &why);
		if (c->good)
			assert_int_equal(result, n < need ? PROXY_MORE : PROXY_DONE);
		else
			assert_int_not_equal(result, PROXY_DONE);
		assert_int_equal(why != NULL, result == PROXY_BAD);
		if (result == PROXY_DONE) {
			char text[IP_TEXT_BYTES];
			assert_int_equal(h.taken, need);
			assert_int_equal(h.local, c->src == NULL);
			assert_int_equal(h.src_port, c->src_port);
			assert_int_equal(h.dst_port, c->dst_port);
			if (c->src != NULL)
				assert_true(slice_eq(ip_text(&h.src, text), slice_of(c->src)));
		} else {
			assert_true(h.taken == 0 && h.src.family == 0);
		}
		if (!c->good && n == c->in.n)
			assert_int_equal(result, PROXY_BAD);
		guarded_free(&g);
	}
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		try_prefixes(&cases[i]);
}

static void
test_limits(void **state)
{
	(void)state;
	for (size_t n = PROXY_V1_BYTES_MOST - 1; n <= PROXY_V1_BYTES_MOST + 1; n++) {
		char line[PROXY_V1_BYTES_MOST + 1];
		struct proxy_header h;
		memset(line, 'x', sizeof(line));
		memcpy(line, "PROXY UNKNOWN ", 14);
		memcpy(line + n - 2, "\r\n", 2);
		assert_int_equal(proxy_parse((struct slice){line, n}, &h, NULL),
			n <= PROXY_V1_BYTES_MOST ? PROXY_DONE : PROXY_BAD);
		/* without an end it is bad as soon as it can have none */
		assert_int_equal(proxy_parse((struct slice){line, n - 2}, &h, NULL),
			n - 2 < PROXY_V1_BYTES_MOST ? PROXY_MORE : PROXY_BAD);
	}
	for (unsigned n = 2047; n <= 2049; n++) {
		char header[16 + 2049] = SIG "\x20\0";
		struct proxy_header h;
		header[14] = (char)(n >> 8);
		header[15] = (char)(n & 0xff);
		enum proxy_result want = n <= 2048 ? PROXY_DONE : PROXY_BAD;
		assert_int_equal(proxy_parse((struct slice){header, 16 + n}, &h, NULL), want);
		assert_int_equal(proxy_parse((struct slice){header, 16}, &h, NULL),
			n <= 2048 ? PROXY_MORE : PROXY_BAD);
	}
}

/* A JSON string of plain ASCII with \r, \n and \uXXXX. */
static size_t
json_string(const char *in, char *out)
{
	char *to = out;
	for (in++; *in != '"' && *in != '\0'; in++) {
		if (*in == '\\')
			in++;
		else {
			*to++ = *in;
			continue;
		}
		*to++ = *in == 'n' ? '\n' : *in == 'r' ? '\r' : *in;
	}
	return (size_t)(to - out);
}

/* Good: done, or (of several headers in a row) the first is; bad: anything but done. */
static void
expect_vector(struct slice in, bool good, const char *name)
{
	struct guarded g = guarded_new(in);
	struct proxy_header h;
	enum proxy_result result = proxy_parse(g.in, &h, NULL);
	if ((result == PROXY_DONE) != good)
		fail_msg("%s: result %d", name, result);
	guarded_free(&g);
}

static FILE *
open_vectors(const char *root, const char *path)
{
	char full[4096];
	snprintf(full, sizeof(full), "%s/%s", root != NULL ? root : ".", path);
	FILE *f = fopen(full, "r");
	if (f == NULL)
		print_message("SKIPPED: %s is not there\n", full);
	return f;
}

static void
test_v1_vectors(void **state)
{
	(void)state;
	char line[4096], text[4096];
	FILE *f = open_vectors(getenv("POSTERN_SUITES"), "proxy-protocol/v1_vectors.tsv");
	int count = 0;
	if (f == NULL)
		skip();
	while (fgets(line, sizeof(line), f) != NULL) {
		char *save, *source = strtok_r(line, "\t", &save);
		char *json = strtok_r(NULL, "\t", &save);
		char *expect = strtok_r(NULL, "\t\n", &save);
		if (json == NULL || json[0] != '"')
			continue;
		size_t n = json_string(json, text);
		/* Postfix's reader has taken CRLF off; its tests end in LF for that */
		if (strncmp(source, "postfix", 7) == 0 && n > 0 && text[n - 1] == '\n') {
			memcpy(text + n - 1, "\r\n", 2);
			n++;
		}
		expect_vector((struct slice){text, n}, strcmp(expect, "good") == 0, json);
		count++;
	}
	fclose(f);
	print_message("PROXY version 1: %d vectors\n", count);
	assert_int_equal(count, 47);
}

static void
test_v2_vectors(void **state)
{
	(void)state;
	char line[4096], bytes[2048];
	FILE *f = open_vectors(
		getenv("POSTERN_SOURCE"), "tests/data/proxy-protocol/v2_vectors.tsv");
	int count = 0;
	if (f == NULL)
		fail_msg("the vectors of version 2 are part of this repository "
			 "(POSTERN_SOURCE)");
	while (fgets(line, sizeof(line), f) != NULL) {
		char *save, *name = strtok_r(line, "\t", &save);
		char *hex = strtok_r(NULL, "\t", &save);
		char *expect = strtok_r(NULL, "\t\n", &save);
		if (expect == NULL || strcmp(hex, "hex") == 0)
			continue;
		size_t n = 0;
		for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2)
			bytes[n++] = (char)(ascii_hex(hex[0]) << 4 | ascii_hex(hex[1]));
		/* two headers: the first is good, the second is the SMTP machine's to refuse;
		 * whether a peer is trusted is asked before this parser */
		bool good = strncmp(expect, "good", 4) == 0 ||
			    strncmp(expect, "second", 6) == 0 ||
			    strncmp(expect, "must be refused: only listed", 28) == 0;
		expect_vector((struct slice){bytes, n}, good, name);
		count++;
	}
	fclose(f);
	print_message("PROXY version 2: %d vectors\n", count);
	assert_int_equal(count, 23);
}

/* What we write is what we read; both ends are of the client's family. */
static void
test_write(void **state)
{
	static const struct {
		const char *src, *dst, *dst_back;
		size_t bytes;
	} written[] = {
		{"192.0.2.1", "198.51.100.1", "198.51.100.1", 28},
		{"2001:db8::1", "2001:db8::2", "2001:db8::2", 52},
		{"192.0.2.1", "2001:db8::2", "0.0.0.0", 28},
		{"2001:db8::1", "192.0.2.1", "::", 52},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		struct proxy_header h = {.src_port = 1234, .dst_port = 25}, back;
		struct ip dst;
		char bytes[PROXY_WRITTEN_MOST];
		assert_true(ip_parse(slice_of(written[i].src), &h.src));
		assert_true(ip_parse(slice_of(written[i].dst), &h.dst));
		assert_true(ip_parse(slice_of(written[i].dst_back), &dst));
		size_t n = proxy_write(&h, bytes);
		assert_int_equal(n, written[i].bytes);
		assert_int_equal(
			proxy_parse((struct slice){bytes, n}, &back, NULL), PROXY_DONE);
		assert_int_equal(back.taken, n);
		assert_true(!back.local && ip_eq(&back.src, &h.src) && ip_eq(&back.dst, &dst));
		assert_true(back.src_port == 1234 && back.dst_port == 25);
	}
	/* a probe, and a client whose address is not known */
	for (int local = 0; local < 2; local++) {
		struct proxy_header h = {.local = local != 0, .src_port = 1}, back;
		char bytes[PROXY_WRITTEN_MOST];
		size_t n = proxy_write(&h, bytes);
		assert_int_equal(n, 16);
		assert_int_equal(
			proxy_parse((struct slice){bytes, n}, &back, NULL), PROXY_DONE);
		assert_true(back.local);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_v1_vectors),
		cmocka_unit_test(test_v2_vectors),
		cmocka_unit_test(test_write),
	};
	return cmocka_run_group_tests_name("smtp_proxy", tests, NULL, NULL);
}
