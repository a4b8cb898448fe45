/*
 * policy/POLICY.md against what reads it: the gateway on its page is a configuration, its rules
 * decide as the page says they do, and the sentences that no single module answers for
 * (tests/POLICY.md) hold over small tables. Notation of facts and verdicts:
 * tests/lib/policy_lab.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/file.h"
#include "conf_text.h"
#include "policy_lab.h"

enum { TEXT_MOST = 1 << 20 };

/* Of the repository. */
static struct slice
read_file(struct arena *a, const char *name)
{
	struct slice text;
	struct err err;
	assert_non_null(getenv("POSTERN_SOURCE"));
	const char *path = arena_printf(a, "%s/%s", getenv("POSTERN_SOURCE"), name).p;
	if (file_read(path, TEXT_MOST / 8, a, &text, &err) < 0)
		fail_msg("%s", err.text);
	return text;
}

/* What stands behind `from`; it is there. */
static struct slice
behind(struct slice text, const char *from)
{
	size_t at = slice_find_slice(text, slice_of(from));
	if (at == text.n)
		fail_msg("no \"%s\" in it", from);
	return slice_from(text, at + strlen(from));
}

/* The gateway of the page, without its indent: up to the next line that has none. */
static struct slice
sample(struct arena *a)
{
	struct slice rest = behind(read_file(a, "policy/POLICY.md"), "## A whole gateway\n\n");
	struct slice line, out = SLICE("");
	while (slice_cut(rest, '\n', &line, &rest) &&
		(line.n == 0 || slice_starts(line, SLICE("    "))))
		out = arena_printf(
			a, "%.*s%.*s\n", SLICE_ARG(out), SLICE_ARG(slice_from(line, 4)));
	return slice_first(out, out.n - 1); /* the blank line in front of the next */
}

/* tests/conf has the files that it names, and is read by conf_read_test. */
static void
test_the_page_is_read(void **state)
{
	(void)state;
	struct arena *a = arena_new(TEXT_MOST);
	struct slice have = read_file(a, "tests/conf/language.conf"), line;
	while (slice_starts(have, SLICE("#")))
		slice_cut(have, '\n', &line, &have);
	struct slice want = sample(a);
	assert_true(want.n > 1000);
	if (!slice_eq(have, want))
		fail_msg("tests/conf/language.conf is not the gateway of POLICY.md:\n%.*s",
			SLICE_ARG(want));
	arena_free(&a);
}

/* The rules of a block of the sample, without the lines of what the lab does not know. */
static const char *
rules_of(struct arena *a, const char *block)
{
	static const char *const unknown[] = {"spam", "rate user", "sign"};
	struct slice rest = behind(sample(a), block), line, out = SLICE("");
	while (slice_cut(rest, '\n', &line, &rest) && !slice_eq(line, SLICE("}"))) {
		bool left_out = false;
		for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
			left_out |= slice_find_slice(line, slice_of(unknown[i])) < line.n;
		if (!left_out)
			out = arena_printf(a, "%.*s%s%.*s", SLICE_ARG(out), out.n ? "\n" : "",
				SLICE_ARG(line));
	}
	/* the lab closes what is open */
	return arena_printf(
		a, "%.*s\n}\nspool \"/var/spool/postern\"\nlimits {", SLICE_ARG(out))
		.p;
}

struct text_case {
	const char *rules, *facts, *want;
};

static bool
decides(const struct text_case *c)
{
	struct policy_lab lab;
	struct verdict v;
	policy_lab_open(&lab, c->rules);
	if (lab.policy == NULL)
		fail_msg("%s\n%.*s", c->rules,
			SLICE_ARG(conf_report_text(&lab.report, lab.arena)));
	policy_lab_eval(&lab, c->facts, false, &v);
	struct slice got = policy_lab_text(&lab, &v);
	bool right = slice_eq(got, slice_of(c->want));
	if (!right)
		print_message("%s\n  facts %s\n  want %s\n  got  %.*s\n", c->rules, c->facts,
			c->want, SLICE_ARG(got));
	policy_lab_close(&lab);
	return right;
}

static void
all_decide(const struct text_case *cases, size_t n, const char *rules)
{
	size_t failed = 0;
	for (size_t i = 0; i < n; i++) {
		struct text_case c = cases[i];
		if (rules != NULL)
			c.rules = rules;
		failed += !decides(&c);
	}
	assert_int_equal(failed, 0);
}

#define ALL_DECIDE(cases, rules) all_decide(cases, sizeof(cases) / sizeof((cases)[0]), rules)

/* known, unlisted, not greylisted, no virus */
#define KNOWN "known=true dnsbl(zen.example)=false "
#define CALM  KNOWN "greylisted=false virus=false "

static void
test_the_sample_decides(void **state)
{
	(void)state;
	static const struct text_case in[] = {
		{NULL, "known=false", "reject@1"},
		{NULL, "known=true dnsbl(zen.example)=true", "reject@2"},
		/* what claims to be ours is rejected, and put off while nobody can tell */
		{NULL, CALM "from.ours=true dmarc=temperror", "defer@3"},
		{NULL, CALM "from.ours=true dmarc=none dmarc.policy=none", "reject@4"},
		{NULL, CALM "from.ours=true dmarc=fail dmarc.policy=none", "reject@4"},
		{NULL, CALM "from.ours=true dmarc=pass dmarc.policy=none", "accept@9"},
		{NULL, KNOWN "from.ours=false dmarc=fail greylisted=true", "defer@5"},
		{NULL, KNOWN "from.ours=false dmarc=fail greylisted=false virus=true",
			"reject@6"},
		{NULL, CALM "from.ours=false dmarc=temperror dmarc.policy=none", "defer@7"},
		/* p=reject alone is no reason to reject */
		{NULL, CALM "from.ours=false dmarc=fail dmarc.policy=reject", "quarantine@8"},
		{NULL, CALM "from.ours=false dmarc=fail dmarc.policy=quarantine", "accept@9"},
	};
	static const struct text_case out[] = {
		{NULL, "sender=a@o.example sender.domain=o.example", "reject@1"},
		{NULL, "sender= sender.domain= attachment.name=[setup.JS]", "reject@2"},
		{NULL,
			"sender=a@example.com sender.domain=example.com attachment.name=[a.pdf]"
			" body(cards)=true recipient.domain=o.example virus=false",
			"quarantine@3"},
		{NULL,
			"sender=a@example.com sender.domain=example.com attachment.name=[a.pdf]"
			" body(cards)=true recipient.domain=a.supplier.example virus=true",
			"reject@4"},
		{NULL,
			"sender=a@example.com sender.domain=example.com attachment.name=[]"
			" body(cards)=false recipient.domain=o.example virus=false",
			"accept@5"},
	};
	struct arena *a = arena_new(TEXT_MOST);
	ALL_DECIDE(in, rules_of(a, "inbound {\n"));
	ALL_DECIDE(out, rules_of(a, "outbound {\n"));
	arena_free(&a);
}

/* --- Settings */

static const char *const statements[] = {"hostname \"mx.example.com\"",
	"listen inbound on \"127.0.0.1:2525\"",
	"domain \"example.com\" deliver to \"127.0.0.1:2526\" recipients table staff",
	"table staff { \"ann@example.com\" }",
	"inbound {\n\tquarantine if sender in staff\n\taccept\n}",
	"spool \"/var/spool/postern\""};
enum { STATEMENTS = sizeof(statements) / sizeof(statements[0]) };

/* Each order is read without a word, and is the same gateway. */
static size_t
each_order(unsigned used, const char *before)
{
	char text[1024];
	size_t n = 0;
	for (unsigned i = 0; i < STATEMENTS; i++) {
		if ((used >> i & 1) != 0)
			continue;
		snprintf(text, sizeof(text), "%s%s\n", before, statements[i]);
		n += each_order(used | 1u << i, text);
	}
	if (n != 0)
		return n;
	struct conf *c = conf_text(before);
	assert_true(slice_eq(c->hostname, SLICE("mx.example.com")));
	assert_true(slice_eq(c->spool, SLICE("/var/spool/postern")));
	assert_int_equal(c->n_listeners, 1);
	assert_int_equal(c->inbound.n_rules, 2);
	const struct conf_domain *d = conf_domain_find(c, SLICE("example.com"));
	assert_non_null(d);
	assert_ptr_equal(d->table, map_get(c->tables, SLICE("staff")));
	conf_free(&c);
	return 1;
}

static void
test_any_order(void **state)
{
	(void)state;
	assert_int_equal(each_order(0, ""), 720);
}

/* --- Facts, and three values */

#define SKIP(name)  "\n}\nfilter " name " { on failure skip }\nlimits {"
#define DEFER(name) "\n}\nfilter " name " { on failure defer }\nlimits {"

static void
test_on_failure(void **state)
{
	(void)state;
	static const struct text_case cases[] = {
		{"reject if virus\naccept", "virus=!dead",
			"defer 451 4.7.1 Cannot find out now: virus; try again later"},
		{"reject if virus\naccept" DEFER("virus"), "virus=!dead",
			"defer 451 4.7.1 Cannot find out now: virus; try again later"},
		{"reject if virus\naccept" SKIP("virus"), "virus=!dead", "accept@2"},
		{"reject if not virus\naccept" SKIP("virus"), "virus=!dead", "accept@2"},
		{"reject if recipient is not known\naccept", "known=!silent",
			"defer 451 4.7.1 Cannot find out now: recipient known; try again "
			"later"},
		{"reject if recipient is not known\naccept" SKIP("recipient"), "known=!silent",
			"accept@2"},
		{"reject if client in dnsbl \"z\"\naccept", "dnsbl(z)=!silent", "accept@2"},
		{"reject if client in dnsbl \"z\"\naccept" DEFER("dnsbl"), "dnsbl(z)=!silent",
			"defer 451 4.7.1 Cannot find out now: dnsbl; try again later"},
	};
	ALL_DECIDE(cases, NULL);
}

/* `x not OP y`, `not x OP y` and `not (x OP y)` are one. */
static void
test_not_before_and_behind(void **state)
{
	(void)state;
	static const struct {
		const char *fact, *negation, *rest, *values[4];
	} rows[] = {
		{"spf", "is not", "fail", {"spf=fail", "spf=pass", "spf=temperror"}},
		{"spf", "not in", "{ fail, none }", {"spf=fail", "spf=pass", "spf=none"}},
		{"subject", "is not", "\"a\"", {"subject=a", "subject=A", "subject="}},
		{"subject", "not contains", "\"b\"", {"subject=abc", "subject=a", "subject="}},
		{"subject", "not matches", "\"a*\"", {"subject=abc", "subject=b", "subject="}},
		{"sender.domain", "not in", "domains",
			{"sender.domain=example.com", "sender.domain=o.example",
				"sender.domain="}},
		{"sender", "not in", "staff",
			{"sender=ann@example.com", "sender=x@example.com", "sender="}},
		{"client", "not in", "nets", {"client=10.1.1.1", "client=192.0.2.1"}},
		{"attachment.name", "not matches", "\"*.exe\"",
			{"attachment.name=[]", "attachment.name=[a.exe,b]",
				"attachment.name=[b]"}},
		{"recipient", "is not", "known", {"known=true", "known=false"}},
	};
	size_t checked = 0;
	struct arena *a = arena_new(TEXT_MOST);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice word, other, negation = slice_of(rows[i].negation);
		slice_cut(negation, ' ', &word, &other);
		struct slice op = slice_eq(word, SLICE("not")) ? other : word;
		const char *plain =
			arena_printf(a, "%s %.*s %s", rows[i].fact, SLICE_ARG(op), rows[i].rest)
				.p;
		const char *const forms[] = {
			arena_printf(a, "reject if %s %s %s\naccept", rows[i].fact,
				rows[i].negation, rows[i].rest)
				.p,
			arena_printf(a, "reject if not %s\naccept", plain).p,
			arena_printf(a, "reject if not (%s)\naccept", plain).p,
			arena_printf(a, "accept if %s\nreject", plain).p,
		};
		for (size_t v = 0; v < 4 && rows[i].values[v] != NULL; v++) {
			struct policy_lab lab;
			struct verdict is;
			policy_lab_open(&lab, forms[3]);
			policy_lab_eval(&lab, rows[i].values[v], false, &is);
			const char *want = is.action == ACTION_ACCEPT ? "accept@2" : "reject@1";
			policy_lab_close(&lab);
			for (size_t f = 0; f < 3; f++, checked++)
				assert_true(decides(&(struct text_case){
					forms[f], rows[i].values[v], want}));
		}
	}
	arena_free(&a);
	assert_int_equal(checked, 84);
}

static void
test_kleene(void **state)
{
	(void)state;
	static const char *const spf[] = {"spf=pass", "", "spf=fail"};
	static const char *const dmarc[] = {"dmarc=pass", "", "dmarc=fail"};
	static const char *const decision[] = {"accept@2", "open", "reject@1"};
	size_t failed = 0;
	for (int a = 0; a < 3; a++) {
		char facts[40];
		failed += !decides(&(struct text_case){
			"reject if not spf is fail\naccept", spf[a], decision[2 - a]});
		for (int b = 0; b < 3; b++) {
			snprintf(facts, sizeof(facts), "%s %s", spf[a], dmarc[b]);
			failed += !decides(&(struct text_case){
				"reject if spf is fail and dmarc is fail\naccept", facts,
				decision[a < b ? a : b]});
			failed += !decides(&(struct text_case){
				"reject if spf is fail or dmarc is fail\naccept", facts,
				decision[a > b ? a : b]});
		}
	}
	assert_int_equal(failed, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_page_is_read),
		cmocka_unit_test(test_the_sample_decides),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_on_failure),
		cmocka_unit_test(test_not_before_and_behind),
		cmocka_unit_test(test_kleene),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
