/*
 * The filter around the verifier: its questions go out with the header, its facts wait for the
 * answers and say the same however these come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/engine_opendkim.h"
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

/* The second engine's part: settings, its answer (NULL: none), what comes out. */
static void
run_engine(const char *engine, const char *compare, const enum dkim_result *theirs,
	const char *expect)
{
	struct signer signers[SIGNERS] = {{"example.com", DKIM_RSA_SHA256, NULL, SLICE_NONE},
		{"example.org", DKIM_ED25519_SHA256, NULL, SLICE_NONE}};
	struct arena *a = arena_new(16 << 20);
	struct questions q;
	struct message m;
	struct value v;
	void *state = NULL;
	struct conf_filter settings = {
		.engine = slice_of(engine), .compare = slice_of(compare)};
	struct flt_session session = {.wall_ms = (int64_t)WALL_S * 1000};
	struct flt_mail mail = {.message = &m};
	message_parse(sign(signers, a), SLICE("mx.example"), false, a, &m);
	questions_init(&q, a);
	struct flt_call c = {.session = &session,
		.settings = &settings,
		.mail = &mail,
		.questions = &q,
		.arena = a,
		.state = &state,
		.mail_state = &state};
	flt_dkim.header(&c);
	flt_dkim.body(&c, SLICE(BODY));
	flt_dkim.body_end(&c);
	answer(&q, &signers[0], DNS_OK, a);
	answer(&q, &signers[1], DNS_OK, a);
	assert_int_equal(gather(&c, 0, &v), FACT_OPEN);
	struct question *one = questions_new(&q);
	assert_non_null(one);
	assert_int_equal(one->kind, QUESTION_ENGINE);
	assert_true(slice_eq(one->name, SLICE("libopendkim")));
	struct engine_opendkim_request r;
	assert_true(engine_opendkim_unpack(one->input, a, &r));
	assert_int_equal(r.wall_s, WALL_S);
	assert_int_equal(r.n, SIGNERS);
	assert_true(slice_starts(r.keys[0].name, SLICE("sel._domainkey.example.")));
	question_answer_engine(&q, one,
		theirs != NULL ? engine_opendkim_pack_results(theirs, SIGNERS, a) : SLICE_NONE);
	assert_int_equal(gather(&c, 0, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, slice_of(expect)));
	assert_int_equal(questions_open(&q), 0);
	arena_free(&a);
}

static void
test_second_engine(void **state)
{
	(void)state;
	static const enum dkim_result good[] = {DKIM_PASS, DKIM_PASS};
	static const enum dkim_result bad[] = {DKIM_FAIL, DKIM_PERMERROR};
	static const enum dkim_result none[] = {DKIM_NONE, DKIM_PASS}; /* it must decide all */
	run_engine("libopendkim", "", good, "pass");
	run_engine("libopendkim", "", bad, "fail");
	run_engine("libopendkim", "", NULL, "temperror");
	run_engine("libopendkim", "", none, "temperror");
	run_engine("", "libopendkim", good, "pass");
	run_engine("", "libopendkim", bad, "pass");
	run_engine("", "libopendkim", NULL, "pass");
}

/* What the process reads is whole or refused. */
static void
test_pack(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct engine_opendkim_key keys[] = {
		{SLICE("s._domainkey.example.com"), DNS_OK, SLICE("v=DKIM1; p=")},
		{SLICE("t._domainkey.example.com"), DNS_FAIL, SLICE_NONE}};
	struct engine_opendkim_request r = {.wall_s = -1, .keys = keys, .n = 2}, out;
	struct slice whole = engine_opendkim_pack(&r, a);
	assert_true(engine_opendkim_unpack(whole, a, &out));
	assert_int_equal(out.wall_s, -1);
	assert_int_equal(out.n, 2);
	assert_true(slice_eq(out.keys[0].text, keys[0].text));
	assert_int_equal(out.keys[1].status, DNS_FAIL);
	for (size_t n = 0; n < whole.n; n++) {
		struct guarded g = guarded_new(slice_first(whole, n));
		assert_false(engine_opendkim_unpack(g.in, a, &out));
		guarded_free(&g);
	}
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_second_engine),
		cmocka_unit_test(test_pack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
