/*
 * The facts of a session: stages, scopes that end, costs, bounds, and a decision that waits for
 * an answer. The filters are the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "filters/facts.h"

#define AROUND                                                                          \
	"hostname \"mx.example.com\"\n"                                                 \
	"listen inbound on \"127.0.0.1:2525\"\n"                                        \
	"table staff { \"ann@table.example\" }\n"                                       \
	"domain \"any.example\" deliver to \"127.0.0.1:26\" recipients any\n"           \
	"domain \"table.example\" deliver to \"127.0.0.1:26\" recipients table staff\n" \
	"domain \"verify.example\" deliver to \"127.0.0.1:26\" recipients verify\n"

struct lab {
	struct conf *conf;
	struct arena *arena;
	struct policy *policy;
	struct flt_session session;
	struct flt_mail mail;
	struct flt_recipient recipient;
	struct facts *facts;
};

static void
lab_open(struct lab *lab, const char *rules)
{
	char text[4096];
	struct conf_report report;
	snprintf(text, sizeof(text), "%s%s", AROUND, rules);
	*lab = (struct lab){.conf = conf_text(text), .arena = arena_new(8 << 20)};
	conf_report_init(&report);
	lab->policy = policy_compile(lab->conf, INBOUND, facts_all(), lab->arena, &report);
	if (lab->policy == NULL)
		fail_msg("%s", report.problems[0].text);
	conf_report_fini(&report);
	assert_true(ip_parse(SLICE("192.0.2.1"), &lab->session.client));
	lab->facts = facts_new(lab->conf, lab->policy, &lab->session);
}

static void
lab_close(struct lab *lab)
{
	facts_free(&lab->facts);
	assert_null(lab->facts);
	arena_free(&lab->arena);
	conf_free(&lab->conf);
}

static void
lab_mail(struct lab *lab, const char *sender)
{
	assert_int_equal(address_parse(slice_of(sender), false, lab->arena, &lab->mail.sender),
		ADDRESS_OK);
	facts_mail(lab->facts, &lab->mail);
}

static size_t
lab_rcpt(struct lab *lab, const char *recipient)
{
	struct flt_recipient *r = &lab->recipient;
	assert_int_equal(
		address_parse(slice_of(recipient), false, lab->arena, &r->address), ADDRESS_OK);
	r->domain = conf_domain_find(lab->conf, r->address.domain);
	return facts_rcpt(lab->facts, r);
}

static enum fact_state
lab_read(struct lab *lab, const char *name, size_t rcpt, enum fact_cost most, struct value *v)
{
	return facts_read(lab->facts, name, SLICE_NONE, rcpt, most, v);
}

/* Answers the one open question, which must be of that name. */
static void
lab_answer(struct lab *lab, const char *name, enum dns_type type, const char *value)
{
	struct questions *scope;
	struct question *one = facts_question(lab->facts, &scope);
	assert_non_null(one);
	if (!slice_eq(one->name, slice_of(name)) || one->type != type)
		fail_msg("asked: %.*s %s", SLICE_ARG(one->name), dns_type_text(one->type));
	one->state = QUESTION_ASKED;
	struct dns_rr rr = {.text = slice_of(value)};
	struct dns_answer answer = {.status = DNS_NXDOMAIN};
	if (value != NULL && strcmp(value, "fail") == 0)
		answer.status = DNS_FAIL;
	else if (value != NULL)
		answer = (struct dns_answer){.status = DNS_OK, .n = 1, .rr = &rr};
	if (type == DNS_A && answer.n != 0)
		assert_true(ip_parse(rr.text, &rr.ip));
	question_answer_dns(scope, one, &answer);
}

static void
nothing_is_asked(struct lab *lab)
{
	struct questions *scope;
	assert_null(facts_question(lab->facts, &scope));
}

static void
stages_and_scopes(void **state)
{
	(void)state;
	struct lab lab;
	struct value v;
	lab_open(&lab, "inbound { accept }");
	assert_int_equal(lab_read(&lab, "client", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("192.0.2.1")));
	assert_int_equal(lab_read(&lab, "helo", SIZE_MAX, COST_FREE, &v), FACT_LATER);
	lab.session.helo = SLICE("one.example");
	facts_helo(lab.facts);
	assert_int_equal(lab_read(&lab, "helo", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	/* STARTTLS and a new EHLO forget it (POLICY.md) */
	lab.session.helo = SLICE_NONE;
	facts_helo(lab.facts);
	assert_int_equal(lab_read(&lab, "helo", SIZE_MAX, COST_FREE, &v), FACT_LATER);
	lab.session.helo = SLICE("two.example");
	lab.session.tls_version = SLICE("TLSv1.3");
	facts_helo(lab.facts);
	assert_int_equal(lab_read(&lab, "helo", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("two.example")));
	assert_int_equal(lab_read(&lab, "sender", SIZE_MAX, COST_FREE, &v), FACT_LATER);

	lab_mail(&lab, "a@one.example");
	assert_int_equal(lab_read(&lab, "sender.domain", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("one.example")));
	assert_int_equal(lab_read(&lab, "tls", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_true(v.flag);
	assert_int_equal(lab_read(&lab, "recipient", SIZE_MAX, COST_FREE, &v), FACT_LATER);
	assert_int_equal(lab_rcpt(&lab, "b@any.example"), 0);
	assert_int_equal(lab_rcpt(&lab, "c@table.example"), 1);
	assert_int_equal(lab_read(&lab, "recipient", 0, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("b@any.example")));
	assert_int_equal(lab_read(&lab, "recipient.domain", 1, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("table.example")));
	facts_rcpt_drop(lab.facts);
	assert_int_equal(lab_rcpt(&lab, "d@any.example"), 1);
	assert_int_equal(lab_read(&lab, "recipient", 1, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("d@any.example")));
	assert_int_equal(lab_read(&lab, "recipients", SIZE_MAX, COST_FREE, &v), FACT_LATER);
	lab.mail.recipients = &lab.recipient;
	lab.mail.n_recipients = 1;
	facts_data(lab.facts);
	assert_int_equal(lab_read(&lab, "recipients", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_int_equal(v.n_items, 1);

	/* nothing of one mail reaches the next */
	facts_mail_end(lab.facts);
	assert_int_equal(lab_read(&lab, "sender", SIZE_MAX, COST_FREE, &v), FACT_LATER);
	lab_mail(&lab, "x@two.example");
	assert_int_equal(lab_read(&lab, "sender", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("x@two.example")));
	lab_close(&lab);
}

static void
header_and_body(void **state)
{
	(void)state;
	struct lab lab;
	struct value v;
	struct message m;
	lab_open(&lab, "inbound { accept }");
	lab.session.helo = SLICE("one.example");
	facts_helo(lab.facts);
	lab_mail(&lab, "a@one.example");
	lab_rcpt(&lab, "b@any.example");
	facts_data(lab.facts);
	assert_int_equal(lab_read(&lab, "subject", SIZE_MAX, COST_FREE, &v), FACT_LATER);
	message_parse(SLICE("From: A <a@One.example>\r\nSubject: =?utf-8?q?x?=\r\nX-A: "
			    "1\r\nx-a:\r\n 2\r\n"
			    "\r\n"),
		SLICE("mx"), false, lab.arena, &m);
	lab.mail.message = &m;
	facts_header(lab.facts);
	assert_int_equal(lab_read(&lab, "subject", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("x")));
	assert_int_equal(lab_read(&lab, "from.domain", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("one.example")));
	assert_int_equal(facts_read(lab.facts, "header", SLICE("X-A"), SIZE_MAX, COST_FREE, &v),
		FACT_KNOWN);
	assert_int_equal(v.n_items, 2);
	assert_true(
		slice_eq(v.items[0].text, SLICE("1")) && slice_eq(v.items[1].text, SLICE("2")));
	facts_body(lab.facts, SLICE("hello\r\n"));
	assert_int_equal(lab_read(&lab, "size", SIZE_MAX, COST_FREE, &v), FACT_LATER);
	lab.mail.bytes = 70;
	facts_body_end(lab.facts);
	assert_int_equal(lab_read(&lab, "size", SIZE_MAX, COST_FREE, &v), FACT_KNOWN);
	assert_int_equal((int)v.number, 70);
	lab_close(&lab);
}

static void
recipient_known(void **state)
{
	(void)state;
	static const struct {
		const char *recipient;
		bool known;
	} free_of_questions[] = {{"x@any.example", true}, {"ann@table.example", true},
		{"Ann+list@table.example", true}, {"bob@table.example", false},
		{"x@elsewhere.example", false}};
	struct lab lab;
	struct value v;
	lab_open(&lab, "inbound { accept }");
	lab.session.helo = SLICE("one.example");
	facts_helo(lab.facts);
	lab_mail(&lab, "a@one.example");
	for (size_t i = 0; i < 5; i++) {
		size_t n = lab_rcpt(&lab, free_of_questions[i].recipient);
		assert_int_equal(
			lab_read(&lab, "recipient known", n, COST_FREE, &v), FACT_KNOWN);
		if (v.flag != free_of_questions[i].known)
			fail_msg("%s", free_of_questions[i].recipient);
		nothing_is_asked(&lab);
	}
	static const struct {
		enum known_answer answer;
		enum fact_state state;
		bool known;
	} answers[] = {{KNOWN_YES, FACT_KNOWN, true}, {KNOWN_NO, FACT_KNOWN, false},
		{KNOWN_FAILED, FACT_FAILED, false}};
	for (size_t i = 0; i < 3; i++) {
		struct questions *scope;
		size_t n = lab_rcpt(&lab, "x@verify.example");
		assert_int_equal(
			lab_read(&lab, "recipient known", n, COST_CHEAP, &v), FACT_UNASKED);
		nothing_is_asked(&lab);
		assert_int_equal(
			lab_read(&lab, "recipient known", n, COST_DEAR, &v), FACT_OPEN);
		struct question *one = facts_question(lab.facts, &scope);
		assert_true(one != NULL && one->kind == QUESTION_KNOWN);
		assert_true(slice_eq(one->name, SLICE("x@verify.example")));
		question_answer_known(scope, one, answers[i].answer, SLICE("words"));
		assert_int_equal(
			lab_read(&lab, "recipient known", n, COST_FREE, &v), answers[i].state);
		assert_int_equal(v.flag, answers[i].known);
		assert_true(slice_ends(v.evidence, SLICE("words")));
	}
	lab_close(&lab);
}

static void
client_in_dnsbl(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		enum fact_state state;
		bool listed;
	} cases[] = {{NULL, FACT_KNOWN, false}, {"127.0.0.2", FACT_KNOWN, true},
		{"127.255.255.254", FACT_FAILED, false}, {"192.0.2.9", FACT_FAILED, false},
		{"fail", FACT_FAILED, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lab lab;
		struct value v;
		lab_open(&lab, "inbound { accept }");
		const struct slice zone = SLICE("zen.example");
		assert_int_equal(facts_read(lab.facts, "dnsbl", zone, SIZE_MAX, COST_FREE, &v),
			FACT_UNASKED);
		assert_int_equal(facts_read(lab.facts, "dnsbl", zone, SIZE_MAX, COST_CHEAP, &v),
			FACT_OPEN);
		lab_answer(&lab, "1.2.0.192.zen.example", DNS_A, cases[i].value);
		assert_int_equal(facts_read(lab.facts, "dnsbl", zone, SIZE_MAX, COST_FREE, &v),
			cases[i].state);
		assert_int_equal(v.flag, cases[i].listed);
		lab_close(&lab);
	}
}

static void
ipv6_client_in_dnsbl(void **state)
{
	(void)state;
	struct lab lab;
	struct value v;
	lab_open(&lab, "inbound { accept }");
	assert_true(ip_parse(SLICE("2001:db8::1"), &lab.session.client));
	facts_read(lab.facts, "dnsbl", SLICE("zen.example"), SIZE_MAX, COST_CHEAP, &v);
	lab_answer(&lab,
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example",
		DNS_A, "127.0.0.4");
	assert_int_equal(
		facts_read(lab.facts, "dnsbl", SLICE("zen.example"), SIZE_MAX, COST_CHEAP, &v),
		FACT_KNOWN);
	assert_true(v.flag && slice_eq(v.evidence, SLICE("zen.example: 127.0.0.4")));
	/* a zone that is none */
	assert_int_equal(
		facts_read(lab.facts, "dnsbl", SLICE("a..b"), SIZE_MAX, COST_CHEAP, &v),
		FACT_FAILED);
	lab_close(&lab);
}

static void
client_name_is_forward_confirmed(void **state)
{
	(void)state;
	struct lab lab;
	struct value v;
	lab_open(&lab, "inbound { accept }");
	assert_int_equal(lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v), FACT_OPEN);
	lab_answer(&lab, "1.2.0.192.in-addr.arpa", DNS_PTR, "Host.example");
	assert_int_equal(lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v), FACT_OPEN);
	lab_answer(&lab, "host.example", DNS_A, "192.0.2.1");
	assert_int_equal(lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v), FACT_KNOWN);
	assert_true(slice_eq(v.text, SLICE("host.example")));
	lab_close(&lab);
	lab_open(&lab, "inbound { accept }");
	lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v);
	lab_answer(&lab, "1.2.0.192.in-addr.arpa", DNS_PTR, "liar.example");
	lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v);
	lab_answer(&lab, "liar.example", DNS_A, "192.0.2.7");
	assert_int_equal(lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v), FACT_KNOWN);
	assert_int_equal(v.text.n, 0);
	lab_close(&lab);
	/* what no host name is goes no further: it would stand in headers and logs */
	lab_open(&lab, "inbound { accept }");
	lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v);
	lab_answer(&lab, "1.2.0.192.in-addr.arpa", DNS_PTR, "a(b\\032.example");
	assert_int_equal(lab_read(&lab, "client.name", SIZE_MAX, COST_CHEAP, &v), FACT_KNOWN);
	assert_int_equal(v.text.n, 0);
	nothing_is_asked(&lab);
	lab_close(&lab);
}

static void
questions_are_bounded(void **state)
{
	(void)state;
	struct lab lab;
	struct value v;
	char zone[40];
	lab_open(&lab, "inbound { accept }");
	for (int i = 0; i < FLT_DNS_MOST + 5; i++) {
		snprintf(zone, sizeof(zone), "z%d.example", i);
		enum fact_state s = facts_read(
			lab.facts, "dnsbl", slice_of(zone), SIZE_MAX, COST_CHEAP, &v);
		assert_int_equal(s, i < FLT_DNS_MOST ? FACT_OPEN : FACT_FAILED);
	}
	struct questions *scope;
	assert_non_null(facts_question(lab.facts, &scope));
	assert_int_equal(scope->dns_count, FLT_DNS_MOST);
	lab_close(&lab);
}

/* A rule waits for its answer; what no rule uses is not asked; dear questions come last. */
static void
a_decision_waits(void **state)
{
	(void)state;
	struct lab lab;
	struct verdict verdict;
	const struct policy_subject subject = {false};
	lab_open(&lab, "inbound {\n"
		       "reject if recipient is not known\n"
		       "reject if client in dnsbl \"zen.example\"\n"
		       "accept }\n");
	facts_prefetch(lab.facts);
	struct questions *scope;
	struct question *ahead = facts_question(lab.facts, &scope);
	assert_non_null(ahead);
	ahead->state = QUESTION_ASKED;
	nothing_is_asked(&lab);
	lab.session.helo = SLICE("one.example");
	facts_helo(lab.facts);
	lab_mail(&lab, "a@one.example");
	size_t n = lab_rcpt(&lab, "x@verify.example");
	facts_eval(lab.facts, n, &subject, lab.arena, &verdict);
	assert_false(verdict.decided);
	assert_true(verdict.waits);
	nothing_is_asked(&lab); /* the call-out waits for the cheap one */
	question_answer_dns(scope, ahead, &(struct dns_answer){.status = DNS_NXDOMAIN});
	facts_eval(lab.facts, n, &subject, lab.arena, &verdict);
	struct question *callout = facts_question(lab.facts, &scope);
	assert_true(!verdict.decided && callout != NULL && callout->kind == QUESTION_KNOWN);
	callout->state = QUESTION_ASKED;
	/* called off before the recipient goes, nothing else is */
	assert_ptr_equal(facts_call_off(lab.facts, SCOPE_RECIPIENT), callout);
	assert_null(facts_call_off(lab.facts, SCOPE_RECIPIENT));
	callout->state = QUESTION_ASKED;
	question_answer_known(scope, callout, KNOWN_NO, SLICE("550 no"));
	facts_eval(lab.facts, n, &subject, lab.arena, &verdict);
	assert_true(verdict.decided);
	assert_int_equal(verdict.action, ACTION_REJECT);
	assert_null(facts_call_off(lab.facts, SCOPE_SESSION));
	lab_close(&lab);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stages_and_scopes),
		cmocka_unit_test(header_and_body),
		cmocka_unit_test(recipient_known),
		cmocka_unit_test(client_in_dnsbl),
		cmocka_unit_test(ipv6_client_in_dnsbl),
		cmocka_unit_test(client_name_is_forward_confirmed),
		cmocka_unit_test(questions_are_bounded),
		cmocka_unit_test(a_decision_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
