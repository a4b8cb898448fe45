/*
 * The quarantine, by the keeper as it runs (tests/lib/keeping.h) and a scanner that the test
 * plays: nothing leaves it that was not scanned with the signatures of now; what leaves it does
 * so once, with who and when, through kill -9 at any moment; how much of it there may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "keeping.h"

enum { BUDGET_MS = 400, KEPT = 12, ROUNDS = 40, KILLS_LEAST = 5 };

static struct keeping w;
static struct slice domains[] = {{"ours.example", 12}, {"behind.example", 14}};
static bool delivers[] = {true, false};

static void
open_with(bool virus, uint64_t most)
{
	memset(&w, 0, sizeof(w));
	w.settings.virus = virus;
	w.settings.domains = domains;
	w.settings.delivers = delivers;
	w.settings.n_domains = 2;
	w.settings.queue = (struct conf_queue){.retry_ms = 3600 * 1000,
		.retry_most_ms = 3600 * 1000,
		.lifetime_ms = 7200 * 1000,
		.attempts = 200,
		.quarantine_bytes = most};
	keeping_open(&w);
}

static int
open_world(void **state)
{
	(void)state;
	open_with(true, 0);
	return 0;
}

static int
close_world(void **state)
{
	(void)state;
	keeping_close(&w);
	return 0;
}

/* A mail into quarantine, scanned with these before. */
static struct custody_id
keep(const char *rcpt, uint64_t signatures)
{
	struct queue_parcel p = keeping_parcel(&w, rcpt);
	p.mail.kind = STORED_QUARANTINE;
	p.mail.quarantine = SLICE("compliance");
	p.mail.reason = SLICE("postern.conf:31");
	p.mail.signatures = signatures;
	const struct queue_result *r = keeping_take(&w, &p, 1, BUDGET_MS);
	assert_int_equal(r->reply.code, 250);
	assert_int_equal(r->kept, 1);
	return r->id;
}

static struct hand_done
act_on(enum hand_action action, struct custody_id id, bool unscannable)
{
	struct hand_act act = {.action = action,
		.unscannable = unscannable,
		.by = SLICE("anna"),
		.to = action == HAND_FORWARD ? SLICE("450.x@ours.example") : SLICE_NONE,
		.ids = &id,
		.n = 1};
	struct hand_done d;
	keeping_do(&w, &act, &d);
	assert_int_equal(d.done + d.missing + d.failed + d.refused, 1);
	return d;
}

static bool
has(struct slice text, const char *words)
{
	return slice_find_slice(text, slice_of(words)) < text.n;
}

static void
check_refused(struct hand_done d, struct custody_id id, const char *words)
{
	char text[CUSTODY_ID_TEXT];
	assert_int_equal(d.refused, 1);
	assert_true(slice_starts(d.why, slice_of(custody_id_text(&id, text))));
	if (!has(d.why, words))
		fail_msg("%.*s", SLICE_ARG(d.why));
}

/* ---- what stands in the spool ---- */

struct found { /* of the mails to one recipient */
	const char *rcpt;
	size_t kept, sent;
	bool null_sender;
	enum delivery_way way;
	uint64_t scanned, by_ms;
	char by[200], virus[80], history[STORED_HISTORY_MOST + 1];
};

static void
copy(char *to, size_t room, struct slice s)
{
	snprintf(to, room, "%.*s", SLICE_ARG(s));
}

static void
on_each(void *arg, const struct custody_id *id, const struct stored_mail *m,
	const struct stored_note *n)
{
	struct found *f = arg;
	(void)id;
	if (!slice_eq(m->rcpts[0].address.raw, slice_of(f->rcpt)))
		return;
	f->kept += m->kind == STORED_QUARANTINE;
	f->sent += m->kind == STORED_SEND;
	f->null_sender = m->sender.is_null;
	f->way = m->rcpts[0].way;
	f->scanned = n->scanned;
	f->by_ms = n->by_ms;
	copy(f->by, sizeof(f->by), n->by);
	copy(f->virus, sizeof(f->virus), n->virus);
	copy(f->history, sizeof(f->history), n->history);
}

/* The keeper must not run. */
static struct found
find(const char *rcpt)
{
	struct found f = {.rcpt = rcpt};
	keeping_each(&w, on_each, &f);
	return f;
}

/* ---- the scanner's word ---- */

static void
without_a_virus_filter(void **state)
{
	(void)state;
	uint64_t before = (uint64_t)clock_wall_ms();
	open_with(false, 0);
	struct custody_id id = keep("450.1@a.example", 0);
	assert_int_equal(act_on(HAND_RELEASE, id, false).done, 1);
	keeping_until(&w, &w.attempts, 1);
	assert_true(has(buf_slice(&w.asked[0].data), "\r\n\r\nhello\r\n"));
	keeping_stop(&w);
	struct found f = find("450.1@a.example");
	assert_int_equal(f.sent, 1);
	assert_int_equal(f.kept, 0);
	assert_string_equal(f.by, "root, for anna");
	assert_in_range(f.by_ms, before, (uint64_t)clock_wall_ms());
	assert_non_null(strstr(f.history, " released by root, for anna; "));
	assert_non_null(strstr(f.history, "not scanned: no virus filter"));
	keeping_close(&w);
}

/* A scan costs a scanner's time: it is not asked about what it has looked at. */
static void
scanned_when_signatures_differ(void **state)
{
	(void)state;
	w.signatures = 7;
	struct custody_id same = keep("450.1@a.example", 7), other = keep("450.2@a.example", 6),
			  never = keep("450.3@a.example", 0), last = keep("450.4@a.example", 7);
	keeping_attach_scanner(&w);
	assert_int_equal(act_on(HAND_RELEASE, other, false).done, 1);
	assert_int_equal(w.scans, 1);
	assert_true(has(buf_slice(&w.scanned), "\r\n\r\nhello\r\n"));
	assert_int_equal(act_on(HAND_RELEASE, same, false).done, 1);
	assert_int_equal(w.scans, 1);
	assert_int_equal(act_on(HAND_RELEASE, never, false).done, 1);
	assert_int_equal(w.scans, 2);
	/* Another scanner: what it has, it has to say first. */
	keeping_attach_scanner(&w);
	assert_int_equal(act_on(HAND_RELEASE, last, false).done, 1);
	assert_int_equal(w.scans, 3);
	keeping_until(&w, &w.attempts, 4);
	keeping_stop(&w);
	struct found f = find("450.2@a.example");
	assert_true(f.sent == 1 && f.kept == 0 && f.scanned == 7);
	assert_non_null(strstr(f.history, "; scanned\n"));
}

/* A scanner that does not tell what it has is asked about everything. */
static void
unknown_signatures_are_no_proof(void **state)
{
	(void)state;
	struct custody_id one = keep("450.1@a.example", 0), two = keep("450.2@a.example", 0);
	keeping_attach_scanner(&w);
	assert_int_equal(act_on(HAND_RELEASE, one, false).done, 1);
	assert_int_equal(act_on(HAND_RELEASE, two, false).done, 1);
	assert_int_equal(w.scans, 2);
}

static void
infected_stays(void **state)
{
	(void)state;
	struct custody_id id = keep("450.1@a.example", 6);
	w.signatures = 7;
	w.scan_says = SCAN_INFECTED;
	w.scan_word = "New.Virus";
	keeping_attach_scanner(&w);
	check_refused(act_on(HAND_RELEASE, id, false), id, ": New.Virus was found in it");
	check_refused(act_on(HAND_RELEASE, id, true), id, "New.Virus");
	check_refused(act_on(HAND_FORWARD, id, true), id, "New.Virus");
	assert_int_equal(w.scans, 1); /* known by now */
	assert_int_equal(w.attempts, 0);
	keeping_stop(&w);
	struct found f = find("450.1@a.example");
	assert_int_equal(f.kept, 1);
	assert_string_equal(f.virus, "New.Virus");
	assert_int_equal(f.scanned, 7);
	assert_non_null(strstr(f.history, "scanned again: New.Virus was found\n"));
	assert_null(strstr(strstr(f.history, "found") + 1, "found"));
	/* Known by what is stored too; and a signature that was wrong is taken back. */
	keeping_start(&w);
	keeping_attach_scanner(&w);
	check_refused(act_on(HAND_RELEASE, id, false), id, "New.Virus");
	w.signatures = 8;
	w.scan_says = SCAN_CLEAN;
	keeping_attach_scanner(&w);
	assert_int_equal(act_on(HAND_RELEASE, id, false).done, 1);
	keeping_until(&w, &w.attempts, 1);
	/* What has a virus may be thrown away at any time. */
	w.scan_says = SCAN_INFECTED;
	id = keep("450.2@a.example", 6);
	assert_int_equal(act_on(HAND_DROP, id, false).done, 1);
}

static void
unscannable_needs_a_word(void **state)
{
	(void)state;
	struct custody_id id = keep("450.1@a.example", 7);
	w.signatures = 8;
	w.scan_says = SCAN_UNSCANNABLE;
	w.scan_word = "it is encrypted";
	keeping_attach_scanner(&w);
	check_refused(act_on(HAND_RELEASE, id, false), id,
		"the scanner cannot look into all of it: it is encrypted");
	assert_int_equal(act_on(HAND_RELEASE, id, true).done, 1);
	assert_int_equal(w.scans, 2);
	keeping_until(&w, &w.attempts, 1);
	keeping_stop(&w);
	struct found f = find("450.1@a.example");
	assert_true(f.sent == 1 && f.kept == 0);
	assert_non_null(strstr(f.history, "; not scanned in whole\n"));
}

static void
no_scanner_no_release(void **state)
{
	(void)state;
	struct custody_id id = keep("450.1@a.example", 7);
	struct hand_act act = {.action = HAND_RELEASE, .ids = &id, .n = 1};
	w.signatures = 7;
	check_refused(act_on(HAND_RELEASE, id, true), id,
		"it cannot be scanned now: no scanner runs");
	w.scan_says = SCAN_FAILED;
	w.scan_word = "time is over";
	keeping_attach_scanner(&w);
	check_refused(
		act_on(HAND_FORWARD, id, true), id, "it cannot be scanned now: time is over");
	/* It dies while it looks. */
	w.scanner_is_silent = true;
	keeping_do_and_go(&w, &act);
	keeping_until(&w, &w.scans, 2);
	keeping_end_scanner(&w);
	keeping_run_for(&w, 100);
	check_refused(act_on(HAND_RELEASE, id, true), id, "it cannot be scanned now");
	/* And one that comes, and says that all is well. */
	w.scanner_is_silent = false;
	w.scan_says = SCAN_CLEAN;
	keeping_attach_scanner(&w);
	assert_int_equal(w.attempts, 0);
	assert_int_equal(act_on(HAND_RELEASE, id, false).done, 1);
	keeping_until(&w, &w.attempts, 1);
}

static bool
shows(struct custody_id id, uint64_t offset, bool unscannable, const char *words)
{
	struct hand_body b = {.id = id, .offset = offset, .unscannable = unscannable};
	struct slice said;
	bool shown = keeping_body(&w, &b, &said);
	if (!has(said, words))
		fail_msg("%.*s", SLICE_ARG(said));
	return shown;
}

/* By the tool's own question for bytes, from wherever it begins to read. */
static void
shown_only_when_scanned(void **state)
{
	(void)state;
	struct custody_id id = keep("450.1@a.example", 6);
	(void)keeping_take(
		&w, (struct queue_parcel[]){keeping_parcel(&w, "450.2@a.example")}, 1, 0);
	struct custody_id queued = w.result.id;
	assert_false(shows(id, 0, true, "it cannot be scanned now"));
	assert_true(
		shows(queued, 0, false, "hello")); /* what is no quarantine's is no secret */
	w.scan_says = SCAN_UNSCANNABLE;
	w.scan_word = "too deep";
	keeping_attach_scanner(&w);
	assert_false(shows(id, 0, false, "cannot look into all of it: too deep"));
	assert_true(shows(id, 0, true, "hello"));
	w.scan_says = SCAN_INFECTED;
	w.scan_word = "New.Virus";
	assert_false(shows(id, 0, true, "New.Virus was found in it"));
	assert_false(shows(id, 12, true, "New.Virus was found in it"));
	w.scan_says = SCAN_CLEAN;
	assert_true(shows(id, 0, false, "hello"));
	assert_true(shows(id, 12, false, "hello"));
	assert_int_equal(w.attempts, 1);
}

/* More than a message holds goes to the scanner as a file, and is the same. */
static void
a_large_one(void **state)
{
	(void)state;
	char *line = arena_alloc(w.arena, 300 * 1024);
	memset(line, 'x', 300 * 1024);
	struct queue_parcel p = keeping_parcel(&w, "ok.1@a.example");
	p.mail.kind = STORED_QUARANTINE;
	p.mail.quarantine = SLICE("large");
	assert_int_equal(relay_body_add(&p.body, (struct slice){line, 300 * 1024}), 0);
	struct custody_id id = keeping_take(&w, &p, 1, BUDGET_MS)->id;
	keeping_attach_scanner(&w);
	assert_int_equal(act_on(HAND_RELEASE, id, false).done, 1);
	keeping_until(&w, &w.attempts, 1);
	assert_int_equal(buf_slice(&w.scanned).n, p.body.bytes);
	assert_true(slice_eq(buf_slice(&w.scanned), buf_slice(&w.asked[0].data)));
}

/* ---- a copy ---- */

static void
a_copy_leaves_it_where_it_is(void **state)
{
	(void)state;
	struct custody_id id = keep("ok.1@a.example", 0);
	w.signatures = 7;
	keeping_attach_scanner(&w);
	assert_int_equal(act_on(HAND_FORWARD, id, false).done, 1);
	keeping_until(&w, &w.notices, 1); /* it is from <> */
	const struct keeping_mail *m = &w.asked[0];
	struct slice data = buf_slice(&m->data);
	assert_string_equal(m->rcpts, "450.x@ours.example");
	assert_int_equal(m->way, DELIVERY_BY_DOMAIN);
	assert_true(slice_starts(data, SLICE("Resent-Date: ")));
	assert_true(has(data, "\r\nResent-From: Mail gateway <postmaster@gate.example>\r\n"
			      "Resent-To: <450.x@ours.example>\r\nFrom: sender@ours"));
	assert_true(has(data, "\r\n\r\nhello\r\n"));
	keeping_stop(&w);
	struct found f = find("ok.1@a.example");
	assert_int_equal(f.kept, 1);
	assert_int_equal(f.sent, 0);
	assert_non_null(strstr(f.history, " forwarded to 450.x@ours.example by root, for anna; "
					  "scanned\n"));
	assert_string_equal(f.by, ""); /* it was not released */
	keeping_start(&w);
	keeping_attach_scanner(&w);
	assert_int_equal(act_on(HAND_RELEASE, id, false).done, 1);
	keeping_until(&w, &w.attempts, 1);
}

static void
a_copy_stays_at_home(void **state)
{
	(void)state;
	static const char *const elsewhere[] = {
		"x@elsewhere.example", "x@sub.ours.example", "nobody", "@ours.example"};
	struct custody_id id = keep("ok.1@a.example", 0);
	struct hand_done d;
	keeping_attach_scanner(&w);
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		struct hand_act act = {.action = HAND_FORWARD,
			.to = slice_of(elsewhere[i]),
			.ids = &id,
			.n = 1};
		keeping_do(&w, &act, &d);
		check_refused(d, id, "no address in a declared domain");
	}
	assert_int_equal(w.n_asked, 0);
}

/* Behind a filter the way back to the MTA is the mail's own. */
static void
a_copy_behind_a_filter(void **state)
{
	(void)state;
	struct queue_parcel p = keeping_parcel(&w, "ok.1@behind.example");
	p.mail.kind = STORED_QUARANTINE;
	p.mail.quarantine = SLICE("q");
	p.mail.route = SLICE("\"127.0.0.1:10026\"");
	struct custody_id id = keeping_take(&w, &p, 1, BUDGET_MS)->id;
	struct hand_act act = {
		.action = HAND_FORWARD, .to = SLICE("boss@Behind.Example"), .ids = &id, .n = 1};
	struct hand_done d;
	keeping_attach_scanner(&w);
	keeping_do(&w, &act, &d);
	assert_int_equal(d.done, 1);
	keeping_until(&w, &w.notices, 1);
	assert_int_equal(w.asked[0].way, DELIVERY_BY_ROUTE);
}

/* ---- how much ---- */

static void
a_full_quarantine_takes_no_more(void **state)
{
	(void)state;
	struct queue_parcel p[2];
	open_with(false, 300);
	p[0] = keeping_parcel(&w, "ok.1@a.example");
	uint64_t one = p[0].body.bytes;
	assert_in_range(one, 76, 150); /* two fit, three and more do not all */
	size_t fit = 300 / one;
	struct custody_id first = keep("450.0@a.example", 0);
	for (size_t i = 1; i < fit; i++)
		(void)keep("450.1@a.example", 0);
	for (int again = 0; again < 2; again++) {
		p[0] = keeping_parcel(&w, "ok.1@a.example");
		p[1] = keeping_parcel(&w, "ok.2@a.example");
		p[1].mail.kind = STORED_QUARANTINE;
		p[1].mail.quarantine = SLICE("q");
		const struct queue_result *r = keeping_take(&w, p, 2, BUDGET_MS);
		assert_int_equal(r->end, QUEUE_FULL);
		assert_int_equal(r->reply.code, 452);
		assert_int_equal(w.attempts, 0); /* none of it is sent */
		/* All else goes on. */
		assert_int_equal(keeping_take(&w, p, 1, BUDGET_MS)->end, QUEUE_DELIVERED);
		keeping_stop(&w); /* as it is counted after a restart */
		keeping_start(&w);
	}
	assert_int_equal(act_on(HAND_DROP, first, false).done, 1);
	first = keep("450.2@a.example", 0);
	assert_int_equal(act_on(HAND_RELEASE, first, false).done, 1);
	(void)keep("450.3@a.example", 0);
	assert_int_equal(keeping_take(&w, &p[1], 1, BUDGET_MS)->end, QUEUE_FULL);
	/* What nobody takes is kept all the same: its client was told 250. */
	struct queue_parcel stray = keeping_parcel(&w, "ok.1@a.example 550.2@b.example");
	stray.mail.own = false;
	stray.mail.direction = INBOUND;
	assert_int_equal(keeping_take(&w, &stray, 1, BUDGET_MS)->reply.code, 250);
	keeping_run_for(&w, 100);
	struct keeping_spool s;
	keeping_stop(&w);
	keeping_look(&w, &s);
	assert_int_equal(s.undeliverable, 1);
	assert_int_equal(s.quarantined, fit + 1);
	keeping_close(&w);
}

/* Its time is counted from when it came; the round that ends it comes each ten seconds. */
static void
time_is_over(void **state)
{
	(void)state;
	open_with(false, 0);
	(void)keep("450.1@a.example", 0);
	keeping_stop(&w);
	w.settings.queue.quarantine_ms = 3000;
	keeping_start(&w);
	keeping_run_for(&w, 8000);
	struct custody_id young = keep("450.2@a.example", 0);
	keeping_run_for(&w, 2800);
	assert_int_equal(act_on(HAND_RELEASE, young, false).done, 1);
	keeping_stop(&w);
	assert_int_equal(find("450.1@a.example").kept, 0);
	assert_int_equal(find("450.2@a.example").sent, 1);
	keeping_close(&w);
}

/* ---- kill -9 ---- */

static size_t
count_lines(const char *text, const char *word)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		n++;
	return n;
}

/* Killed at any moment of it. */
static void
kill_while(enum hand_action action, struct custody_id *ids, size_t n, unsigned round)
{
	struct hand_act act = {.action = action,
		.to = action == HAND_FORWARD ? SLICE("450.x@ours.example") : SLICE_NONE,
		.ids = ids,
		.n = n};
	keeping_do_and_go(&w, &act);
	keeping_run_for(&w, round * 7 % 40); /* from before it was read to after it is done */
	keeping_kill(&w);
}

static void
released_once_through_kills(void **state)
{
	(void)state;
	struct custody_id ids[KEPT];
	char rcpt[KEPT][32];
	size_t between = 0, before = 0;
	w.signatures = 7;
	for (unsigned i = 0; i < KEPT; i++) {
		snprintf(rcpt[i], sizeof(rcpt[i]), "450.%u@a.example", i);
		ids[i] = keep(rcpt[i], 6);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t sent = 0;
		keeping_attach_scanner(&w);
		/* One more each three rounds, so that there is something to kill in many. */
		kill_while(HAND_RELEASE, ids, 1 + round % KEPT, round);
		for (unsigned i = 0; i < KEPT; i++) {
			struct found f = find(rcpt[i]);
			assert_int_equal(f.kept + f.sent, 1); /* never lost, never twice */
			sent += f.sent;
		}
		assert_true(sent >= before);
		between += sent > before;
		before = sent;
		keeping_start(&w);
	}
	print_message("kills with something released before: %zu of %u\n", between, ROUNDS);
	assert_true(between >= 2);
	keeping_attach_scanner(&w);
	for (unsigned i = 0; i < KEPT; i++)
		(void)act_on(HAND_RELEASE, ids[i], false);
	keeping_stop(&w);
	for (unsigned i = 0; i < KEPT; i++) {
		struct found f = find(rcpt[i]);
		assert_true(f.sent == 1 && f.kept == 0);
	}
}

/* As many copies as the mails tell of. */
static void
forwarded_once_through_kills(void **state)
{
	(void)state;
	struct custody_id ids[KEPT];
	char rcpt[KEPT][32];
	size_t before = 0, between = 0;
	w.signatures = 7;
	w.dsn_fails = true; /* what is from <> stays where it can be counted */
	for (unsigned i = 0; i < KEPT; i++) {
		snprintf(rcpt[i], sizeof(rcpt[i]), "ok.%u@a.example", i);
		ids[i] = keep(rcpt[i], 6);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t told = 0;
		keeping_attach_scanner(&w);
		/* Few each time: a history that is full forgets its oldest lines. */
		size_t first = round % KEPT;
		kill_while(HAND_FORWARD, ids + first, first + 3 <= KEPT ? 3 : 1, round);
		for (unsigned i = 0; i < KEPT; i++) {
			struct found f = find(rcpt[i]);
			assert_true(f.kept == 1 && f.sent == 0);
			told += count_lines(f.history, "forwarded to");
		}
		struct found copies = find("450.x@ours.example");
		assert_int_equal(copies.sent, told);
		assert_true(told >= before);
		between += told > before;
		before = told;
		keeping_start(&w);
	}
	print_message("kills with a copy made before: %zu of %u\n", between, ROUNDS);
	assert_true(between >= KILLS_LEAST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_virus_filter),
		cmocka_unit_test_setup_teardown(
			scanned_when_signatures_differ, open_world, close_world),
		cmocka_unit_test_setup_teardown(
			unknown_signatures_are_no_proof, open_world, close_world),
		cmocka_unit_test_setup_teardown(infected_stays, open_world, close_world),
		cmocka_unit_test_setup_teardown(
			unscannable_needs_a_word, open_world, close_world),
		cmocka_unit_test_setup_teardown(no_scanner_no_release, open_world, close_world),
		cmocka_unit_test_setup_teardown(
			shown_only_when_scanned, open_world, close_world),
		cmocka_unit_test_setup_teardown(a_large_one, open_world, close_world),
		cmocka_unit_test_setup_teardown(
			a_copy_leaves_it_where_it_is, open_world, close_world),
		cmocka_unit_test_setup_teardown(a_copy_stays_at_home, open_world, close_world),
		cmocka_unit_test_setup_teardown(
			a_copy_behind_a_filter, open_world, close_world),
		cmocka_unit_test(a_full_quarantine_takes_no_more),
		cmocka_unit_test(time_is_over),
		cmocka_unit_test_setup_teardown(
			released_once_through_kills, open_world, close_world),
		cmocka_unit_test_setup_teardown(
			forwarded_once_through_kills, open_world, close_world),
	};
	return cmocka_run_group_tests_name("queue_quarantine", tests, NULL, NULL);
}
