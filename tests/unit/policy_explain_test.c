/* What `postern explain` prints of a verdict: rules, facts with values and evidence, the
 * decision. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/explain.h"
#include "policy_lab.h"

struct explain_case {
	const char *rules, *facts, *want;
};

static const struct explain_case cases[] = {
	{"reject if client in dnsbl \"z\" or spf is fail\nreject if virus\naccept",
		"dnsbl(z)=!servfail spf=pass virus=?",
		"t.conf:1    false       reject\n"
		"\tspf=pass\n"
		"\tdnsbl \"z\"=failed, skipped (servfail)\n"
		"t.conf:2    open        reject\n"
		"\tvirus=later\n"
		"t.conf:3    true        accept\n"
		"not decided yet: a later stage of the mail decides\n"},
	{"reject if virus\ntag \"X-A: 1\" if size > 10\naccept", "virus=!dead size=99",
		"t.conf:1    failed      reject\n"
		"\tvirus=failed (dead)\n"
		"t.conf:2    true        tag \"X-A: 1\"\n"
		"\tsize=99\n"
		"t.conf:3    true        accept\n"
		"decision: defer, \"451 4.7.1 Cannot find out now: virus; try again later\"\n"},
	{"reject if attachment.name is \"a\\\\\"\naccept", "attachment.name=[x\x1b,\"]+",
		"t.conf:1    open        reject\n"
		"\tattachment.name=[\"x\\x1b\", \"\\\"\"] so far\n"
		"t.conf:2    true        accept\n"
		"not decided yet: a later stage of the mail decides\n"},
	{"reject if spf is fail\nreject if virus\naccept", "spf=fail virus=?",
		"t.conf:1    true        reject\n"
		"\tspf=fail\n"
		"t.conf:2    not reached reject\n"
		"t.conf:3    not reached accept\n"
		"decision: reject by t.conf:1\n"},
	{"score 2.5 if spf is fail\naccept", "spf=fail",
		"t.conf:1    true        score\n"
		"\tspf=fail\n"
		"t.conf:2    true        accept\n"
		"score: 2.5\n"
		"decision: accept by t.conf:2\n"},
};

static void
test_texts(void **state)
{
	(void)state;
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_lab lab;
		struct verdict v;
		policy_lab_open(&lab, cases[i].rules);
		assert_non_null(lab.policy);
		policy_lab_eval(&lab, cases[i].facts, false, &v);
		struct slice got =
			policy_explain(lab.policy, &v, policy_lab_source(&lab), lab.arena);
		if (!slice_eq(got, slice_of(cases[i].want))) {
			print_message("want\n%sgot\n%.*s", cases[i].want, SLICE_ARG(got));
			failed++;
		}
		policy_lab_close(&lab);
	}
	assert_int_equal(failed, 0);
}

/* A log's line: the facts of the rule that decided, bounded whatever a peer sent. */
static void
test_facts_of_a_rule(void **state)
{
	(void)state;
	struct policy_lab lab;
	struct verdict v;
	char facts[6000] = "spf=fail subject=";
	memset(facts + strlen(facts), 'x', 5000);
	policy_lab_open(&lab, "reject if spf is fail and subject contains \"x\"\naccept");
	assert_non_null(lab.policy);
	policy_lab_eval(&lab, facts, false, &v);
	assert_true(v.decided && v.action == ACTION_REJECT);
	struct slice got =
		policy_explain_facts(lab.policy, v.rule, policy_lab_source(&lab), lab.arena);
	assert_true(slice_has(got, '.') && got.n < 300);
	assert_true(slice_find_slice(got, SLICE("spf=fail")) < got.n);
	policy_lab_close(&lab);
}

/* What is kept with a mail: known facts alone, those of the rule first, whole lines. */
static void
test_known(void **state)
{
	(void)state;
	struct policy_lab lab;
	struct verdict v;
	policy_lab_open(&lab, "reject if virus\nreject if client in dnsbl \"z\"\n"
			      "reject if attachment.name is \"a\" or spf is fail\naccept");
	assert_non_null(lab.policy);
	policy_lab_eval(
		&lab, "dnsbl(z)=!servfail spf=fail virus=? attachment.name=[x]+", false, &v);
	const struct rule *third = policy_rule(lab.policy, 2);
	struct fact_source source = policy_lab_source(&lab);
	struct slice got = policy_explain_known(lab.policy, third, source, 8192, lab.arena);
	struct slice want = SLICE("spf=fail\nattachment.name=[\"x\"] so far\n"
				  "dnsbl \"z\"=failed, skipped (servfail)\n");
	if (!slice_eq(got, want))
		fail_msg("%.*s", SLICE_ARG(got));
	for (size_t most = 0; most <= want.n; most++) {
		got = policy_explain_known(lab.policy, third, source, most, lab.arena);
		assert_true(got.n <= most && slice_starts(want, got));
		assert_true(got.n == 0 || got.p[got.n - 1] == '\n');
	}
	assert_true(slice_eq(got, want));
	policy_lab_close(&lab);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_facts_of_a_rule),
		cmocka_unit_test(test_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
