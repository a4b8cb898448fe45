/*
 * DKIM rule by rule: what a DKIM-Signature may say (RFC 6376 3.5, 6.1.1), what a key may say
 * (3.6), the example of RFC 8463, and our own signatures: signed, verified, damaged, verified
 * again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/dkim.h"

enum { WALL_S = 1795317600 };

#define BH   "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
#define REST "d=example.com; s=sel; h=from; b=YWJj; " BH

struct signature_case {
	const char *value;
	enum dkim_result result; /* DKIM_NONE: well formed, the key is asked for */
	const char *reason;
};

static const struct signature_case signature_cases[] = {
	{"v=1; a=rsa-sha256; " REST, DKIM_NONE, NULL},
	{"v=1; a=RSA-SHA256; c=Relaxed; q=dns/txt; t=1; x=1795317600; " REST, DKIM_NONE, NULL},
	{"v=1; a=ed25519-sha256; c=simple/relaxed; zz=new; " REST, DKIM_NONE, NULL},
	{"v=1; a=rsa-sha256; i=joe@a.Example.COM; " REST, DKIM_NONE, NULL},
	{"v=1; a=rsa-sha256; i=@example.com; q=dns/new:dns/txt; " REST, DKIM_NONE, NULL},
	{"v=1; a=rsa-sha1; " REST, DKIM_POLICY, "rsa-sha1 is not accepted"},
	{"v=2; a=rsa-sha256; " REST, DKIM_PERMERROR, "unknown version"},
	{"v=01; a=rsa-sha256; " REST, DKIM_PERMERROR, "unknown version"},
	{"a=rsa-sha256; " REST, DKIM_PERMERROR, "a required tag is missing"},
	{"v=1; " REST, DKIM_PERMERROR, "a required tag is missing"},
	{"v=1; a=rsa-sha512; " REST, DKIM_PERMERROR, "unknown algorithm"},
	{"v=1; a=rsa-sha256; c=loose; " REST, DKIM_PERMERROR, "unknown canonicalisation"},
	{"v=1; a=rsa-sha256; c=relaxed/; " REST, DKIM_PERMERROR, "unknown canonicalisation"},
	{"v=1; a=rsa-sha256; q=http; " REST, DKIM_PERMERROR, "unknown query method"},
	{"v=1; a=rsa-sha256; i=joe@example.org; " REST, DKIM_PERMERROR, "i= is not within d="},
	{"v=1; a=rsa-sha256; i=@badexample.com; " REST, DKIM_PERMERROR, "i= is not within d="},
	{"v=1; a=rsa-sha256; i=joe; " REST, DKIM_PERMERROR, "i= has no domain"},
	{"v=1; a=rsa-sha256; l=-1; " REST, DKIM_PERMERROR, "l= is not a length"},
	{"v=1; a=rsa-sha256; l=18446744073709551616; " REST, DKIM_PERMERROR,
		"l= is not a length"},
	{"v=1; a=rsa-sha256; t=soon; " REST, DKIM_PERMERROR, "t= or x= is not a time"},
	{"v=1; a=rsa-sha256; t=20; x=10; " REST, DKIM_PERMERROR, "x= is before t="},
	{"v=1; a=rsa-sha256; x=1795317599; " REST, DKIM_FAIL, "the signature has expired"},
	{"v=1; a=rsa-sha256; t=1795404001; " REST, DKIM_FAIL,
		"the signature is from the future"},
	{"v=1; a=rsa-sha256; v=1; " REST, DKIM_PERMERROR, "a tag stands twice"},
	{"v=1; a=rsa-sha256; oops; " REST, DKIM_PERMERROR, "it is not a tag list"},
	{"", DKIM_PERMERROR, "it is not a tag list"},
	{"v=1; a=rsa-sha256; d=exa mple.com; s=s; h=from; b=YWJj; " BH, DKIM_PERMERROR,
		"d= is not a domain"},
	{"v=1; a=rsa-sha256; d=com; s=s; h=from; b=YWJj; " BH, DKIM_PERMERROR,
		"d= is not a domain"},
	{"v=1; a=rsa-sha256; d=a..b; s=s; h=from; b=YWJj; " BH, DKIM_PERMERROR,
		"d= is not a domain"},
	{"v=1; a=rsa-sha256; d=a.b(; s=s; h=from; b=YWJj; " BH, DKIM_PERMERROR,
		"d= is not a domain"},
	{"v=1; a=rsa-sha256; d=a.b; s=s.; h=from; b=YWJj; " BH, DKIM_PERMERROR,
		"s= is not a selector"},
	{"v=1; a=rsa-sha256; d=a.b; s=; h=from; b=YWJj; " BH, DKIM_PERMERROR,
		"s= is not a selector"},
	{"v=1; a=rsa-sha256; d=a.b; s=s; h=to; b=YWJj; " BH, DKIM_PERMERROR,
		"From is not signed"},
	{"v=1; a=rsa-sha256; d=a.b; s=s; h=from::to; b=YWJj; " BH, DKIM_PERMERROR,
		"h= is not a list of field names"},
	{"v=1; a=rsa-sha256; d=a.b; s=s; h=from; b=; " BH, DKIM_PERMERROR, "b= is not base64"},
	{"v=1; a=rsa-sha256; d=a.b; s=s; h=from; b=Y*; " BH, DKIM_PERMERROR,
		"b= is not base64"},
	{"v=1; a=rsa-sha256; d=a.b; s=s; h=from; b=YWJj; bh=", DKIM_PERMERROR,
		"bh= is not base64"},
	{"v=1; a=rsa-sha256; d=a.b; s=s; h=from; b=YWJj; bh=YWJj", DKIM_PERMERROR,
		"bh= is not a SHA-256"},
};

static void
test_signatures(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(signature_cases) / sizeof(signature_cases[0]); i++) {
		const struct signature_case *c = &signature_cases[i];
		struct guarded g = guarded_new(slice_of(c->value));
		struct arena *a = arena_new(1 << 20);
		struct message_field fields[] = {
			{.name = SLICE("DKIM-Signature"), .value = g.in},
			{.name = SLICE("From"), .value = SLICE(" joe@example.com")},
		};
		struct dkim_verify *v = dkim_verify_begin(fields, 2, false, WALL_S, a);
		assert_int_equal(dkim_verify_count(v), 1);
		const struct dkim_signature *s = dkim_verify_signature(v, 0);
		if (c->reason == NULL)
			assert_null(s->reason);
		else
			assert_string_equal(s->reason != NULL ? s->reason : "", c->reason);
		assert_int_equal(s->result, c->result);
		assert_int_equal(s->key_name.n > 0, c->result == DKIM_NONE);
		arena_free(&a);
		guarded_free(&g);
	}
}

/* RFC 8616: U-labels only where the mail is internationalised, asked for as A-labels. */
static void
test_ulabels(void **state)
{
	(void)state;
	struct message_field fields[] = {
		{.name = SLICE("DKIM-Signature"),
			.value = SLICE("v=1; a=rsa-sha256; d=b\303\274cher.example; s=sel; "
				       "h=from; b=YWJj; " BH)},
		{.name = SLICE("From"), .value = SLICE(" joe@example.com")},
	};
	struct arena *a = arena_new(1 << 20);
	struct dkim_verify *v = dkim_verify_begin(fields, 2, true, WALL_S, a);
	assert_true(slice_eq(dkim_verify_signature(v, 0)->key_name,
		SLICE("sel._domainkey.xn--bcher-kva.example")));
	v = dkim_verify_begin(fields, 2, false, WALL_S, a);
	assert_int_equal(dkim_verify_signature(v, 0)->result, DKIM_PERMERROR);
	arena_free(&a);
}

/* HDR-07, HDR-11: neither many signatures nor long lists of names cost more than their bound.
 */
static void
test_bounds(void **state)
{
	(void)state;
	enum { MANY = 60, NAMES = 300 };
	static struct message_field fields[MANY + 1];
	char value[4000];
	size_t n = (size_t)snprintf(
		value, sizeof(value), "v=1; a=rsa-sha256; d=a.b; s=s; b=YWJj; " BH "; h=from");
	for (int i = 0; i < NAMES; i++)
		n += (size_t)snprintf(value + n, sizeof(value) - n, ":to");
	struct arena *a = arena_new(1 << 20);
	for (int i = 0; i < MANY; i++) {
		fields[i].name = SLICE("dkim-signature");
		fields[i].value = (struct slice){value, n};
	}
	fields[MANY] = (struct message_field){.name = SLICE("From"), .value = SLICE(" a@b.c")};
	struct dkim_verify *v = dkim_verify_begin(fields, MANY + 1, false, WALL_S, a);
	assert_int_equal(dkim_verify_count(v), DKIM_SIGNATURES_MOST);
	assert_string_equal(dkim_verify_signature(v, 0)->reason, "h= names too many fields");
	arena_free(&a);
}

struct record_case {
	const char *text, *fault;
	bool ed25519, sha256, email, testing, strict;
	size_t key_bytes;
};

static const struct record_case record_cases[] = {
	{"p=YWJj", NULL, false, true, true, false, false, 3},
	{"v=DKIM1; k=ed25519; t=y:s; h=sha1:sha256; s=email; p=YW Jj", NULL, true, true, true,
		true, true, 3},
	{"v=DKIM1; h=sha1; s=tlsrpt; p=YWJj", NULL, false, false, false, false, false, 3},
	{"v=DKIM1; s=*; n=a note; g=*; p=", NULL, false, true, true, false, false, 0},
	{"v=DKIM1; k=rsa", "the key record has no p=", 0, 0, 0, 0, 0, 0},
	{"v=DKIM2; p=YWJj", "the key record is of another version", 0, 0, 0, 0, 0, 0},
	{"p=YWJj; v=DKIM1", "the key record is of another version", 0, 0, 0, 0, 0, 0},
	{"k=dsa; p=YWJj", "the key is of an unknown type", 0, 0, 0, 0, 0, 0},
	{"p=YW*j", "the key is not base64", 0, 0, 0, 0, 0, 0},
	{"v=spf1 -all", "the key record is of another version", 0, 0, 0, 0, 0, 0},
	{"hello", "the key record is not a tag list", 0, 0, 0, 0, 0, 0},
	{"", "the key record is not a tag list", 0, 0, 0, 0, 0, 0},
};

static void
test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(record_cases) / sizeof(record_cases[0]); i++) {
		const struct record_case *c = &record_cases[i];
		struct guarded g = guarded_new(slice_of(c->text));
		struct arena *a = arena_new(1 << 20);
		struct dkim_record r;
		const char *fault = dkim_record_parse(g.in, a, &r);
		if (c->fault != NULL) {
			assert_non_null(fault);
			assert_string_equal(fault, c->fault);
		} else {
			assert_null(fault);
			assert_int_equal(r.ed25519, c->ed25519);
			assert_int_equal(r.sha256, c->sha256);
			assert_int_equal(r.email, c->email);
			assert_int_equal(r.testing, c->testing);
			assert_int_equal(r.strict, c->strict);
			assert_int_equal(r.key.n, c->key_bytes);
		}
		arena_free(&a);
		guarded_free(&g);
	}
}

/* One mail of the tests below, and what is done to it between signing and verifying. */
struct trip {
	const char *label;
	const char *body_after;   /* NULL: as signed */
	const char *extra_field;  /* a name that is added on top */
	const char *record_start; /* what the record begins with instead of "v=DKIM1; " */
	enum dns_status status;
	enum dkim_result result;
};

#define BODY "Hello  world \r\n\r\n.\r\nbye\r\n\r\n"

static const struct trip trips[] = {
	{"as signed", NULL, NULL, NULL, DNS_OK, DKIM_PASS},
	{"blanks at ends of lines", "Hello world\r\n\r\n.\r\nbye\r\n", NULL, NULL, DNS_OK,
		DKIM_PASS},
	{"body", "Hello world\r\n\r\n.\r\nBye\r\n", NULL, NULL, DNS_OK, DKIM_FAIL},
	{"body, t=y", "x", NULL, "v=DKIM1; t=y; ", DNS_OK, DKIM_NEUTRAL},
	{"t=y", NULL, NULL, "v=DKIM1; t=y; ", DNS_OK, DKIM_PASS},
	{"t=s", NULL, NULL, "t=s; ", DNS_OK, DKIM_PASS},
	{"h=sha1", NULL, NULL, "h=sha1; ", DNS_OK, DKIM_PERMERROR},
	{"s=tlsrpt", NULL, NULL, "s=tlsrpt; ", DNS_OK, DKIM_PERMERROR},
	{"a second From", NULL, "From", NULL, DNS_OK, DKIM_FAIL},
	{"a second Subject", NULL, "Subject", NULL, DNS_OK, DKIM_FAIL},
	{"a Reply-To", NULL, "Reply-To", NULL, DNS_OK, DKIM_FAIL},
	{"a Content-Type", NULL, "content-type", NULL, DNS_OK, DKIM_FAIL},
	{"a Received", NULL, "Received", NULL, DNS_OK, DKIM_PASS},
	{"a List-Id", NULL, "List-Id", NULL, DNS_OK, DKIM_PASS},
	{"no key", NULL, NULL, NULL, DNS_NXDOMAIN, DKIM_PERMERROR},
	{"no TXT", NULL, NULL, NULL, DNS_NODATA, DKIM_PERMERROR},
	{"no answer", NULL, NULL, NULL, DNS_FAIL, DKIM_TEMPERROR},
	{"forged answer", NULL, NULL, NULL, DNS_BOGUS, DKIM_TEMPERROR},
};

static const struct message_field sample[] = {
	{.name = SLICE("Received"), .value = SLICE(" from a by b")},
	{.name = SLICE("From"), .value = SLICE(" Joe\r\n\t<joe@example.com>")},
	{.name = SLICE("To"), .value = SLICE(" ann@example.org")},
	{.name = SLICE("SUBJECT"), .value = SLICE(" Is  dinner ready?")},
	{.name = SLICE("Date"), .value = SLICE(" Sun, 22 Nov 2026 03:00:00 +0000")},
	{.name = SLICE("Message-ID"), .value = SLICE(" <1@example.com>")},
	{.name = SLICE("List-Unsubscribe"), .value = SLICE(" <https://example.com/u>")},
	{.name = SLICE("List-Unsubscribe-Post"), .value = SLICE(" List-Unsubscribe=One-Click")},
};

enum { SAMPLE = sizeof(sample) / sizeof(sample[0]) };

static void
feed_sign(void *arg, const struct slice *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dkim_sign_body(arg, pieces[i]);
}

static struct slice
sign_sample(const struct dkim_key *key, struct arena *a)
{
	struct err err;
	unsigned char signature[DKIM_SIGNATURE_BYTES_MOST];
	size_t bytes;
	struct dkim_sign *s = dkim_sign_begin(a);
	struct slice body = SLICE(BODY);
	feed_sign(s, &body, 1);
	dkim_sign_body_end(s);
	struct dkim_sign_request r = {.domain = SLICE("example.com"),
		.selector = SLICE("s2026"),
		.algorithm = dkim_key_algorithm(key)};
	dkim_sign_digest(s, sample, SAMPLE, WALL_S, &r);
	assert_int_equal(dkim_key_sign(key, r.digest, signature, &bytes, &err), 0);
	return dkim_sign_field(&r, (struct slice){(char *)signature, bytes}, a);
}

static void
check_folds(struct slice field)
{
	struct slice line;
	assert_true(slice_ends(field, SLICE("\r\n")));
	field.n -= 2;
	for (bool first = true, more = true; more; first = false) {
		size_t at = slice_find_slice(field, SLICE("\r\n"));
		more = at < field.n;
		line = slice_first(field, at);
		field = slice_from(field, at + 2);
		assert_true(first || line.p[0] == '\t');
		assert_true(line.n + (first ? 0 : 7) <= 78);
		assert_false(slice_has(line, '\n'));
	}
}

static void
run_trip(const struct trip *t, const struct dkim_key *key)
{
	struct arena *a = arena_new(1 << 20);
	struct message_field fields[SAMPLE + 2];
	size_t n = 0;
	struct slice own = sign_sample(key, a);
	check_folds(own);
	if (t->extra_field != NULL)
		fields[n++] = (struct message_field){
			.name = slice_of(t->extra_field), .value = SLICE(" evil@example.net")};
	fields[n].raw = own;
	slice_cut(slice_first(own, own.n - 2), ':', &fields[n].name, &fields[n].value);
	n++;
	memcpy(fields + n, sample, sizeof(sample));
	struct dkim_verify *v = dkim_verify_begin(fields, n + SAMPLE, false, WALL_S, a);
	dkim_verify_body(v, slice_of(t->body_after != NULL ? t->body_after : BODY));
	dkim_verify_body_end(v);
	assert_int_equal(dkim_verify_count(v), 1);
	const struct dkim_signature *s = dkim_verify_signature(v, 0);
	if (s->key_name.n > 0) {
		assert_true(slice_eq(s->key_name, SLICE("s2026._domainkey.example.com")));
		struct slice record = dkim_key_record(key, a);
		if (t->record_start != NULL)
			record = arena_printf(a, "%s%.*s", t->record_start,
				SLICE_ARG(slice_from(record, strlen("v=DKIM1; "))));
		struct dns_rr rr[] = {{.text = SLICE("v=spf1 -all")}, {.text = record}};
		struct dns_answer answer = {.status = t->status, .n = 2, .rr = rr};
		dkim_verify_key(v, 0, &answer);
	}
	if (s->result != t->result)
		fail_msg("%s: %s (%s)", t->label, dkim_result_text(s->result),
			s->reason != NULL ? s->reason : "");
	assert_int_equal(dkim_verify_overall(v), t->result);
	arena_free(&a);
}

static void
run_trips(enum dkim_algorithm algorithm, unsigned bits)
{
	struct dkim_key *key, *again;
	struct err err;
	struct buf pem;
	assert_int_equal(dkim_key_generate(algorithm, bits, &key, &err), 0);
	buf_init(&pem, 8192);
	assert_int_equal(dkim_key_pem(key, &pem, &err), 0);
	dkim_key_free(&key);
	assert_int_equal(dkim_key_load(buf_slice(&pem), &again, &err), 0);
	assert_int_equal(dkim_key_algorithm(again), algorithm);
	buf_fini(&pem);
	for (size_t i = 0; i < sizeof(trips) / sizeof(trips[0]); i++)
		run_trip(&trips[i], again);
	dkim_key_free(&again);
	assert_null(again);
}

static void
test_trips(void **state)
{
	(void)state;
	run_trips(DKIM_RSA_SHA256, 1024);
	run_trips(DKIM_RSA_SHA256, 0);
	run_trips(DKIM_ED25519_SHA256, 0);
}

static void
test_bad_keys(void **state)
{
	(void)state;
	struct dkim_key *key;
	struct err err;
	assert_int_equal(dkim_key_load(SLICE("no key"), &key, &err), -1);
	assert_null(key);
	assert_int_equal(dkim_key_generate(DKIM_RSA_SHA256, 512, &key, &err), -1);
	assert_int_equal(dkim_key_generate(DKIM_RSA_SHA256, 8192, &key, &err), -1);
	/* A key that is none, of either type; and an Ed25519 one that is cut. */
	unsigned char digest[DKIM_DIGEST_BYTES] = {0};
	unsigned bits;
	struct dkim_record r = {.key = SLICE("not DER at all")};
	assert_int_equal(dkim_record_check(&r, digest, SLICE("s"), &bits), DKIM_CHECK_KEY);
	r.ed25519 = true;
	assert_int_equal(dkim_record_check(&r, digest, SLICE("s"), &bits), DKIM_CHECK_KEY);
}

/* Appendix A of RFC 8463: one mail, an Ed25519 and an RSA signature. */
static void
test_rfc8463(void **state)
{
	(void)state;
	static const struct message_field fields[] = {
		{.name = SLICE("DKIM-Signature"),
			.value = SLICE(
				" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
				" d=football.example.com; i=@football.example.com;\r\n"
				" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
				" subject : date : message-id : from : subject : date;\r\n"
				" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
				" b=/"
				"gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
				" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==")},
		{.name = SLICE("From"),
			.value = SLICE(" Joe SixPack <joe@football.example.com>")},
		{.name = SLICE("To"), .value = SLICE(" Suzie Q <suzie@shopping.example.net>")},
		{.name = SLICE("Subject"), .value = SLICE(" Is dinner ready?")},
		{.name = SLICE("Date"),
			.value = SLICE(" Fri, 11 Jul 2003 21:00:37 -0700 (PDT)")},
		{.name = SLICE("Message-ID"),
			.value = SLICE(" <20030712040037.46341.5F8J@football.example.com>")},
	};
	struct arena *a = arena_new(1 << 20);
	struct dkim_verify *v = dkim_verify_begin(fields, 6, false, WALL_S, a);
	dkim_verify_body(
		v, SLICE("Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"));
	dkim_verify_body_end(v);
	struct dns_rr rr = {
		.text = SLICE(
			"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")};
	struct dns_answer answer = {.status = DNS_OK, .n = 1, .rr = &rr};
	dkim_verify_key(v, 0, &answer);
	assert_int_equal(dkim_verify_signature(v, 0)->result, DKIM_PASS);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_ulabels),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_trips),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_rfc8463),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
