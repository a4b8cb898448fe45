/*
 * The filter around the verifier: its questions go out with the header, its facts wait for the
 * answers and say the same however these come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "filters/dkim.h"
#include "filters/filter.h"

enum { WALL_S = 1795317600, SIGNERS = 2 };

extern const struct filter flt_dkim;

struct signer {
	const char *domain;
	enum dkim_algorithm algorithm;
	struct dkim_key *key;
	struct slice record;
};

static const char rest[] = "From: joe@example.com\r\nSubject: hi\r\n\r\n";
#define BODY "Hello\r\n"

/* The header with a signature of each signer on top. */
static struct slice
sign(struct signer *signers, struct arena *a)
{
	struct slice header = slice_of(rest);
	for (size_t i = 0; i < SIGNERS; i++) {
		struct signer *s = &signers[i];
		struct err err;
		struct message m;
		unsigned char signature[DKIM_SIGNATURE_BYTES_MOST];
		size_t n;
		struct dkim_sign_request r = {.domain = slice_of(s->domain),
			.selector = SLICE("sel"),
			.algorithm = s->algorithm};
		assert_int_equal(dkim_key_generate(s->algorithm, 1024, &s->key, &err), 0);
		message_parse(slice_of(rest), SLICE("mx.example"), false, a, &m);
		struct dkim_sign *sign = dkim_sign_begin(a);
		dkim_sign_body(sign, SLICE(BODY));
		dkim_sign_body_end(sign);
		dkim_sign_digest(sign, m.fields, m.n_fields, WALL_S, &r);
		assert_int_equal(dkim_key_sign(s->key, r.digest, signature, &n, &err), 0);
		struct slice field =
			dkim_sign_field(&r, (struct slice){(char *)signature, n}, a);
		header = arena_printf(a, "%.*s%.*s", SLICE_ARG(field), SLICE_ARG(header));
		s->record = dkim_key_record(s->key, a);
		dkim_key_free(&s->key);
	}
	return header;
}

static enum fact_state
gather(struct flt_call *c, size_t fact, struct value *v)
{
	struct fact_ref ref = {.decl = &flt_dkim.facts[fact]};
	*v = (struct value){0};
	c->most = COST_CHEAP;
	return flt_dkim.gather(c, &ref, v);
}

static void
answer(struct questions *q, const struct signer *s, enum dns_status status, struct arena *a)
{
	struct slice name = arena_printf(a, "sel._domainkey.%s", s->domain);
	struct dns_rr rr = {.text = s->record};
	struct dns_answer one = {.status = status, .n = status == DNS_OK, .rr = &rr};
	question_answer_dns(q, questions_dns(q, name, DNS_TXT), &one);
}

/* statuses: of the keys of both; order: which comes first. */
static void
run(const enum dns_status *statuses, size_t first, const char *expect, size_t domains)
{
	struct signer signers[SIGNERS] = {{"example.com", DKIM_RSA_SHA256, NULL, SLICE_NONE},
		{"example.org", DKIM_ED25519_SHA256, NULL, SLICE_NONE}};
	struct arena *a = arena_new(16 << 20);
	struct questions q;
	struct message m;
	struct value v;
	void *state = NULL, *mail_state = NULL;
	struct flt_session session = {.wall_ms = (int64_t)WALL_S * 1000};
	struct flt_mail mail = {.message = &m};
	message_parse(sign(signers, a), SLICE("mx.example"), false, a, &m);
	questions_init(&q, a);
	struct flt_call c = {.session = &session,
		.mail = &mail,
		.questions = &q,
		.arena = a,
		.state = &state,
		.mail_state = &mail_state};
	assert_int_equal(gather(&c, 0, &v), FACT_FAILED);
	flt_dkim.header(&c);
	assert_int_equal(questions_open(&q), SIGNERS);
	flt_dkim.body(&c, SLICE(BODY));
	flt_dkim.body_end(&c);
	assert_int_equal(gather(&c, 0, &v), FACT_OPEN);
	answer(&q, &signers[first], statuses[first], a);
	assert_int_equal(gather(&c, 0, &v), FACT_OPEN);
	answer(&q, &signers[1 - first], statuses[1 - first], a);
	assert_int_equal(gather(&c, 0, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, slice_of(expect)));
	assert_int_equal(gather(&c, 1, &v), FACT_KNOWN);
	assert_int_equal(v.n_items, domains);
	assert_int_equal(gather(&c, 2, &v), FACT_KNOWN);
	assert_int_equal(v.n_items, domains);
	assert_int_equal(questions_open(&q), 0);
	arena_free(&a);
}

static void
test_answers(void **state)
{
	(void)state;
	static const struct {
		enum dns_status statuses[SIGNERS];
		const char *expect;
		size_t domains;
	} cases[] = {
		{{DNS_OK, DNS_OK}, "pass", 2},
		{{DNS_OK, DNS_FAIL}, "pass", 1},
		{{DNS_NXDOMAIN, DNS_OK}, "pass", 1},
		{{DNS_NXDOMAIN, DNS_FAIL}, "temperror", 0},
		{{DNS_NXDOMAIN, DNS_NODATA}, "permerror", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(cases[i].statuses, 0, cases[i].expect, cases[i].domains);
		run(cases[i].statuses, 1, cases[i].expect, cases[i].domains);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
