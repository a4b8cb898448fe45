/*
 * "Never" is never: over random rules, of every type of fact and every operator, no rule that
 * `postern check` calls unreachable decides, takes effect or is counted on trial in any of many
 * random evaluations, at whatever stage, with facts unknown, open, failed and skipped. And it
 * is not idle: of the rules that nothing ever reached, a good part is found.
 *
 * POSTERN_RULE_SETS sets the count of blocks (1,500), POSTERN_SEED the first seed (1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy_priv.h"
#include "policy_lab.h"
#include "random.h"
#include "setting.h"

enum { SETS = 1500, EVALUATIONS = 60, RULES_MOST = 7 };

static uint64_t random_state;

static unsigned
below(unsigned n)
{
	return (unsigned)random_below(&random_state, n);
}

/* Tests over few values, so that they meet; values as policy_lab_eval reads them. */
static const struct {
	const char *name;
	const char *tests[14];
	const char *values[9];
} facts[] = {
	{"spf",
		{"spf is fail", "spf is pass", "spf is not fail", "spf in { fail, softfail }",
			"spf not in { pass, none, neutral }", "spf is none"},
		{"fail", "pass", "none", "neutral", "softfail", "temperror", "permerror"}},
	{"dmarc",
		{"dmarc is fail", "dmarc is pass", "dmarc is not pass",
			"dmarc in { fail, none }",
			"dmarc not in { fail, pass, none, temperror }"},
		{"fail", "pass", "none", "temperror"}},
	{"size",
		{"size > 10", "size >= 10", "size < 10", "size <= 10", "size is 10",
			"size > 20", "size < 20", "not size > 20", "size is 20", "size >= 0",
			"size < 0"},
		{"0", "9", "10", "11", "19", "20", "21"}},
	{"subject",
		{"subject is \"ab\"", "subject is not \"AB\"", "subject in { \"ab\", \"b\" }",
			"subject contains \"b\"", "subject not contains \"a\"",
			"subject matches \"a*\"", "subject not matches \"*b\"",
			"subject matches ab", "subject is \"\"", "subject in words"},
		{"ab", "AB", "b", "a", "", "aB", "cab"}},
	{"sender.domain",
		{"sender.domain is \"a.example\"", "sender.domain in { \"*.example\" }",
			"sender.domain in { \"a.example\", \"example.com\" }",
			"sender.domain in domains", "sender.domain not in domains",
			"sender.domain in partners", "sender.domain matches \"a*\"",
			"sender.domain contains \"com\"", "sender.domain is not \"a.example\"",
			"sender.domain is \"\"", "sender.domain in none"},
		{"a.example", "A.EXAMPLE", "b.example", "example.com", "partner.example",
			"x.supplier.example", "", "example"}},
	{"sender",
		{"sender is \"ann@example.com\"", "sender is not \"ann@example.com\"",
			"sender in { \"@example.com\" }", "sender is \"<>\"", "sender in staff",
			"sender matches \"ann*\"", "sender contains \"+\""},
		{"ann@example.com", "ANN@example.com", "ann+x@example.com", "bob@example.org",
			"ann@a.example", "", "bob+x@example.org"}},
	{"client",
		{"client is \"10.1.1.1\"", "client in { 10.0.0.0/8 }",
			"client in { 10.1.0.0/16, 192.0.2.0/24 }",
			"client not in { 10.0.0.0/8 }", "client in nets",
			"client in { 2001:db8::/32 }", "client not in { 0.0.0.0/0 }",
			"client in { 10.0.0.0/16 }"},
		{"10.1.1.1", "10.2.0.1", "10.0.0.1", "192.0.2.1", "198.51.100.1", "2001:db8::1",
			"2001:db9::1"}},
	{"virus", {"virus", "not virus"}, {"true", "false"}},
	{"from.ours", {"from.ours", "not from.ours"}, {"true", "false"}},
	{"known", {"recipient is known", "recipient is not known"}, {"true", "false"}},
	{"greylisted", {"greylisted", "not greylisted"}, {"true", "false"}},
	{"dnsbl(z)", {"client in dnsbl \"z\"", "client not in dnsbl \"z\""}, {"true", "false"}},
	{"attachment.name",
		{"attachment.name is \"a\"", "attachment.name is not \"a\"",
			"every attachment.name is \"a\"", "every attachment.name is not \"a\"",
			"attachment.name matches \"a*\"", "any attachment { name is \"a\" }",
			"not any attachment { name is \"a\" }",
			"attachment.name in { \"a\", \"b\" }"},
		{"[]", "[a]", "[b]", "[a,b]", "[a]+", "[b]+", "[ab]"}},
	{NULL, {"score > 2", "score < 1", "score is 3", "not score > 2"}, {NULL}},
};
enum { FACTS = sizeof(facts) / sizeof(facts[0]) };

static unsigned
count(const char *const *list, unsigned most)
{
	unsigned n = 0;
	while (n < most && list[n] != NULL)
		n++;
	return n;
}

static void
add_condition(char *out, size_t room, unsigned depth)
{
	size_t used = strlen(out);
	unsigned kind = below(10);
	if (depth < 3 && kind < 6) {
		snprintf(out + used, room - used, "%s(", kind == 0 ? "not " : "");
		add_condition(out, room, depth + 1);
		used = strlen(out);
		snprintf(out + used, room - used, " %s ", kind < 4 ? "and" : "or");
		add_condition(out, room, depth + 1);
		used = strlen(out);
		snprintf(out + used, room - used, ")");
		return;
	}
	/* few facts in a block, so that rules speak of the same */
	unsigned fact = below(2) == 0 ? below(3) : below(6) == 0 ? FACTS - 1 : below(FACTS);
	const char *const *tests = facts[fact].tests;
	snprintf(out + used, room - used, "%s", tests[below(count(tests, 14))]);
}

static void
make_rules(char *out, size_t room)
{
	static const char *const actions[] = {"reject", "reject", "accept", "defer",
		"quarantine", "discard", "tag \"X-A: b\"", "score 3", "score 1", "try reject",
		"try tag \"X-B: c\""};
	unsigned n = 2 + below(RULES_MOST - 1);
	out[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		size_t used = strlen(out);
		const char *action = actions[below(sizeof(actions) / sizeof(actions[0]))];
		snprintf(out + used, room - used, "%s", action);
		if (below(12) != 0) {
			used = strlen(out);
			snprintf(out + used, room - used, " if ");
			add_condition(out, room, below(3));
		}
		used = strlen(out);
		snprintf(out + used, room - used, "\n");
	}
	size_t used = strlen(out);
	snprintf(out + used, room - used,
		"accept\n}\nspool \"/var/spool/postern\"\npattern ab /^ab$/\n"
		"table words { \"ab\" }\ntable none { }\n%slimits {",
		below(3) == 0 ? "filter virus { on failure skip }\n" : "");
}

static void
make_facts(char *out, size_t room)
{
	unsigned known = 40 + below(60); /* percent: late stages know more */
	out[0] = '\0';
	for (unsigned i = 0; i + 1 < FACTS; i++) {
		size_t used = strlen(out);
		const char *value = facts[i].values[below(count(facts[i].values, 9))];
		unsigned way = below(100);
		if (way >= known)
			value = way % 4 == 0 ? "~" : way % 4 == 1 ? "!dead" : "?";
		snprintf(out + used, room - used, "%s=%s ", facts[i].name, value);
	}
	size_t n = strlen(out); /* one with attachments knows their names */
	out[n - 1] = '\0';
}

struct seen {
	bool reached[RULES_MOST + 2], anybody[RULES_MOST + 2];
};

static void
note(const struct policy *p, const struct rule *r, bool postmaster, struct seen *seen)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].rule != r)
			continue;
		seen->anybody[i] = true;
		seen->reached[i] |= !postmaster;
	}
}

static void
evaluate(struct policy_lab *lab, struct seen *seen)
{
	char line[1024];
	struct verdict v;
	bool postmaster = below(5) == 0;
	make_facts(line, sizeof(line));
	policy_lab_eval(lab, line, postmaster, &v);
	/* behind all rules stands who passes them: that is no rule's decision */
	if (v.decided && v.rule != NULL && !(postmaster && v.rule->cond->kind == COND_ALWAYS))
		note(lab->policy, v.rule, postmaster, seen);
	for (size_t i = 0; i < v.n_effects; i++)
		note(lab->policy, v.effects[i], postmaster, seen);
	for (size_t i = 0; i < v.n_tries; i++)
		note(lab->policy, v.tries[i], postmaster, seen);
}

struct counts {
	unsigned rules, found, never_seen, wrong;
};

static void
check_block(uint64_t seed, struct counts *c)
{
	char rules[8192];
	struct policy_lab lab;
	struct seen seen = {0};
	random_state = seed;
	make_rules(rules, sizeof(rules));
	policy_lab_open(&lab, rules);
	if (lab.policy == NULL)
		fail_msg("seed %llu: %s\n%.*s", (unsigned long long)seed, rules,
			SLICE_ARG(conf_report_text(&lab.report, lab.arena)));
	const struct never *never = policy_never(lab.policy, lab.arena);
	for (unsigned i = 0; i < EVALUATIONS; i++)
		evaluate(&lab, &seen);
	for (size_t i = 0; i < lab.policy->n_rules; i++) {
		bool wrong = never[i].why == NEVER_BUT_POSTMASTER ? seen.reached[i]
			     : never[i].why != NEVER_NO           ? seen.anybody[i]
								  : false;
		c->rules++;
		c->found += never[i].why != NEVER_NO;
		c->never_seen += !seen.anybody[i];
		c->wrong += wrong;
		if (wrong)
			print_message("seed %llu: line %zu is reached\n%s\n",
				(unsigned long long)seed, i + 1, rules);
	}
	policy_lab_close(&lab);
}

static void
test_never_is_never(void **state)
{
	(void)state;
	struct counts c = {0};
	uint64_t sets = setting("POSTERN_RULE_SETS", SETS), seed = setting("POSTERN_SEED", 1);
	for (uint64_t i = 0; i < sets && c.wrong == 0; i++)
		check_block(seed + i, &c);
	print_message("%llu blocks of %u rules, %u called unreachable, %u never reached in %d "
		      "evaluations each, %u wrong\n",
		(unsigned long long)sets, c.rules, c.found, c.never_seen, EVALUATIONS, c.wrong);
	assert_int_equal(c.wrong, 0);
	assert_true(c.found > c.rules / 50 && c.found > c.never_seen / 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_never_is_never)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
