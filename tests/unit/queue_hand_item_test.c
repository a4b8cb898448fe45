/*
 * Mails in a list, the filters, and the lines of `why`: from envelopes and notes as a table of
 * them says, with the real schedule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "queue/hand_item.h"
#include "queue/hand_words.h"

enum { HOUR = 3600 * 1000, NOW_MS = 1000000 };
static const uint64_t wall_now = UINT64_C(1764400000000); /* 2025-11-29T07:06:40Z */

static struct {
	struct arena *arena;
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail mail;
	struct stored_note note;
	struct custody_id id;
	struct schedule *schedule;
	struct queue_settings settings;
	enum egress_state egress;
} w;

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){
		.local = local, .domain = domain, .text = s, .raw = s, .is_null = s.n == 0};
}

static bool
no_limit(void *arg, struct slice site, struct schedule_limit *out)
{
	(void)arg;
	(void)site;
	(void)out;
	return false;
}

/* Two recipients at dest.example (one tried), one at other.example, one delivered. */
static int
set_up(void **state)
{
	const struct schedule_config config = {.retry_ms = 300000,
		.retry_most_ms = 4 * HOUR,
		.attempts_most = 100,
		.site_most = 2,
		.site_first = 1,
		.seed = 1};
	const char *const names[] = {
		"b@dest.example", "c@dest.example", "d@Other.example", "e@third.example"};
	(void)state;
	memset(&w, 0, sizeof(w));
	w.arena = arena_new(64 * 1024 * 1024);
	memset(&w.id, 0xab, sizeof(w.id));
	w.schedule = schedule_new(&config, no_limit, NULL);
	for (size_t i = 0; i < 4; i++) {
		w.rcpts[i].address = address_of(names[i]);
		w.rcpts[i].site = w.rcpts[i].address.domain;
	}
	w.notes[1] = (struct stored_rcpt_note){.attempts = 2,
		.last_ms = wall_now - 4 * 60 * 1000,
		.due_ms = wall_now + 12 * 60 * 1000,
		.failure = {.class = FAILURE_GREYLISTED},
		.at = FAILURE_AT_RCPT,
		.reply = smtp_reply_of("451 4.7.1 come again"),
		.from_hop = true,
		.host = SLICE("mx.dest.example")};
	w.notes[3] = (struct stored_rcpt_note){.state = RCPT_DELIVERED,
		.attempts = 1,
		.last_ms = wall_now - HOUR,
		.reply = smtp_reply_of("250 2.0.0 taken")};
	w.mail = (struct stored_mail){.direction = OUTBOUND,
		.own = true,
		.arrived_ms = wall_now - 3 * HOUR,
		.reason = SLICE("postern.conf:31"),
		.sender = address_of("a@example.org"),
		.rcpts = w.rcpts,
		.n_rcpts = 4};
	w.note = (struct stored_note){.rcpts = w.notes, .n_rcpts = 4};
	w.settings.way = SEND_DIRECT;
	w.settings.queue.lifetime_ms = UINT64_C(5) * 24 * HOUR;
	w.settings.queue.quarantine_ms = UINT64_C(30) * 24 * HOUR;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	schedule_free(&w.schedule);
	arena_free(&w.arena);
	return 0;
}

/* ---- lists ---- */

static void
test_item(void **state)
{
	(void)state;
	struct hand_item item;
	hand_item_of(&w.mail, &w.note, w.arena, &item);
	assert_true(item.readable && item.own && item.tried && !item.held);
	assert_int_equal(item.states[RCPT_WAITING], 3);
	assert_int_equal(item.states[RCPT_DELIVERED], 1);
	assert_int_equal(item.n_rcpts, 3);
	assert_true(slice_eq(item.rcpts[0], SLICE("b@dest.example")));
	assert_int_equal(item.n_sites, 2);
	assert_true(slice_eq(item.sites[0].site, SLICE("dest.example")));
	assert_int_equal(item.sites[0].waiting, 2);
	assert_int_equal(item.sites[0].due_ms, 0); /* b: at once */
	assert_true(item.sites[0].tried && item.sites[0].class == FAILURE_GREYLISTED);
	assert_int_equal(item.sites[1].waiting, 1);
	assert_false(item.sites[1].tried);
	assert_int_equal(item.attempts, 2);
	assert_int_equal(item.class, FAILURE_GREYLISTED);
	assert_true(slice_eq(item.words, SLICE("451 4.7.1 come again")));
	assert_int_equal(item.last_ms, w.notes[1].last_ms);
	assert_int_equal(item.due_ms, w.notes[1].due_ms);
	assert_int_equal(item.more_sites, 0);
}

/* More sites than a list shows. */
static void
test_item_of_many_sites(void **state)
{
	(void)state;
	enum { RCPTS = HAND_SITES_MOST + 7 };
	struct hand_item item;
	w.mail.rcpts = arena_array(w.arena, RCPTS, sizeof(*w.mail.rcpts));
	w.note.rcpts = arena_array(w.arena, RCPTS, sizeof(*w.note.rcpts));
	w.mail.n_rcpts = w.note.n_rcpts = RCPTS;
	for (size_t i = 0; i < RCPTS; i++) {
		w.mail.rcpts[i].address =
			address_of(arena_printf(w.arena, "x@site%zu.example", i).p);
		w.mail.rcpts[i].site = w.mail.rcpts[i].address.domain;
	}
	hand_item_of(&w.mail, &w.note, w.arena, &item);
	assert_int_equal(item.n_sites, HAND_SITES_MOST);
	assert_int_equal(item.more_sites, 7);
	assert_int_equal(item.n_rcpts, HAND_RCPTS_MOST);
	assert_int_equal(item.states[RCPT_WAITING], RCPTS);
	assert_false(item.tried);
	assert_int_equal(item.words.n, 0);
}

/* ---- filters ---- */

static const struct {
	const char *what;
	struct hand_filter f;
	bool matches;
} filter_cases[] = {
	{"nothing asked", {.held = false}, true},
	{"the sender", {.sender = SLICE("A@Example.org")}, true},
	{"another sender", {.sender = SLICE("aa@example.org")}, false},
	{"the sender's domain", {.sender = SLICE("@example.org")}, true},
	{"not below it", {.sender = SLICE("@org")}, false},
	{"the null sender", {.sender = SLICE("<>")}, false},
	{"a recipient", {.recipient = SLICE("d@other.example")}, true},
	{"one that is through", {.recipient = SLICE("e@third.example")}, true},
	{"a recipient's domain", {.recipient = SLICE("@dest.example")}, true},
	{"no recipient", {.recipient = SLICE("a@dest.example")}, false},
	{"a destination", {.destination = SLICE("DEST.example")}, true},
	{"one that is through", {.destination = SLICE("third.example")}, false},
	{"a reason", {.by_class = true, .class = FAILURE_GREYLISTED}, true},
	{"another reason", {.by_class = true, .class = FAILURE_LISTED}, false},
	{"class 0 of who was never tried", {.by_class = true, .class = 0}, false},
	{"destination and reason",
		{.destination = SLICE("dest.example"),
			.by_class = true,
			.class = FAILURE_GREYLISTED},
		true},
	{"of different recipients",
		{.destination = SLICE("other.example"),
			.by_class = true,
			.class = FAILURE_GREYLISTED},
		false},
	{"recipient and destination differ",
		{.recipient = SLICE("b@dest.example"), .destination = SLICE("other.example")},
		false},
	{"the kind", {.by_kind = true, .kind = STORED_SEND}, true},
	{"another kind", {.by_kind = true, .kind = STORED_QUARANTINE}, false},
	{"a quarantine", {.quarantine = SLICE("spam")}, false},
	{"held", {.held = true}, false},
	{"two hours old", {.older_ms = 2 * HOUR}, true},
	{"three to the millisecond", {.older_ms = 3 * HOUR}, true},
	{"four hours old", {.older_ms = 4 * HOUR}, false},
};

static void
test_filters(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(filter_cases) / sizeof(filter_cases[0]); i++)
		if (hand_filter_matches(&filter_cases[i].f, &w.id, &w.mail, &w.note,
			    wall_now) != filter_cases[i].matches)
			fail_msg("%s", filter_cases[i].what);
	struct hand_filter f = {.by_id = true, .id = w.id};
	assert_true(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	assert_true(hand_filter_matches(&f, &w.id, NULL, NULL, wall_now));
	f.id.bytes[15] ^= 1;
	assert_false(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	/* Of what cannot be read nothing is known. */
	f = (struct hand_filter){.older_ms = 1};
	assert_false(hand_filter_matches(&f, &w.id, NULL, NULL, wall_now));
	f = (struct hand_filter){0};
	assert_true(hand_filter_matches(&f, &w.id, NULL, NULL, wall_now));
	/* A clock that went back makes nothing old. */
	w.mail.arrived_ms = wall_now + HOUR;
	f.older_ms = 1;
	assert_false(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	/* a tagged sender is found as it is stored, and as its person writes it */
	w.mail.sender = address_of("prvs=0007e13c3c=ann@example.org");
	f = (struct hand_filter){.sender = SLICE("prvs=0007e13c3c=ann@example.org")};
	assert_true(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	f.sender = SLICE("Ann@example.org");
	assert_true(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	f.sender = SLICE("nn@example.org");
	assert_false(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	w.mail.sender = (struct address){.is_null = true};
	f = (struct hand_filter){.sender = SLICE("<>")};
	assert_true(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	f.sender = SLICE("@");
	assert_false(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
	w.note.held = true;
	w.mail.quarantine = SLICE("spam");
	f = (struct hand_filter){.held = true, .quarantine = SLICE("Spam")};
	assert_true(hand_filter_matches(&f, &w.id, &w.mail, &w.note, wall_now));
}

/* ---- why ---- */

/* b and c are part 0, as the keeper would divide them; d is part 2. */
static uint32_t
part_of(void *arg, const struct stored_mail *m, const struct stored_note *n, size_t rcpt)
{
	(void)arg;
	(void)m;
	(void)n;
	return rcpt < 2 ? 0 : (uint32_t)rcpt;
}

static struct slice
why(size_t most)
{
	struct buf out;
	struct hand_why in = {.id = w.id,
		.mail = &w.mail,
		.note = &w.note,
		.bytes = 4321,
		.wall_ms = wall_now,
		.now_ms = NOW_MS,
		.schedule = w.schedule,
		.settings = &w.settings,
		.egress = w.egress,
		.part_of = part_of};
	buf_init(&out, most);
	hand_why_write(&in, w.arena, &out);
	struct slice text = arena_slice(w.arena, buf_slice(&out));
	buf_fini(&out);
	return text;
}

static void
check_has(struct slice text, const char *words)
{
	if (slice_find_slice(text, slice_of(words)) == text.n)
		fail_msg("not there: %s\nin:\n%.*s", words, SLICE_ARG(text));
}

static void
check_has_not(struct slice text, const char *words)
{
	if (slice_find_slice(text, slice_of(words)) != text.n)
		fail_msg("is there: %s\nin:\n%.*s", words, SLICE_ARG(text));
}

static void
plan(uint32_t part, const char *site, uint64_t due_ms)
{
	struct schedule_part p = {.id = w.id,
		.part = part,
		.site = slice_of(site),
		.sender = 1,
		.attempts = 1,
		.due_ms = due_ms};
	assert_int_equal(schedule_add(w.schedule, &p, NOW_MS), 0);
}

static void
test_why(void **state)
{
	(void)state;
	plan(0, "dest.example", NOW_MS + 12 * 60 * 1000);
	plan(2, "Other.example", NOW_MS);
	struct slice text = why(HAND_WHY_MOST);
	check_has(text, "mail abababababababababababababababab: outbound from <a@example.org>, "
			"4321 bytes, 4 recipients\n  arrived 3 h ago (2025-11-29T04:06:40Z)\n");
	check_has(text, "recipient b@dest.example: waiting\n  last: not tried yet\n"
			"  next: an attempt in 12 min (2025-11-29T07:18:40Z), by the MX of "
			"dest.example\n");
	check_has(text, "recipient c@dest.example: waiting\n"
			"  last: attempt 2, 4 min ago (2025-11-29T07:02:40Z), at rcpt: "
			"mx.dest.example said \"451 4.7.1 come again\" (greylisted, for "
			"now)\n");
	check_has(text, "  next: an attempt now, by the MX of Other.example\n");
	check_has(text, "  given up: in 4 d 21 h (2025-12-04T04:06:40Z); then its sender is "
			"told\n");
	check_has(text, "recipient e@third.example: delivered\n");
	check_has_not(text, "held");
}

static void
test_why_in_flight_and_backing_off(void **state)
{
	(void)state;
	struct schedule_pick pick;
	plan(0, "dest.example", NOW_MS);
	assert_true(schedule_next(w.schedule, NOW_MS, &pick));
	struct slice text = why(HAND_WHY_MOST);
	check_has(text, "  next: an attempt is under way, by the MX of dest.example\n");
	check_has(text, "recipient d@Other.example: waiting\n  last: not tried yet\n  next: "
			"not planned yet");
	schedule_result(w.schedule, &w.id, 0, SCHEDULE_SITE_FAILS, 0, NOW_MS);
	text = why(HAND_WHY_MOST);
	check_has(text,
		"  held back: the site of dest.example backs off (failures in a row: 1), "
		"again in ");
	check_has_not(text, "under way");
}

static void
test_why_of_others_before_it(void **state)
{
	(void)state;
	struct schedule_pick pick;
	struct schedule_part p = {
		.part = 9, .site = SLICE("dest.example"), .sender = 1, .due_ms = NOW_MS - 5};
	/* One is under way and has the site's only place; another stands before ours. */
	assert_int_equal(schedule_add(w.schedule, &p, NOW_MS - 5), 0);
	assert_true(schedule_next(w.schedule, NOW_MS - 5, &pick));
	p.part = 10;
	assert_int_equal(schedule_add(w.schedule, &p, NOW_MS - 5), 0);
	plan(0, "dest.example", NOW_MS);
	struct slice text = why(HAND_WHY_MOST);
	check_has(text, "  held back: attempts under way at the site of dest.example: 1 of 1 "
			"at once\n");
	check_has(text, "  held back: before it, due at the site of dest.example: 1\n");
}

static void
test_why_of_routes(void **state)
{
	(void)state;
	plan(0, "dest.example", NOW_MS);
	w.settings.way = SEND_SMARTHOST;
	check_has(why(HAND_WHY_MOST), "by the smarthost\n");
	w.settings.way = SEND_DIRECT_THEN_SMARTHOST;
	check_has(why(HAND_WHY_MOST), "by the MX of dest.example\n");
	w.egress = EGRESS_BLOCKED;
	check_has(why(HAND_WHY_MOST), "by the smarthost, since the way out is blocked\n");
	w.settings.way = SEND_DIRECT;
	check_has(why(HAND_WHY_MOST), "  beware: the way out is blocked (`postern doctor`");
	w.egress = EGRESS_OPEN;
	w.notes[0].way = DELIVERY_BY_SMARTHOST;
	check_has(why(HAND_WHY_MOST), "by the smarthost\n");
	w.notes[0].way = DELIVERY_BY_DOMAIN;
	check_has(why(HAND_WHY_MOST), "by `deliver to` of the domain dest.example\n");
	w.notes[0].way = DELIVERY_BY_ROUTE;
	w.mail.route = SLICE("[192.0.2.9]:26");
	check_has(why(HAND_WHY_MOST), "by `route to \"[192.0.2.9]:26\"`\n");
	w.notes[0].way = DELIVERY_BY_SEND;
	assert_true(ip_parse(SLICE("192.0.2.25"), &w.notes[0].address));
	check_has(why(HAND_WHY_MOST),
		"by the MX of dest.example, 192.0.2.25 again (it greylists us)\n");
}

static void
test_why_of_holds(void **state)
{
	(void)state;
	plan(0, "dest.example", NOW_MS);
	w.note.held = true;
	struct slice text = why(HAND_WHY_MOST);
	check_has(text, "  held by hand: nothing is tried until `postern queue release`\n");
	check_has_not(text, "next:");
	w.note.expire = true;
	check_has(why(HAND_WHY_MOST), "  given up by hand: ");
	w.note = (struct stored_note){.rcpts = w.notes, .n_rcpts = 4};
	w.mail.kind = STORED_HOLD;
	w.mail.hold_until_ms = wall_now + HOUR;
	check_has(why(HAND_WHY_MOST),
		"  held by postern.conf:31: goes on its way in 1 h (2025-11-29T08:06:40Z)\n");
	w.mail.hold_until_ms = wall_now;
	check_has(why(HAND_WHY_MOST), "  next: an attempt now");
	w.mail.kind = STORED_QUARANTINE;
	w.mail.quarantine = SLICE("spam");
	text = why(HAND_WHY_MOST);
	check_has(text, "  in the quarantine \"spam\" by postern.conf:31: stays there");
	check_has(text, "  dropped from there: in 29 d 21 h");
	check_has_not(text, "next:");
}

/* As settle.c ends it: who is not ours is not written to, nor who wants no notices. */
static void
test_why_of_the_end(void **state)
{
	(void)state;
	w.mail.own = false;
	check_has(why(HAND_WHY_MOST), "then it is put into the quarantine `undeliverable`\n");
	w.mail.own = true;
	w.rcpts[0].params.notify = SMTP_NOTIFY_NEVER;
	struct slice never = why(HAND_WHY_MOST);
	check_has(never, "recipient b@dest.example: waiting\n");
	check_has(never, "then nobody is told: its sender wants, or has, no notices\n");
	check_has(never, "then its sender is told\n"); /* of the others */
	w.mail.sender = (struct address){.is_null = true};
	check_has_not(why(HAND_WHY_MOST), "its sender is told");
	/* The days of a mail on hold begin when it goes on its way. */
	w.mail.kind = STORED_HOLD;
	w.mail.hold_until_ms = wall_now - HOUR;
	check_has(why(HAND_WHY_MOST), "  given up: in 4 d 23 h");
	w.notes[0].state = RCPT_FAILED;
	w.notes[2].state = RCPT_TOLD;
	w.notes[1].state = RCPT_DOUBT;
	struct slice text = why(HAND_WHY_MOST);
	check_has(text, "recipient b@dest.example: failed for good, the sender is told next\n");
	check_has(text, "recipient d@Other.example: failed for good, the sender knows\n");
	check_has(text, "recipient c@dest.example: in doubt: ");
}

/* 10,000 recipients in few words; strangers' words are cleaned; what is too long is cut. */
static void
test_why_is_bounded(void **state)
{
	(void)state;
	w.mail.rcpts = arena_array(w.arena, STORED_RCPTS_MOST, sizeof(*w.mail.rcpts));
	w.note.rcpts = arena_array(w.arena, STORED_RCPTS_MOST, sizeof(*w.note.rcpts));
	w.mail.n_rcpts = w.note.n_rcpts = STORED_RCPTS_MOST;
	for (size_t i = 0; i < STORED_RCPTS_MOST; i++) {
		w.mail.rcpts[i] = w.rcpts[0];
		w.note.rcpts[i].state = RCPT_DELIVERED;
	}
	struct slice text = why(HAND_WHY_MOST);
	check_has(text, ", b@dest.example and 9980 more: delivered\n");
	assert_in_range(text.n, 100, 1000);
	for (size_t i = 0; i < STORED_RCPTS_MOST; i++) {
		w.note.rcpts[i].attempts = (uint32_t)i + 1;
		w.note.rcpts[i].reply = smtp_reply_of("250 2.0.0 ok");
		w.note.rcpts[i].host = SLICE("a\x1b[2J\nb");
	}
	text = why(20000);
	assert_in_range(text.n, 17000, 20000);
	assert_true(slice_ends(text, SLICE("... and more: the rest is left out\n")));
	check_has(text, "a?[2J?b: \"250 2.0.0 ok\"");
}

/* ---- words ---- */

static void
test_words(void **state)
{
	(void)state;
	const struct {
		uint64_t ms;
		const char *text;
	} spans[] = {{0, "0 s"}, {999, "0 s"}, {40000, "40 s"}, {60000, "1 min"},
		{119999, "1 min"}, {HOUR, "1 h"}, {HOUR + 60000, "1 h 1 min"},
		{24 * HOUR, "1 d"}, {UINT64_C(98) * HOUR, "4 d 2 h"},
		{UINT64_MAX, "213503982334 d 14 h"}};
	char buf[HAND_SPAN_BYTES], time[HAND_TIME_BYTES];
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
		assert_string_equal(hand_span(spans[i].ms, buf), spans[i].text);
	assert_string_equal(hand_until(5, 5, buf), "now");
	assert_string_equal(hand_until(65005, 5, buf), "in 1 min");
	assert_string_equal(hand_time(0, time), "-");
	assert_string_equal(hand_time(UINT64_C(1764399728000), time), "2025-11-29T07:02:08Z");
	assert_string_equal(hand_time(UINT64_MAX, time), "-");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_item, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_item_of_many_sites, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_filters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_why, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_why_in_flight_and_backing_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_why_of_others_before_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_why_of_routes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_why_of_holds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_why_of_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_why_is_bounded, set_up, tear_down),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
