/*
 * What a refusal says where the administrator wrote no words: the reason by the fact that its
 * rule asks for, with an enhanced code of the reply's own class, and the mail's id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "session/refusal.h"

struct lab {
	struct arena *arena;
	struct conf *conf;
	struct policy *policy;
	struct flt_session session;
	struct flt_mail mail;
	struct facts *facts;
};

static void
lab_open(struct lab *l, const char *rule)
{
	struct conf_report report;
	*l = (struct lab){.arena = arena_new(64 << 20)};
	l->conf = conf_text(arena_text(l->arena,
		arena_printf(l->arena,
			"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:2525\"\n"
			"spool \"/var/spool/postern\"\n"
			"domain \"example.org\" deliver to \"127.0.0.1:2526\" recipients "
			"verify\n"
			"pattern cards /[0-9]+/ luhn\ninbound {\n%s\naccept\n}\n",
			rule)));
	conf_report_init(&report);
	l->policy = policy_compile(l->conf, INBOUND, facts_all(), l->arena, &report);
	if (l->policy == NULL)
		fail_msg("%s: %s", rule, report.problems[0].text);
	conf_report_fini(&report);
	l->facts = facts_new(l->conf, l->policy, &l->session);
	facts_helo(l->facts);
	facts_mail(l->facts, &l->mail);
}

static void
lab_close(struct lab *l)
{
	facts_free(&l->facts);
	conf_free(&l->conf);
	arena_free(&l->arena);
}

static void
expect(struct lab *l, enum action action, struct slice reply, const char *want)
{
	struct verdict v = {.decided = true,
		.action = action,
		.rule = &l->conf->inbound.rules[0],
		.reply = reply};
	struct smtp_reply r = refusal_reply(&v, l->facts, 0, "S1.1", l->arena);
	struct slice line = smtp_reply_line(&r, l->arena);
	assert_int_equal(r.code / 100, action == ACTION_REJECT ? 5 : 4);
	assert_true(!r.has_enhanced || r.enhanced[0] == r.code / 100);
	if (!slice_eq(line, slice_of(want)))
		fail_msg("%.*s\n%s", SLICE_ARG(line), want);
}

static void
test_reasons(void **state)
{
	(void)state;
#define BY_POLICY       "550 5.7.1 Refused by policy (S1.1)"
#define BY_POLICY_LATER "451 4.7.1 Deferred by policy, try again later (S1.1)"
#define DMARC           "550 5.7.26 The domain of From does not vouch for this mail (DMARC) (S1.1)"
#define DMARC_LATER     "451 4.7.26 DMARC could not be checked (S1.1)"
	static const char *const rows[][3] = {
		{"recipient is not known", "550 5.1.1 Recipient unknown (S1.1)",
			"450 4.1.1 Recipient cannot be checked now (S1.1)"},
		{"client in dnsbl \"zen.example\"",
			"554 5.7.1 Client address is on a block list (S1.1)",
			"451 4.7.1 Client address is on a block list (S1.1)"},
		{"spf is fail",
			"550 5.7.23 SPF does not allow this client to send for the sender's "
			"domain "
			"(S1.1)",
			"451 4.7.24 SPF could not be checked (S1.1)"},
		{"dkim is not pass", "550 5.7.20 No DKIM signature passes (S1.1)",
			"451 4.7.20 DKIM could not be checked (S1.1)"},
		{"dmarc is fail", DMARC, DMARC_LATER},
		{"from.domain in domains and dmarc is not pass", DMARC, DMARC_LATER},
		{"dmarc is not pass and from.domain in domains", DMARC, DMARC_LATER},
		{"not dmarc is pass", DMARC, DMARC_LATER},
		{"virus", "554 5.7.1 A virus was found (S1.1)",
			"451 4.7.1 The mail could not be scanned (S1.1)"},
		{"attachment.name matches \"*.exe\"",
			"554 5.7.1 An attachment is not allowed here (S1.1)", BY_POLICY_LATER},
		{"body contains cards", "554 5.7.1 The content is not allowed to pass (S1.1)",
			BY_POLICY_LATER},
		{"size > 10M", "552 5.3.4 The mail is too large (S1.1)", BY_POLICY_LATER},
		{"client.name is \"\"",
			"550 5.7.25 The client's address has no matching name (S1.1)",
			"450 4.7.25 The client's address has no matching name (S1.1)"},
		{"recipient.domain not in domains",
			"550 5.7.1 Mail for this domain is not taken here (S1.1)",
			BY_POLICY_LATER},
		{"sender.domain is \"example.net\"",
			"550 5.7.1 Mail from this sender is not taken here (S1.1)",
			BY_POLICY_LATER},
		{"sender is \"<>\"", "550 5.7.1 Mail from this sender is not taken here (S1.1)",
			BY_POLICY_LATER},
		{"helo is \"client.example\"", BY_POLICY, BY_POLICY_LATER},
		{"", BY_POLICY, BY_POLICY_LATER},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		char rule[200];
		snprintf(rule, sizeof(rule), "%s%s",
			rows[i][0][0] != '\0' ? "reject if " : "log \"x\"", rows[i][0]);
		lab_open(&l, rule);
		expect(&l, ACTION_REJECT, SLICE_NONE, rows[i][1]);
		expect(&l, ACTION_DEFER, SLICE_NONE, rows[i][2]);
		lab_close(&l);
	}
}

/* Asks for the fact, which the state answers so. */
static void
answer_state(
	struct lab *l, const char *fact, const char *arg, const struct state_answer *answer)
{
	struct questions *scope;
	struct value v;
	assert_int_equal(
		facts_read(l->facts, fact, slice_of(arg), 0, COST_RESERVE, &v), FACT_OPEN);
	struct question *q = facts_question(l->facts, &scope);
	assert_non_null(q);
	question_answer_state(scope, q, answer);
	assert_int_equal(
		facts_read(l->facts, fact, slice_of(arg), 0, COST_FREE, &v), FACT_KNOWN);
}

/* Which limit is used up, for whom, and when to come again; the first that is. */
static void
test_limits(void **state)
{
	static const struct {
		const char *cond, *fact, *arg;
		uint64_t wait_ms;
		const char *words;
	} rows[] = {
		{"rate client > 200/hour", "rate", "client > 200/hour", 12 * 60 * 1000,
			"Limit of 200 mails per hour for this client is used up, try again in "
			"12 "
			"minutes (S1.1)"},
		{"not spf is pass and (rate sender > 1/day or rate client > 20/minute)", "rate",
			"client > 20/minute", 2500,
			"Limit of 20 mails per minute for this client is used up, try again in "
			"3 "
			"seconds (S1.1)"},
		{"quota recipient.domain > 5/month", "quota.recipients",
			"recipient.domain > 5/month", (uint64_t)3 * 86400 * 1000,
			"Limit of 5 mails per month for this recipient's domain is used up, "
			"try "
			"again in 3 days (S1.1)"},
		{"rate user > 50 recipients/day", "rate.recipients", "user > 50 recipients/day",
			3 * 3600 * 1000,
			"Limit of 50 recipients per day for this account is used up, try again "
			"in "
			"3 hours (S1.1)"},
		{"virus or greylisted", "greylisted", "", 299 * 1000,
			"This sender is not known here yet, try again in 5 minutes (S1.1)"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		char rule[200], want[200];
		snprintf(rule, sizeof(rule), "defer if %s", rows[i].cond);
		lab_open(&l, rule);
		assert_true(ip_parse(SLICE("192.0.2.1"), &l.session.client));
		l.mail.sender.is_null = true;
		if (strstr(rows[i].cond, "user") != NULL)
			l.session.user = SLICE("alice");
		struct flt_recipient rcpt;
		assert_int_equal(
			address_parse(SLICE("bob@example.org"), false, l.arena, &rcpt.address),
			ADDRESS_OK);
		rcpt.domain = conf_domain_find(l.conf, SLICE("example.org"));
		facts_rcpt(l.facts, &rcpt);
		answer_state(&l, rows[i].fact, rows[i].arg,
			&(struct state_answer){.wait_ms = rows[i].wait_ms, .count = 5});
		snprintf(want, sizeof(want), "450 4.7.1 %s", rows[i].words);
		expect(&l, ACTION_DEFER, SLICE_NONE, want);
		snprintf(want, sizeof(want), "550 5.7.1 %s", rows[i].words);
		expect(&l, ACTION_REJECT, SLICE_NONE, want);
		lab_close(&l);
	}
}

/* A limit that is not used up is not the reason. */
static void
test_limit_is_free(void **state)
{
	struct lab l;
	(void)state;
	lab_open(&l, "defer if rate client > 200/hour or spf is fail");
	answer_state(&l, "rate", "client > 200/hour",
		&(struct state_answer){.yes = true, .count = 1});
	expect(&l, ACTION_DEFER, SLICE_NONE, "451 4.7.24 SPF could not be checked (S1.1)");
	lab_close(&l);
}

/* The administrator's words, and the names of the failed facts, stand as they are. */
static void
test_own_words(void **state)
{
	(void)state;
	struct lab l;
	lab_open(&l, "reject if virus");
	expect(&l, ACTION_REJECT, SLICE("554 5.7.9 Not here"), "554 5.7.9 Not here");
	expect(&l, ACTION_DEFER, SLICE("451 4.7.1 virus could not be found out"),
		"451 4.7.1 virus could not be found out");
	lab_close(&l);
}

/* No rule at all: deferred because facts failed, and nothing was said. */
static void
test_no_rule(void **state)
{
	(void)state;
	struct lab l;
	lab_open(&l, "reject if virus");
	struct verdict v = {.decided = true, .action = ACTION_DEFER};
	struct smtp_reply r = refusal_reply(&v, l.facts, 0, "S1.1", l.arena);
	assert_true(slice_eq(smtp_reply_line(&r, l.arena), SLICE(BY_POLICY_LATER)));
	lab_close(&l);
}

/* The virus's name is told where it is known; it is the database's word, cleaned all the same.
 */
static void
test_virus_name(void **state)
{
	(void)state;
	struct lab l;
	struct value v;
	struct questions *scope;
	struct message m;
	struct scan_report report = {.status = SCAN_INFECTED, .virus = {"Eicar\r\n250 ok", 13}};
	lab_open(&l, "reject if virus");
	message_parse(SLICE("From: a@example.net\r\n\r\n"), SLICE("mx"), false, l.arena, &m);
	l.mail.message = &m;
	struct flt_recipient rcpt = {0};
	facts_rcpt(l.facts, &rcpt);
	facts_data(l.facts);
	facts_header(l.facts);
	facts_body_end(l.facts);
	assert_int_equal(facts_read(l.facts, "virus.name", SLICE_NONE, SIZE_MAX, COST_DEAR, &v),
		FACT_OPEN);
	struct question *q = facts_question(l.facts, &scope);
	assert_non_null(q);
	q->state = QUESTION_ASKED;
	question_answer_scan(scope, q, &report);
	expect(&l, ACTION_REJECT, SLICE_NONE,
		"554 5.7.1 A virus was found: Eicar? 250 ok (S1.1)");
	lab_close(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_limit_is_free),
		cmocka_unit_test(test_own_words),
		cmocka_unit_test(test_no_rule),
		cmocka_unit_test(test_virus_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
