/*
 * Which keys sign a mail and what they sign: what leaves (our lines, cuts left out, body) must
 * verify under the public key, whatever was edited.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "session/sign.h"

enum { KEYS = 4, WALL_S = 1795317600 };

#define BODY "Hello\r\n.dot\r\n"

static struct dkim_key *keys[KEYS];
static struct sign_key sign_keys[KEYS];
static struct conf_sign signs[KEYS] = {
	{.domain = {"example.com", 11}, .selector = {"r", 1}},
	{.domain = {"example.com", 11}, .selector = {"e", 1}},
	{.domain = {"example.org", 11}, .selector = {"o", 1}},
	{.domain = {"sub.example.com", 15}, .selector = {"s", 1}},
};
static struct conf conf = {.hostname = {"mx.example.com", 14}, .signs = signs, .n_signs = KEYS};
static struct gate_config config = {.conf = &conf, .keys = sign_keys, .direction = OUTBOUND};

struct sign_case {
	const char *label, *header, *prefix;
	const char *cut[3];    /* fields that go */
	const char *sign[4];   /* domains */
	const char *selectors; /* that sign, in order */
};

#define MAIL "From: a@example.com\r\nTo: b@example.net\r\nSubject: s\r\nX: 1\r\n\r\n"

static const struct sign_case sign_cases[] = {
	{"as it came", MAIL, "Received: from x\r\n", {NULL}, {"example.com"}, "re"},
	{"only this domain's keys", MAIL, "", {NULL}, {"example.org"}, "o"},
	{"a domain below is another one", MAIL, "", {NULL}, {"sub.example.com"}, "s"},
	{"two domains", MAIL, "", {NULL}, {"example.org", "example.com"}, "ore"},
	{"each key once", MAIL, "", {NULL}, {"example.com", "example.com", "example.org"},
		"reo"},
	{"no key", MAIL, "", {NULL}, {"example.net"}, ""},
	{"no key for one of two", MAIL, "", {NULL}, {"example.net", "example.org"}, "o"},
	{"nothing asked", MAIL, "", {NULL}, {NULL}, ""},
	{"what is added is signed", "From: a@example.com\r\n\r\n",
		"X-Tag: t\r\nReceived: from x\r\n\tby y\r\nDate: now\r\nMessage-ID: <a@b>\r\n",
		{NULL}, {"example.com"}, "re"},
	{"what goes is not", MAIL, "Subject: tagged\r\n", {"Subject: s\r\n"}, {"example.com"},
		"re"},
	{"first, last and folded",
		"Subject: one\r\n two\r\nFrom: a@example.com\r\nDate: x\r\n\r\n",
		"Subject: three\r\n", {"Subject: one\r\n two\r\n", "Date: x\r\n"},
		{"example.com"}, "re"},
	{"one of two alike", "To: x@y\r\nFrom: a@example.com\r\nTo: z@y\r\n\r\n", "",
		{"To: x@y\r\n"}, {"example.org"}, "o"},
};

static struct slice
sent_header(const struct edits *e, struct slice header, struct arena *a)
{
	struct buf out;
	uint64_t at = 0;
	buf_init(&out, 1 << 16);
	assert_int_equal(buf_add(&out, e->prefix), 0);
	for (size_t i = 0; i < e->n_cuts; i++) {
		(void)buf_add(&out, slice_first(slice_from(header, at), e->cuts[i].at - at));
		at = e->cuts[i].at + e->cuts[i].bytes;
	}
	(void)buf_add(&out, slice_from(header, at));
	struct slice all = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return all;
}

static void
verify(struct slice header, const struct sign_request *r, struct arena *a)
{
	unsigned char signature[DKIM_SIGNATURE_BYTES_MOST];
	size_t n;
	struct err err;
	struct message m;
	assert_int_equal(dkim_key_sign(keys[r->key], r->dkim.digest, signature, &n, &err), 0);
	struct slice field = dkim_sign_field(&r->dkim, (struct slice){(char *)signature, n}, a);
	struct slice all = arena_printf(a, "%.*s%.*s", SLICE_ARG(field), SLICE_ARG(header));
	message_parse(all, conf.hostname, false, a, &m);
	struct dkim_verify *v = dkim_verify_begin(m.fields, m.n_fields, false, WALL_S, a);
	dkim_verify_body(v, SLICE(BODY));
	dkim_verify_body_end(v);
	assert_int_equal(dkim_verify_count(v), 1);
	const struct dkim_signature *s = dkim_verify_signature(v, 0);
	assert_true(slice_eq(s->domain, signs[r->key].domain));
	assert_true(slice_eq(s->selector, signs[r->key].selector));
	assert_int_equal(s->algorithm, dkim_key_algorithm(keys[r->key]));
	assert_int_equal(s->signed_s, WALL_S);
	struct dns_rr rr = {.text = dkim_key_record(keys[r->key], a)};
	dkim_verify_key(v, 0, &(struct dns_answer){.status = DNS_OK, .rr = &rr, .n = 1});
	if (dkim_verify_overall(v) != DKIM_PASS)
		fail_msg("%s: %.*s", s->reason != NULL ? s->reason : "", SLICE_ARG(all));
}

static void
run(const struct sign_case *c)
{
	struct arena *a = arena_new(4 << 20);
	struct message m;
	struct flt_mail mail = {.message = &m};
	struct cut cuts[3];
	struct slice domains[4], header = arena_slice(a, slice_of(c->header));
	struct edits e = {.prefix = slice_of(c->prefix), .cuts = cuts, .sign = domains};
	struct sign_request *requests;
	message_parse(header, conf.hostname, false, a, &m);
	for (; e.n_cuts < 3 && c->cut[e.n_cuts] != NULL; e.n_cuts++) {
		struct slice field = slice_of(c->cut[e.n_cuts]);
		cuts[e.n_cuts] =
			(struct cut){.at = slice_find_slice(header, field), .bytes = field.n};
		assert_true(cuts[e.n_cuts].at < header.n);
	}
	for (; e.n_sign < 4 && c->sign[e.n_sign] != NULL; e.n_sign++)
		domains[e.n_sign] = slice_of(c->sign[e.n_sign]);
	struct dkim_sign *s = dkim_sign_begin(a);
	dkim_sign_body(s, SLICE(BODY));
	dkim_sign_body_end(s);
	size_t n = sign_make(s, &config, &mail, &e, (int64_t)WALL_S * 1000, a, NULL, &requests);
	if (n != strlen(c->selectors))
		fail_msg("%s: %zu signatures", c->label, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(signs[requests[i].key].selector.p[0], c->selectors[i]);
		verify(sent_header(&e, header, a), &requests[i], a);
	}
	/* The same mail for other recipients, with other lines on top. */
	e.prefix = arena_printf(a, "X-Other: line\r\n%s", c->prefix);
	assert_int_equal(n,
		sign_make(s, &config, &mail, &e, (int64_t)WALL_S * 1000, a, NULL, &requests));
	for (size_t i = 0; i < n; i++)
		verify(sent_header(&e, header, a), &requests[i], a);
	arena_free(&a);
}

static void
test_signs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sign_cases) / sizeof(sign_cases[0]); i++)
		run(&sign_cases[i]);
}

static int
make_keys(void **state)
{
	struct err err;
	(void)state;
	for (size_t i = 0; i < KEYS; i++) {
		sign_keys[i].algorithm = i == 0 ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
		if (dkim_key_generate(sign_keys[i].algorithm, 0, &keys[i], &err) < 0)
			return -1;
	}
	return 0;
}

static int
free_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < KEYS; i++)
		dkim_key_free(&keys[i]);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_signs)};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
