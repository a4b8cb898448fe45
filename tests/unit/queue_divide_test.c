/*
 * A mail into parts (divide.h): the same from the envelope alone, whatever has happened since;
 * and the reply to the client (reply.c) and the settings on their way (settings.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "queue/divide.h"
#include "queue/keeper_priv.h"

static struct arena *arena;

static int
set_up(void **state)
{
	(void)state;
	arena = arena_new(64 * 1024 * 1024);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static struct stored_mail
mail_of(const char *const *sites, size_t n, enum delivery_way way)
{
	struct stored_mail m = {.rcpts = arena_array(arena, n, sizeof(*m.rcpts)),
		.n_rcpts = n,
		.route = SLICE("10.0.0.9:25")};
	for (size_t i = 0; i < n; i++)
		m.rcpts[i] = (struct stored_rcpt){.site = slice_of(sites[i]), .way = way};
	return m;
}

static void
by_site_in_the_order_of_the_envelope(void **state)
{
	(void)state;
	static const char *const sites[] = {"a", "b", "a", "c", "b", "a"};
	struct stored_mail m = mail_of(sites, 6, DELIVERY_BY_SEND);
	struct division *d;
	assert_int_equal(divide_mail(&m, arena, &d), 3);
	assert_int_equal(d[0].n, 3);
	assert_int_equal(d[0].rcpts[0], 0);
	assert_int_equal(d[0].rcpts[1], 2);
	assert_int_equal(d[0].rcpts[2], 5);
	assert_int_equal(d[1].n, 2);
	assert_int_equal(d[1].rcpts[1], 4);
	assert_true(slice_eq(d[2].site, SLICE("c")));
}

static void
one_way_is_one_site(void **state)
{
	(void)state;
	static const char *const sites[] = {"a", "b", "c"};
	static const struct {
		enum delivery_way way;
		size_t parts;
		const char *first;
	} cases[] = {{DELIVERY_BY_SMARTHOST, 1, "smarthost"},
		{DELIVERY_BY_ROUTE, 1, "route:10.0.0.9:25"},
		{DELIVERY_BY_DOMAIN, 3, "domain:a"}, {DELIVERY_BY_SEND, 3, "a"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stored_mail m = mail_of(sites, 3, cases[i].way);
		struct division *d;
		assert_int_equal(divide_mail(&m, arena, &d), cases[i].parts);
		assert_true(slice_eq(d[0].site, slice_of(cases[i].first)));
	}
}

static void
a_hundred_in_one(void **state)
{
	(void)state;
	static const char *sites[250];
	struct division *d;
	for (size_t i = 0; i < 250; i++)
		sites[i] = "a";
	struct stored_mail m = mail_of(sites, 250, DELIVERY_BY_SEND);
	assert_int_equal(divide_mail(&m, arena, &d), 3);
	size_t seen = 0;
	for (size_t p = 0; p < 3; p++)
		for (uint32_t r = 0; r < d[p].n; r++)
			assert_int_equal(d[p].rcpts[r], seen++);
	assert_int_equal(seen, 250);
	assert_int_equal(d[0].n, DIVIDE_RCPTS_MOST);
}

/* ---- what the client hears ---- */

static struct stored_rcpt_note
note_of(const char *reply, bool from_hop, enum failure_phase at)
{
	return (struct stored_rcpt_note){
		.reply = smtp_reply_of(reply), .from_hop = from_hop, .at = at};
}

static void
replies(void **state)
{
	(void)state;
	const struct stored_rcpt_note user =
		note_of("550 5.1.1 no such user", true, FAILURE_AT_RCPT);
	const struct stored_rcpt_note spam =
		note_of("554 5.7.1 looks like spam", true, FAILURE_AT_DOT);
	const struct stored_rcpt_note bye = note_of("521 5.7.1 go away", true, FAILURE_AT_MAIL);
	const struct stored_rcpt_note ours =
		note_of("550 5.7.1 forbidden here", false, FAILURE_AT_DOT);
	const struct stored_rcpt_note taken =
		note_of("250 2.6.0 as 4711", true, FAILURE_AT_DOT);
	const struct {
		struct reply_count c;
		enum queue_end end;
		const char *line;
	} cases[] = {
		{{.refused = 1, .worst = &user}, QUEUE_REFUSED,
			"550 5.1.1 The destination refuses the recipient (m.1): no such user"},
		{{.refused = 1, .worst = &spam}, QUEUE_REFUSED,
			"554 5.7.1 The destination refuses the mail (m.1): looks like spam"},
		{{.refused = 1, .worst = &bye}, QUEUE_REFUSED, /* 521 would end the session */
			"554 5.7.1 The destination refuses the mail (m.1): go away"},
		{{.refused = 1, .worst = &ours}, QUEUE_REFUSED,
			"550 5.7.1 This mail cannot be delivered (m.1): forbidden here"},
		{{.delivered = 2, .best = &taken}, QUEUE_DELIVERED,
			"250 2.6.0 Delivered (m.1): as 4711"},
		{{.waiting = 1}, QUEUE_QUEUED, "250 2.0.0 Queued (m.1)"},
		{{.kept = 1}, QUEUE_QUEUED, "250 2.0.0 Accepted (m.1)"},
		{{.delivered = 3, .refused = 2, .waiting = 1, .kept = 1}, QUEUE_QUEUED,
			"250 2.0.0 Accepted (m.1): 3 delivered, 2 refused, 2 queued"},
		{{0}, QUEUE_FULL, "452 4.3.1 Insufficient system storage, try again later"},
		{{0}, QUEUE_FAILED, "451 4.3.0 The mail cannot be stored now, try again later"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply r;
		reply_make(&cases[i].c, "m.1", cases[i].end, arena, &r);
		struct slice line = smtp_reply_line(&r, arena);
		if (!slice_eq(line, slice_of(cases[i].line)))
			fail_msg("%.*s", SLICE_ARG(line));
	}
}

/* ---- settings ---- */

static void
settings_travel(void **state)
{
	(void)state;
	struct err err;
	struct slice domains[] = {SLICE("a.example"), SLICE("b.example")};
	bool delivers[] = {false, true};
	struct queue_site sites[] = {{SLICE("gmail.com"), 20, 3000, 3600 * 1000}};
	struct queue_key keys[] = {{SLICE("a.example"), SLICE("s1"), DKIM_ED25519_SHA256}};
	struct queue_settings s = {.hostname = SLICE("mx.example"),
		.way = SEND_DIRECT_THEN_SMARTHOST,
		.after = SEND_AFTER_LISTED,
		.after_failures = 2,
		.queue = {.retry_ms = 1,
			.retry_most_ms = 2,
			.lifetime_ms = 3,
			.delay_notice_ms = 4,
			.attempts = 5,
			.quarantine_ms = 6,
			.quarantine_bytes = 8,
			.failure_rules = SLICE("rules")},
		.domains = domains,
		.delivers = delivers,
		.virus = true,
		.n_domains = 2,
		.sites = sites,
		.n_sites = 1,
		.keys = keys,
		.n_keys = 1,
		.models = domains,
		.n_models = 1,
		.deliveries = 7};
	struct queue_settings t;
	int fd = queue_settings_send(&s, &err);
	assert_true(fd >= 0);
	assert_int_equal(queue_settings_receive(fd, arena, &t, &err), 0);
	assert_true(slice_eq(t.hostname, s.hostname));
	assert_int_equal(t.way, s.way);
	assert_int_equal(t.after, s.after);
	assert_int_equal(t.after_failures, 2);
	assert_int_equal(t.queue.retry_ms, 1);
	assert_int_equal(t.queue.retry_most_ms, 2);
	assert_int_equal(t.queue.lifetime_ms, 3);
	assert_int_equal(t.queue.delay_notice_ms, 4);
	assert_int_equal(t.queue.attempts, 5);
	assert_int_equal(t.queue.quarantine_ms, 6);
	assert_int_equal(t.queue.quarantine_bytes, 8);
	assert_int_equal(t.n_models, 1);
	assert_true(slice_eq(t.models[0], domains[0]));
	assert_true(t.virus && !t.delivers[0] && t.delivers[1]);
	assert_true(slice_eq(t.queue.failure_rules, SLICE("rules")));
	assert_int_equal(t.n_domains, 2);
	assert_true(slice_eq(t.domains[1], SLICE("b.example")));
	assert_int_equal(t.sites[0].rate, 3000);
	assert_true(slice_eq(t.keys[0].selector, SLICE("s1")));
	assert_int_equal(t.keys[0].algorithm, DKIM_ED25519_SHA256);
	assert_int_equal(t.deliveries, 7);
}

int
main(void)
{
#define WITH_ARENA(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_ARENA(by_site_in_the_order_of_the_envelope),
		WITH_ARENA(one_way_is_one_site),
		WITH_ARENA(a_hundred_in_one),
		WITH_ARENA(replies),
		WITH_ARENA(settings_travel),
	};
	return cmocka_run_group_tests_name("queue_divide", tests, NULL, NULL);
}
