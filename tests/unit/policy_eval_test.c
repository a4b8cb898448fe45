/*
 * The evaluator on rules as people write them: three values, one order (POLICY.md). Each case
 * is a block, a line of facts (notation: tests/lib/policy_lab.c) and the verdict as a line:
 * action@LINE, +LINE for each effect, try@LINE for each rule on trial; "open" with what was
 * asked of the world.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy_lab.h"

/* Behind rules: the block ends and the file has a spool (the lab closes what is open). */
#define SPOOL "\n}\nspool \"/var/spool/postern\"\nlimits {"

struct eval_case {
	const char *rules, *facts, *want;
};

static const struct eval_case cases[] = {
	/* first match, in order */
	{"reject if spf is fail\naccept", "spf=fail", "reject@1"},
	{"reject if spf is fail\naccept", "spf=pass", "accept@2"},
	{"accept if spf is pass\nreject", "spf=pass", "accept@1"},
	{"discard if spf is fail\naccept", "spf=fail", "discard@1"},
	/* a rule not yet known stays open; only a reject may pass open rejects */
	{"reject if virus\nreject if spf is fail\naccept", "spf=fail", "reject@2"},
	{"defer if virus\nreject if spf is fail\naccept", "spf=fail", "open"},
	{"accept if dmarc is pass\nreject if spf is fail\naccept", "spf=fail", "open"},
	{"reject if virus\ndefer if spf is fail\naccept", "spf=fail", "open"},
	{"reject if virus\naccept", "spf=pass", "open"},
	/* open effects never hold a refusal back, but anything else */
	{"tag \"X-A: 1\" if virus\nreject if spf is fail\naccept", "spf=fail", "reject@2"},
	{"tag \"X-A: 1\" if virus\naccept", "spf=fail", "open"},
	/* Kleene */
	{"reject if spf is fail and virus\naccept", "spf=pass", "accept@2"},
	{"reject if spf is fail and virus\naccept", "spf=fail", "open"},
	{"reject if spf is fail or virus\naccept", "spf=fail", "reject@1"},
	{"reject if not (spf is fail or virus)\naccept", "spf=fail", "accept@2"},
	{"reject if not (spf is pass and virus)\naccept", "spf=fail", "reject@1"},
	{"reject if spf is not pass and (virus or dmarc is fail)\naccept", "spf=pass",
		"accept@2"},
	/* effects */
	{"tag \"X-A: 1\" if spf is pass\nlog \"x\"\ntag \"X-B: 1\" if spf is fail\naccept",
		"spf=pass", "accept@4 +1 +2"},
	{"tag \"X-A: 1\"\nreject if spf is pass\naccept", "spf=pass", "reject@2"},
	/* failed facts: stay unknown */
	{"reject if virus\naccept", "virus=!dead",
		"defer 451 4.7.1 Cannot find out now: virus; try again later"},
	{"reject if virus\nreject if spf is fail\naccept", "virus=!dead spf=fail", "reject@2"},
	{"defer if virus\nreject if spf is fail\naccept", "virus=!dead spf=fail",
		"defer 451 4.7.1 Cannot find out now: virus; try again later"},
	{"reject if virus\naccept if client.name is \"a\"\naccept",
		"virus=!dead client.name=!x",
		"defer 451 4.7.1 Cannot find out now: virus, client.name; try again later"},
	{"reject if virus and spf is fail\naccept", "virus=!dead spf=pass", "accept@2"},
	{"reject if virus and dmarc is fail\naccept", "virus=!dead", "open"},
	{"tag \"X-A: 1\" if virus\naccept", "virus=!dead",
		"defer 451 4.7.1 Cannot find out now: virus; try again later"},
	/* on failure skip: what is still unknown at the end is false, also under not */
	{"reject if client in dnsbl \"z\"\naccept", "dnsbl(z)=!servfail", "accept@2"},
	{"reject if client not in dnsbl \"z\"\naccept", "dnsbl(z)=!servfail", "accept@2"},
	{"reject if not (client in dnsbl \"z\" and spf is fail)\naccept",
		"dnsbl(z)=!servfail spf=fail", "accept@2"},
	{"reject if client in dnsbl \"z\" and virus\naccept", "dnsbl(z)=!servfail", "accept@2"},
	{"reject if client in dnsbl \"z\" or spf is fail\naccept", "dnsbl(z)=!x spf=fail",
		"reject@1"},
	{"reject if client in dnsbl \"z\" and virus\naccept", "dnsbl(z)=!x virus=!dead",
		"accept@2"},
	{"reject if client in dnsbl \"z\" or virus\naccept", "dnsbl(z)=!x virus=!dead",
		"defer 451 4.7.1 Cannot find out now: virus; try again later"},
	{"reject if client in dnsbl \"z\"\naccept", "dnsbl(z)=true", "reject@1"},
	/* lists: any, every, empty, growing */
	{"reject if attachment.name matches \"*.{exe,scr}\"\naccept",
		"attachment.name=[a.txt,B.EXE]", "reject@1"},
	{"reject if attachment.name matches \"*.exe\"\naccept", "attachment.name=[]",
		"accept@2"},
	{"reject if every attachment.name matches \"*.exe\"\naccept", "attachment.name=[]",
		"accept@2"},
	{"reject if every attachment.name matches \"*.exe\"\naccept",
		"attachment.name=[a.exe,b.exe]", "reject@1"},
	{"reject if every attachment.name matches \"*.exe\"\naccept",
		"attachment.name=[a.exe,b.txt]", "accept@2"},
	{"reject if attachment.name matches \"*.exe\"\naccept", "attachment.name=[a.exe]+",
		"reject@1"},
	{"reject if attachment.name matches \"*.exe\"\naccept", "attachment.name=[a.txt]+",
		"open"},
	{"reject if every attachment.name matches \"*.exe\"\naccept",
		"attachment.name=[a.txt]+", "accept@2"},
	{"reject if every attachment.name matches \"*.exe\"\naccept",
		"attachment.name=[a.exe]+", "open"},
	{"reject if attachment.name not matches \"*.txt\"\naccept",
		"attachment.name=[a.txt,b.exe]", "accept@2"},
	{"reject if attachment.name not matches \"*.txt\"\naccept", "attachment.name=[a.exe]",
		"reject@1"},
	{"reject if attachment.size > 10K\naccept", "attachment.size=[1,20000]", "reject@1"},
	/* any LIST { }: of one element */
	{"reject if attachment.encrypted\naccept", "attachment.encrypted=[false,true]",
		"reject@1"},
	{"reject if attachment.encrypted\naccept", "attachment.encrypted=[false,false]",
		"accept@2"},
	{"reject if attachment.encrypted\naccept", "attachment.encrypted=[]", "accept@2"},
	{"reject if attachment.encrypted\naccept", "attachment.encrypted=[true]+", "reject@1"},
	{"reject if attachment.encrypted\naccept", "attachment.encrypted=[false]+", "open"},
	{"reject if not attachment.encrypted\naccept", "attachment.encrypted=[false,true]",
		"accept@2"},
	{"reject if any attachment { name matches \"*.zip\" and encrypted }\naccept",
		"attachment.name=[a.zip,b.txt] attachment.encrypted=[true,false]", "reject@1"},
	{"reject if any attachment { name matches \"*.zip\" and encrypted }\naccept",
		"attachment.name=[a.zip,b.txt] attachment.encrypted=[false,true]", "accept@2"},
	{"reject if any attachment { name matches \"*.txt\" and not encrypted }\naccept",
		"attachment.name=[a.zip,b.txt] attachment.encrypted=[true,false]", "reject@1"},
	{"reject if any attachment { name matches \"*.zip\" and size > 10 }\naccept",
		"attachment.name=[a.zip,b.txt] attachment.size=[1,99]", "accept@2"},
	{"reject if any attachment { name matches \"*.zip\" and size > 10 }\naccept",
		"attachment.name=[a.zip,b.zip] attachment.size=[1,99]", "reject@1"},
	{"reject if any attachment { name matches \"*.zip\" and size > 10 }\naccept",
		"attachment.name=[a.zip,b.zip]", "open"},
	{"reject if any attachment { name matches \"*.zip\" and size > 10 }\naccept",
		"attachment.name=[a.txt]", "accept@2"},
	{"reject if any attachment { name matches \"*.zip\" and size > 10 }\naccept",
		"attachment.name=[]", "accept@2"},
	{"reject if not any attachment { name matches \"*.zip\" }\naccept",
		"attachment.name=[]", "reject@1"},
	{"reject if not any attachment { name matches \"*.zip\" }\naccept",
		"attachment.name=[a.zip]+", "accept@2"},
	{"reject if not any attachment { name matches \"*.zip\" }\naccept",
		"attachment.name=[a.txt]+", "open"},
	/* types: addresses, domains, networks, tables, patterns */
	{"reject if sender is \"<>\"\naccept", "sender=", "reject@1"},
	{"reject if sender is \"ann@example.com\"\naccept", "sender=ANN+x@example.com",
		"reject@1"},
	{"reject if sender is \"bob@example.org\"\naccept", "sender=bob+x@example.org",
		"accept@2"},
	{"reject if sender is \"bob@example.org\"\naccept", "sender=BOB@example.org",
		"reject@1"},
	{"reject if sender is \"bob@other.example\"\naccept", "sender=BOB@other.example",
		"accept@2"},
	{"reject if sender in staff\naccept", "sender=ann+list@example.com", "reject@1"},
	{"reject if sender in { \"@other.example\" }\naccept", "sender=x@other.example",
		"reject@1"},
	{"reject if sender.domain in domains\naccept", "sender.domain=example.com", "reject@1"},
	{"reject if sender.domain in domains\naccept", "sender.domain=", "accept@2"},
	{"reject if sender.domain not in domains\naccept", "sender.domain=x.example",
		"reject@1"},
	{"reject if sender.domain in partners\naccept", "sender.domain=a.supplier.example",
		"reject@1"},
	{"reject if sender.domain in partners\naccept", "sender.domain=supplier.example",
		"accept@2"},
	{"reject if sender.domain is \"b\303\274cher.example\"\naccept",
		"sender.domain=xn--bcher-kva.example", "reject@1"},
	{"reject if sender.domain in { \"*.a.example\" }\naccept", "sender.domain=x.a.example",
		"reject@1"},
	{"reject if client.ip in { 10.0.0.0/8, 2001:db8::/32 }\naccept", "client=10.1.2.3",
		"reject@1"},
	{"reject if client.ip in nets\naccept", "client=2001:db8::1", "reject@1"},
	{"reject if client.ip in nets\naccept", "client=192.0.2.1", "accept@2"},
	{"reject if client.ip is \"192.0.2.1\"\naccept", "client=192.0.2.1", "reject@1"},
	{"reject if spf in { fail, softfail }\naccept", "spf=softfail", "reject@1"},
	{"reject if subject contains \"Win\"\naccept", "subject=you_wIN", "reject@1"},
	{"reject if subject matches urgent\naccept", "subject=URGENT:x", "reject@1"},
	{"reject if subject matches urgent\naccept", "subject=x-urgent", "accept@2"},
	{"reject if subject matches slow\naccept",
		"subject=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
		"defer 451 4.7.1 Cannot find out now: subject; try again later"},
	{"reject if header \"X-Spam\" is \"yes\"\naccept", "header(X-Spam)=YES", "reject@1"},
	{"reject if body contains cards\naccept", "body(cards)=true", "reject@1"},
	{"reject if recipient is not known\naccept", "known=false", "reject@1"},
	{"reject if not recipient known\naccept", "known=false", "reject@1"},
	{"reject if client in nets\naccept", "client=10.0.0.1", "reject@1"},
	{"reject if size >= 25M\naccept", "size=26214400", "reject@1"},
	/* score */
	{"score 2 if spf is fail\nscore 3 if dmarc is fail\nreject if score > 4\naccept",
		"spf=fail dmarc=fail", "reject@3"},
	{"score 2 if spf is fail\nscore 3 if dmarc is fail\nreject if score > 4\naccept",
		"spf=fail dmarc=pass", "accept@4 +1"},
	{"score 2 if spf is fail\nscore 3 if dmarc is fail\nreject if score > 4\naccept",
		"spf=fail", "open"},
	{"score 2 if virus\nreject if score > 4\naccept", "virus=!dead",
		"defer 451 4.7.1 Cannot find out now: virus; try again later"},
	{"reject if score > 4\nscore 9\naccept", "", "accept@3 +2"},
	/* reservations: last among the cheap, where the rest of the rule holds, and behind
	 * others as if those were granted */
	{"defer if rate user > 5/hour and spf is fail\naccept" SPOOL,
		"rate(user_>_5/hour)=~ spf=~", "open waits=cheap asked: spf"},
	{"defer if rate user > 5/hour and spf is fail\naccept" SPOOL,
		"rate(user_>_5/hour)=~ spf=pass", "accept@2"},
	{"defer if rate user > 5/hour and spf is fail\naccept" SPOOL,
		"rate(user_>_5/hour)=~ spf=fail",
		"open waits=reservation asked: rate(user_>_5/hour)"},
	{"defer if rate user > 5/hour or rate user > 9/day\naccept" SPOOL,
		"rate(user_>_5/hour)=~ rate(user_>_9/day)=~",
		"open waits=reservation asked: rate(user_>_5/hour) rate(user_>_9/day)"},
	{"accept if not rate user > 5/hour\ndefer if rate user > 9/day\naccept" SPOOL,
		"rate(user_>_5/hour)=~ rate(user_>_9/day)=~",
		"open waits=reservation asked: rate(user_>_5/hour)"},
	{"defer if rate user > 5/hour\ndefer if spf is fail and quota user > 9/day\nreject if "
	 "virus\ndefer if quota user > 5/day\naccept" SPOOL,
		"rate(user_>_5/hour)=~ quota(user_>_9/day)=~ quota(user_>_5/day)=~ spf=fail",
		"open waits=reservation asked: rate(user_>_5/hour) quota(user_>_9/day)"},
	{"defer if rate user > 5/hour or rate user > 9/day\naccept" SPOOL,
		"rate(user_>_5/hour)=false rate(user_>_9/day)=~",
		"open waits=reservation asked: rate(user_>_9/day)"},
	{"defer if rate user > 5/hour or rate user > 9/day\naccept" SPOOL,
		"rate(user_>_5/hour)=true rate(user_>_9/day)=~", "defer@1"},
	{"reject if spf is fail\ndefer if quota user > 5/day\naccept" SPOOL,
		"quota(user_>_5/day)=~ spf=fail", "reject@1"},
	{"defer if virus\ndefer if rate user > 5/hour\naccept" SPOOL, "rate(user_>_5/hour)=~",
		"open"},
	{"defer if rate user > 5/hour\naccept" SPOOL, "rate(user_>_5/hour)=!gone",
		"defer 451 4.7.1 Cannot find out now: rate; try again later"},
	/* try: counts, and never delays, fails or reserves */
	{"try reject if spf is fail\naccept", "spf=fail", "accept@2 try@1"},
	{"try reject if virus\naccept", "", "accept@2"},
	{"try reject if virus\naccept", "virus=!dead", "accept@2"},
	{"try reject if virus\naccept", "virus=~", "accept@2"},
	{"try score 9\nreject if score > 4\naccept", "", "accept@3 try@1"},
	{"try defer if greylisted\nreject if spf is fail\naccept" SPOOL,
		"greylisted=~ spf=pass", "accept@3"},
};

/* postmaster@ and abuse@ pass all rules but virus and rate */
static const struct eval_case postmaster_cases[] = {
	{"reject if spf is fail\naccept", "spf=fail", "accept@2"},
	{"reject if virus\naccept", "virus=true", "reject@1"},
	{"reject if spf is fail\nreject", "spf=fail", "accept@2"},
	{"defer if greylisted\naccept" SPOOL, "greylisted=true", "accept@2"},
	{"defer if rate client > 5/hour\naccept" SPOOL, "rate(client_>_5/hour)=true",
		"defer@1"},
	{"defer if quota client > 5 recipients/day\naccept" SPOOL,
		"quota.recipients(client_>_5_recipients/day)=true", "defer@1"},
	{"defer if spf is fail or rate recipient > 5/hour\naccept" SPOOL,
		"spf=none rate.recipients(recipient_>_5/hour)=false", "accept@2"},
};

static bool
check_case(const struct eval_case *c, bool postmaster)
{
	struct policy_lab lab;
	struct verdict v;
	bool right = false;
	policy_lab_open(&lab, c->rules);
	if (lab.policy == NULL) {
		struct slice why = conf_report_text(&lab.report, lab.arena);
		print_message("%s\n%.*s", c->rules, SLICE_ARG(why));
	} else {
		policy_lab_eval(&lab, c->facts, postmaster, &v);
		struct slice got = policy_lab_text(&lab, &v);
		right = slice_eq(got, slice_of(c->want));
		if (!right)
			print_message("%s\n  facts %s\n  want %s\n  got  %.*s\n", c->rules,
				c->facts, c->want, SLICE_ARG(got));
	}
	policy_lab_close(&lab);
	return right;
}

static void
test_cases(void **state)
{
	(void)state;
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		failed += !check_case(&cases[i], false);
	assert_int_equal(failed, 0);
}

static void
test_postmaster(void **state)
{
	(void)state;
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(postmaster_cases) / sizeof(postmaster_cases[0]); i++)
		failed += !check_case(&postmaster_cases[i], true);
	assert_int_equal(failed, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_postmaster),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
