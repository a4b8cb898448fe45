/*
 * The keeper before a store that fails, does not know, is full or cannot read (the fault
 * engine), at each step of a transaction: what it says is so, and what failed is asked again
 * until it is done, once (store.c, commit.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "custody/fault.h"
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

static bool
says(const struct keeping_mail *m, const char *words)
{
	struct slice all = buf_slice(&m->data);
	return slice_find_slice(all, slice_of(words)) < all.n;
}

static struct fault_plan plan;

static struct custody *
open_faulty(const struct segments_config *config, struct err *err)
{
	struct custody *below = segments_open(config, err);
	if (below == NULL)
		return NULL;
	struct custody *c = fault_new(config->loop, below);
	fault_set(c, &plan);
	return c;
}

struct fault_case {
	enum fault_kind kind;
	int code;
};

static void
nothing_is_acknowledged_that_is_not_stored(void **state)
{
	(void)state;
	static const struct fault_case cases[] = {
		{FAULT_FULL, 452}, {FAULT_SYNC, 451}, {FAULT_NONE, 250}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keeping_spool s;
		memset(&w, 0, sizeof(w));
		plan = (struct fault_plan){.kind = cases[i].kind, .delay_ms = 5};
		w.start.open = open_faulty;
		keeping_open(&w);
		const struct queue_result *r = take("450.1@a.example", BUDGET_MS);
		assert_int_equal(r->reply.code, cases[i].code);
		r = take("ok.1@a.example 450.2@b.example", 0);
		assert_int_equal(r->reply.code, cases[i].code);
		look(&s);
		assert_int_equal(s.mails, cases[i].code == 250 ? 2 : 0);
		keeping_close(&w);
	}
}

/* Nothing is said before the store knows: then what it knows. */
static void
an_unknown_outcome_is_found_out(void **state)
{
	(void)state;
	static const struct fault_case cases[] = {
		{FAULT_UNKNOWN_STORED, 250}, {FAULT_UNKNOWN_LOST, 451}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keeping_spool s;
		memset(&w, 0, sizeof(w));
		plan = (struct fault_plan){.kind = cases[i].kind, .times = 1};
		w.start.open = open_faulty;
		keeping_open(&w);
		const struct queue_result *r = take("450.1@a.example ok.2@b.example", 0);
		assert_int_equal(r->reply.code, cases[i].code);
		if (cases[i].code == 250)
			keeping_until(&w, &w.attempts, 2); /* deliveries go on */
		keeping_run_for(&w, 50);
		assert_int_equal(w.attempts, cases[i].code == 250 ? 2 : 0);
		look(&s);
		assert_int_equal(s.mails, cases[i].code == 250);
		keeping_close(&w);
	}
}

/* How often a remote was asked to take a mail for this recipient. */
static size_t
asked_for(const char *rcpt)
{
	size_t n = 0;
	for (size_t i = 0; i < w.n_asked; i++)
		n += strstr(w.asked[i].rcpts, rcpt) != NULL && !w.asked[i].null_sender;
	return n;
}

static size_t
told_of(const char *rcpt)
{
	size_t n = 0;
	for (size_t i = 0; i < w.n_asked; i++)
		n += w.asked[i].null_sender && says(&w.asked[i], rcpt);
	return n;
}

enum { STEPS = 5, ROUNDS = 8, MAILS = STEPS * ROUNDS, FAULTS = 12 };

/* One mail of each kind, so that each step of a transaction meets each fault. */
static void
send_step(unsigned number, bool answered[MAILS])
{
	static const char *const kinds[STEPS][2] = {
		{"ok"},         /* put, drop */
		{"ok", "550"},  /* put, notice with a note or the drop */
		{"ok", "450"},  /* put, note */
		{"550", "450"}, /* put, notice, and what waits stays */
		{"ok"},         /* quarantined, released by hand */
	};
	char rcpts[128];
	unsigned step = number % STEPS;
	int used = snprintf(rcpts, sizeof(rcpts), "%s.%u.@a.example", kinds[step][0], number);
	if (kinds[step][1] != NULL)
		snprintf(rcpts + used, sizeof(rcpts) - (size_t)used, " %s.%u.@b.example",
			kinds[step][1], number);
	struct queue_parcel p = keeping_parcel(&w, rcpts);
	if (step == STEPS - 1) {
		p.mail.kind = STORED_QUARANTINE;
		p.mail.quarantine = SLICE("spam");
	}
	const struct queue_result *r = keeping_take(&w, &p, 1, number % 2 != 0 ? BUDGET_MS : 0);
	answered[number] = r->reply.code == 250;
	assert_true(answered[number] || r->reply.code == 451);
	if (step == STEPS - 1 && answered[number]) {
		struct custody_id id = r->id;
		for (int i = 0; i < 100 && keeping_act(&w, HAND_RELEASE, &id) != 1; i++)
			keeping_run_for(&w, 100);
	}
}

/* What was acknowledged and has not come where it belongs, nor is told of; nothing comes twice.
 */
static size_t
missing(const bool answered[MAILS])
{
	char rcpt[32];
	size_t n = 0;
	for (unsigned i = 0; i < MAILS; i++) {
		unsigned step = i % STEPS;
		size_t least = answered[i] ? 1 : 0;
		snprintf(rcpt, sizeof(rcpt), "ok.%u.@", i);
		n += step != 3 && asked_for(rcpt) < least;
		assert_true(asked_for(rcpt) <= 1);
		snprintf(rcpt, sizeof(rcpt), "550.%u.@", i);
		n += (step == 1 || step == 3) && told_of(rcpt) < least;
		assert_true(told_of(rcpt) <= 1);
	}
	return n;
}

/* Notes, drops and notices that failed are asked for again. */
static void
wait_for_all(const bool answered[MAILS])
{
	for (int i = 0; i < 80 && missing(answered) != 0; i++)
		keeping_run_for(&w, 100);
	keeping_run_for(&w, 500);
}

static void
faults_at_every_step(enum fault_kind kind, unsigned every)
{
	bool answered[MAILS];
	struct keeping_spool s;
	size_t n = 0, waiting = 0;
	memset(&w, 0, sizeof(w));
	plan = (struct fault_plan){.kind = kind, .every = every, .times = FAULTS};
	w.start.open = open_faulty;
	keeping_open(&w);
	for (unsigned i = 0; i < MAILS; i++) {
		send_step(i, answered);
		n += answered[i];
		waiting += answered[i] && (i % STEPS == 2 || i % STEPS == 3);
		keeping_run_for(&w, answered[i] ? 5 : 80); /* the store is tried again */
	}
	print_message("fault %d, each %u-th: %zu of %d answered 250\n", kind, every, n, MAILS);
	assert_true(kind == FAULT_READ ? n == MAILS : n > 0 && n < MAILS);
	wait_for_all(answered);
	size_t lost = missing(answered);
	look(&s);
	/* A body that could not be read twice is held for a person: by chance. */
	assert_true(kind == FAULT_READ ? lost <= s.held : lost + s.held == 0);
	assert_int_equal(s.mails + s.notices, waiting + s.held);
	assert_int_equal(s.quarantined + s.failed, 0);
	keeping_close(&w);
}

static void
the_store_fails_at_every_step(void **state)
{
	(void)state;
	static const enum fault_kind kinds[] = {
		FAULT_SYNC, FAULT_UNKNOWN_STORED, FAULT_UNKNOWN_LOST, FAULT_READ};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i] != FAULT_READ) /* of two reads of a mail always the body's */
			faults_at_every_step(kinds[i], 2);
		faults_at_every_step(kinds[i], 3);
		faults_at_every_step(kinds[i], 5);
	}
}

/* It may be gone between the list and the act: nothing is done, and nothing ends. */
static void
by_hand_to_what_is_gone(void **state)
{
	(void)state;
	struct custody_id id = custody_id_new();
	for (enum hand_action a = HAND_HOLD; a < HAND_FORWARD; a++)
		assert_int_equal(keeping_act(&w, a, &id), 0);
	struct hand_act copy = {
		.action = HAND_FORWARD, .to = SLICE("x@ours.example"), .ids = &id, .n = 1};
	struct hand_done d;
	keeping_do(&w, &copy, &d);
	assert_true(d.missing == 1 && d.done + d.failed + d.refused == 0);
	assert_int_equal(take("ok.1@a.example", BUDGET_MS)->end, QUEUE_DELIVERED);
}

/* Twice: it is held, with an alarm, and goes out when a person lets it. */
static void
a_body_that_cannot_be_read_is_held(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	plan = (struct fault_plan){.kind = FAULT_READ, .every = 2, .times = 2};
	w.start.open = open_faulty;
	w.settings.queue = (struct conf_queue){.retry_ms = 50,
		.retry_most_ms = 100,
		.lifetime_ms = 3600 * 1000,
		.attempts = 200};
	keeping_open(&w);
	(void)take("ok.1@a.example 450.2@b.example", 0); /* a, b from memory; b again, read */
	keeping_until(&w, &w.attempts, 2);
	keeping_run_for(&w, 3000);
	assert_int_equal(w.attempts, 2);
	assert_int_equal(keeping_act(&w, HAND_RELEASE, &w.result.id), 1);
	keeping_until(&w, &w.attempts, 3);
	keeping_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_acknowledged_that_is_not_stored),
		cmocka_unit_test(an_unknown_outcome_is_found_out),
		cmocka_unit_test(the_store_fails_at_every_step),
		cmocka_unit_test(a_body_that_cannot_be_read_is_held),
		cmocka_unit_test_setup_teardown(
			by_hand_to_what_is_gone, open_world, close_world),
	};
	return cmocka_run_group_tests_name("queue_store", tests, NULL, NULL);
}
