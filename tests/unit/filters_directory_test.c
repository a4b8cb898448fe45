/*
 * `FACT in T` where a directory has T: what is asked, all at once; what lists come to when some
 * values are found, not found or failed; what is never asked; and what policy refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "conf_text.h"
#include "filters/facts.h"

#define AROUND                                                                       \
	"hostname \"mx.example.com\"\n"                                              \
	"listen inbound on \"127.0.0.1:2525\"\n"                                     \
	"domain \"own.example\" deliver to \"127.0.0.1:26\"\n"                       \
	"domain \"strict.example\" deliver to \"127.0.0.1:26\" detail significant\n" \
	"domain \"table.example\" deliver to \"127.0.0.1:26\" recipients table t\n"  \
	"table t ldap \"ldap://192.0.2.9/dc=x\" filter \"(mail=%s)\"\n"              \
	"table u ldap \"ldap://192.0.2.9/dc=x\" filter \"(uid=%s)\"\n"

enum { RCPTS_MOST = 120, ASKED_BYTES = 4000 };

struct lab {
	struct conf *conf;
	struct arena *arena;
	struct policy *policy;
	struct conf_report report;
	struct flt_session session;
	struct flt_mail mail;
	struct flt_recipient recipients[RCPTS_MOST];
	struct facts *facts;
	char asked[ASKED_BYTES]; /* "t:a@b t:c@d", in order */
};

static void
lab_compile(struct lab *lab, const char *rules)
{
	char text[4096];
	snprintf(text, sizeof(text), "%s%s", AROUND, rules);
	*lab = (struct lab){.conf = conf_text(text), .arena = arena_new(16 << 20)};
	conf_report_init(&lab->report);
	lab->policy = policy_compile(lab->conf, INBOUND, facts_all(), lab->arena, &lab->report);
}

static void
lab_close(struct lab *lab)
{
	facts_free(&lab->facts);
	conf_report_fini(&lab->report);
	arena_free(&lab->arena);
	conf_free(&lab->conf);
}

static void
lab_address(struct lab *lab, struct slice text, struct address *out)
{
	if (text.n == 0)
		out->is_null = true;
	else
		must(address_parse(text, true, lab->arena, out) == ADDRESS_OK);
}

/* A mail up to DATA; recipients with blanks between. */
static void
lab_mail(struct lab *lab, const char *rules, const char *sender, const char *recipients)
{
	struct slice rest = slice_of(recipients), one;
	lab_compile(lab, rules);
	if (lab->policy == NULL)
		fail_msg("%s", lab->report.problems[0].text);
	must(ip_parse(SLICE("192.0.2.1"), &lab->session.client));
	lab->facts = facts_new(lab->conf, lab->policy, &lab->session);
	lab_address(lab, slice_of(sender), &lab->mail.sender);
	lab->mail.recipients = lab->recipients;
	facts_mail(lab->facts, &lab->mail);
	while (rest.n != 0) {
		struct flt_recipient *r = &lab->recipients[lab->mail.n_recipients];
		slice_cut(rest, ' ', &one, &rest);
		lab_address(lab, one, &r->address);
		r->domain = conf_domain_find(lab->conf, r->address.domain);
		facts_rcpt(lab->facts, r);
		lab->mail.n_recipients++;
	}
	facts_data(lab->facts);
}

/* The one look-up of the policy. */
static const struct fact_ref *
lab_use(const struct lab *lab)
{
	const struct fact_ref *found = NULL;
	for (size_t i = 0; i < policy_facts(lab->policy); i++)
		if (policy_fact(lab->policy, i)->decl->lookup != NULL) {
			assert_null(found);
			found = policy_fact(lab->policy, i);
		}
	assert_non_null(found);
	return found;
}

static enum fact_state
lab_get(struct lab *lab, struct value *v)
{
	const struct fact_ref *use = lab_use(lab);
	size_t rcpt = use->decl->scope == SCOPE_RECIPIENT ? 0 : SIZE_MAX;
	return facts_read_use(lab->facts, use, rcpt, COST_CHEAP, v);
}

/* Takes all that is open and answers it: local parts say how ("yes1", "no", "failed", "open"
 * stays open). */
static unsigned
lab_answer(struct lab *lab)
{
	struct questions *scope;
	struct question *one;
	unsigned n = 0;
	while ((one = facts_question(lab->facts, &scope)) != NULL) {
		assert_int_equal(one->kind, QUESTION_LOOKUP);
		size_t used = strlen(lab->asked);
		snprintf(lab->asked + used, ASKED_BYTES - used, "%s%.*s:%.*s",
			used != 0 ? " " : "", SLICE_ARG(one->name), SLICE_ARG(one->input));
		one->state = QUESTION_ASKED;
		n++;
		if (slice_starts(one->input, SLICE("yes")))
			question_answer_lookup(scope, one, LOOKUP_YES, SLICE_NONE);
		else if (slice_starts(one->input, SLICE("no")))
			question_answer_lookup(scope, one, LOOKUP_NO, SLICE_NONE);
		else if (!slice_starts(one->input, SLICE("open")))
			question_answer_lookup(scope, one, LOOKUP_FAILED, SLICE("it is dead"));
	}
	return n;
}

static const char *
outcome(enum fact_state s, const struct value *v)
{
	switch (s) {
	case FACT_KNOWN: return v->flag ? "true" : "false";
	case FACT_FAILED: return "failed";
	case FACT_OPEN: return "open";
	case FACT_UNASKED: return "unasked";
	case FACT_LATER: break;
	}
	return "later";
}

static void
test_values(void **state)
{
	static const struct {
		const char *test, *sender, *recipients, *outcome, *asked;
	} cases[] = {
		{"sender in t", "yes@a.example", "x@own.example", "true", "t:yes@a.example"},
		{"sender in t", "no@a.example", "x@own.example", "false", "t:no@a.example"},
		{"sender in t", "failed@a.example", "x@own.example", "failed",
			"t:failed@a.example"},
		{"sender in t", "open@a.example", "x@own.example", "open", "t:open@a.example"},
		{"sender in t", "", "x@own.example", "false", ""},
		{"sender not in t", "yes@a.example", "x@own.example", "true",
			"t:yes@a.example"},
		{"sender.domain in u", "x@yes.example", "x@own.example", "true",
			"u:yes.example"},
		{"client in t", "x@a.example", "x@own.example", "failed", "t:192.0.2.1"},
		/* as it is where it is not ours; without case and detail where it is */
		{"sender in t", "No+X@a.example", "x@own.example", "failed",
			"t:No+X@a.example"},
		{"recipient in t", "x@a.example", "Yes+X@Own.Example", "true",
			"t:yes@own.example"},
		{"recipient in t", "x@a.example", "No+X@own.example", "false",
			"t:no@own.example t:no+x@own.example"},
		{"recipient in t", "x@a.example", "No+X@strict.example", "false",
			"t:no+x@strict.example"},
		/* lists */
		{"recipients in t", "x@a.example", "no@own.example no2@own.example", "false",
			"t:no@own.example t:no2@own.example"},
		{"recipients in t", "x@a.example",
			"no@own.example yes@own.example no2@own.example", "true",
			"t:no@own.example t:yes@own.example t:no2@own.example"},
		{"recipients in t", "x@a.example", "open@own.example yes@own.example", "true",
			"t:open@own.example t:yes@own.example"},
		{"recipients in t", "x@a.example", "open@own.example no@own.example", "open",
			"t:open@own.example t:no@own.example"},
		{"recipients in t", "x@a.example", "failed@own.example yes@own.example", "true",
			"t:failed@own.example t:yes@own.example"},
		{"recipients in t", "x@a.example", "failed@own.example no@own.example",
			"failed", "t:failed@own.example t:no@own.example"},
		{"recipients in t", "x@a.example", "failed@own.example open@own.example",
			"open", "t:failed@own.example t:open@own.example"},
		{"every recipients in t", "x@a.example", "yes@own.example yes2@own.example",
			"true", "t:yes@own.example t:yes2@own.example"},
		{"every recipients in t", "x@a.example", "yes@own.example no@own.example",
			"false", "t:yes@own.example t:no@own.example"},
		{"every recipients in t", "x@a.example", "open@own.example no@own.example",
			"false", "t:open@own.example t:no@own.example"},
		{"every recipients in t", "x@a.example", "failed@own.example yes@own.example",
			"failed", "t:failed@own.example t:yes@own.example"},
		/* a later stage brings it */
		{"subject in t", "x@a.example", "x@own.example", "later", ""},
		{"header \"X-A\" in t", "x@a.example", "x@own.example", "later", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lab lab;
		struct value v;
		char rules[300];
		snprintf(rules, sizeof(rules), "inbound { reject if %s\n accept }\n",
			cases[i].test);
		lab_mail(&lab, rules, cases[i].sender, cases[i].recipients);
		enum fact_state s = lab_get(&lab, &v);
		while (lab_answer(&lab) != 0)
			s = lab_get(&lab, &v);
		if (strcmp(outcome(s, &v), cases[i].outcome) != 0 ||
			strcmp(lab.asked, cases[i].asked) != 0)
			fail_msg("case %zu, %s: %s, asked %s", i, cases[i].test, outcome(s, &v),
				lab.asked);
		if (s == FACT_FAILED)
			assert_non_null(
				strstr(arena_text(lab.arena, v.evidence), "it is dead"));
		facts_mail_end(lab.facts);
		lab_close(&lab);
	}
}

/* All are asked at once, up to a hundred; more has failed, and nobody is asked. */
static void
test_many_values(void **state)
{
	char recipients[4000];
	(void)state;
	for (unsigned n = 100; n <= 101; n++) {
		struct lab lab;
		struct value v;
		size_t used = 0;
		for (unsigned i = 0; i < n; i++)
			used += (size_t)snprintf(recipients + used, sizeof(recipients) - used,
				"%sno%u@own.example", i != 0 ? " " : "", i);
		lab_mail(&lab, "inbound { reject if recipients in t\n accept }\n",
			"x@a.example", recipients);
		enum fact_state s = lab_get(&lab, &v);
		assert_int_equal(s, n == 100 ? FACT_OPEN : FACT_FAILED);
		assert_int_equal(lab_answer(&lab), n == 100 ? 100 : 0);
		if (n == 100)
			assert_int_equal(lab_get(&lab, &v), FACT_KNOWN);
		else
			assert_non_null(
				strstr(arena_text(lab.arena, v.evidence), "100 values"));
		facts_mail_end(lab.facts);
		lab_close(&lab);
	}
}

/* The rules: one question however many tests; a failure defers, or is passed over. */
static void
test_decisions(void **state)
{
	static const struct {
		const char *rules, *sender;
		enum action action;
		unsigned asked;
	} cases[] = {
		{"inbound { reject if sender in t\n accept if not sender in t\n discard }\n",
			"yes@a.example", ACTION_REJECT, 1},
		{"inbound { reject if sender in t\n accept if not sender in t\n discard }\n",
			"no@a.example", ACTION_ACCEPT, 1},
		{"inbound { reject if sender in t\n accept if not sender in t\n discard }\n",
			"dead@a.example", ACTION_DEFER, 1},
		{"filter directory { on failure skip }\n"
		 "inbound { reject if sender in t\n accept if not sender in t\n discard }\n",
			"dead@a.example", ACTION_DISCARD, 1},
		{"inbound { reject if sender in t and sender in u\n accept }\n",
			"yes@a.example", ACTION_REJECT, 2},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lab lab;
		struct verdict v;
		struct policy_subject subject = {0};
		unsigned asked = 0, more;
		lab_mail(&lab, cases[i].rules, cases[i].sender, "x@own.example");
		do {
			facts_eval(lab.facts, 0, &subject, lab.arena, &v);
			more = lab_answer(&lab);
			asked += more;
		} while (!v.decided && more != 0);
		assert_true(v.decided);
		if (v.action != cases[i].action || asked != cases[i].asked)
			fail_msg("case %zu: action %d, %u asked", i, (int)v.action, asked);
		facts_mail_end(lab.facts);
		lab_close(&lab);
	}
}

/* `recipients table`: without detail first, then as it was written. */
static void
test_recipient_known(void **state)
{
	static const struct {
		const char *recipient, *outcome, *asked;
	} cases[] = {
		{"yes@table.example", "true", "t:yes@table.example"},
		{"No@table.example", "false", "t:no@table.example"},
		{"no+yes@table.example", "false", "t:no@table.example t:no+yes@table.example"},
		{"dead@table.example", "failed", "t:dead@table.example"},
		{"yes@own.example", "true", ""},
		{"yes@else.example", "false", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lab lab;
		struct value v;
		lab_mail(&lab, "inbound { reject if recipient is not known\n accept }\n",
			"x@a.example", cases[i].recipient);
		enum fact_state s;
		do
			s = facts_read(
				lab.facts, "recipient known", SLICE_NONE, 0, COST_DEAR, &v);
		while (lab_answer(&lab) != 0);
		if (strcmp(outcome(s, &v), cases[i].outcome) != 0 ||
			strcmp(lab.asked, cases[i].asked) != 0)
			fail_msg("%s: %s, asked %s", cases[i].recipient, outcome(s, &v),
				lab.asked);
		facts_mail_end(lab.facts);
		lab_close(&lab);
	}
}

/* A table of items whose expression reaches its limit: the fact has failed, not passed. */
static void
test_gives_up(void **state)
{
	struct lab lab;
	struct verdict v;
	struct policy_subject subject = {0};
	(void)state;
	lab_mail(&lab,
		"table slow { /^(?:a{1,40}){1,40}$/ }\ninbound { reject if sender in slow\n "
		"accept }\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b.example",
		"x@own.example");
	facts_eval(lab.facts, 0, &subject, lab.arena, &v);
	assert_true(v.decided);
	assert_int_equal(v.action, ACTION_DEFER);
	facts_mail_end(lab.facts);
	lab_close(&lab);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *rules, *error;
	} cases[] = {
		{"inbound { reject if any attachment { name in t }\n accept }\n",
			"no place inside \"any\""},
		{"inbound { reject if spf in t\n accept }\n", "a set of words"},
		{"inbound { reject if sender matches t\n accept }\n", "no pattern \"t\""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lab lab;
		lab_compile(&lab, cases[i].rules);
		assert_null(lab.policy);
		if (strstr(lab.report.problems[0].text, cases[i].error) == NULL)
			fail_msg("%s: %s", cases[i].rules, lab.report.problems[0].text);
		lab_close(&lab);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_many_values),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_recipient_known),
		cmocka_unit_test(test_gives_up),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
