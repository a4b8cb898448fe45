/*
 * What policy_compile refuses, in the words that a user reads, and what policy_check warns of.
 * Facts are those of tests/lib/policy_lab.c; errors are compared whole, with file, line and
 * column.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy_lab.h"

struct text_case {
	const char *rules, *want;
};

/* Behind rules: the block ends and the file has a spool (the lab closes what is open). */
#define SPOOL "\n}\nspool \"/var/spool/postern\"\nlimits {"

static const struct text_case errors[] = {
	/* facts */
	{"reject if reciepient is known\naccept",
		"t.conf:1:21: error: there is no fact \"reciepient\" (did you mean "
		"\"recipient\"?)\n"},
	{"reject if rate.recipients\naccept" SPOOL,
		"t.conf:1:21: error: \"rate.recipients\" is written as in \"rate user > "
		"200/hour\"\n"},
	{"reject if any attachment { rate user > 200/hour }\naccept" SPOOL,
		"t.conf:1:38: error: there is no fact \"attachment.rate\" (did you mean "
		"\"attachment.name\"?)\n"},
	{"reject if arc is pass\naccept", "t.conf:1:21: error: the fact \"arc\" is not there "
					  "yet: it comes with ARC\n"},
	{"reject if tls.version is \"x\"\naccept",
		"t.conf:1:21: error: the fact \"tls.version\" is not there yet\n"},
	{"reject if header is \"x\"\naccept",
		"t.conf:1:21: error: \"header\" wants a text in double quotes behind it\n"},
	{"reject if spf \"x\" is fail\naccept",
		"t.conf:1:21: error: \"spf\" takes no argument\n"},
	{"reject if body contains crads\naccept",
		"t.conf:1:35: error: there is no pattern \"crads\"\n"},
	/* operators and types */
	{"reject if spf\naccept", "t.conf:1:21: error: \"spf\" is of type word; it can be "
				  "compared with is, in\n"},
	{"reject if spf > 3\naccept", "t.conf:1:21: error: \"spf\" is of type word; it can be "
				      "compared with is, in\n"},
	{"reject if spf is fial\naccept",
		"t.conf:1:28: error: \"spf\" is one of none, neutral, pass, fail, softfail, "
		"temperror, permerror, never \"fial\" (did you mean \"fail\"?)\n"},
	{"reject if spf is \"fail\"\naccept",
		"t.conf:1:28: error: \"spf\" wants a word without quotes here\n"},
	{"reject if virus is \"x\"\naccept", "t.conf:1:21: error: \"virus\" is a flag: it "
					     "stands alone, as in \"if virus\"\n"},
	{"reject if size is \"x\"\naccept",
		"t.conf:1:29: error: \"size\" wants a number here\n"},
	{"reject if subject is { \"a\", \"b\" }\naccept",
		"t.conf:1:32: error: \"subject\" wants one value (\"in\" takes a set) here\n"},
	{"reject if sender in domains\naccept",
		"t.conf:1:31: error: \"sender\" is no domain, and \"domains\" are the declared "
		"ones: ask for its .domain\n"},
	{"reject if sender is \"ann\"\naccept", "t.conf:1:31: error: \"ann\" is no address: "
						"\"user@domain\", \"@domain\" or \"<>\"\n"},
	{"reject if sender.domain in partnres\naccept",
		"t.conf:1:38: error: there is no table \"partnres\" (did you mean "
		"\"partners\"?)\n"},
	{"reject if sender.domain is \"*.a.example\"\naccept",
		"t.conf:1:38: error: \"is\" takes no wildcard: write in { \"*.a.example\" }\n"},
	{"reject if sender.domain is \"a..b\"\naccept",
		"t.conf:1:38: error: \"a..b\" is no domain\n"},
	{"reject if client.ip in partners\naccept",
		"t.conf:1:34: error: \"partner.example\" is no address and no network, as in "
		"10.0.0.0/8 or 2001:db8::/32\n"},
	{"reject if client.ip is \"10.0.0.0/8\"\naccept",
		"t.conf:1:34: error: \"10.0.0.0/8\" is no IP address; networks go with "
		"\"in\"\n"},
	{"reject if subject matches cards\naccept",
		"t.conf:1:37: error: the pattern \"cards\" has a check of digits, which is "
		"there for \"body contains\" only\n"},
	{"reject if subject matches secrets\naccept",
		"t.conf:1:37: error: the pattern \"secrets\" is a list of words, which is "
		"there "
		"for \"body contains\" only: write an expression, as in "
		"/\\b(?:one|two)\\b/i\n"},
	{"reject if subject matches \"{a\"\naccept",
		"t.conf:1:37: error: \"{a\" does not work: a `{` is not closed\n"},
	{"reject if every spf is fail\naccept",
		"t.conf:1:21: error: \"every\" wants a list, and \"spf\" is a word\n"},
	{"reject if any attachment { kind is \"x\" }\naccept",
		"t.conf:1:38: error: there is no fact \"attachment.kind\"\n"},
	{"reject if any attachment { every name is \"x\" }\naccept",
		"t.conf:1:38: error: \"every\" has no meaning inside \"any\": each test is of "
		"one element\n"},
	{"reject if any dkim { domain is \"a.example\" and any attachment { size > 1 } "
	 "}\naccept",
		"t.conf:1:58: error: \"any\" cannot stand inside another\n"},
	/* actions */
	{"reject with \"550 4.7.1 no\" if virus\naccept",
		"t.conf:1:11: error: \"550 4.7.1 no\" is no reply: write \"550 5.7.1 text\", "
		"both codes of one class\n"},
	{"sign\naccept", "t.conf:1:11: error: there is no key to sign with: add sign "
			 "\"DOMAIN\" selector \"NAME\" key \"FILE\"\n"},
	{"sign as \"example.com\"\naccept",
		"t.conf:1:11: error: there is no key to sign as \"example.com\": add sign "
		"\"example.com\" selector \"NAME\" key \"FILE\"\n"},
	{"reject with \"450 no\" if virus\naccept",
		"t.conf:1:11: error: reject wants a 5xx reply, and \"450 no\" is 450\n"},
	{"defer with \"451\" if virus\naccept",
		"t.conf:1:11: error: \"451\" is no reply: write \"451 4.7.1 text\", both codes "
		"of one class\n"},
	{"tag \"X-A\"\naccept", "t.conf:1:11: error: a tag is a header's name, a colon and its "
				"value, as in \"X-Name: value\"\n"},
	{"tag \"X A: 1\"\naccept", "t.conf:1:11: error: a tag is a header's name, a colon and "
				   "its value, as in \"X-Name: value\"\n"},
	{"tag \"X-A: \303\274\"\naccept",
		"t.conf:1:11: error: the value of a tag is printable ASCII\n"},
	{"remove header \"X-A:\"\naccept", "t.conf:1:11: error: a header's name is printable "
					   "ASCII without space and colon\n"},
	{"quarantine \"a/b\" if virus\naccept" SPOOL,
		"t.conf:1:11: error: \"a/b\" is no name of a quarantine: letters, digits, "
		"\"-\", \"_\" and \".\", at most 64, not \".\" first\n"},
	{"quarantine \"..\" if virus\naccept" SPOOL,
		"t.conf:1:11: error: \"..\" is no name of a quarantine: letters, digits, "
		"\"-\", \"_\" and \".\", at most 64, not \".\" first\n"},
	{"quarantine \"12345678901234567890123456789012345678901234567890123456789012345\"\n"
	 "accept" SPOOL,
		"t.conf:1:11: error: "
		"\"1234567890123456789012345678901234567890123456789012345678"
		"9012345\" is no name of a quarantine: letters, digits, "
		"\"-\", \"_\" and \".\", at most 64, not \".\" first\n"},
	{"append text \"x\"\naccept",
		"t.conf:1:11: error: \"append text\" is for outbound mail: what comes in is "
		"signed "
		"by others and stays as it is; write it into the block outbound { ... }\n"},
	{"notify \"pm@example.com\"\naccept", "t.conf:1:11: error: \"notify\" needs the spool: "
					      "add spool \"/var/spool/postern\"\n"},
	{"redirect to \"a@example.com\"\ncopy to \"b@example.com\"\naccept",
		"t.conf:1:11: error: \"redirect to\" needs the spool: add spool "
		"\"/var/spool/postern\"\n"
		"t.conf:2:1: error: \"copy to\" needs the spool: add spool "
		"\"/var/spool/postern\"\n"},
	{"redirect to \"a@x.example\"\ncopy to \"b@y.example\"\n"
	 "notify \"c@z.example\"\naccept" SPOOL,
		"t.conf:1:11: error: \"redirect to\" leads to \"x.example\", which is none of "
		"the domains: add domain \"x.example\"\n"
		"t.conf:2:1: error: \"copy to\" leads to \"y.example\", which is none of the "
		"domains: add domain \"y.example\"\n"
		"t.conf:3:1: error: \"notify\" leads to \"z.example\", which is none of the "
		"domains: add domain \"z.example\"\n"},
	{"quarantine if virus\nhold for 2h if virus\nroute to \"10.0.0.1\"\naccept",
		"t.conf:1:11: error: \"quarantine\" needs the spool: add spool "
		"\"/var/spool/postern\"\n"
		"t.conf:2:1: error: \"hold\" needs the spool: add spool "
		"\"/var/spool/postern\"\n"
		"t.conf:3:1: error: \"route to\" needs the spool: add spool "
		"\"/var/spool/postern\"\n"},
	{"route to \"10.0.0.1\"" SPOOL,
		"t.conf:1:11: error: the block must end in a rule without condition "
		"that decides, such as \"accept\"\n"},
	/* the end */
	{"accept if virus", "t.conf:1:11: error: the block must end in a rule without "
			    "condition that decides, such as \"accept\"\n"},
	{"tag \"X-A: 1\"", "t.conf:1:11: error: the block must end in a rule without condition "
			   "that decides, such as \"accept\"\n"},
	{"try accept", "t.conf:1:11: error: the block must end in a rule without condition "
		       "that decides, such as \"accept\"\n"},
	{"reject if spf\nreject if vrius\naccept",
		"t.conf:1:21: error: \"spf\" is of type word; it can be compared with is, in\n"
		"t.conf:2:11: error: there is no fact \"vrius\" (did you mean \"virus\"?)\n"},
};

static const struct text_case warnings[] = {
	{"accept\nreject if virus\naccept", "t.conf:2:1: warning: the rule never matches: the "
					    "one in line 1 decides before it\n"
					    "t.conf:3:1: warning: the rule never matches: the "
					    "one in line 1 decides before it\n"},
	{"reject if spf is fail and spf is pass\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"spf\" is "
		"all that it asks for\n"},
	{"reject if spf is fail and spf is not fail\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"spf\" is "
		"all that it asks for\n"},
	{"reject if size > 10M and size < 5M\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"size\" is "
		"all that it asks for\n"},
	{"reject if size > 10 and size <= 10\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"size\" is "
		"all that it asks for\n"},
	{"reject if not size >= 10 and size > 9\naccept", ""},
	{"reject if spf is fail\nreject if spf is fail and virus\naccept",
		"t.conf:2:1: warning: the rule never matches but for postmaster@ and abuse@: "
		"the one in line 1 decides before it for all others\n"},
	{"reject if virus\nreject if spf is fail and virus\naccept",
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"},
	{"reject if virus or spf is fail\nreject if virus\naccept",
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"},
	{"reject if virus\nreject if virus or spf is fail\naccept", ""},
	{"reject if size > 10M\nreject if size > 20M\naccept",
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"},
	{"reject if size > 20M\nreject if size > 10M\naccept", ""},
	{"reject if size < 0\naccept", "t.conf:1:11: warning: the rule never matches: no value "
				       "of \"size\" is all that it asks for\n"},
	{"reject if spf is not fail\nreject if spf is pass\naccept",
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"},
	{"reject if spf not in { none, neutral, pass, fail, softfail, temperror, permerror "
	 "}\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"spf\" is all that "
		"it asks for\n"},
	{"reject if client in { 10.1.0.0/16 } and client in { 10.2.0.0/16 }\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"client\" is all "
		"that it asks for\n"},
	{"reject if client in { 10.0.0.0/8 }\nreject if client is \"10.1.1.1\"\naccept",
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"},
	{"reject if client is \"10.1.1.1\"\nreject if client in { 10.0.0.0/8 }\naccept", ""},
	{"reject if sender.domain in { \"a.example\", \"b.example\" } and sender.domain "
	 "matches "
	 "\"c*\"\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"sender.domain\" "
		"is "
		"all that it asks for\n"},
	{"reject if sender.domain in { \"*.example\" }\nreject if sender.domain is "
	 "\"a.example\"\naccept",
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"},
	{"reject if sender.domain matches \"*@a.example\"\naccept",
		"t.conf:1:43: warning: \"*@a.example\" matches no domain, which has no @: take "
		"what stands behind it\n"},
	/* an empty table: in a file there may be more tomorrow */
	{"reject if sender in t\naccept\n}\ntable t { }\nlimits {",
		"t.conf:1:11: warning: the rule never matches: no value of \"sender\" is all "
		"that it asks for\n"},
	/* the score is another one for each rule */
	{"reject if score > 4\nscore 9 if spf is fail\nreject if score > 4\naccept", ""},
	{"reject if score > 4 and score < 2\naccept",
		"t.conf:1:11: warning: the rule never matches: no value of \"score\" is all "
		"that it asks for\n"},
	/* facts that may not be known decide nothing by being one or the other */
	{"reject if virus\nreject if not virus\nreject if spf is fail\naccept", ""},
	{"reject if spf is fail or virus\nreject if spf is fail and dmarc is fail or virus and "
	 "dmarc is none\naccept",
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"},
	{"reject if attachment.name is \"a\" and attachment.name is \"b\"\naccept", ""},
	{"reject if recipient is not known\naccept", ""},
	{"defer if recipient.domain is \"example.com\" and virus\naccept",
		"t.conf:1:11: warning: the rule can decide otherwise for another recipient of "
		"the same mail: without a spool that one gets 452 and is sent again\n"},
	{"tag \"X-A: 1\" if recipient in staff\naccept",
		"t.conf:1:11: warning: the rule can decide otherwise for another recipient of "
		"the same mail: without a spool that one gets 452 and is sent again\n"},
};

/* With a spool each recipient has a decision of its own, whatever the rule. */
static const struct text_case spool_warnings[] = {
	{"defer if recipient.domain is \"example.com\" and virus\naccept" SPOOL, ""},
	{"tag \"X-A: 1\" if recipient in staff\naccept" SPOOL, ""},
	{"route to \"10.0.0.1\" if recipient in staff\n"
	 "hold for 2h if recipient in staff and virus\nquarantine \"a.b_C-1\"" SPOOL,
		""},
	{"notify \"pm@example.com\" if virus\nreject if virus\naccept" SPOOL,
		"t.conf:1:11: warning: \"notify\" is never done: the rule in line 2 refuses or "
		"drops each such mail, and only mail that is taken has effects\n"},
	{"tag \"X-A: 1\"\nreject if spf is fail\ndiscard" SPOOL,
		"t.conf:1:11: warning: \"tag\" is never done: the rule in line 3 refuses or "
		"drops each such mail, and only mail that is taken has effects\n"},
	{"notify \"pm@example.com\" if virus and spf is fail\nreject if virus\naccept" SPOOL,
		"t.conf:1:11: warning: \"notify\" is never done: the rule in line 2 refuses or "
		"drops each such mail, and only mail that is taken has effects\n"},
	{"notify \"pm@example.com\" if virus\nreject if spf is fail\naccept" SPOOL, ""},
	{"notify \"pm@example.com\" if virus\nquarantine if spf is fail\n"
	 "reject if virus\naccept" SPOOL,
		""},
	{"score 1 if virus\ntry notify \"pm@example.com\" if virus\nreject if virus\n"
	 "accept" SPOOL,
		""},
	{"hold until \"22:00\"\nreject if virus\naccept" SPOOL,
		"t.conf:2:1: warning: the rule never matches but for postmaster@ and abuse@: "
		"the "
		"one in line 1 decides before it for all others\n"
		"t.conf:3:1: warning: the rule never matches but for postmaster@ and abuse@: "
		"the "
		"one in line 1 decides before it for all others\n"},
};

/* The same block, judging a milter's mail (in line 9): one header for all recipients. */
static const struct text_case milter_errors[] = {
	{"tag \"X-A: 1\" if recipient in staff\naccept",
		"t.conf:1:11: error: \"tag\" must not depend on the recipient here: the milter "
		"in "
		"line 9 edits one header for all of them\n"
		"t.conf:1:11: warning: the rule can decide otherwise for another recipient of "
		"the same mail: without a spool that one gets 452 and is sent again\n"},
	{"remove header \"X-A\" if recipient is \"a@example.com\" and virus\naccept",
		"t.conf:1:11: error: \"remove header\" must not depend on the recipient here: "
		"the "
		"milter in line 9 edits one header for all of them\n"
		"t.conf:1:11: warning: the rule can decide otherwise for another recipient of "
		"the same mail: without a spool that one gets 452 and is sent again\n"},
	{"tag \"X-A: 1\" if sender is \"a@example.com\"\naccept", ""},
	{"try tag \"X-A: 1\" if recipient in staff\naccept", ""},
	{"quarantine if virus\nhold for 2h if virus\nroute to \"10.0.0.1\"\naccept" SPOOL,
		"t.conf:2:1: warning: the rule never matches: the one in line 1 decides before "
		"it\n"
		"t.conf:2:1: error: \"hold\" is not for milters, and the one in line 9 has "
		"mail "
		"of this block: when and where it goes on is the MTA's affair\n"
		"t.conf:3:1: error: \"route to\" is not for milters, and the one in line 9 has "
		"mail of this block: when and where it goes on is the MTA's affair\n"},
	{"redirect to \"a@example.com\"\ncopy to \"b@example.com\"\naccept" SPOOL, ""},
	{"notify \"pm@example.com\"\naccept" SPOOL,
		"t.conf:1:11: error: \"notify\" is not for milters, and the one in line 9 has "
		"mail "
		"of this block: the mails that it writes need the gateway's own queue\n"},
	{"defer if recipient.domain is \"example.com\" and virus\naccept" SPOOL,
		"t.conf:1:11: warning: the rule can decide otherwise for another recipient of "
		"the same mail: by the milter in line 9 that one gets 452 and is sent again\n"},
};

static const struct text_case check_texts[] = {
	{"reject if recipient is not known\nreject if virus\ndefer if dmarc is temperror\n"
	 "accept if sender in staff\nreject if spf is fail\ntry reject if subject is "
	 "\"x\"\naccept",
		"t.conf:1    reject            rcpt    dear         for recipient known\n"
		"t.conf:2    reject            body    dear         for virus  delays 3, 4, 7\n"
		"t.conf:3    defer             header  cheap        for dmarc  delays 4, 5, 7\n"
		"t.conf:4    accept            mail    free         for sender\n"
		"t.conf:5    reject            mail    cheap        for spf\n"
		"t.conf:6    try reject        header  free         for subject\n"
		"t.conf:7    accept            connect free\n"},
	{"score 2 if virus\nreject if score > 1\ntag \"X-A: 1\" if dmarc is pass\naccept",
		"t.conf:1    score             body    dear         for virus  delays 4\n"
		"t.conf:2    reject            body    dear         for score  delays 4\n"
		"t.conf:3    tag               header  cheap        for dmarc  delays 4\n"
		"t.conf:4    accept            connect free\n"},
	{"reject if spf is fail and (virus or attachment.name matches \"*.exe\" or body "
	 "contains "
	 "urgent or attachment.size > 1M or dkim.domain is \"a.example\")\nreject if spf is "
	 "fail and spf is pass\naccept if virus and client is \"192.0.2.1\"\naccept\nreject",
		"t.conf:1    reject            body    dear         for virus, "
		"attachment.name, body, "
		"attachment.size and 1 more  delays 4\n"
		"t.conf:2    reject            mail    cheap        for spf  never matches: no "
		"value "
		"of "
		"\"spf\" is all that it asks for\n"
		"t.conf:3    accept            body    dear         for virus  delays 4, 5\n"
		"t.conf:4    accept            connect free\n"
		"t.conf:5    reject            connect free         never matches: the one in "
		"line 4 "
		"decides before it\n"},
};

static size_t
check_report(const struct text_case *c, bool warn, struct conf_listener *milter)
{
	struct policy_lab lab;
	policy_lab_open(&lab, c->rules);
	if (milter != NULL) {
		lab.conf->listeners = milter;
		lab.conf->n_listeners = 1;
	}
	if (warn && lab.policy != NULL)
		policy_check(lab.policy, &lab.report);
	struct slice got = conf_report_text(&lab.report, lab.arena);
	bool right = slice_eq(got, slice_of(c->want)) && (lab.policy != NULL) == warn;
	if (!right)
		print_message("%s\nwant\n%sgot\n%.*s", c->rules, c->want, SLICE_ARG(got));
	policy_lab_close(&lab);
	return !right;
}

static void
test_errors(void **state)
{
	(void)state;
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		failed += check_report(&errors[i], false, NULL);
	assert_int_equal(failed, 0);
}

static void
test_warnings(void **state)
{
	(void)state;
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(warnings) / sizeof(warnings[0]); i++)
		failed += check_report(&warnings[i], true, NULL);
	for (size_t i = 0; i < sizeof(spool_warnings) / sizeof(spool_warnings[0]); i++)
		failed += check_report(&spool_warnings[i], true, NULL);
	assert_int_equal(failed, 0);
}

static void
test_milter(void **state)
{
	(void)state;
	struct conf_listener l = {.kind = LISTEN_MILTER, .at = {.line = 9}};
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(milter_errors) / sizeof(milter_errors[0]); i++)
		failed += check_report(&milter_errors[i], true, &l);
	assert_int_equal(failed, 0);
}

static void
test_check_text(void **state)
{
	(void)state;
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(check_texts) / sizeof(check_texts[0]); i++) {
		struct policy_lab lab;
		policy_lab_open(&lab, check_texts[i].rules);
		assert_non_null(lab.policy);
		struct slice got = policy_check_text(lab.policy, lab.arena);
		if (!slice_eq(got, slice_of(check_texts[i].want))) {
			print_message("%s\ngot\n%.*s", check_texts[i].rules, SLICE_ARG(got));
			failed++;
		}
		policy_lab_close(&lab);
	}
	assert_int_equal(failed, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_milter),
		cmocka_unit_test(test_check_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
