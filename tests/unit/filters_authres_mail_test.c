/*
 * SPF, DKIM and DMARC together, by way of the facts, with the answers of a zone given one at a
 * time from either end: the decision of the rules and our Authentication-Results are the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "filters/authres.h"
#include "filters/dkim.h"

enum { WALL_S = 1795317600 };

#define FROM "From: Joe <joe@example.com>\r\nSubject: hi\r\n\r\n"
#define BODY "Hello\r\n"
#define RULES                                                  \
	"reject if dmarc is fail and dmarc.policy is reject\n" \
	"defer if dmarc is temperror\naccept"
#define SPF   "example.com v=spf1 ip4:192.0.2.0/24 -all\n"
#define DMARC "_dmarc.example.com v=DMARC1; p=reject\n"
#define OURS  "Authentication-Results: mx.example.com;"

struct mail_case {
	const char *label, *rules;
	const char *zone;   /* "NAME text" lines; text "FAIL": no answer */
	const char *sender; /* domain of MAIL FROM; "": <> */
	const char *signer; /* d= of a signature that is put on top; NULL: none */
	enum action action;
	const char *field;
};

static const struct mail_case cases[] = {
	{"nothing asked", "accept", "", "example.com", NULL, ACTION_ACCEPT, OURS " none\r\n"},
	{"no signature, no policy", RULES, "", "example.com", NULL, ACTION_ACCEPT,
		OURS "\r\n\tspf=none smtp.mailfrom=joe@example.com;\r\n\tdkim=none;\r\n"
		     "\tdmarc=none header.from=example.com\r\n"},
	{"by SPF", RULES, SPF DMARC, "example.com", NULL, ACTION_ACCEPT,
		OURS "\r\n\tspf=pass smtp.mailfrom=joe@example.com;\r\n\tdkim=none;\r\n"
		     "\tdmarc=pass header.from=example.com policy.dmarc=reject\r\n"},
	{"by DKIM", RULES, DMARC, "bounce.example.net", "mail.example.com", ACTION_ACCEPT,
		OURS "\r\n\tspf=none smtp.mailfrom=joe@bounce.example.net;\r\n"
		     "\tdkim=pass header.d=mail.example.com header.s=sel\r\n"
		     "\theader.a=ed25519-sha256 header.b=\"@\";\r\n"
		     "\tdmarc=pass header.from=example.com policy.dmarc=reject\r\n"},
	{"forged", RULES, DMARC "evil.example v=spf1 +all\n", "evil.example", "evil.example",
		ACTION_REJECT,
		OURS
		"\r\n\tspf=pass smtp.mailfrom=joe@evil.example;\r\n"
		"\tdkim=pass header.d=evil.example header.s=sel header.a=ed25519-sha256\r\n"
		"\theader.b=\"@\";\r\n"
		"\tdmarc=fail header.from=example.com policy.dmarc=reject\r\n"},
	{"no answer for the policy", RULES, "_dmarc.example.com FAIL\n", "example.net", NULL,
		ACTION_DEFER,
		OURS "\r\n\tspf=none smtp.mailfrom=joe@example.net;\r\n\tdkim=none;\r\n"
		     "\tdmarc=temperror header.from=example.com policy.dmarc=none\r\n"},
	{"no answer for SPF", RULES, DMARC "example.com FAIL\n", "example.com", NULL,
		ACTION_DEFER,
		OURS "\r\n\tspf=temperror smtp.mailfrom=joe@example.com;\r\n\tdkim=none;\r\n"
		     "\tdmarc=temperror header.from=example.com policy.dmarc=reject\r\n"},
	{"the greeting under <>", RULES, DMARC "helo.example.com v=spf1 ip4:192.0.2.1 -all\n",
		"", NULL, ACTION_ACCEPT,
		OURS "\r\n\tspf=pass smtp.helo=helo.example.com;\r\n\tdkim=none;\r\n"
		     "\tdmarc=pass header.from=example.com policy.dmarc=reject\r\n"},
	{"DKIM alone", "reject if dkim is fail\naccept", "", "example.com", "example.org",
		ACTION_ACCEPT,
		OURS
		"\r\n\tdkim=pass header.d=example.org header.s=sel header.a=ed25519-sha256\r\n"
		"\theader.b=\"@\"\r\n"},
};

/* A configuration as text, by way of a file. */
static struct conf *
read_conf(const char *rules, struct conf_report *report)
{
	char path[] = "/tmp/authres-XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	assert_non_null(f);
	fprintf(f,
		"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:2525\"\n"
		"domain \"example.org\" deliver to \"127.0.0.1:2526\"\ninbound {\n%s\n}\n",
		rules);
	fclose(f);
	conf_report_init(report);
	struct conf *conf = conf_read(path, report);
	unlink(path);
	assert_non_null(conf);
	return conf;
}

static void
answer(const struct mail_case *c, struct slice record, struct questions *q,
	struct question *one)
{
	struct dns_rr rr = {0};
	struct dns_answer a = {.status = DNS_NXDOMAIN, .rr = &rr};
	struct slice rest = slice_of(c->zone), line, name, text;
	while (rest.n > 0) {
		slice_cut(rest, '\n', &line, &rest);
		slice_cut(line, ' ', &name, &text);
		if (!slice_eq(name, one->name))
			continue;
		a.status = slice_eq(text, SLICE("FAIL")) ? DNS_FAIL
			   : one->type == DNS_TXT        ? DNS_OK
							 : DNS_NODATA;
		rr.text = text;
	}
	if (slice_starts(one->name, SLICE("sel._domainkey."))) {
		a.status = DNS_OK;
		rr.text = record;
	}
	a.n = a.status == DNS_OK;
	question_answer_dns(q, one, &a);
}

struct pending {
	struct questions *q;
	struct question *one;
};

/* Takes what is asked and answers one of it, the newest or the oldest; false: nothing is asked.
 */
static bool
answer_one(struct facts *f, const struct mail_case *c, struct slice record, bool newest,
	struct pending *pending, size_t *n)
{
	struct pending next;
	while ((next.one = facts_question(f, &next.q)) != NULL) {
		assert_true(*n < 64);
		next.one->state = QUESTION_ASKED;
		pending[(*n)++] = next;
	}
	if (*n == 0)
		return false;
	size_t at = newest ? *n - 1 : 0;
	answer(c, record, pending[at].q, pending[at].one);
	memmove(pending + at, pending + at + 1, (--*n - at) * sizeof(*pending));
	return true;
}

static struct slice
make_header(const struct mail_case *c, struct arena *a, struct slice *record_out, char b[9])
{
	struct dkim_key *key;
	struct err err;
	struct message m;
	unsigned char signature[DKIM_SIGNATURE_BYTES_MOST];
	size_t n;
	if (c->signer == NULL)
		return SLICE(FROM);
	assert_int_equal(dkim_key_generate(DKIM_ED25519_SHA256, 0, &key, &err), 0);
	message_parse(SLICE(FROM), SLICE("mx"), false, a, &m);
	struct dkim_sign *s = dkim_sign_begin(a);
	dkim_sign_body(s, SLICE(BODY));
	dkim_sign_body_end(s);
	struct dkim_sign_request r = {.domain = slice_of(c->signer),
		.selector = SLICE("sel"),
		.algorithm = DKIM_ED25519_SHA256};
	dkim_sign_digest(s, m.fields, m.n_fields, WALL_S, &r);
	assert_int_equal(dkim_key_sign(key, r.digest, signature, &n, &err), 0);
	struct slice field = dkim_sign_field(&r, (struct slice){(char *)signature, n}, a);
	*record_out = dkim_key_record(key, a);
	dkim_key_free(&key);
	struct slice value = slice_from(field, slice_find_slice(field, SLICE("b=")) + 2);
	value = slice_from(field, r.text.n);
	for (size_t i = 0, k = 0; k < 8; i++) {
		if (!slice_has(SLICE("\r\n\t"), value.p[i]))
			b[k++] = value.p[i];
	}
	return arena_printf(a, "%.*s%s", SLICE_ARG(field), FROM);
}

/* header.b is another one on each run: it becomes '@', in quotes. */
static struct slice
without_b(struct slice field, const char *b, struct arena *a)
{
	size_t at = slice_find_slice(field, arena_printf(a, "header.b="));
	if (at == field.n)
		return field;
	struct slice head = slice_first(field, at + strlen("header.b="));
	struct slice rest = slice_from(field, head.n);
	bool quoted = rest.p[0] == '"';
	assert_true(slice_starts(slice_from(rest, quoted), slice_of(b)));
	return arena_printf(a, "%.*s\"@\"%.*s", SLICE_ARG(head),
		SLICE_ARG(slice_from(rest, 8 + (quoted ? 2 : 0))));
}

static void
run(const struct mail_case *c, bool newest)
{
	struct conf_report report;
	struct conf *conf = read_conf(c->rules, &report);
	struct arena *a = arena_new(64 << 20);
	struct policy *policy = policy_compile(conf, INBOUND, facts_all(), a, &report);
	assert_non_null(policy);
	char b[9] = "";
	struct slice record = SLICE_NONE, field = SLICE_NONE;
	struct message m;
	message_parse(make_header(c, a, &record, b), SLICE("mx.example.com"), false, a, &m);
	struct flt_session session = {.direction = INBOUND,
		.helo = SLICE("helo.example.com"),
		.wall_ms = (int64_t)WALL_S * 1000};
	assert_true(ip_parse(SLICE("192.0.2.1"), &session.client));
	struct slice path =
		c->sender[0] != '\0' ? arena_printf(a, "<joe@%s>", c->sender) : SLICE("<>");
	struct slice rest;
	struct flt_mail mail = {.message = &m};
	assert_int_equal(
		address_parse_path(path, true, false, a, &mail.sender, &rest), ADDRESS_OK);
	struct flt_recipient rcpt = {0};
	assert_int_equal(
		address_parse(SLICE("a@example.org"), false, a, &rcpt.address), ADDRESS_OK);
	struct facts *f = facts_new(conf, policy, &session);
	facts_helo(f);
	facts_mail(f, &mail);
	facts_rcpt(f, &rcpt);
	facts_data(f);
	facts_header(f);
	facts_body(f, SLICE(BODY));
	facts_body_end(f);
	struct pending pending[64];
	size_t n = 0;
	struct verdict v;
	struct policy_subject subject = {.postmaster = false};
	facts_eval(f, 0, &subject, a, &v);
	while (!v.decided) {
		assert_true(answer_one(f, c, record, newest, pending, &n));
		facts_eval(f, 0, &subject, a, &v);
	}
	assert_int_equal(v.action, c->action);
	while (!authres_of_mail(f, policy, &session, &mail, SLICE("mx.example.com"), a, &field))
		assert_true(answer_one(f, c, record, newest, pending, &n));
	field = without_b(field, b, a);
	if (!slice_eq(field, slice_of(c->field)))
		fail_msg("%s: %.*s", c->label, SLICE_ARG(field));
	facts_free(&f);
	conf_report_fini(&report);
	conf_free(&conf);
	arena_free(&a);
}

static void
test_mails(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(&cases[i], false);
		run(&cases[i], true);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mails)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
