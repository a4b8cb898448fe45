/*
 * DMARC (RFC 9989): the 41 vectors of tests/data/dmarc-own, the tree walk with its bounds,
 * records, and every answer late or failed. (AUT-02, AUT-03, AUT-05)
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "feed.h"
#include "filters/dmarc.h"

/* A zone of TXT records; "nx." begins names that are not there at all. */
struct zone {
	struct {
		const char *name;
		struct slice text;
		enum dns_status status; /* DNS_OK: the text */
	} row[8];
	size_t n;
	unsigned asked;
	int missing; /* this look-up, counted from 0, is not answered yet; -1: all are */
	struct dns_answer answer[64];
	struct dns_rr rr[64];
};

static const struct dns_answer *
lookup(void *arg, struct slice name, enum dns_type type)
{
	struct zone *z = arg;
	unsigned at = z->asked++;
	assert_true(at < 64);
	if ((int)at == z->missing)
		return NULL;
	struct dns_answer *a = &z->answer[at];
	*a = (struct dns_answer){.status = DNS_NXDOMAIN, .rr = &z->rr[at]};
	if (type == DNS_A) {
		a->status = slice_starts(name, SLICE("nx.")) ? DNS_NXDOMAIN : DNS_NODATA;
		return a;
	}
	for (size_t i = 0; i < z->n; i++) {
		if (slice_eq(name, slice_of(z->row[i].name))) {
			a->status = z->row[i].status;
			a->n = a->status == DNS_OK;
			z->rr[at].text = z->row[i].text;
		}
	}
	return a;
}

static struct dmarc_verdict
evaluate(struct zone *z, const struct dmarc_mail *m, struct arena *a)
{
	struct dmarc_verdict v;
	struct dmarc_dns dns = {lookup, z};
	z->asked = 0;
	z->missing = -1;
	assert_true(dmarc_evaluate(m, &dns, a, &v));
	/* The same with each answer missing once: it waits, or it had no need of that one. */
	unsigned asked = z->asked;
	for (unsigned i = 0; i < asked; i++) {
		struct dmarc_verdict early;
		z->asked = 0;
		z->missing = (int)i;
		if (dmarc_evaluate(m, &dns, a, &early)) {
			assert_int_equal(early.result, v.result);
			assert_int_equal(early.policy, v.policy);
		}
	}
	z->asked = asked;
	return v;
}

static const char *
disposition(const struct dmarc_verdict *v)
{
	if (v->result == DMARC_NONE)
		return "absent";
	return v->result == DMARC_PASS ? "pass" : dmarc_policy_text(v->policy);
}

static bool
run_vector(struct slice line)
{
	struct slice column[8], domains[8];
	struct arena *a = arena_new(1 << 20);
	for (size_t i = 0; i < 8; i++)
		slice_cut(line, '\t', &column[i], &line);
	struct zone z = {.n = 1};
	z.row[0].name = arena_text(a, arena_printf(a, "_dmarc.%.*s", SLICE_ARG(column[4])));
	z.row[0].text = column[3];
	struct dmarc_mail m = {.from = column[1], .dkim = domains};
	for (struct slice rest = column[5]; rest.n > 0 && !slice_eq(column[5], SLICE("-"));)
		slice_cut(rest, ',', &domains[m.n_dkim++], &rest);
	if (!slice_eq(column[6], SLICE("-")))
		m.spf = column[6];
	struct dmarc_verdict v = evaluate(&z, &m, a);
	bool good = slice_eq(slice_of(disposition(&v)), slice_trim(column[7]));
	if (!good)
		print_error("%.*s: %s\n", SLICE_ARG(column[0]), disposition(&v));
	arena_free(&a);
	return good;
}

static void
test_vectors(void **state)
{
	(void)state;
	char path[PATH_MAX], text[32768];
	const char *source = getenv("POSTERN_SOURCE");
	snprintf(path, sizeof(path), "%s/tests/data/dmarc-own/vec.tsv",
		source != NULL ? source : "");
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	size_t n = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_true(n < sizeof(text));
	struct slice rest = {text, n}, line;
	unsigned good = 0, all = 0;
	while (rest.n > 0) {
		slice_cut(rest, '\n', &line, &rest);
		all++;
		good += run_vector(line);
	}
	assert_int_equal(all, 41);
	assert_int_equal(good, 41);
}

struct walk_case {
	const char *label, *from, *dkim, *spf;
	struct {
		const char *name, *text; /* NULL text: DNS_FAIL */
	} zone[3];
	const char *expect; /* result, policy, organisation, record's domain */
	unsigned asked;     /* look-ups at most; 0: not counted */
};

static const struct walk_case walks[] = {
	{"exact match needs one record", "example.com", "example.com", "",
		{{"_dmarc.example.com", "v=DMARC1; p=reject"}, {"_dmarc.com", NULL}},
		"pass reject  example.com", 2},
	{"eight labels, then seven", "a.b.c.d.e.f.g.h.example.com", "", "",
		{{"_dmarc.d.e.f.g.h.example.com", "v=DMARC1; p=none; sp=quarantine"}},
		"fail quarantine d.e.f.g.h.example.com d.e.f.g.h.example.com", 9},
	{"what is skipped is not asked", "a.b.c.d.e.f.g.h.example.com", "", "",
		{{"_dmarc.c.d.e.f.g.h.example.com", "v=DMARC1; p=reject"}},
		"none none a.b.c.d.e.f.g.h.example.com ", 8},
	{"the shortest record wins", "a.b.example.com", "x.example.com", "",
		{{"_dmarc.b.example.com", "v=DMARC1; p=none"},
			{"_dmarc.example.com", "v=DMARC1; p=reject; adkim=r"}},
		"pass reject example.com example.com", 0},
	{"psd=n ends the walk", "a.b.example.com", "", "example.com",
		{{"_dmarc.b.example.com", "v=DMARC1; p=reject; psd=n"},
			{"_dmarc.example.com", "v=DMARC1; p=none"}},
		"fail reject b.example.com b.example.com", 0},
	{"psd=y: one below", "mail.shop.bank", "pay.shop.bank", "",
		{{"_dmarc.bank", "v=DMARC1; p=reject; psd=y"}}, "pass reject shop.bank bank",
		0},
	{"psd=y: the record one below", "mail.shop.bank", "evil.bank", "",
		{{"_dmarc.bank", "v=DMARC1; p=none; psd=y"},
			{"_dmarc.shop.bank", "v=DMARC1; p=quarantine"}},
		"fail quarantine shop.bank shop.bank", 0},
	{"psd=y itself sends", "bank", "", "bank",
		{{"_dmarc.bank", "v=DMARC1; p=reject; psd=y"}}, "pass reject  bank", 0},
	{"np of a name that is not there", "nx.example.com", "", "",
		{{"_dmarc.example.com", "v=DMARC1; p=none; np=reject"}},
		"fail reject example.com example.com", 0},
	{"np of a name that is there", "a.example.com", "", "",
		{{"_dmarc.example.com", "v=DMARC1; p=none; np=reject"}},
		"fail none example.com example.com", 0},
	{"np follows sp", "nx.example.com", "", "",
		{{"_dmarc.example.com", "v=DMARC1; p=none; sp=quarantine"}},
		"fail quarantine example.com example.com", 0},
	{"a failed walk", "a.example.com", "", "", {{"_dmarc.example.com", NULL}},
		"temperror none  ", 0},
	{"a failed walk of a signature", "example.com", "a.example.com", "",
		{{"_dmarc.example.com", "v=DMARC1; p=reject"}, {"_dmarc.a.example.com", NULL}},
		"temperror reject example.com example.com", 0},
	{"foreign signatures are not walked", "example.com", "a.b.c.d.e.f.g.evil.example", "",
		{{"_dmarc.example.com", "v=DMARC1; p=reject"}},
		"fail reject example.com example.com", 2},
	{"no author domain", "", "example.com", "", {{0}}, "permerror none  ", 0},
	{"sp that is not valid", "example.com", "", "",
		{{"_dmarc.example.com", "v=DMARC1; p=reject; sp=x"}}, "none none example.com ",
		0},
	{"sp that is not valid, with rua", "example.com", "", "",
		{{"_dmarc.example.com", "v=DMARC1; p=reject; sp=x; rua=mailto:a@b"}},
		"fail none example.com example.com", 0},
	{"malformed tags are passed over", "example.com", "", "",
		{{"_dmarc.example.com", "v=DMARC1;; junk; p=reject; =; \303\251=1"}},
		"fail reject example.com example.com", 0},
};

static void
run_walk(const struct walk_case *c)
{
	struct arena *a = arena_new(1 << 20);
	struct zone z = {0};
	struct slice dkim = slice_of(c->dkim);
	for (size_t i = 0; i < 3 && c->zone[i].name != NULL; i++, z.n++) {
		z.row[i].name = c->zone[i].name;
		z.row[i].text = slice_of(c->zone[i].text);
		z.row[i].status = c->zone[i].text != NULL ? DNS_OK : DNS_FAIL;
	}
	struct dmarc_mail m = {.from = slice_of(c->from),
		.dkim = &dkim,
		.n_dkim = dkim.n > 0,
		.spf = slice_of(c->spf)};
	struct dmarc_verdict v = evaluate(&z, &m, a);
	struct slice got = arena_printf(a, "%s %s %.*s %.*s", dmarc_result_text(v.result),
		dmarc_policy_text(v.policy), SLICE_ARG(v.organisation), SLICE_ARG(v.domain));
	if (!slice_eq(got, slice_of(c->expect)))
		fail_msg("%s: %.*s", c->label, SLICE_ARG(got));
	if (c->asked > 0)
		assert_true(z.asked <= c->asked);
	arena_free(&a);
}

static void
test_walks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++)
		run_walk(&walks[i]);
}

/* An identifier that could not be checked counts only where it would have been aligned. */
static void
test_later(void **state)
{
	(void)state;
	struct zone z = {
		.n = 1, .row = {{"_dmarc.example.com", SLICE("v=DMARC1; p=reject"), DNS_OK}}};
	struct slice ours = SLICE("mail.example.com"), foreign = SLICE("evil.example");
	struct arena *a = arena_new(1 << 20);
	struct dmarc_mail m = {
		.from = SLICE("example.com"), .dkim_later = &ours, .n_dkim_later = 1};
	assert_int_equal(evaluate(&z, &m, a).result, DMARC_TEMPERROR);
	m.dkim_later = &foreign;
	assert_int_equal(evaluate(&z, &m, a).result, DMARC_FAIL);
	m.spf_later = SLICE("example.com");
	assert_int_equal(evaluate(&z, &m, a).result, DMARC_TEMPERROR);
	m.spf = SLICE("a.example.com");
	assert_int_equal(evaluate(&z, &m, a).result, DMARC_PASS);
	arena_free(&a);
}

/* Two records at one name are as none. */
static const struct dns_answer *
two_records(void *arg, struct slice name, enum dns_type type)
{
	(void)name, (void)type;
	return arg;
}

static void
test_several_records(void **state)
{
	(void)state;
	struct dns_rr rr[] = {
		{.text = SLICE("v=DMARC1; p=reject")}, {.text = SLICE("v=DMARC1; p=none")}};
	struct dns_answer answer = {.status = DNS_OK, .n = 2, .rr = rr};
	struct dmarc_dns dns = {two_records, &answer};
	struct dmarc_mail m = {.from = SLICE("example.com")};
	struct dmarc_verdict v;
	struct arena *a = arena_new(1 << 20);
	assert_true(dmarc_evaluate(&m, &dns, a, &v));
	assert_int_equal(v.result, DMARC_NONE);
	rr[1].text = SLICE("v=spf1 -all");
	assert_true(dmarc_evaluate(&m, &dns, a, &v));
	assert_int_equal(v.result, DMARC_FAIL);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_walks),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_several_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
