/*
 * The state of the way out by tables of what single attempts have shown: each row a line of
 * evidence with the state after it, and as many rows for what must not raise an alarm (a
 * provider that is down, a site that dislikes us, a resolver that is) as for what must.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/egress.h"

enum { MINUTE = 60 * 1000 };

/* Evidence in letters: R reached, U unreachable, L listed, S STARTTLS on offer, G ended by its
 * greeting; none: DNS. */
struct row {
	unsigned minute;
	const char *site;
	uint64_t mx_set;
	const char *what, *banner;
	uint64_t certificate;
	unsigned state; /* after it */
};

static bool
note(struct egress *e, const struct row *r)
{
	struct egress_evidence v = {.site = slice_of(r->site),
		.mx_set = r->mx_set,
		.reached = strchr(r->what, 'R') != NULL,
		.unreachable = strchr(r->what, 'U') != NULL,
		.listed = strchr(r->what, 'L') != NULL,
		.starttls = strchr(r->what, 'S') != NULL,
		.no_hello = strchr(r->what, 'G') != NULL,
		.banner = slice_of(r->banner),
		.certificate = r->certificate};
	return egress_note(e, &v, (uint64_t)r->minute * MINUTE);
}

enum { ROWS = 26, OPEN = EGRESS_OPEN, BLOCKED = EGRESS_BLOCKED };
enum { INTERCEPTED = EGRESS_INTERCEPTED, LISTED = EGRESS_LISTED };

static const struct scenario {
	const char *name;
	struct row rows[ROWS];
} scenarios[] = {
	{"blocked from the first mail on",
		{{0, "a.example", 1, "U", "", 0, OPEN}, {1, "b.test", 2, "U", "", 0, OPEN},
			{2, "c.invalid", 0, "U", "", 0, OPEN},
			{2, "d.example.net", 4, "U", "", 0, OPEN},
			{3, "e.example.org", 5, "U", "", 0, BLOCKED},
			{4, "f.example.com", 6, "U", "", 0, BLOCKED}}},
	{"blocked after it was open",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "b.two", 2, "RS", "mx.b.two ESMTP", 0, OPEN},
			{0, "c.three", 3, "RS", "mx.c.three ESMTP", 0, OPEN},
			{1, "a.one", 1, "U", "", 0, OPEN}, {2, "b.two", 2, "U", "", 0, OPEN},
			{3, "x.four", 4, "U", "", 0, OPEN}, {3, "x.five", 5, "U", "", 0, OPEN},
			{4, "x.six", 6, "U", "", 0, OPEN},
			{4, "c.three", 3, "U", "", 0, BLOCKED}}},
	{"too slowly to be one thing",
		{{0, "a.one", 1, "U", "", 0, OPEN}, {5, "a.two", 2, "U", "", 0, OPEN},
			{10, "a.three", 3, "U", "", 0, OPEN},
			{15, "a.four", 4, "U", "", 0, OPEN},
			{20, "a.five", 5, "U", "", 0, OPEN},
			{25, "a.six", 6, "U", "", 0, OPEN}}},
	{"one that is reached shows the way",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{0, "a.four", 4, "RS", "mx.a.four ESMTP", 0, OPEN},
			{0, "a.five", 5, "RS", "mx.a.five ESMTP", 0, OPEN},
			{20, "a.one", 1, "U", "", 0, OPEN}, {20, "a.two", 2, "U", "", 0, OPEN},
			{21, "a.three", 3, "U", "", 0, OPEN},
			{22, "live.example", 9, "RS", "mx.live.example", 0, OPEN},
			{22, "a.four", 4, "U", "", 0, OPEN},
			{23, "a.five", 5, "U", "", 0, OPEN}}},
	{"the dead of the queue are tried in a quiet night",
		{{0, "live.example", 99, "RS", "mx.live.example", 0, OPEN},
			{600, "typo.one", 1, "U", "", 0, OPEN},
			{600, "typo.two", 2, "U", "", 0, OPEN},
			{600, "typo.three", 3, "U", "", 0, OPEN},
			{600, "typo.four", 4, "U", "", 0, OPEN},
			{600, "typo.five", 5, "U", "", 0, OPEN},
			{600, "typo.six", 6, "U", "", 0, OPEN},
			{601, "typo.seven", 7, "U", "", 0, OPEN}}},
	{"ten unknown ones are enough, whoever they are",
		{{0, "live.example", 99, "RS", "mx.live.example", 0, OPEN},
			{60, "x.one", 1, "U", "", 0, OPEN}, {60, "x.two", 2, "U", "", 0, OPEN},
			{60, "x.three", 3, "U", "", 0, OPEN},
			{60, "x.four", 4, "U", "", 0, OPEN},
			{60, "x.five", 5, "U", "", 0, OPEN}, {60, "x.six", 6, "U", "", 0, OPEN},
			{60, "x.seven", 7, "U", "", 0, OPEN},
			{60, "x.eight", 8, "U", "", 0, OPEN},
			{60, "x.nine", 9, "U", "", 0, OPEN},
			{60, "x.ten", 10, "U", "", 0, BLOCKED}}},
	{"one provider is down, its customers share an MX set",
		{{0, "a.one", 1, "U", "", 0, OPEN}, {0, "a.two", 1, "U", "", 0, OPEN},
			{0, "a.three", 1, "U", "", 0, OPEN}, {0, "a.four", 1, "U", "", 0, OPEN},
			{0, "a.five", 1, "U", "", 0, OPEN}, {0, "a.six", 1, "U", "", 0, OPEN},
			{0, "a.seven", 1, "U", "", 0, OPEN}}},
	{"one provider is down, its customers have MX names of their own",
		{{0, "a.one", 1, "RS", "x1.prod.outlook.com ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "x2.prod.outlook.com ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "x3.prod.outlook.com ESMTP", 0, OPEN},
			{0, "a.four", 4, "RS", "x4.prod.outlook.com ESMTP", 0, OPEN},
			{0, "a.five", 5, "RS", "x5.prod.outlook.com ESMTP", 0, OPEN},
			{1, "a.one", 1, "U", "", 0, OPEN}, {1, "a.two", 2, "U", "", 0, OPEN},
			{1, "a.three", 3, "U", "", 0, OPEN}, {1, "a.four", 4, "U", "", 0, OPEN},
			{1, "a.five", 5, "U", "", 0, OPEN}}},
	{"hosts of one organisation", {{0, "a.corp.co.uk", 1, "U", "", 0, OPEN},
					      {0, "b.corp.co.uk", 2, "U", "", 0, OPEN},
					      {0, "c.corp.co.uk", 3, "U", "", 0, OPEN},
					      {0, "corp.co.uk", 4, "U", "", 0, OPEN},
					      {0, "d.corp.co.uk", 5, "U", "", 0, OPEN},
					      {0, "e.corp.co.uk", 6, "U", "", 0, OPEN}}},
	{"but of several under one country's label",
		{{0, "a.co.uk", 1, "U", "", 0, OPEN}, {0, "b.co.uk", 2, "U", "", 0, OPEN},
			{0, "c.co.uk", 3, "U", "", 0, OPEN},
			{0, "d.co.uk", 4, "U", "", 0, OPEN},
			{0, "e.co.uk", 5, "U", "", 0, BLOCKED}}},
	{"the resolver is down",
		{{0, "a.one", 0, "", "", 0, OPEN}, {0, "a.two", 0, "", "", 0, OPEN},
			{0, "a.three", 0, "", "", 0, OPEN}, {0, "a.four", 0, "", "", 0, OPEN},
			{0, "a.five", 0, "", "", 0, OPEN}, {0, "a.six", 0, "", "", 0, OPEN}}},

	{"listed by three unrelated ones",
		{{0, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{20, "a.two", 2, "L", "mx.a.two ESMTP", 0, OPEN},
			{30, "ok.example", 9, "RS", "mx.ok.example ESMTP", 0, OPEN},
			{59, "a.three", 3, "RL", "mx.a.three ESMTP", 0, LISTED}}},
	{"they refuse before STARTTLS could be on offer, and it is not gone by that",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{1, "a.one", 1, "RL", "mx.a.one no", 0, OPEN},
			{1, "a.two", 2, "RL", "mx.a.two no", 0, OPEN},
			{1, "a.three", 3, "RL", "mx.a.three no", 0, LISTED}}},
	{"one domain lists us, again and again",
		{{0, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{1, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{2, "b.a.one", 2, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{3, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN}}},
	{"one provider lists us for all its customers",
		{{0, "a.one", 1, "RLS", "x1.prod.outlook.com ESMTP", 0, OPEN},
			{1, "a.two", 2, "RLS", "x2.prod.outlook.com ESMTP", 0, OPEN},
			{2, "a.three", 3, "RLS", "x3.prod.outlook.com ESMTP", 0, OPEN},
			{3, "a.four", 4, "RLS", "x4.prod.outlook.com ESMTP", 0, OPEN}}},
	{"listed, but not within an hour",
		{{0, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{40, "a.two", 2, "RLS", "mx.a.two ESMTP", 0, OPEN},
			{61, "a.three", 3, "RLS", "mx.a.three ESMTP", 0, OPEN}}},
	{"one that takes our mail again does not list us",
		{{0, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{1, "a.two", 2, "RLS", "mx.a.two ESMTP", 0, OPEN},
			{2, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{3, "a.three", 3, "RLS", "mx.a.three ESMTP", 0, OPEN}}},

	{"one machine where three had answered",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{9, "a.one", 1, "RS", "mail1.isp.example ESMTP", 0, OPEN},
			{9, "a.two", 2, "RS", "mail2.isp.example ESMTP", 0, OPEN},
			{9, "a.three", 3, "RS", "mail1.isp.example ESMTP", 0, INTERCEPTED}}},
	{"one machine where three large operators should answer",
		{{0, "gmail.com", 1, "RS", "out.isp.example ESMTP", 0, OPEN},
			{0, "a.one", 4, "RS", "out.isp.example ESMTP", 0, OPEN},
			{0, "hotmail.com", 2, "RS", "out.isp.example ESMTP", 0, OPEN},
			{0, "googlemail.com", 1, "RS", "out.isp.example ESMTP", 0, OPEN},
			{1, "GMX.de", 3, "RS", "out.isp.example ESMTP", 0, INTERCEPTED}}},
	{"customers of one provider show its name",
		{{0, "a.one", 1, "RS", "mx.google.com ESMTP 1ab gsmtp", 7, OPEN},
			{0, "a.two", 2, "RS", "mx.google.com ESMTP 2cd gsmtp", 7, OPEN},
			{0, "a.three", 3, "RS", "mx.google.com ESMTP 3ef gsmtp", 7, OPEN},
			{0, "gmail.com", 4, "RS", "mx.google.com ESMTP 4gh gsmtp", 7, OPEN},
			{9, "a.four", 5, "RS", "mx.google.com ESMTP 5ij gsmtp", 7, OPEN}}},
	{"three move to a provider that is known",
		{{0, "old.example", 9, "RS", "mx.provider.example ESMTP", 0, OPEN},
			{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{99, "a.one", 4, "RS", "mx.provider.example ESMTP", 0, OPEN},
			{99, "a.two", 5, "RS", "mx.provider.example ESMTP", 0, OPEN},
			{99, "a.three", 6, "RS", "mx.provider.example ESMTP", 0, OPEN}}},
	{"a provider takes another name and another certificate",
		{{0, "a.one", 1, "RS", "mx.old.example ESMTP", 7, OPEN},
			{0, "a.two", 2, "RS", "mx.old.example ESMTP", 7, OPEN},
			{0, "a.three", 3, "RS", "mx.old.example ESMTP", 7, OPEN},
			{9, "a.one", 1, "RS", "mx.new.example ESMTP", 8, OPEN},
			{9, "a.two", 2, "RS", "mx.new.example ESMTP", 8, OPEN},
			{9, "a.three", 3, "RS", "mx.new.example ESMTP", 8, OPEN}}},
	{"one certificate behind banners that were left as they are",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 11, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 12, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 13, OPEN},
			{9, "a.one", 1, "RS", "mx.a.one ESMTP", 66, OPEN},
			{9, "a.two", 2, "RS", "mx.a.two ESMTP", 66, OPEN},
			{9, "a.three", 3, "RS", "mx.a.three ESMTP", 66, INTERCEPTED}}},
	{"each has a new certificate of its own",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 11, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 12, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 13, OPEN},
			{9, "a.one", 1, "RS", "mx.a.one ESMTP", 21, OPEN},
			{9, "a.two", 2, "RS", "mx.a.two ESMTP", 22, OPEN},
			{9, "a.three", 3, "RS", "mx.a.three ESMTP", 23, OPEN}}},
	{"STARTTLS is gone where it was",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{9, "a.one", 1, "R", "mx.a.one ESMTP", 0, OPEN},
			{9, "a.four", 4, "R", "mx.a.four ESMTP", 0, OPEN},
			{9, "a.two", 2, "R", "*************", 0, OPEN},
			{9, "a.three", 3, "R", "mx.a.three ESMTP", 0, INTERCEPTED}}},
	{"and is not, while another still offers it",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{9, "a.one", 1, "R", "mx.a.one ESMTP", 0, OPEN},
			{9, "a.two", 2, "R", "mx.a.two ESMTP", 0, OPEN},
			{9, "a.four", 4, "RS", "mx.a.four ESMTP", 0, OPEN},
			{9, "a.three", 3, "R", "mx.a.three ESMTP", 0, OPEN}}},
	{"three that do not come to it, each with a greeting of its own",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{9, "a.one", 1, "RG", "mx.a.one too busy", 0, OPEN},
			{9, "a.two", 2, "RG", "mx.a.two no service", 0, OPEN},
			{9, "a.three", 3, "RG", "mx.a.three no service", 0, OPEN}}},
	{"three that never had it",
		{{0, "a.one", 1, "R", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "R", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "R", "mx.a.three ESMTP", 0, OPEN},
			{9, "a.one", 1, "R", "mx.a.one ESMTP", 0, OPEN},
			{9, "a.two", 2, "R", "mx.a.two ESMTP", 0, OPEN},
			{9, "a.three", 3, "R", "mx.a.three ESMTP", 0, OPEN}}},

	{"blocked, and open again at two unrelated ones",
		{{0, "a.one", 1, "U", "", 0, OPEN}, {0, "a.two", 2, "U", "", 0, OPEN},
			{0, "a.three", 3, "U", "", 0, OPEN}, {0, "a.four", 4, "U", "", 0, OPEN},
			{0, "a.five", 5, "U", "", 0, BLOCKED},
			{5, "a.one", 1, "R", "mx.a.one", 0, BLOCKED},
			{6, "b.a.one", 1, "R", "mx.a.one", 0, BLOCKED}, /* related */
			{7, "a.six", 6, "U", "", 0, BLOCKED},           /* may well be down */
			{8, "a.two", 2, "R", "mx.a.two", 0, OPEN},
			{9, "a.four", 4, "U", "", 0, OPEN}}},
	{"intercepted, and open again when the old machines answer",
		{{0, "a.one", 1, "RS", "mx.a.one ESMTP", 0, OPEN},
			{0, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			{0, "a.three", 3, "RS", "mx.a.three ESMTP", 0, OPEN},
			{9, "a.one", 1, "R", "isp.example ESMTP", 0, OPEN},
			{9, "a.two", 2, "R", "isp.example ESMTP", 0, OPEN},
			{9, "a.three", 3, "R", "isp.example ESMTP", 0, INTERCEPTED},
			{14, "a.one", 1, "R", "isp.example ESMTP", 0, INTERCEPTED},
			{24, "a.one", 1, "RS", "mx.a.one ESMTP", 0, INTERCEPTED},
			{25, "a.two", 2, "RS", "isp.example ESMTP", 0, INTERCEPTED},
			{26, "a.three", 3, "RS", "mx.a.three ESMTP", 0, INTERCEPTED},
			{26, "a.two", 2, "R", "mx.a.two ESMTP", 0, INTERCEPTED},
			{27, "a.three", 3, "RS", "mx.a.three ESMTP", 0, INTERCEPTED},
			{27, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN},
			/* and seen again when it comes back, hours later */
			{150, "a.one", 1, "RS", "isp.example ESMTP", 0, OPEN},
			{150, "a.two", 2, "RS", "isp.example ESMTP", 0, OPEN},
			{151, "a.three", 3, "RS", "isp.example ESMTP", 0, INTERCEPTED}}},
	{"listed: who never used the list proves nothing",
		{{0, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{1, "a.two", 2, "RLS", "mx.a.two ESMTP", 0, OPEN},
			{2, "a.three", 3, "RLS", "mx.a.three ESMTP", 0, LISTED},
			{3, "b.four", 4, "RS", "mx.b.four ESMTP", 0, LISTED},
			{4, "b.five", 5, "RS", "mx.b.five ESMTP", 0, LISTED},
			{5, "a.one", 1, "RS", "mx.a.one ESMTP", 0, LISTED},
			{6, "b.six", 6, "RS", "mx.b.six ESMTP", 0, LISTED},
			{7, "a.two", 2, "RS", "mx.a.two ESMTP", 0, OPEN}}},
	{"listed: long after the last refusal anyone does",
		{{0, "a.one", 1, "RLS", "mx.a.one ESMTP", 0, OPEN},
			{1, "a.two", 2, "RLS", "mx.a.two ESMTP", 0, OPEN},
			{2, "a.three", 3, "RLS", "mx.a.three ESMTP", 0, LISTED},
			{90, "b.four", 4, "RS", "mx.b.four ESMTP", 0, LISTED},
			{91, "b.five", 5, "RS", "mx.b.five ESMTP", 0, OPEN}}},
};

static void
test_scenarios(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		const struct scenario *s = &scenarios[i];
		print_message("%s\n", s->name);
		struct egress *e = egress_new();
		size_t rows = 0;
		for (; rows < ROWS && s->rows[rows].site != NULL; rows++) {
			unsigned before = egress_state(e), want = s->rows[rows].state;
			bool changed = note(e, &s->rows[rows]);
			if (egress_state(e) != want)
				print_message("row %zu: %s, not %s\n", rows,
					egress_state_text(egress_state(e)),
					egress_state_text((enum egress_state)want));
			assert_int_equal(egress_state(e), want);
			assert_int_equal(changed, before != want);
		}
		assert_true(rows > 2 && rows < ROWS);
		egress_free(&e);
		assert_null(e);
	}
}

static const struct row to_blocked[] = {
	{0, "a.one", 1, "U", "", 0, OPEN},
	{0, "a.two", 2, "U", "", 0, OPEN},
	{0, "a.three", 3, "U", "", 0, OPEN},
	{0, "a.four", 4, "U", "", 0, OPEN},
	{0, "a.five", 5, "U", "", 0, BLOCKED},
};

static struct egress *
blocked(void)
{
	struct egress *e = egress_new();
	for (size_t i = 0; i < sizeof(to_blocked) / sizeof(to_blocked[0]); i++)
		note(e, &to_blocked[i]);
	assert_int_equal(egress_state(e), EGRESS_BLOCKED);
	return e;
}

/* After 5 minutes, 10, 20, 40, then each hour; one mail each time; anew after a pass. */
static void
test_retests(void **state)
{
	(void)state;
	struct egress *e = egress_new();
	assert_false(egress_retest(e, 1000 * MINUTE)); /* open: nothing to test */
	egress_free(&e);
	e = blocked();
	static const unsigned at[] = {5, 10, 20, 40, 80, 140, 200, 260};
	unsigned taken = 0;
	for (unsigned minute = 0; minute <= 260; minute++) {
		for (unsigned mail = 0; mail < 3; mail++) {
			if (!egress_retest(e, (uint64_t)minute * MINUTE))
				continue;
			assert_int_equal(mail, 0);
			assert_true(taken < sizeof(at) / sizeof(at[0]));
			assert_int_equal(minute, at[taken]);
			taken++;
			note(e, &(struct row){minute, "a.one", 1, "U", "", 0, BLOCKED});
		}
	}
	assert_int_equal(taken, sizeof(at) / sizeof(at[0]));
	note(e, &(struct row){300, "a.one", 1, "R", "mx.a.one", 0, BLOCKED});
	assert_true(egress_retest(e, 300 * MINUTE)); /* another may confirm it now */
	assert_false(egress_retest(e, 300 * MINUTE));
	assert_true(egress_retest(e, 305 * MINUTE));
	assert_true(note(e, &(struct row){305, "b.two", 7, "R", "mx.b.two", 0, OPEN}));
	assert_false(egress_retest(e, 999 * MINUTE));
	egress_free(&e);
}

static bool
says(const struct egress *e, unsigned minute, const char *what)
{
	struct arena *a = arena_new(65536);
	struct slice text = egress_text(e, (uint64_t)minute * MINUTE, a);
	bool is = slice_find_slice(text, slice_of(what)) < text.n;
	if (!is)
		print_message("\"%s\" is not in:\n%.*s", what, SLICE_ARG(text));
	for (size_t i = 0; i < text.n; i++)
		is = is && (text.p[i] == '\n' || (text.p[i] >= ' ' && text.p[i] <= '~'));
	is = is && slice_ends(text, SLICE("\n"));
	arena_free(&a);
	return is;
}

static void
test_text(void **state)
{
	(void)state;
	struct egress *e = egress_new();
	assert_true(
		says(e, 0, "open: of 0 destinations known, in the last hour 0 were reached"));
	note(e, &(struct row){0, "ok.example", 9, "RS", "mx.ok.example", 0, OPEN});
	note(e, &(struct row){1, "no.example", 8, "U", "", 0, OPEN});
	note(e, &(struct row){1, "list.example", 7, "RL", "mx.list.example", 0, OPEN});
	assert_true(says(e, 2,
		"of 3 destinations known, in the last hour 2 were reached, 1 were "
		"unreachable, 1 refused our address"));
	egress_free(&e);

	e = blocked();
	assert_true(says(e, 3, "blocked for 3 min: unrelated destinations cannot be reached"));
	assert_true(says(e, 3, "\na.five: unreachable 3 min ago, never reached\n"));
	assert_true(says(e, 3, "passed at 0 of 2 unrelated destinations, the next in 3 min\n"));
	note(e, &(struct row){4, "a.one", 1, "R", "mx.a.one", 0, BLOCKED});
	assert_true(says(e, 4, "passed at 1 of 2 unrelated destinations, the next with"));
	for (unsigned i = 0; i < 20; i++) {
		char site[16];
		snprintf(site, sizeof(site), "x%u.example", i);
		note(e, &(struct row){5, site, 100 + i, "U", "", 0, BLOCKED});
	}
	assert_true(says(e, 6, "\nand 14 more\n"));
	egress_free(&e);

	e = egress_new();
	static const char *const large[] = {"gmail.com", "gmx.net", "hotmail.com"};
	for (unsigned i = 0; i < 3; i++)
		note(e, &(struct row){0, large[i], i + 1, "R", "evil.example \x1b[2J\xff\r\n",
				0, OPEN});
	assert_int_equal(egress_state(e), EGRESS_INTERCEPTED);
	assert_true(says(e, 1, "gmail.com: answers as \"evil.example ?[2J???\""));
	egress_free(&e);

	e = egress_new();
	for (unsigned i = 0; i < 3; i++) {
		note(e, &(struct row){0, large[i], i + 1, "RS", large[i], 0, OPEN});
		note(e, &(struct row){1, large[i], i + 1, "RLS", large[i], 0, OPEN});
	}
	assert_int_equal(egress_state(e), EGRESS_LISTED);
	assert_true(says(e, 2, "gmx.net: refused our address 1 min ago, as \"gmx.net\""));
	egress_free(&e);
}

/* Many destinations, long names, empty names: nothing grows, nothing is taken for evidence. */
static void
test_bounds(void **state)
{
	(void)state;
	struct egress *e = egress_new();
	char site[300], banner[600];
	memset(banner, 'b', sizeof(banner) - 1);
	banner[sizeof(banner) - 1] = '\0';
	for (unsigned i = 0; i < 20000; i++) {
		memset(site, 'x', sizeof(site) - 1);
		snprintf(site, sizeof(site), "%u.%u.example%u", i, i, i);
		if (i % 2 == 0)
			site[strlen(site)] = 'x'; /* one label of 280 bytes on top */
		site[sizeof(site) - 1] = '\0';
		note(e, &(struct row){i, site, i, i % 3 == 0 ? "U" : "R", banner, i, OPEN});
		assert_int_equal(egress_state(e), EGRESS_OPEN);
	}
	assert_true(says(e, 20000, "open: of 256 destinations known"));
	note(e, &(struct row){20000, "", 0, "R", "", 0, OPEN});
	note(e, &(struct row){20000, ".", 0, "R", ".", 0, OPEN});
	note(e, &(struct row){20000, "..", 0, "R", " ", 0, OPEN});
	assert_int_equal(egress_state(e), EGRESS_OPEN);
	egress_free(&e);
}

static void
test_states(void **state)
{
	(void)state;
	static const char *const texts[] = {"open", "blocked", "intercepted", "listed"};
	for (enum egress_state s = EGRESS_OPEN; s < EGRESS_STATES; s++)
		assert_string_equal(egress_state_text(s), texts[s]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
		cmocka_unit_test(test_retests),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_states),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
