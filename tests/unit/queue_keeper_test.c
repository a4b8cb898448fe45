/*
 * The keeper, played from all sides (tests/lib/keeping.h): the contract of DESIGN.md,
 * "Outbound", as a table: what the client hears, what stays in the spool, who is told by a DSN
 * (OUT-03, OUT-04, OUT-09). The remotes here say in the recipient's name what they will say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "keeping.h"

enum { BUDGET_MS = 400 };

static struct keeping w;

static int
open_world(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	keeping_open(&w);
	return 0;
}

static int
close_world(void **state)
{
	(void)state;
	keeping_close(&w);
	return 0;
}

/* "a.1@s1.example a.2@s2.example": n recipients over so many sites. */
static const char *
many(const char *word, unsigned n, unsigned sites)
{
	static char text[8192];
	size_t used = 0;
	for (unsigned i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"%s%s.%u@s%u.example", i != 0 ? " " : "", word, i, i % sites);
	return text;
}

static const struct queue_result *
take(const char *rcpts, uint32_t budget_ms)
{
	struct queue_parcel p = keeping_parcel(&w, rcpts);
	return keeping_take(&w, &p, 1, budget_ms);
}

static void
look(struct keeping_spool *s)
{
	keeping_stop(&w);
	keeping_look(&w, s);
}

/* ---- all of one kind ---- */

struct all_case {
	const char *word;
	unsigned n, sites;
	enum queue_end end;
	int code;
	size_t mails, waiting; /* in the spool afterwards */
};

static const struct all_case all_cases[] = {
	{"550", 1, 1, QUEUE_REFUSED, 550, 0, 0}, {"550", 2, 1, QUEUE_REFUSED, 550, 0, 0},
	{"550", 2, 2, QUEUE_REFUSED, 550, 0, 0}, {"550", 100, 20, QUEUE_REFUSED, 550, 0, 0},
	{"ok", 1, 1, QUEUE_DELIVERED, 250, 0, 0}, {"ok", 2, 1, QUEUE_DELIVERED, 250, 0, 0},
	{"ok", 2, 2, QUEUE_DELIVERED, 250, 0, 0}, {"ok", 100, 20, QUEUE_DELIVERED, 250, 0, 0},
	{"450", 1, 1, QUEUE_QUEUED, 250, 1, 1}, {"450", 2, 1, QUEUE_QUEUED, 250, 1, 2},
	{"450", 2, 2, QUEUE_QUEUED, 250, 1, 2}, {"450", 100, 20, QUEUE_QUEUED, 250, 1, 100},
	{"silent", 1, 1, QUEUE_QUEUED, 250, 1, 1}, {"silent", 2, 1, QUEUE_QUEUED, 250, 1, 2},
	{"silent", 2, 2, QUEUE_QUEUED, 250, 1, 2},
	{"silent", 100, 20, QUEUE_QUEUED, 250, 1, 100}, {"dead", 1, 1, QUEUE_QUEUED, 250, 1, 1},
	{"554", 2, 1, QUEUE_REFUSED, 554, 0, 0}, {"grey", 1, 1, QUEUE_QUEUED, 250, 1, 1},
	{"listed", 1, 1, QUEUE_QUEUED, 250, 1, 1}, /* aimed at us: never "no such user" */
};

static void
all_of_one_kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(all_cases) / sizeof(all_cases[0]); i++) {
		const struct all_case *c = &all_cases[i];
		struct keeping_spool s;
		print_message("%s x %u over %u\n", c->word, c->n, c->sites);
		open_world(NULL);
		const struct queue_result *r = take(many(c->word, c->n, c->sites), BUDGET_MS);
		assert_int_equal(r->end, c->end);
		assert_int_equal(r->reply.code, c->code);
		assert_int_equal(w.notices, 0);
		assert_int_equal(w.attempts, c->n);
		look(&s);
		assert_int_equal(s.mails, c->mails);
		assert_int_equal(s.waiting, c->waiting);
		assert_int_equal(s.notices, 0);
		close_world(NULL);
	}
}

/* ---- two kinds, over one site and over two ---- */

struct mix_case {
	const char *one, *two;
	int code;
	size_t notices;        /* DSNs */
	size_t mails, waiting; /* in the spool */
};

static const struct mix_case mix_cases[] = {
	{"550", "ok", 250, 1, 0, 0},
	{"550", "450", 250, 1, 1, 1},
	{"550", "silent", 250, 0, 1, 0}, /* where one site has both: what waits is one part */
	{"ok", "450", 250, 0, 1, 1},
	{"ok", "silent", 250, 0, 1, 0},
	{"450", "silent", 250, 0, 1, 0},
};

static void
mix(const struct mix_case *c, unsigned sites)
{
	char rcpts[128];
	struct keeping_spool s;
	bool silent = strcmp(c->two, "silent") == 0;
	snprintf(rcpts, sizeof(rcpts), "%s.1@s0.example %s.2@s%u.example", c->one, c->two,
		sites - 1);
	print_message("%s\n", rcpts);
	open_world(NULL);
	const struct queue_result *r = take(rcpts, BUDGET_MS);
	assert_int_equal(r->end, QUEUE_QUEUED);
	assert_int_equal(r->reply.code, c->code);
	if (silent) /* then it is delivered after all */
		keeping_let_go(&w, "ok");
	keeping_until(&w, &w.notices, c->notices);
	if (silent && sites == 2 && strcmp(c->one, "550") == 0)
		keeping_until(&w, &w.notices, 1);
	keeping_run_for(&w, 50);
	look(&s);
	if (silent && strcmp(c->one, "450") != 0)
		assert_int_equal(s.mails, 0);
	else if (silent)
		assert_int_equal(s.mails, sites == 2);
	else
		assert_int_equal(s.mails, c->mails);
	if (!silent)
		assert_int_equal(s.waiting, c->waiting);
	assert_int_equal(s.notices, 0); /* taken by our own server */
	close_world(NULL);
}

static void
two_kinds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mix_cases) / sizeof(mix_cases[0]); i++)
		for (unsigned sites = 1; sites <= 2; sites++)
			mix(&mix_cases[i], sites);
}

/* ---- who is told, and how ---- */

static const struct keeping_mail *
notice(void)
{
	for (size_t i = 0; i < w.n_asked; i++)
		if (w.asked[i].null_sender)
			return &w.asked[i];
	fail_msg("no notice was sent");
	return NULL;
}

static bool
says(const struct keeping_mail *m, const char *words)
{
	struct slice all = buf_slice(&m->data);
	return slice_find_slice(all, slice_of(words)) < all.n;
}

static void
the_refused_is_told_of(void **state)
{
	(void)state;
	const struct queue_result *r = take("ok.1@a.example 550.2@b.example", BUDGET_MS);
	assert_int_equal(r->delivered, 1);
	assert_int_equal(r->refused, 1);
	keeping_until(&w, &w.notices, 1);
	const struct keeping_mail *m = notice();
	assert_string_equal(m->rcpts, "sender@ours.example");
	assert_true(says(m, "Final-Recipient: rfc822; 550.2@b.example\r\n"));
	assert_true(says(m, "Action: failed\r\n"));
	assert_true(says(m, "Status: 5.1.1\r\n"));
	assert_true(says(m, "no such user here"));
	assert_true(says(m, "Subject: s\r\n"));
	assert_false(says(m, "DKIM-Signature"));
}

static void
a_notice_is_signed(void **state)
{
	(void)state;
	struct queue_key key = {SLICE("ours.example"), SLICE("sel"), DKIM_ED25519_SHA256};
	memset(&w, 0, sizeof(w));
	w.settings.keys = &key;
	w.settings.n_keys = 1;
	keeping_open(&w);
	(void)take("ok.1@a.example 550.2@b.example", BUDGET_MS);
	keeping_until(&w, &w.notices, 1);
	assert_true(says(notice(), "DKIM-Signature: "));
	assert_true(says(notice(), "MAILER-DAEMON@ours.example"));
	keeping_close(&w);
}

/* Of a domain that tags: the notice goes to the plain address, the mail's own sender stays. */
static void
a_tag_is_taken_off(void **state)
{
	(void)state;
	static const struct {
		const char *tagging, *sender, *to;
	} rows[] = {
		{"ours.example", "prvs=0007e13c3c=ann@ours.example", "ann@ours.example"},
		{"ours.example", "prvs=0007e13c3c=SRS0=a=b@ours.example",
			"SRS0=a=b@ours.example"},
		{"ours.example", "ann@ours.example", "ann@ours.example"},
		{"other.example", "prvs=0007e13c3c=ann@ours.example",
			"prvs=0007e13c3c=ann@ours.example"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice tagging = slice_of(rows[i].tagging);
		memset(&w, 0, sizeof(w));
		w.settings.tagging = &tagging;
		w.settings.n_tagging = 1;
		keeping_open(&w);
		struct queue_parcel p = keeping_parcel(&w, "ok.1@a.example 550.2@b.example");
		struct arena *a = arena_new(65536);
		assert_int_equal(
			address_parse(slice_of(rows[i].sender), true, a, &p.mail.sender),
			ADDRESS_OK);
		(void)keeping_take(&w, &p, 1, BUDGET_MS);
		keeping_until(&w, &w.notices, 1);
		assert_string_equal(notice()->rcpts, rows[i].to);
		char field[200];
		snprintf(field, sizeof(field), "To: <%s>\r\n", rows[i].to);
		assert_true(says(notice(), field));
		arena_free(&a);
		keeping_close(&w);
	}
}

static void
nobody_is_told_without_a_sender(void **state)
{
	(void)state;
	struct keeping_spool s;
	struct queue_parcel p = keeping_parcel(&w, "ok.1@a.example 550.2@b.example");
	p.mail.sender = (struct address){.is_null = true};
	const struct queue_result *r = keeping_take(&w, &p, 1, BUDGET_MS);
	assert_int_equal(r->reply.code, 250);
	look(&s);
	assert_int_equal(s.mails + s.notices + s.quarantined, 0);
}

static void
strangers_mail_goes_to_the_quarantine(void **state)
{
	(void)state;
	struct keeping_spool s;
	struct queue_parcel p = keeping_parcel(&w, "ok.1@a.example 550.2@b.example");
	p.mail.own = false;
	p.mail.direction = INBOUND;
	const struct queue_result *r = keeping_take(&w, &p, 1, BUDGET_MS);
	assert_int_equal(r->reply.code, 250);
	keeping_run_for(&w, 100);
	assert_int_equal(w.notices, 0);
	look(&s);
	assert_int_equal(s.mails, 0);
	assert_int_equal(s.undeliverable, 1);
}

static void
refused_by_a_rule_beside_others(void **state)
{
	(void)state;
	struct queue_parcel p[2] = {
		keeping_parcel(&w, "ok.1@a.example"), keeping_parcel(&w, "never.2@a.example")};
	p[1].refused = true;
	p[1].reply = smtp_reply_of("550 5.7.1 The policy forbids it");
	const struct queue_result *r = keeping_take(&w, p, 2, BUDGET_MS);
	assert_int_equal(r->reply.code, 250);
	assert_int_equal(w.attempts, 1);
	keeping_until(&w, &w.notices, 1);
	assert_true(says(notice(), "The policy forbids it"));
}

/* RFC 3461 5.2.2: who asks for it hears that his mail went where nobody reports, and once. */
static void
success_is_told(void **state)
{
	(void)state;
	static const struct {
		unsigned notify;
		bool remote_dsn;
		const char *rcpts;
		size_t notices;
	} cases[] = {
		{SMTP_NOTIFY_SUCCESS, false, "ok.1@a.example", 1},
		{SMTP_NOTIFY_SUCCESS, false, "ok.1@a.example ok.2@b.example", 1},
		{SMTP_NOTIFY_SUCCESS, false, "ok.1@a.example 450.2@b.example", 1},
		{SMTP_NOTIFY_SUCCESS, true, "ok.1@a.example", 0},
		{SMTP_NOTIFY_NEVER, false, "ok.1@a.example", 0},
		{SMTP_NOTIFY_FAILURE, false, "ok.1@a.example", 0},
		{0, false, "ok.1@a.example", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%u %s\n", cases[i].notify, cases[i].rcpts);
		open_world(NULL);
		w.remote_dsn = cases[i].remote_dsn;
		struct queue_parcel p = keeping_parcel(&w, cases[i].rcpts);
		for (size_t r = 0; r < p.mail.n_rcpts; r++)
			p.mail.rcpts[r].params.notify = cases[i].notify;
		const struct queue_result *r = keeping_take(&w, &p, 1, BUDGET_MS);
		assert_int_equal(r->reply.code, 250);
		keeping_until(&w, &w.notices, cases[i].notices);
		keeping_run_for(&w, 100);
		assert_int_equal(w.notices, cases[i].notices);
		if (cases[i].notices != 0) {
			assert_true(says(notice(), "Action: relayed\r\n"));
			assert_true(
				says(notice(), "Final-Recipient: rfc822; ok.1@a.example\r\n"));
			assert_false(says(notice(), "450.2@"));
			keeping_stop(&w); /* and not again by the next one */
			keeping_start(&w);
			keeping_run_for(&w, 100);
			assert_int_equal(w.notices, 0);
		}
		close_world(NULL);
	}
}

/* ---- what stays ---- */

static void
queued_is_answered_at_once_and_sent(void **state)
{
	(void)state;
	struct keeping_spool s;
	const struct queue_result *r = take("ok.1@a.example", 0);
	assert_int_equal(r->end, QUEUE_QUEUED);
	keeping_until(&w, &w.attempts, 1);
	keeping_run_for(&w, 50);
	look(&s);
	assert_int_equal(s.mails, 0);
}

/* More memory than a message to a delivery process holds: it goes in a file. */
static void
a_large_body_in_memory(void **state)
{
	(void)state;
	struct queue_parcel p = keeping_parcel(&w, "ok.1@a.example");
	char *line = arena_alloc(w.arena, 70 * 1024);
	memset(line, 'x', 70 * 1024);
	assert_int_equal(relay_body_add(&p.body, (struct slice){line, 70 * 1024}), 0);
	const struct queue_result *r = keeping_take(&w, &p, 1, BUDGET_MS);
	assert_int_equal(r->end, QUEUE_DELIVERED);
	assert_int_equal(buf_slice(&w.asked[0].data).n, p.body.bytes);
}

static void
held_and_quarantined_stay(void **state)
{
	(void)state;
	struct keeping_spool s;
	struct queue_parcel p[3] = {keeping_parcel(&w, "ok.1@a.example"),
		keeping_parcel(&w, "ok.2@a.example"), keeping_parcel(&w, "ok.3@a.example")};
	p[1].mail.kind = STORED_HOLD;
	p[1].mail.hold_until_ms = (uint64_t)clock_wall_ms() + 3600 * 1000;
	p[2].mail.kind = STORED_QUARANTINE;
	p[2].mail.quarantine = SLICE("spam");
	const struct queue_result *r = keeping_take(&w, p, 3, BUDGET_MS);
	assert_int_equal(r->reply.code, 250);
	assert_int_equal(r->kept, 2);
	assert_int_equal(r->delivered, 1);
	keeping_run_for(&w, 100);
	assert_int_equal(w.attempts, 1);
	look(&s);
	assert_int_equal(s.held, 1);
	assert_int_equal(s.quarantined, 1);
	assert_int_equal(s.mails, 1);
}

static void
a_hold_ends(void **state)
{
	(void)state;
	struct queue_parcel p = keeping_parcel(&w, "ok.1@a.example");
	p.mail.kind = STORED_HOLD;
	p.mail.hold_until_ms = (uint64_t)clock_wall_ms() + 300;
	(void)keeping_take(&w, &p, 1, BUDGET_MS);
	assert_int_equal(w.attempts, 0);
	keeping_until(&w, &w.attempts, 1);
}

/* All refuse: nothing of what was stored for it is kept. */
static void
withdrawn_where_all_refuse(void **state)
{
	(void)state;
	struct keeping_spool s;
	const struct queue_result *r = take("550.1@a.example 550.2@b.example", BUDGET_MS);
	assert_int_equal(r->end, QUEUE_REFUSED);
	look(&s);
	assert_int_equal(s.mails, 0);
	keeping_start(&w);
	keeping_run_for(&w, 50);
	assert_int_equal(w.attempts, 0);
}

static void
cancelled_leaves_nothing(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"silent.1@a.example", "silent.1@a.example ok.2@b.example"};
	struct keeping_spool s;
	for (size_t i = 0; i < 2; i++) {
		open_world(NULL);
		struct queue_parcel p = keeping_parcel(&w, cases[i]);
		uint32_t id = keeping_ask(&w, &p, 1, 5000);
		keeping_until(&w, &w.attempts, 1);
		(void)peer_tell(w.session, QUEUE_MSG_CANCEL, id, SLICE_NONE);
		keeping_wait_result(&w);
		assert_int_equal(w.result.end, QUEUE_CANCELLED);
		look(&s);
		assert_int_equal(s.mails, 0);
		close_world(NULL);
	}
}

/* ---- deaths ---- */

static void
a_dead_delivery_process_leaves_doubt(void **state)
{
	(void)state;
	struct keeping_spool s;
	struct queue_parcel p = keeping_parcel(&w, "silent.1@a.example");
	(void)keeping_ask(&w, &p, 1, 5000);
	keeping_until(&w, &w.attempts, 1);
	ipc_free(&w.delivery);
	keeping_wait_result(&w);
	assert_int_equal(w.result.end, QUEUE_QUEUED);
	look(&s);
	assert_int_equal(s.doubt, 1);
}

static void
killed_it_goes_on(void **state)
{
	(void)state;
	const struct queue_result *r =
		take("ok.1@a.example silent.2@b.example 450.3@c.example", BUDGET_MS);
	assert_int_equal(r->reply.code, 250);
	keeping_kill(&w);
	keeping_start(&w);
	keeping_until(&w, &w.attempts, 1); /* the silent one; the others are done, or wait */
	keeping_run_for(&w, 100);
	assert_int_equal(w.attempts, 1);
	assert_string_equal(w.asked[0].rcpts, "silent.2@b.example");
}

/* A final dot that may be out is stored as doubt, before the client hears 250. */
static void
what_is_under_way_is_in_doubt(void **state)
{
	(void)state;
	struct keeping_spool s;
	const struct queue_result *r = take("silent.1@a.example", BUDGET_MS);
	assert_int_equal(r->end, QUEUE_QUEUED);
	keeping_kill(&w);
	keeping_look(&w, &s);
	assert_int_equal(s.doubt, 1);
	assert_int_equal(s.waiting, 0);
	keeping_start(&w);
	keeping_until(&w, &w.attempts, 1);
}

/* A notice that waits for its signer keeps nothing else from being stored. */
static void
delivered_while_a_notice_waits(void **state)
{
	(void)state;
	struct keeping_spool s;
	struct queue_key key = {SLICE("ours.example"), SLICE("sel"), DKIM_ED25519_SHA256};
	memset(&w, 0, sizeof(w));
	w.settings.keys = &key;
	w.settings.n_keys = 1;
	w.signer_is_silent = true;
	w.settings.queue = (struct conf_queue){.retry_ms = 100,
		.retry_most_ms = 200,
		.lifetime_ms = 3600 * 1000,
		.attempts = 200};
	keeping_open(&w);
	(void)take("550.1@a.example 450.2@b.example", BUDGET_MS);
	w.all_say = "ok";
	keeping_until(&w, &w.attempts, 3); /* the one that was put off, again */
	keeping_run_for(&w, 100);
	keeping_kill(&w);
	keeping_look(&w, &s);
	assert_int_equal(s.delivered, 1);
	assert_int_equal(s.failed, 1); /* nobody has been told */
	assert_int_equal(s.notices, 0);
	w.signer_is_silent = false;
	keeping_start(&w);
	keeping_until(&w, &w.notices, 1);
	assert_int_equal(w.attempts, 0);
	keeping_close(&w);
}

/* ---- the way ---- */

static void
the_smarthost_takes_over(void **state)
{
	(void)state;
	struct keeping_spool s;
	memset(&w, 0, sizeof(w));
	w.settings.way = SEND_DIRECT_THEN_SMARTHOST;
	w.settings.after = SEND_AFTER_LISTED | SEND_AFTER_CONNECT;
	keeping_open(&w);
	(void)take("dead.1@a.example", BUDGET_MS);
	keeping_until(&w, &w.attempts, 2);
	assert_int_equal(w.asked[0].way, DELIVERY_BY_SEND);
	assert_int_equal(w.asked[1].way, DELIVERY_BY_SMARTHOST);
	look(&s);
	assert_int_equal(s.mails, 1); /* the smarthost of this test is dead too */
	keeping_close(&w);
}

static void
greylisted_keeps_its_address(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.settings.queue = (struct conf_queue){.retry_ms = 100,
		.retry_most_ms = 200,
		.lifetime_ms = 3600 * 1000,
		.attempts = 200};
	keeping_open(&w);
	(void)take("grey.1@a.example", BUDGET_MS);
	keeping_until(&w, &w.attempts, 2);
	assert_string_equal(w.asked[0].prefer, "");
	assert_string_equal(w.asked[1].prefer, "192.0.2.25");
	keeping_close(&w);
}

static void
given_up_in_the_end(void **state)
{
	(void)state;
	struct keeping_spool s;
	memset(&w, 0, sizeof(w));
	w.settings.queue = (struct conf_queue){
		.retry_ms = 100, .retry_most_ms = 200, .lifetime_ms = 700, .attempts = 200};
	keeping_open(&w);
	(void)take("450.1@a.example", BUDGET_MS);
	keeping_until(&w, &w.notices, 1);
	assert_true(says(notice(), "Action: failed\r\n"));
	assert_true(says(notice(), "mailbox is locked"));
	keeping_run_for(&w, 50);
	look(&s);
	assert_int_equal(s.mails + s.notices, 0);
	keeping_close(&w);
}

/* ---- what goes beside a mail: stored before it is sent, in no reply, withdrawn with it ----
 */

struct beside_case {
	const char *own, *beside;
	uint32_t budget_ms;
	bool give_back;
	enum queue_end end;
	size_t mails, asked_at_least; /* left in the spool; recipients tried */
};

static const struct beside_case beside_cases[] = {
	{"ok.1@a.example", "dead.2@b.example", BUDGET_MS, false, QUEUE_DELIVERED, 1, 2},
	{"ok.1@a.example", "ok.2@b.example", BUDGET_MS, false, QUEUE_DELIVERED, 0, 2},
	{"ok.1@a.example", "550.2@b.example", BUDGET_MS, false, QUEUE_DELIVERED, 0, 2},
	{"450.1@a.example", "dead.2@b.example", BUDGET_MS, false, QUEUE_QUEUED, 2, 2},
	{"ok.1@a.example", "dead.2@b.example", 0, false, QUEUE_QUEUED, 1, 2},
	{"550.1@a.example", "ok.2@b.example", BUDGET_MS, false, QUEUE_REFUSED, 0, 1},
	{"450.1@a.example", "ok.2@b.example", BUDGET_MS, true, QUEUE_PUT_OFF, 0, 1},
	{"ok.1@a.example", "dead.2@b.example", BUDGET_MS, true, QUEUE_DELIVERED, 1, 2},
};

static void
what_goes_beside(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(beside_cases) / sizeof(beside_cases[0]); i++) {
		const struct beside_case *c = &beside_cases[i];
		struct keeping_spool s;
		print_message("%s beside %s\n", c->beside, c->own);
		open_world(NULL);
		struct queue_parcel p[2] = {
			keeping_parcel(&w, c->own), keeping_parcel(&w, c->beside)};
		p[1].beside = true;
		p[1].mail.own = false;
		w.give_back = c->give_back;
		const struct queue_result *r = keeping_take(&w, p, 2, c->budget_ms);
		assert_int_equal(r->end, c->end);
		assert_int_equal(r->delivered + r->waiting + r->refused + r->kept, 1);
		keeping_until(&w, &w.attempts, c->asked_at_least);
		keeping_run_for(&w, 50);
		assert_int_equal(w.attempts, c->asked_at_least);
		assert_int_equal(w.notices, 0);
		look(&s);
		assert_int_equal(s.mails, c->mails);
		assert_int_equal(s.undeliverable, c->beside[0] == '5');
		close_world(NULL);
	}
}

/* It is there before the client's own mail is on its way, so that no 250 can be without it. */
static void
beside_is_stored_first(void **state)
{
	(void)state;
	struct keeping_spool s;
	struct queue_parcel p[2] = {keeping_parcel(&w, "silent.1@a.example"),
		keeping_parcel(&w, "dead.2@b.example")};
	p[1].beside = true;
	(void)keeping_ask(&w, p, 2, 60 * 1000);
	keeping_until(&w, &w.attempts, 1);
	keeping_kill(&w);
	keeping_look(&w, &s);
	assert_int_equal(s.mails, 2);
}

/* ---- waits in flight are bounded ---- */

static void
one_client_waits_so_often(void **state)
{
	(void)state;
	struct queue_parcel p[5];
	for (size_t i = 0; i < 4; i++) {
		char rcpt[64];
		snprintf(rcpt, sizeof(rcpt), "silent.%zu@s%zu.example", i, i);
		p[i] = keeping_parcel(&w, rcpt);
		(void)keeping_ask(&w, &p[i], 1, 60 * 1000);
	}
	keeping_until(&w, &w.attempts, 4);
	p[4] = keeping_parcel(&w, "ok.5@a.example");
	const struct queue_result *r = keeping_take(&w, &p[4], 1, 60 * 1000);
	assert_int_equal(r->end, QUEUE_QUEUED); /* at once */
	/* It sends in bulk: what waits of it is answered soon too, and what comes next. */
	w.has_result = false;
	keeping_wait_result(&w);
	assert_false(w.lost);
	assert_int_equal(w.result.end, QUEUE_QUEUED);
	keeping_run_for(&w, 100);
	struct queue_parcel next = keeping_parcel(&w, "silent.6@b.example");
	assert_int_equal(keeping_take(&w, &next, 1, 60 * 1000)->end, QUEUE_QUEUED);
	keeping_let_go(&w, "ok");
}

int
main(void)
{
#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_one_kind),
		cmocka_unit_test(success_is_told),
		cmocka_unit_test(two_kinds),
		IN_WORLD(the_refused_is_told_of),
		cmocka_unit_test(a_notice_is_signed),
		cmocka_unit_test(a_tag_is_taken_off),
		IN_WORLD(nobody_is_told_without_a_sender),
		IN_WORLD(strangers_mail_goes_to_the_quarantine),
		IN_WORLD(refused_by_a_rule_beside_others),
		IN_WORLD(queued_is_answered_at_once_and_sent),
		IN_WORLD(a_large_body_in_memory),
		IN_WORLD(held_and_quarantined_stay),
		IN_WORLD(a_hold_ends),
		IN_WORLD(withdrawn_where_all_refuse),
		cmocka_unit_test(cancelled_leaves_nothing),
		IN_WORLD(a_dead_delivery_process_leaves_doubt),
		IN_WORLD(killed_it_goes_on),
		IN_WORLD(what_is_under_way_is_in_doubt),
		cmocka_unit_test(delivered_while_a_notice_waits),
		cmocka_unit_test(the_smarthost_takes_over),
		cmocka_unit_test(greylisted_keeps_its_address),
		cmocka_unit_test(given_up_in_the_end),
		cmocka_unit_test(what_goes_beside),
		IN_WORLD(beside_is_stored_first),
		IN_WORLD(one_client_waits_so_often),
	};
	return cmocka_run_group_tests_name("queue_keeper", tests, NULL, NULL);
}
