/*
 * SPF (RFC 7208): the grammar of records and macros, limits, and that the result does not hang
 * on when answers come. The public suites run in tests/suites/test_spf.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/question.h"
#include "filters/spf.h"
#include "filters/spf_priv.h"

enum { ARENA_BYTES = 32 * 1024 * 1024, RUNS_MOST = 100 };

struct zone_record {
	const char *name;
	enum dns_type type;
	const char *value; /* NULL: the look-up fails */
};

static const struct zone_record zone[] = {
	{"all.example", DNS_TXT, "v=spf1 -all"},
	{"a.example", DNS_TXT, "v=spf1 a mx -all"},
	{"a.example", DNS_A, "192.0.2.1"},
	{"a.example", DNS_AAAA, "2001:db8::1"},
	{"a.example", DNS_MX, "mx1.example"},
	{"a.example", DNS_MX, "mx2.example"},
	{"mx1.example", DNS_A, NULL},
	{"mx2.example", DNS_A, "192.0.2.2"},
	{"in.example", DNS_TXT, "v=spf1 include:a.example ?all"},
	{"in2.example", DNS_TXT, "v=spf1 include:none.example ?all"},
	{"re.example", DNS_TXT, "v=spf1 redirect=all.example exp=why.example"},
	{"exp.example", DNS_TXT, "v=spf1 -all exp=why.example"},
	{"why.example", DNS_TXT, "%{i} may not send as %{s}%_at %{t} says %{r}"},
	{"loop.example", DNS_TXT, "v=spf1 include:loop.example -all"},
	{"two.example", DNS_TXT, "v=spf1 -all"},
	{"two.example", DNS_TXT, "v=spf1 +all"},
	{"fail.example", DNS_TXT, NULL},
	{"void3.example", DNS_TXT, "v=spf1 a:n1.example a:n2.example a:n3.example ?all"},
	{"void2.example", DNS_TXT, "v=spf1 a:n1.example mx:n2.example ?all"},
	{"ex.example", DNS_TXT, "v=spf1 exists:%{ir}.%{l1r+-}.%{v}._spf.%{d2} -all"},
	{"1.2.0.192.strong.in-addr._spf.ex.example", DNS_A, "127.0.0.2"},
	{"p.example", DNS_TXT, "v=spf1 exists:%{p}.x.example ptr:name.example -all"},
	{"1.2.0.192.in-addr.arpa", DNS_PTR, "liar.example"},
	{"1.2.0.192.in-addr.arpa", DNS_PTR, "host.name.example"},
	{"liar.example", DNS_A, "198.51.100.1"},
	{"host.name.example", DNS_A, "192.0.2.1"},
	{"space.example", DNS_TXT, "v=spf1 exists:a%_b%-c.example -all"},
	{"a\\032b%20c.example", DNS_A, "127.0.0.2"},
	{"late.example", DNS_TXT, "v=spf1 +all moo"},
};

struct world {
	struct arena *arena;
	struct questions questions;
};

static const struct dns_answer *
ask(void *arg, struct slice name, enum dns_type type)
{
	struct world *w = arg;
	assert_true(dns_name_ok(name));
	const struct question *one = questions_dns(&w->questions, name, type);
	return one->state == QUESTION_ANSWERED ? one->dns : NULL;
}

static void
answer(struct world *w, struct question *one)
{
	struct dns_rr rr[sizeof(zone) / sizeof(zone[0])] = {0};
	struct dns_answer out = {.status = DNS_NXDOMAIN, .rr = rr};
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (!slice_eq_nocase(one->name, slice_of(zone[i].name)) ||
			zone[i].type != one->type)
			continue;
		if (zone[i].value == NULL) {
			out = (struct dns_answer){.status = DNS_FAIL};
			break;
		}
		struct dns_rr *r = &rr[out.n++];
		out.status = DNS_OK;
		r->text = slice_of(zone[i].value);
		if (one->type == DNS_A || one->type == DNS_AAAA)
			assert_true(ip_parse(r->text, &r->ip));
	}
	question_answer_dns(&w->questions, one, &out);
}

/* last: of several open questions the last one is answered first. */
static void
check(const char *ip, const char *domain, bool last, struct world *w, struct spf_verdict *v)
{
	w->arena = arena_new(ARENA_BYTES);
	questions_init(&w->questions, w->arena);
	struct spf_request r = {.helo = SLICE("helo.example"),
		.sender_local = SLICE("strong-bad"),
		.sender_domain = slice_of(domain),
		.hostname = SLICE("mx.example"),
		.now_s = 7,
		.dns = ask,
		.arg = w};
	assert_true(ip_parse(slice_of(ip), &r.client));
	for (int runs = 0; !spf_check(&r, w->arena, v); runs++) {
		assert_true(runs < RUNS_MOST);
		struct question *one, *picked = NULL;
		TAILQ_FOREACH (one, &w->questions.list, link) {
			if (one->state != QUESTION_ANSWERED && (picked == NULL || last))
				picked = one;
		}
		assert_non_null(picked); /* open means that something is asked */
		answer(w, picked);
	}
}

struct check_case {
	const char *ip, *domain;
	enum spf_result result;
	const char *mechanism;
};

static const struct check_case checks[] = {
	{"192.0.2.1", "all.example", SPFR_FAIL, "-all"},
	{"192.0.2.1", "ALL.example.", SPFR_FAIL, "-all"},
	{"192.0.2.1", "a.example", SPFR_PASS, "a"},
	{"2001:db8::1", "a.example", SPFR_PASS, "a"},
	/* one MX cannot be looked up, another matches: whatever comes first, it is a pass */
	{"192.0.2.2", "a.example", SPFR_PASS, "mx"},
	{"192.0.2.3", "a.example", SPFR_TEMPERROR, "mx"},
	{"192.0.2.1", "in.example", SPFR_PASS, "include:a.example"},
	{"192.0.2.3", "in.example", SPFR_TEMPERROR, "include:a.example"},
	{"192.0.2.1", "in2.example", SPFR_PERMERROR, "include:none.example"},
	{"192.0.2.1", "re.example", SPFR_FAIL, "-all"},
	{"192.0.2.1", "loop.example", SPFR_PERMERROR, "include:loop.example"},
	{"192.0.2.1", "two.example", SPFR_PERMERROR, ""},
	{"192.0.2.1", "fail.example", SPFR_TEMPERROR, ""},
	{"192.0.2.1", "none.example", SPFR_NONE, ""},
	{"192.0.2.1", "[192.0.2.1]", SPFR_NONE, ""},
	{"192.0.2.1", "example", SPFR_NONE, ""},
	{"192.0.2.1", "a..example", SPFR_NONE, ""},
	{"192.0.2.1", "", SPFR_NONE, ""},
	{"192.0.2.1", "void2.example", SPFR_NEUTRAL, "?all"},
	{"192.0.2.1", "void3.example", SPFR_PERMERROR, "a:n3.example"},
	{"192.0.2.1", "ex.example", SPFR_PASS, "exists:%{ir}.%{l1r+-}.%{v}._spf.%{d2}"},
	{"192.0.2.1", "p.example", SPFR_PASS, "ptr:name.example"},
	{"192.0.2.9", "p.example", SPFR_FAIL, "-all"},
	{"192.0.2.1", "space.example", SPFR_PASS, "exists:a%_b%-c.example"},
	{"192.0.2.1", "late.example", SPFR_PERMERROR, ""},
};

static void
results_in_either_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		const struct check_case *c = &checks[i];
		for (int last = 0; last < 2; last++) {
			struct world w;
			struct spf_verdict v;
			check(c->ip, c->domain, last, &w, &v);
			if (v.result != c->result ||
				!slice_eq(v.mechanism, slice_of(c->mechanism)))
				fail_msg("%s from %s: %s by \"%.*s\" (%.*s)", c->domain, c->ip,
					spf_result_text(v.result), SLICE_ARG(v.mechanism),
					SLICE_ARG(v.problem));
			bool wrong = v.result == SPFR_TEMPERROR || v.result == SPFR_PERMERROR;
			assert_int_equal(v.problem.n != 0, wrong);
			arena_free(&w.arena);
		}
	}
}

static void
explanations(void **state)
{
	(void)state;
	struct world w;
	struct spf_verdict v;
	check("192.0.2.1", "exp.example", false, &w, &v);
	assert_int_equal(v.result, SPFR_FAIL);
	assert_true(
		slice_eq(v.explanation, SLICE("192.0.2.1 may not send as "
					      "strong-bad@exp.example at 7 says mx.example")));
	arena_free(&w.arena);
	/* what stood beside a redirect is not of the record that decided (6.2) */
	check("192.0.2.1", "re.example", false, &w, &v);
	assert_int_equal(v.explanation.n, 0);
	arena_free(&w.arena);
}

struct macro_case {
	const char *in;
	const char *out; /* NULL: not a macro string */
};

static const struct macro_case macros[] = {
	{"%{s}", "strong-bad@email.example.com"},
	{"%{o}", "email.example.com"},
	{"%{d4}", "email.example.com"},
	{"%{d2}", "example.com"},
	{"%{d1}", "com"},
	{"%{dr}", "com.example.email"},
	{"%{d2r}", "example.email"},
	{"%{l-}", "strong.bad"},
	{"%{lr-}", "bad.strong"},
	{"%{l1r-}", "strong"},
	{"%{ir}.%{v}", "3.2.0.192.in-addr"},
	{"%{L}%{S}", "strong-badstrong-bad%40email.example.com"},
	{"%%%_%-", "% %20"},
	{"%{d99999999999999999999}", "email.example.com"},
	{"%{h}%{r}%{t}%{c}", "helo.examplemx.example7192.0.2.3"},
	{"%", NULL},
	{"%x", NULL},
	{"%{", NULL},
	{"%{}", NULL},
	{"%{x}", NULL},
	{"%{d0}", NULL},
	{"%{d", NULL},
	{"%{d;}", NULL},
	{"%{dr2}", NULL},
	{"a\tb", NULL},
	{"\xc3\xb6", NULL},
};

static void
macro_strings(void **state)
{
	(void)state;
	struct spf_request r = {.helo = SLICE("helo.example"),
		.sender_local = SLICE("strong-bad"),
		.sender_domain = SLICE("email.example.com"),
		.hostname = SLICE("mx.example"),
		.now_s = 7};
	assert_true(ip_parse(SLICE("192.0.2.3"), &r.client));
	struct spf_macros m = {.request = &r, .domain = r.sender_domain};
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
		struct guarded g = guarded_new(slice_of(macros[i].in));
		struct buf b;
		buf_init(&b, 1000);
		bool good = spf_macro_ok(g.in, true);
		if (good != (macros[i].out != NULL))
			fail_msg("%s: %d", macros[i].in, good);
		if (good) {
			assert_true(spf_macro_expand(&m, g.in, &b));
			if (!slice_eq(buf_slice(&b), slice_of(macros[i].out)))
				fail_msg("%s: %.*s", macros[i].in, SLICE_ARG(buf_slice(&b)));
		}
		buf_fini(&b);
		guarded_free(&g);
	}
}

struct term_case {
	const char *in;
	int terms; /* -1: the record is malformed */
};

static const struct term_case terms[] = {
	{"", 0},
	{" ", 0},
	{"  a   mx ", 2},
	{" A MX/24//64 PTR -ALL", 4},
	{" a//0 a/0 a/32//128", 3},
	{" a:%{d}/24 a:b.example/24//64", 2},
	{" a:x/y.example", 1},
	{" ip4:192.0.2.0/24 ip6:2001:db8::/32 ip6:::ffff:192.0.2.1", 3},
	{" moo= moo=%{d}%%x x-y_z.1=/", 3},
	{" a:museum-x.x-1", 1},
	{" a:", -1},
	{" a:museum", -1},
	{" a:museum.", -1},
	{" a:b.example.1", -1},
	{" a:b.-x", -1},
	{" a:b.x-", -1},
	{" a:%{d}x", -1},
	{" a:%{d}.", -1},
	{" a/", -1},
	{" a/33", -1},
	{" a/032", -1},
	{" a//129", -1},
	{" a/24/24", -1},
	{" a/24//", -1},
	{" ip4", -1},
	{" ip4:1.2.3", -1},
	{" ip4:1.2.3.04", -1},
	{" ip4:1.2.3.4/", -1},
	{" ip4:1.2.3.4//24", -1},
	{" ip4:::1", -1},
	{" ip6:1.2.3.4", -1},
	{" all:x", -1},
	{" all/8", -1},
	{" include", -1},
	{" include:a.example/24", -1},
	{" exists", -1},
	{" ptr/24", -1},
	{" ++all", -1},
	{" !all", -1},
	{" =x", -1},
	{" 1a=x", -1},
	{" redirect=", -1},
	{" exp=x", -1},
	{" moo=%", -1},
	{" moo=%{c}", -1},
	{" moo", -1},
	{" a\tmx", -1},
	{" -", -1},
};

static void
terms_by_the_grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
		struct guarded g = guarded_new(slice_of(terms[i].in));
		struct slice rest = g.in;
		struct spf_term t;
		const char *problem;
		int n = 0;
		while (spf_term_next(&rest, &t, &problem))
			n++;
		if ((problem != NULL ? -1 : n) != terms[i].terms)
			fail_msg("\"%s\": %d, %s", terms[i].in, n,
				problem != NULL ? problem : "fine");
		guarded_free(&g);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_in_either_order),
		cmocka_unit_test(explanations),
		cmocka_unit_test(macro_strings),
		cmocka_unit_test(terms_by_the_grammar),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
