/*
 * Who is counted for a limit and what the greylist knows a sender by: the keys of the state's
 * operations as sessions and envelopes make them, and what becomes of the keeper's answers.
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
#include "filters/whom.h"

struct lab {
	struct arena *arena;
	struct conf *conf;
	struct policy *policy;
	struct flt_session session;
	struct flt_mail mail;
	struct flt_recipient rcpt;
	struct facts *facts;
};

/* from "": <>. */
static void
lab_open(struct lab *l, const char *settings, const char *client, const char *user,
	const char *from, const char *to)
{
	*l = (struct lab){.arena = arena_new(64 << 20)};
	l->conf = conf_text(arena_text(
		l->arena, arena_printf(l->arena,
				  "hostname \"mx.example.com\"\nspool \"/var/spool/postern\"\n"
				  "listen inbound on \"127.0.0.1:2525\"\n"
				  "domain \"example.com\" deliver to \"127.0.0.1:2526\"\n"
				  "domain \"example.org\" deliver to \"127.0.0.1:2526\" detail "
				  "significant\n%s\ninbound {\naccept\n}\n",
				  settings)));
	struct conf_report report;
	conf_report_init(&report);
	l->policy = policy_compile(l->conf, INBOUND, facts_all(), l->arena, &report);
	assert_non_null(l->policy);
	conf_report_fini(&report);
	if (client[0] != '\0')
		assert_true(ip_parse(slice_of(client), &l->session.client));
	l->session.helo = SLICE("Mail.Client.Example");
	l->session.user = slice_of(user);
	l->mail.sender.is_null = from[0] == '\0';
	if (from[0] != '\0')
		assert_int_equal(address_parse(slice_of(from), true, l->arena, &l->mail.sender),
			ADDRESS_OK);
	assert_int_equal(
		address_parse(slice_of(to), true, l->arena, &l->rcpt.address), ADDRESS_OK);
	l->rcpt.domain = conf_domain_find(l->conf, l->rcpt.address.domain);
	l->facts = facts_new(l->conf, l->policy, &l->session);
	facts_helo(l->facts);
	facts_mail(l->facts, &l->mail);
	assert_int_equal(facts_rcpt(l->facts, &l->rcpt), 0);
}

static void
lab_close(struct lab *l)
{
	facts_mail_end(l->facts);
	facts_free(&l->facts);
	conf_free(&l->conf);
	arena_free(&l->arena);
}

static enum fact_state
read_fact(
	struct lab *l, const char *fact, const char *arg, enum fact_cost most, struct value *v)
{
	return facts_read(l->facts, fact, slice_of(arg), 0, most, v);
}

/* The one question of the state that is open; NULL: none is. */
static struct question *
open_question(struct lab *l, struct questions **scope)
{
	struct question *q = facts_question(l->facts, scope);
	if (q != NULL)
		q->state = QUESTION_ASKED;
	return q;
}

static void
expect_key(struct lab *l, const char *fact, const char *arg, const char *key)
{
	struct questions *scope;
	struct value v;
	enum fact_state state = read_fact(l, fact, arg, COST_RESERVE, &v);
	if (key == NULL) {
		assert_int_equal(state, FACT_KNOWN);
		assert_false(v.flag);
		assert_null(facts_question(l->facts, &scope));
		return;
	}
	assert_int_equal(state, FACT_OPEN);
	struct question *q = open_question(l, &scope);
	assert_non_null(q);
	assert_int_equal(q->kind, QUESTION_STATE);
	if (!slice_eq(q->op.key, slice_of(key)))
		fail_msg("the key is \"%.*s\", not \"%s\"", SLICE_ARG(q->op.key), key);
	assert_int_equal(q->op.n, 1);
}

static void
test_who_is_counted(void **state)
{
	static const struct {
		const char *client, *user, *from, *to, *fact, *arg, *key;
	} rows[] = {
		{"192.0.2.1", "alice", "a@x.example", "b@example.com", "rate",
			"user > 200/hour", "user alice 200/hour"},
		{"192.0.2.1", "", "a@x.example", "b@example.com", "rate", "user > 200/hour",
			NULL},
		{"192.0.2.1", "", "a@x.example", "b@example.com", "quota.recipients",
			"user > 200 recipients/month", NULL},
		{"192.0.2.1", "alice", "a@x.example", "b@example.com", "quota.recipients",
			"user > 200 recipients/month", "user alice 200 recipients/month"},
		{"192.0.2.1", "", "a@x.example", "b@example.com", "rate", "client > 5/day",
			"client 192.0.2.1 5/day"},
		{"2001:db8:1:2:3:4:5:6", "", "a@x.example", "b@example.com", "rate",
			"client > 5/day", "client 2001:db8:1:2::/64 5/day"},
		{"", "", "a@x.example", "b@example.com", "rate", "client > 5/day",
			"client local 5/day"},
		/* addresses: without case; +detail means something in our own domains alone */
		{"192.0.2.1", "", "Ann+News@X.Example", "b@example.com", "rate",
			"sender > 5/day", "sender ann+news@x.example 5/day"},
		{"192.0.2.1", "", "Ann+News@Example.COM", "b@example.com", "rate",
			"sender > 5/day", "sender ann@example.com 5/day"},
		{"192.0.2.1", "", "Ann+News@example.org", "b@example.com", "rate",
			"sender > 5/day", "sender ann+news@example.org 5/day"},
		{"192.0.2.1", "", "+x@example.com", "b@example.com", "rate", "sender > 5/day",
			"sender +x@example.com 5/day"},
		{"192.0.2.1", "",
			"a@b\xc3\xbc"
			"cher.example",
			"b@example.com", "quota", "sender.domain > 5/week",
			"sender.domain xn--bcher-kva.example 5/week"},
		{"192.0.2.1", "", "", "b@example.com", "rate", "sender > 5/day",
			"client 192.0.2.1 5/day"},
		{"2001:db8::1", "", "", "b@example.com", "quota", "sender.domain > 5/day",
			"client 2001:db8::/64 5/day"},
		{"192.0.2.1", "", "a@x.example", "Bob+1@Example.Com", "rate.recipients",
			"recipient > 5/day", "recipient bob@example.com 5/day"},
		{"192.0.2.1", "", "a@x.example", "Bob+1@Example.Com", "quota.recipients",
			"recipient.domain > 5/day", "recipient.domain example.com 5/day"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		lab_open(&l, "", rows[i].client, rows[i].user, rows[i].from, rows[i].to);
		expect_key(&l, rows[i].fact, rows[i].arg, rows[i].key);
		lab_close(&l);
	}
}

static struct question *
asked_for(struct lab *l, const char *fact, const char *arg, struct questions **scope)
{
	struct value v;
	assert_int_equal(read_fact(l, fact, arg, COST_RESERVE, &v), FACT_OPEN);
	struct question *q = open_question(l, scope);
	assert_non_null(q);
	return q;
}

/* A bucket for a rate, a period of the calendar for a quota; taken, used up, or no answer. */
static void
test_answers(void **state)
{
	struct questions *scope;
	struct value v;
	struct lab l;
	(void)state;
	lab_open(&l, "", "192.0.2.1", "alice", "a@x.example", "b@example.com");
	struct question *q = asked_for(&l, "rate", "user > 200/hour", &scope);
	assert_int_equal(q->op.kind, STATE_TAKE);
	assert_int_equal(q->op.space, STATE_RATE);
	assert_int_equal(q->op.limit, 200);
	assert_int_equal(q->op.span_ms, 3600 * 1000);
	question_answer_state(
		scope, q, &(struct state_answer){.yes = true, .count = 200, .at_ms = 7});
	assert_int_equal(read_fact(&l, "rate", "user > 200/hour", COST_FREE, &v), FACT_KNOWN);
	assert_false(v.flag);
	assert_true(slice_eq(v.evidence, SLICE("user alice: 200 of 200 are used")));
	q = asked_for(&l, "quota", "user > 5/month", &scope);
	assert_int_equal(q->op.kind, STATE_COUNT);
	assert_int_equal(q->op.space, STATE_QUOTA);
	assert_int_equal(q->op.period, PERIOD_MONTH);
	question_answer_state(scope, q,
		&(struct state_answer){.count = 5, .wait_ms = (uint64_t)9 * 86400 * 1000});
	assert_int_equal(read_fact(&l, "quota", "user > 5/month", COST_FREE, &v), FACT_KNOWN);
	assert_true(v.flag);
	assert_true(
		slice_eq(v.evidence, SLICE("user alice: 5 of 5 are used, the next in 9 days")));
	q = asked_for(&l, "quota", "user > 5/day", &scope);
	assert_int_equal(q->op.period, PERIOD_DAY);
	question_answer_state(scope, q, &(struct state_answer){.status = STATE_FAILED});
	assert_int_equal(read_fact(&l, "quota", "user > 5/day", COST_FREE, &v), FACT_FAILED);
	q = asked_for(&l, "quota", "user > 5/week", &scope);
	assert_int_equal(q->op.period, PERIOD_WEEK);
	lab_close(&l);
}

/* What is not asked for by name costs nothing: a reservation is none of the cheap questions. */
static void
test_only_as_a_reservation(void **state)
{
	struct questions *scope;
	struct value v;
	struct lab l;
	(void)state;
	lab_open(&l, "", "192.0.2.1", "alice", "", "b@example.com");
	assert_int_equal(
		read_fact(&l, "rate", "user > 200/hour", COST_CHEAP, &v), FACT_UNASKED);
	assert_int_equal(read_fact(&l, "rate", "user > 200/hour", COST_FREE, &v), FACT_UNASKED);
	assert_null(facts_question(l.facts, &scope));
	lab_close(&l);
	lab_open(&l, "", "192.0.2.1", "", "", "b@example.com");
	assert_int_equal(read_fact(&l, "greylisted", "", COST_CHEAP, &v), FACT_UNASKED);
	assert_null(facts_question(l.facts, &scope));
	lab_close(&l);
}

/* SPF's own questions, answered so that it comes out as `policy` says. */
static void
answer_spf(struct lab *l, const char *policy)
{
	struct questions *scope;
	struct question *q;
	struct value v;
	assert_int_equal(read_fact(l, "greylisted", "", COST_CHEAP, &v), FACT_OPEN);
	while ((q = facts_question(l->facts, &scope)) != NULL) {
		assert_int_equal(q->kind, QUESTION_DNS);
		struct dns_rr rr = {.text = slice_of(policy)};
		struct dns_answer answer = {.status = DNS_OK, .rr = &rr, .n = 1};
		q->state = QUESTION_ASKED;
		question_answer_dns(scope, q, &answer);
	}
	assert_int_equal(read_fact(l, "greylisted", "", COST_CHEAP, &v), FACT_UNASKED);
}

static void
expect_tuple(const char *client, const char *from, const char *spf, const char *key,
	const char *passer)
{
	struct questions *scope;
	struct lab l;
	lab_open(&l, "", client, "", from, "b@example.com");
	if (spf != NULL)
		answer_spf(&l, spf);
	const struct question *q = asked_for(&l, "greylisted", "", &scope);
	if (!slice_eq(q->op.key, slice_of(key)) || !slice_eq(q->op.passer, slice_of(passer)))
		fail_msg("\"%.*s\", \"%.*s\"", SLICE_ARG(q->op.key), SLICE_ARG(q->op.passer));
	assert_int_equal(q->op.kind, STATE_SEEN);
	assert_int_equal(q->op.delay_ms, 5 * 60 * 1000);
	assert_int_equal(q->op.within_ms, 2 * 86400 * 1000);
	assert_int_equal(q->op.ttl_ms, (uint64_t)36 * 86400 * 1000);
	assert_int_equal(q->op.passes, 5);
	lab_close(&l);
}

static void
test_tuples(void **state)
{
	(void)state;
	expect_tuple("192.0.2.77", "a@X.Example", "v=spf1 -all", "net 192.0.2.0/24 x.example",
		"net 192.0.2.0/24");
	expect_tuple("192.0.2.77", "a@X.Example", "v=spf1 ip4:192.0.2.77 -all", "spf x.example",
		"net 192.0.2.0/24");
	expect_tuple("2001:db8:0:1:2::3", "b@x.example", "v=spf1 ?all",
		"net 2001:db8:0:1::/64 x.example", "net 2001:db8:0:1::/64");
	/* bounces: HELO is another one for each machine, so SPF is not asked */
	expect_tuple("192.0.2.77", "", NULL, "net 192.0.2.0/24 <>", "net 192.0.2.0/24");
}

/* Never one who has logged in, nor a program of this machine. */
static void
test_never_greylisted(void **state)
{
	struct lab l;
	(void)state;
	lab_open(&l, "", "192.0.2.1", "alice", "a@x.example", "b@example.com");
	expect_key(&l, "greylisted", "", NULL);
	lab_close(&l);
	lab_open(&l, "", "", "", "a@x.example", "b@example.com");
	expect_key(&l, "greylisted", "", NULL);
	lab_close(&l);
}

static void
test_greylist_settings(void **state)
{
	struct questions *scope;
	struct value v;
	struct lab l;
	(void)state;
	lab_open(&l, "filter greylist { delay 90s retry within 4h remember 60d passers 3 }",
		"192.0.2.1", "", "", "b@example.com");
	struct question *q = asked_for(&l, "greylisted", "", &scope);
	assert_int_equal(q->op.delay_ms, 90 * 1000);
	assert_int_equal(q->op.within_ms, 4 * 3600 * 1000);
	assert_int_equal(q->op.ttl_ms, (uint64_t)60 * 86400 * 1000);
	assert_int_equal(q->op.passes, 3);
	question_answer_state(scope, q, &(struct state_answer){.wait_ms = 90 * 1000});
	assert_int_equal(read_fact(&l, "greylisted", "", COST_FREE, &v), FACT_KNOWN);
	assert_true(v.flag);
	assert_true(slice_eq(
		v.evidence, SLICE("net 192.0.2.0/24 <> may come again in 90 seconds")));
	lab_close(&l);
}

static void
test_again(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} rows[] = {
		{0, "in 1 second"},
		{1, "in 1 second"},
		{1001, "in 2 seconds"},
		{119 * 1000, "in 119 seconds"},
		{119 * 1000 + 1, "in 2 minutes"},
		{12 * 60 * 1000 - 59 * 1000, "in 12 minutes"},
		{(uint64_t)2 * 3600 * 1000, "in 2 hours"},
		{(uint64_t)2 * 3600 * 1000 + 1, "in 3 hours"},
		{(uint64_t)2 * 86400 * 1000, "in 2 days"},
		{(uint64_t)31 * 86400 * 1000, "in 31 days"},
	};
	struct arena *a = arena_new(1 << 16);
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!slice_eq(whom_again(rows[i].ms, a), slice_of(rows[i].text)))
			fail_msg("%.*s, not %s", SLICE_ARG(whom_again(rows[i].ms, a)),
				rows[i].text);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_counted),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_only_as_a_reservation),
		cmocka_unit_test(test_tuples),
		cmocka_unit_test(test_never_greylisted),
		cmocka_unit_test(test_greylist_settings),
		cmocka_unit_test(test_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
