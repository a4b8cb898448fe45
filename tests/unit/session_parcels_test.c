/*
 * What of a mail goes where: who needs the keeper, which recipients share a parcel, which way
 * each of them has; and when held mail goes on, by the clock on the wall.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "conf_text.h"
#include "session/parcels.h"

enum { RCPTS_MOST = 4, WALL_S = 1795316645 }; /* 2026-11-22 03:04:05 UTC */

#define HEAD "hostname \"mx.example.com\"\nspool \"/var/spool/postern\"\n"
#define DOMAINS                                              \
	"domain \"a.example\" deliver to \"192.0.2.1:25\"\n" \
	"domain \"b.example\" deliver to \"192.0.2.1:25\"\n" \
	"domain \"c.example\" deliver to \"192.0.2.2:25\"\n" \
	"domain \"l.example\" deliver to \"lmtp:192.0.2.3:24\"\n"
#define BLOCKS "inbound {\naccept\n}\noutbound {\naccept\n}\n"
#define LISTEN                                   \
	"listen inbound on \"127.0.0.1:2525\"\n" \
	"listen outbound on \"127.0.0.1:2587\" from { 127.0.0.0/8 }\n"
#define FILTER                                                                  \
	"listen inbound on \"127.0.0.1:2525\" filter from { 127.0.0.1/32 } to " \
	"\"127.0.0.1:10026\"\n"

enum {
	ACCEPT,
	REJECT,
	DISCARD,
	QUARANTINE,
	QUARANTINE_B,
	HOLD,
	ROUTED,
	TAGGED,
	REDIRECTED,
	COPIED,
	COPIED_C,
	NOTIFIED,
	EFFECTS_MOST = 3,
};
/* Two effects, and the decision behind them: COPIED | KEPT. */
#define AND(effect) ((effect) << 8)
#define THEN(end)   ((end) << 16)

static struct rule rules[] = {
	[ACCEPT] = {.action = ACTION_ACCEPT, .at = {"f.conf", 1, 1}},
	[REJECT] = {.action = ACTION_REJECT, .at = {"f.conf", 2, 1}},
	[DISCARD] = {.action = ACTION_DISCARD, .at = {"f.conf", 3, 1}},
	[QUARANTINE] = {.action = ACTION_QUARANTINE, .at = {"f.conf", 4, 1}},
	[QUARANTINE_B] = {.action = ACTION_QUARANTINE,
		.text = {"b", 1},
		.at = {"f.conf", 5, 1}},
	[HOLD] = {.action = ACTION_HOLD, .hold_ms = 60000, .at = {"f.conf", 6, 1}},
	[ROUTED] = {.action = ACTION_ROUTE, .text = {"192.0.2.9:25", 12}},
	[TAGGED] = {.action = ACTION_TAG, .text = {"X: 1", 4}},
	[REDIRECTED] = {.action = ACTION_REDIRECT, .text = {"new@c.example", 13}},
	[COPIED] = {.action = ACTION_COPY, .text = {"copy@b.example", 14}},
	[COPIED_C] = {.action = ACTION_COPY, .text = {"copy@c.example", 14}},
	[NOTIFIED] = {.action = ACTION_NOTIFY,
		.text = {"pm@b.example", 12},
		.at = {"f.conf", 7, 1}},
};

struct parcels_case {
	const char *label, *conf;
	bool outbound, needed;
	const char *rcpts[RCPTS_MOST];
	int how[RCPTS_MOST];
	const char *want; /* the parcels: KIND set:rcpt/WAY/site,... */
};

#define JOURNAL "journal to \"archive@c.example\"\n"
#define SMTP    HEAD LISTEN DOMAINS "send direct\n" BLOCKS

static const struct parcels_case cases[] = {
	{"one next hop", SMTP, false, false, {"x@a.example", "y@b.example"}, {0}, NULL},
	{"no spool", "hostname \"mx.example.com\"\n" LISTEN DOMAINS "send direct\n" BLOCKS,
		true, false, {"x@out.example"}, {0}, NULL},
	{"two next hops", SMTP, false, true, {"x@a.example", "y@c.example"}, {0},
		"send 0:x/domain/a.example,y/domain/c.example;"},
	{"one by LMTP", SMTP, false, false, {"x@l.example"}, {0}, NULL},
	{"two by LMTP", SMTP, false, true, {"x@l.example", "y@l.example"}, {0},
		"send 0:x/domain/l.example,y/domain/l.example;"},
	{"two by LMTP, one of them dropped", SMTP, false, false, {"x@l.example", "y@l.example"},
		{ACCEPT, DISCARD}, NULL},
	{"a dropped one has no hop", SMTP, false, false, {"x@c.example", "y@a.example"},
		{DISCARD, ACCEPT}, NULL},
	{"one refused", SMTP, false, true, {"x@a.example", "y@a.example"}, {ACCEPT, REJECT},
		"send 0:x/domain/a.example;refused 0:y/domain/a.example;"},
	{"two headers", SMTP, false, true, {"x@a.example", "y@a.example", "z@b.example"},
		{ACCEPT, TAGGED, ACCEPT},
		"send 0:x/domain/a.example,z/domain/b.example;send 1:y/domain/a.example;"},
	{"kept", SMTP, false, true, {"x@a.example"}, {QUARANTINE},
		"quarantine(quarantine,f.conf:4) 0:x/domain/a.example;"},
	{"kept by two rules", SMTP, false, true, {"x@a.example", "y@a.example"},
		{QUARANTINE, QUARANTINE_B},
		"quarantine(quarantine,f.conf:4) 0:x/domain/a.example;"
		"quarantine(b,f.conf:5) 0:y/domain/a.example;"},
	{"held, dropped, accepted", SMTP, false, true,
		{"x@a.example", "y@a.example", "z@a.example"}, {HOLD, DISCARD, ACCEPT},
		"hold(+60000,f.conf:6) 0:x/domain/a.example;send 0:z/domain/a.example;"},
	{"routed", SMTP, false, true, {"x@a.example", "y@a.example"}, {ROUTED, ACCEPT},
		"send(192.0.2.9:25) 0:x/route/a.example;send 0:y/domain/a.example;"},
	{"out", SMTP, true, true, {"x@out.example", "y@[192.0.2.7]", "z@a.example"}, {0},
		"own send 0:x/send/out.example,y/send/[192.0.2.7],z/domain/a.example;"},
	{"out by a smarthost", HEAD LISTEN DOMAINS "send smarthost \"192.0.2.9:25\"\n" BLOCKS,
		true, true, {"x@out.example", "z@a.example"}, {0},
		"own send 0:x/smarthost/out.example,z/domain/a.example;"},
	{"redirected", SMTP, false, true, {"x@a.example"}, {REDIRECTED},
		"send 0:new/domain/c.example(rfc822;x@a.example);"},
	{"two redirected to one", SMTP, false, true,
		{"x@a.example", "y@a.example", "z@b.example"}, {REDIRECTED, REDIRECTED, ACCEPT},
		"send 0:new/domain/c.example(rfc822;x@a.example),z/domain/b.example;"},
	{"redirected and routed", SMTP, false, true, {"x@a.example"},
		{REDIRECTED | AND(ROUTED)},
		"send(192.0.2.9:25) 0:new/route/c.example(rfc822;x@a.example);"},
	{"redirected from outside", SMTP, true, true, {"x@out.example"}, {REDIRECTED},
		"own send 0:new/domain/c.example(rfc822;x@out.example);"},
	{"redirected and refused", SMTP, false, true, {"x@a.example", "y@a.example"},
		{REDIRECTED | THEN(REJECT), ACCEPT},
		"refused 0:x/domain/a.example;send 0:y/domain/a.example;"},
	{"copied", SMTP, false, true, {"x@a.example"}, {COPIED},
		"send 0:x/domain/a.example;beside send 0:copy/domain/b.example(never);"},
	{"copied twice", SMTP, false, true, {"x@a.example"}, {COPIED | AND(COPIED_C)},
		"send 0:x/domain/a.example;beside send "
		"0:copy/domain/b.example(never),copy/domain/c.example(never);"},
	{"a copy is one for all", SMTP, false, true, {"x@a.example", "y@a.example"},
		{COPIED, COPIED | AND(TAGGED)},
		"send 0:x/domain/a.example;send 1:y/domain/a.example;beside send "
		"0:copy/domain/b.example(never);"},
	{"no copy to whom it is for", SMTP, false, true, {"COPY@b.example"}, {COPIED},
		"send 0:COPY/domain/b.example;"},
	{"nor to whom it is redirected", SMTP, false, true, {"new@c.example", "y@a.example"},
		{ACCEPT, REDIRECTED}, "send 0:new/domain/c.example;"},
	{"a copy of what is kept is kept", SMTP, false, true, {"x@a.example"},
		{COPIED | THEN(QUARANTINE_B)},
		"quarantine(b,f.conf:5) 0:x/domain/a.example;"
		"beside quarantine(b,f.conf:5) 0:copy/domain/b.example(never);"},
	{"of what is held, held", SMTP, true, true, {"x@out.example"}, {COPIED | THEN(HOLD)},
		"own hold(+60000,f.conf:6) 0:x/send/out.example;"
		"beside hold(+60000,f.conf:6) 0:copy/domain/b.example(never);"},
	{"the route is not the copy's", SMTP, false, true, {"x@a.example"},
		{COPIED | AND(ROUTED)},
		"send(192.0.2.9:25) 0:x/route/a.example;"
		"beside send 0:copy/domain/b.example(never);"},
	{"nothing of what is dropped", SMTP, false, false, {"x@a.example", "y@a.example"},
		{COPIED | THEN(DISCARD), ACCEPT}, NULL},
	{"nor of what is refused", SMTP, false, true, {"x@a.example", "y@a.example"},
		{COPIED | THEN(REJECT), ACCEPT},
		"refused 0:x/domain/a.example;send 0:y/domain/a.example;"},
	{"a notice", SMTP, false, true, {"x@a.example", "y@a.example"}, {NOTIFIED, NOTIFIED},
		"send 0:x/domain/a.example,y/domain/a.example;"
		"beside from <> send text:pm/domain/b.example(never);"},
	{"one of a rule, whatever it is above", SMTP, false, true,
		{"x@a.example", "y@a.example"}, {NOTIFIED, NOTIFIED | THEN(QUARANTINE)},
		"send 0:x/domain/a.example;quarantine(quarantine,f.conf:4) "
		"0:y/domain/a.example;"
		"beside from <> send text:pm/domain/b.example(never);"},
	{"the journal", JOURNAL SMTP, false, true, {"x@a.example", "y@a.example"}, {0},
		"send 0:x/domain/a.example,y/domain/a.example;"
		"beside from <> send text:archive/domain/c.example(never);"},
	{"the journal has each set of bytes", JOURNAL SMTP, true, true,
		{"x@a.example", "y@a.example", "z@a.example"}, {ACCEPT, TAGGED, REJECT},
		"own send 0:x/domain/a.example;own send 1:y/domain/a.example;"
		"own refused 0:z/domain/a.example;"
		"beside from <> send text:archive/domain/c.example(never);"
		"beside from <> send text:archive/domain/c.example(never);"},
	{"the journal has what is kept", JOURNAL SMTP, false, true,
		{"x@a.example", "y@a.example"}, {QUARANTINE, DISCARD},
		"quarantine(quarantine,f.conf:4) 0:x/domain/a.example;"
		"beside from <> send text:archive/domain/c.example(never);"},
	{"no journal of the other direction", "inbound " JOURNAL SMTP, true, true,
		{"x@a.example"}, {0}, "own send 0:x/domain/a.example;"},
	{"a filter's copies go its way too", HEAD FILTER DOMAINS BLOCKS, false, true,
		{"x@a.example"}, {COPIED},
		"send(\"127.0.0.1:10026\") 0:x/route/a.example;"
		"beside send(\"127.0.0.1:10026\") 0:copy/route/b.example(never);"},
	{"a filter has one way", HEAD FILTER DOMAINS BLOCKS, false, false,
		{"x@a.example", "y@c.example"}, {0}, NULL},
	{"and keeps what is quarantined", HEAD FILTER DOMAINS BLOCKS, false, true,
		{"x@a.example"}, {QUARANTINE},
		"quarantine(quarantine,f.conf:4) 0:x/route/a.example;"},
};

struct lab {
	struct arena *arena;
	struct conf *conf;
	struct gate_config config;
	struct flt_session session;
	struct flt_recipient rcpts[RCPTS_MOST];
	struct smtp_rcpt_params params[RCPTS_MOST];
	struct flt_mail mail;
	struct decisions decisions;
	struct outcome outcome;
	struct relay_body bodies[RCPTS_MOST];
	struct parcels_input in;
};

static void
lab_open(struct lab *l, const struct parcels_case *c)
{
	*l = (struct lab){.arena = arena_new(4 << 20), .conf = conf_text(c->conf)};
	bool filter = l->conf->n_listeners == 1;
	l->config = (struct gate_config){.conf = l->conf,
		.listener = &l->conf->listeners[c->outbound && !filter],
		.direction = c->outbound ? OUTBOUND : INBOUND};
	l->session = (struct flt_session){.wall_ms = (int64_t)WALL_S * 1000};
	l->mail = (struct flt_mail){.recipients = l->rcpts};
	decisions_init(&l->decisions, RCPTS_MOST, l->arena);
	for (size_t i = 0; i < RCPTS_MOST && c->rcpts[i] != NULL; i++) {
		const struct rule *effects[EFFECTS_MOST];
		struct verdict v = {
			.decided = true, .rule = &rules[ACCEPT], .effects = effects};
		for (int how = c->how[i]; how != 0; how >>= 8) {
			const struct rule *r = &rules[how & 0xff];
			if (action_ends(r->action))
				v.rule = r;
			else
				effects[v.n_effects++] = r;
		}
		v.action = v.rule->action;
		struct slice text = slice_of(c->rcpts[i]), local, domain;
		slice_cut(text, '@', &local, &domain);
		l->rcpts[l->mail.n_recipients++] =
			(struct flt_recipient){.address = {.local = local,
						       .domain = domain,
						       .raw = text,
						       .text = text},
				.domain = conf_domain_find(l->conf, domain)};
		assert_true(decisions_add(&l->decisions, &v));
	}
	l->outcome = (struct outcome){.action = ACTION_ACCEPT,
		.decisions = &l->decisions,
		.n_sets = decisions_sets(&l->decisions)};
	for (size_t i = 0; i < RCPTS_MOST; i++)
		l->bodies[i].bytes = i; /* to tell them apart */
	l->in = (struct parcels_input){.config = &l->config,
		.session = &l->session,
		.mail = &l->mail,
		.sender = &l->mail.sender,
		.params = l->params,
		.outcome = &l->outcome,
		.bodies = l->bodies,
		.id = "s.1"};
}

static struct slice
told(struct lab *l, const struct queue_parcel *p)
{
	static const char *const ways[] = {"send", "smarthost", "domain", "route"};
	const struct stored_mail *m = &p->mail;
	struct arena *a = l->arena;
	struct slice s = m->own ? SLICE("own ") : p->beside ? SLICE("beside ") : SLICE_NONE;
	if (m->sender.is_null)
		s = arena_printf(a, "%.*sfrom <> ", SLICE_ARG(s));
	assert_true(slice_eq(m->log, SLICE("s.1")));
	assert_false(p->beside && (m->own || p->refused));
	assert_int_equal(m->arrived_ms, (uint64_t)WALL_S * 1000);
	if (p->refused)
		s = arena_printf(a, "%.*srefused", SLICE_ARG(s));
	else if (m->kind == STORED_QUARANTINE)
		s = arena_printf(a, "%.*squarantine(%.*s,%.*s)", SLICE_ARG(s),
			SLICE_ARG(m->quarantine), SLICE_ARG(m->reason));
	else if (m->kind == STORED_HOLD)
		s = arena_printf(a, "%.*shold(+%d,%.*s)", SLICE_ARG(s),
			(int)(m->hold_until_ms - m->arrived_ms), SLICE_ARG(m->reason));
	else if (m->route.n != 0)
		s = arena_printf(a, "%.*ssend(%.*s)", SLICE_ARG(s), SLICE_ARG(m->route));
	else
		s = arena_printf(a, "%.*ssend", SLICE_ARG(s));
	s = m->sender.is_null ? arena_printf(a, "%.*s text:", SLICE_ARG(s))
			      : arena_printf(a, "%.*s %d:", SLICE_ARG(s), (int)p->body.bytes);
	for (size_t i = 0; i < m->n_rcpts; i++) {
		const struct stored_rcpt *r = &m->rcpts[i];
		s = arena_printf(a, "%.*s%s%.*s/%s/%.*s", SLICE_ARG(s), i != 0 ? "," : "",
			SLICE_ARG(r->address.local), ways[r->way], SLICE_ARG(r->site));
		if (r->params.orcpt.n != 0)
			s = arena_printf(
				a, "%.*s(%.*s)", SLICE_ARG(s), SLICE_ARG(r->params.orcpt));
		if (r->params.notify == SMTP_NOTIFY_NEVER)
			s = arena_printf(a, "%.*s(never)", SLICE_ARG(s));
	}
	return s;
}

static void
test_parcels(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct parcels_case *c = &cases[i];
		struct lab l;
		struct queue_parcel *parcels;
		lab_open(&l, c);
		bool splits = l.config.listener->filter.n == 0;
		if (parcels_are_needed(&l.in, splits) != c->needed)
			fail_msg("%s: the keeper is %sneeded", c->label,
				c->needed ? "" : "not ");
		struct slice all = SLICE_NONE;
		size_t n = c->needed ? parcels_make(&l.in, l.arena, &parcels) : 0;
		for (size_t k = 0; k < n; k++)
			all = arena_printf(l.arena, "%.*s%.*s;", SLICE_ARG(all),
				SLICE_ARG(told(&l, &parcels[k])));
		if (c->needed && !slice_eq(all, slice_of(c->want)))
			fail_msg("%s:\n%.*s", c->label, SLICE_ARG(all));
		conf_free(&l.conf);
		arena_free(&l.arena);
	}
}

static int64_t
ms_of(const char *text)
{
	struct tm tm = {0};
	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
	return (int64_t)timegm(&tm) * 1000;
}

struct hold_case {
	const char *zone, *now; /* UTC */
	unsigned hour, minute;  /* local */
	const char *until;      /* UTC */
};

/* Central Europe: UTC+1, and UTC+2 from 2027-03-28 01:00 to 2027-10-31 01:00 UTC. */
#define CET "CET-1CEST,M3.5.0,M10.5.0/3"

static const struct hold_case hold_cases[] = {
	{"UTC0", "2026-11-22 03:04:05", 22, 0, "2026-11-22 22:00:00"},
	{"UTC0", "2026-11-22 22:00:00", 22, 0, "2026-11-23 22:00:00"},
	{"UTC0", "2026-11-22 21:59:59", 22, 0, "2026-11-22 22:00:00"},
	{"UTC0", "2026-12-31 23:30:00", 0, 0, "2027-01-01 00:00:00"},
	{CET, "2026-11-22 20:30:00", 22, 0, "2026-11-22 21:00:00"},
	{CET, "2026-11-22 21:30:00", 22, 0, "2026-11-23 21:00:00"},
	{CET, "2027-03-27 22:00:00", 22, 0, "2027-03-28 20:00:00"}, /* an hour less */
	{CET, "2027-10-30 21:00:00", 22, 0, "2027-10-31 21:00:00"}, /* an hour more */
	{"NPT-5:45", "2026-11-22 00:00:00", 6, 0, "2026-11-22 00:15:00"},
};

static void
test_hold(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hold_cases) / sizeof(hold_cases[0]); i++) {
		const struct hold_case *c = &hold_cases[i];
		struct rule r = {
			.action = ACTION_HOLD, .hold_until = c->hour * 60 + c->minute + 1};
		setenv("TZ", c->zone, 1);
		tzset();
		uint64_t until = hold_until_ms(&r, ms_of(c->now));
		if (until != (uint64_t)ms_of(c->until))
			fail_msg("case %zu: %llu", i, (unsigned long long)until / 1000);
	}
	assert_int_equal(hold_until_ms(&(struct rule){.hold_ms = 7200000}, 1000), 7201000);
	/* an hour that this day does not have: the moment that its clock would show it */
	setenv("TZ", CET, 1);
	tzset();
	uint64_t until =
		hold_until_ms(&(struct rule){.hold_until = 151}, ms_of("2027-03-28 00:00:00"));
	assert_in_range(until, (uint64_t)ms_of("2027-03-28 00:30:00"),
		(uint64_t)ms_of("2027-03-28 01:30:00"));
}

static void
test_hops(void **state)
{
	(void)state;
	struct conf *c = conf_text(SMTP);
	const struct hop_list *a = &conf_domain_find(c, SLICE("a.example"))->deliver;
	const struct hop_list *b = &conf_domain_find(c, SLICE("b.example"))->deliver;
	const struct hop_list *other = &conf_domain_find(c, SLICE("c.example"))->deliver;
	struct hop_list secure = *b;
	secure.tls_required = true;
	assert_true(hops_same(a, b) && hops_same(NULL, NULL));
	assert_false(hops_same(a, other) || hops_same(a, NULL) || hops_same(a, &secure));
	assert_false(hops_have_lmtp(a) || hops_have_lmtp(NULL));
	assert_true(hops_have_lmtp(&conf_domain_find(c, SLICE("l.example"))->deliver));
	conf_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parcels),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_hops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
