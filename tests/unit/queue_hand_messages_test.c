/*
 * `postern queue` and the keeper: each message comes out as it went in, is refused cut at each
 * point and grown, and lets no control character through to a terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "io/ipc.h"
#include "payload.h"
#include "queue/hand_messages.h"

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

static struct custody_id
id_of(uint8_t byte)
{
	struct custody_id id;
	memset(&id, byte, sizeof(id));
	return id;
}

/* ---- questions ---- */

static bool
unpack_list(struct slice payload)
{
	struct hand_list q;
	return hand_list_unpack(payload, &q);
}

static struct hand_list
make_list(void)
{
	return (struct hand_list){.from = 77,
		.filter = {.by_id = true,
			.id = id_of(9),
			.sender = SLICE("@example.org"),
			.recipient = SLICE("b@dest.example"),
			.destination = SLICE("dest.example"),
			.quarantine = SLICE("undeliverable"),
			.by_class = true,
			.class = FAILURE_OTHER,
			.by_kind = true,
			.kind = STORED_QUARANTINE,
			.held = true,
			.virus = true,
			.client = SLICE("192.0.2.7"),
			.rule = SLICE("postern.conf:31"),
			.older_ms = 7200000,
			.since_ms = 86400000}};
}

static void
test_list(void **state)
{
	(void)state;
	struct hand_list q = make_list(), got;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_list_pack(&q, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_list_unpack(payload, &got));
	assert_int_equal(got.from, 77);
	assert_true(got.filter.by_id && got.filter.by_class && got.filter.by_kind &&
		    got.filter.held);
	assert_true(custody_id_eq(&got.filter.id, &q.filter.id));
	assert_true(slice_eq(got.filter.sender, q.filter.sender));
	assert_true(slice_eq(got.filter.recipient, q.filter.recipient));
	assert_true(slice_eq(got.filter.destination, q.filter.destination));
	assert_true(slice_eq(got.filter.quarantine, q.filter.quarantine));
	assert_int_equal(got.filter.class, FAILURE_OTHER);
	assert_int_equal(got.filter.kind, STORED_QUARANTINE);
	assert_int_equal(got.filter.older_ms, 7200000);
	assert_int_equal(got.filter.since_ms, 86400000);
	assert_true(got.filter.virus);
	assert_true(slice_eq(got.filter.client, q.filter.client));
	assert_true(slice_eq(got.filter.rule, q.filter.rule));
	payload_check_cuts(payload, unpack_list);
}

static bool
unpack_act(struct slice payload)
{
	struct hand_act act;
	return hand_act_unpack(payload, arena, &act);
}

static void
test_act(void **state)
{
	(void)state;
	struct custody_id *ids = arena_array(arena, HAND_IDS_MOST + 1, sizeof(*ids));
	for (size_t i = 0; i < HAND_IDS_MOST + 1; i++)
		ids[i] = id_of((uint8_t)i);
	struct hand_act act = {.action = HAND_EXPIRE, .ids = ids, .n = 3}, got;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_act_pack(&act, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_act_unpack(payload, arena, &got));
	assert_int_equal(got.action, HAND_EXPIRE);
	assert_int_equal(got.n, 3);
	assert_true(custody_id_eq(&got.ids[2], &ids[2]));
	payload_check_cuts(payload, unpack_act);
	assert_false(got.unscannable);
	assert_int_equal(got.by.n + got.to.n, 0);
	/* A copy has an address, and nothing else has. */
	for (unsigned a = HAND_HOLD; a <= HAND_LOOK; a++) {
		struct hand_act one = {.action = (enum hand_action)a,
			.unscannable = true,
			.by = SLICE("anna"),
			.to = SLICE("x@example.com"),
			.ids = ids,
			.n = 1};
		ipc_out_init(&out);
		hand_act_pack(&one, &out);
		bool right = hand_act_unpack(payload_taken(&out, arena), arena, &got);
		assert_int_equal(right, a == HAND_FORWARD);
		if (right)
			assert_true(got.unscannable && slice_eq(got.by, one.by) &&
				    slice_eq(got.to, one.to));
		one.to = SLICE_NONE;
		ipc_out_init(&out);
		hand_act_pack(&one, &out);
		/* Nor does anybody else say what the keeper asks itself. */
		assert_int_equal(unpack_act(payload_taken(&out, arena)),
			a != HAND_FORWARD && a != HAND_LOOK);
	}
	act.n = HAND_IDS_MOST;
	ipc_out_init(&out);
	hand_act_pack(&act, &out);
	assert_true(unpack_act(payload_taken(&out, arena)));
	/* None, too many, an action that is none. */
	act.n = 0;
	ipc_out_init(&out);
	hand_act_pack(&act, &out);
	assert_false(unpack_act(payload_taken(&out, arena)));
	ipc_out_init(&out);
	ipc_put_u8(&out, HAND_DROP);
	ipc_put_bool(&out, false);
	ipc_put_slice(&out, SLICE_NONE);
	ipc_put_slice(&out, SLICE_NONE);
	ipc_put_u32(&out, HAND_IDS_MOST + 1);
	for (size_t i = 0; i < (size_t)(HAND_IDS_MOST + 1) * CUSTODY_ID_BYTES; i++)
		ipc_put_u8(&out, 1);
	assert_false(unpack_act(payload_taken(&out, arena)));
	ipc_out_init(&out);
	ipc_put_u8(&out, HAND_ACTIONS);
	ipc_put_bool(&out, false);
	ipc_put_slice(&out, SLICE_NONE);
	ipc_put_slice(&out, SLICE_NONE);
	ipc_put_u32(&out, 1);
	for (size_t i = 0; i < CUSTODY_ID_BYTES; i++)
		ipc_put_u8(&out, 1);
	assert_false(unpack_act(payload_taken(&out, arena)));
}

static bool
unpack_id(struct slice payload)
{
	struct custody_id id;
	return hand_id_unpack(payload, &id);
}

static bool
unpack_body(struct slice payload)
{
	struct hand_body b;
	return hand_body_unpack(payload, &b);
}

static void
test_ids(void **state)
{
	(void)state;
	struct custody_id id = id_of(0xa5), got;
	struct ipc_out out;
	struct hand_body body = {.id = id,
				 .offset = UINT64_C(1) << 40,
				 .unscannable = true,
				 .by = SLICE("anna")},
			 b;
	ipc_out_init(&out);
	hand_id_pack(&id, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_id_unpack(payload, &got) && custody_id_eq(&got, &id));
	payload_check_cuts(payload, unpack_id);
	ipc_out_init(&out);
	hand_body_pack(&body, &out);
	payload = payload_taken(&out, arena);
	assert_true(hand_body_unpack(payload, &b));
	assert_true(custody_id_eq(&b.id, &id) && b.offset == UINT64_C(1) << 40);
	assert_true(b.unscannable && slice_eq(b.by, SLICE("anna")));
	payload_check_cuts(payload, unpack_body);
}

/* ---- answers ---- */

static struct hand_item
make_item(struct hand_site sites[2])
{
	sites[0] = (struct hand_site){SLICE("dest.example"), 3, 1000, true, FAILURE_GREYLISTED};
	sites[1] = (struct hand_site){SLICE("[192.0.2.1]"), 1, 0, false, 0};
	return (struct hand_item){.id = id_of(7),
		.readable = true,
		.own = true,
		.held = true,
		.tried = true,
		.kind = STORED_HOLD,
		.direction = OUTBOUND,
		.arrived_ms = 11,
		.hold_until_ms = 12,
		.due_ms = 13,
		.last_ms = 14,
		.bytes = 15,
		.attempts = 16,
		.class = FAILURE_BUSY,
		.words = SLICE("451 4.3.0 later"),
		.sender = SLICE("a@example.org"),
		.quarantine = SLICE("spam"),
		.reason = SLICE("postern.conf:31"),
		.virus = SLICE("Eicar"),
		.client = {.family = 4, .bytes = {192, 0, 2, 7}},
		.states = {4, 3, 2, 1, 0},
		.rcpts = {SLICE("b@dest.example"), SLICE("c@dest.example")},
		.n_rcpts = 2,
		.sites = sites,
		.n_sites = 2,
		.more_sites = 5};
}

static bool
unpack_items(struct slice payload)
{
	struct hand_item *items;
	size_t n;
	return hand_items_unpack(payload, arena, &items, &n) && n == 2;
}

static void
check_item(const struct hand_item *got, const struct hand_item *item)
{
	assert_true(got->readable && got->own && got->held && got->tried);
	assert_false(got->expire || got->notification);
	assert_true(custody_id_eq(&got->id, &item->id));
	assert_int_equal(got->kind, STORED_HOLD);
	assert_int_equal(got->direction, OUTBOUND);
	assert_int_equal(got->arrived_ms, 11);
	assert_int_equal(got->hold_until_ms, 12);
	assert_int_equal(got->due_ms, 13);
	assert_int_equal(got->last_ms, 14);
	assert_int_equal(got->bytes, 15);
	assert_int_equal(got->attempts, 16);
	assert_int_equal(got->class, FAILURE_BUSY);
	assert_true(slice_eq(got->words, item->words));
	assert_true(slice_eq(got->sender, item->sender));
	assert_true(slice_eq(got->quarantine, item->quarantine));
	assert_true(slice_eq(got->reason, item->reason));
	assert_true(slice_eq(got->virus, item->virus));
	assert_true(ip_eq(&got->client, &item->client));
	for (size_t i = 0; i < RCPT_STATES; i++)
		assert_int_equal(got->states[i], item->states[i]);
	assert_int_equal(got->n_rcpts, 2);
	assert_true(slice_eq(got->rcpts[1], item->rcpts[1]));
	assert_int_equal(got->n_sites, 2);
	assert_true(slice_eq(got->sites[0].site, item->sites[0].site));
	assert_int_equal(got->sites[0].waiting, 3);
	assert_int_equal(got->sites[0].due_ms, 1000);
	assert_int_equal(got->sites[0].class, FAILURE_GREYLISTED);
	assert_false(got->sites[1].tried);
	assert_int_equal(got->more_sites, 5);
}

static void
test_items(void **state)
{
	(void)state;
	struct hand_site sites[2];
	struct hand_item item = make_item(sites), *got;
	struct hand_item unreadable = {.id = id_of(8), .bytes = 99};
	struct ipc_out out;
	size_t n;
	ipc_out_init(&out);
	assert_int_equal(hand_items_add(&item, &out), 0);
	assert_int_equal(hand_items_add(&unreadable, &out), 0);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_items_unpack(payload, arena, &got, &n));
	assert_int_equal(n, 2);
	check_item(&got[0], &item);
	assert_false(got[1].readable);
	assert_int_equal(got[1].bytes, 99);
	/* Cut between the two it is one item, and so another message; anywhere else none. */
	payload_check_cuts(payload, unpack_items);
	assert_true(hand_items_unpack(SLICE_NONE, arena, &got, &n) && n == 0);
}

/* Items of the largest size: some fit, the next is refused and nothing is added. */
static void
test_full_of_items(void **state)
{
	(void)state;
	char long_words[2000];
	struct hand_site *sites = arena_array(arena, HAND_SITES_MOST, sizeof(*sites));
	struct ipc_out out;
	struct hand_item *got;
	size_t n, added = 0;
	memset(long_words, 'x', sizeof(long_words));
	struct slice s = {long_words, sizeof(long_words)};
	struct hand_item item = {.readable = true,
		.words = s,
		.sender = s,
		.quarantine = s,
		.reason = s,
		.rcpts = {s, s, s},
		.n_rcpts = 3,
		.sites = sites,
		.n_sites = HAND_SITES_MOST};
	for (size_t i = 0; i < HAND_SITES_MOST; i++)
		sites[i].site = s;
	ipc_out_init(&out);
	while (hand_items_add(&item, &out) == 0)
		added++;
	assert_in_range(added, 5, 50);
	assert_true(hand_items_unpack(payload_taken(&out, arena), arena, &got, &n));
	assert_int_equal(n, added);
	assert_int_equal(got[added - 1].words.n, HAND_WORDS_MOST);
}

/* What a stranger wrote is cleaned on the way out, and refused where it was not. */
static void
test_control_characters(void **state)
{
	(void)state;
	struct hand_site sites[2];
	struct hand_item item = make_item(sites), *got;
	struct hand_list q = {.filter = {.sender = SLICE("a@example.org")}}, q_got;
	struct ipc_out out;
	size_t n;
	item.words = SLICE("550 \x1b[2Jgone\r\n");
	ipc_out_init(&out);
	assert_int_equal(hand_items_add(&item, &out), 0);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_items_unpack(payload, arena, &got, &n));
	assert_true(slice_eq(got[0].words, SLICE("550 ?[2Jgone??")));
	char *bytes = arena_text(arena, payload);
	size_t at = slice_find_slice(payload, SLICE("gone"));
	assert_true(at < payload.n);
	bytes[at] = '\x1b';
	assert_false(hand_items_unpack((struct slice){bytes, payload.n}, arena, &got, &n));
	ipc_out_init(&out);
	hand_list_pack(&q, &out);
	payload = payload_taken(&out, arena);
	bytes = arena_text(arena, payload);
	bytes[slice_find_slice(payload, SLICE("example"))] = '\n';
	assert_false(hand_list_unpack((struct slice){bytes, payload.n}, &q_got));
	/* Never within a character: 255 letters, then one of two bytes. */
	char words[HAND_WORDS_MOST + 1];
	memset(words, 'x', sizeof(words));
	memcpy(words + HAND_WORDS_MOST - 1, "\xc3\xbc", 2);
	item.words = (struct slice){words, sizeof(words)};
	ipc_out_init(&out);
	assert_int_equal(hand_items_add(&item, &out), 0);
	assert_true(hand_items_unpack(payload_taken(&out, arena), arena, &got, &n));
	assert_int_equal(got[0].words.n, HAND_WORDS_MOST - 1);
}

static bool
unpack_page(struct slice payload)
{
	struct hand_page p;
	return hand_page_unpack(payload, &p);
}

static bool
unpack_bytes(struct slice payload)
{
	struct slice bytes;
	bool last;
	return hand_bytes_unpack(payload, &bytes, &last);
}

static bool
unpack_done(struct slice payload)
{
	struct hand_done d;
	return hand_done_unpack(payload, &d);
}

static void
test_small_answers(void **state)
{
	(void)state;
	struct hand_page p = {UINT64_C(1) << 50, true, 200, 3}, p_got;
	struct hand_done d = {.done = 5,
				 .missing = 6,
				 .failed = 7,
				 .refused = 8,
				 .why = SLICE("the disk is full")},
			 d_got;
	struct slice payload, bytes;
	struct ipc_out out;
	bool last;
	ipc_out_init(&out);
	hand_page_pack(&p, &out);
	payload = payload_taken(&out, arena);
	assert_true(hand_page_unpack(payload, &p_got));
	assert_true(
		p_got.next == p.next && p_got.end && p_got.seen == 200 && p_got.matched == 3);
	payload_check_cuts(payload, unpack_page);
	p.matched = 201; /* more than were looked at */
	ipc_out_init(&out);
	hand_page_pack(&p, &out);
	assert_false(unpack_page(payload_taken(&out, arena)));
	ipc_out_init(&out);
	hand_bytes_pack(SLICE("From: \0\n"), true, &out);
	payload = payload_taken(&out, arena);
	assert_true(hand_bytes_unpack(payload, &bytes, &last));
	assert_true(last && slice_eq(bytes, SLICE("From: \0\n")));
	payload_check_cuts(payload, unpack_bytes);
	ipc_out_init(&out);
	hand_done_pack(&d, &out);
	payload = payload_taken(&out, arena);
	assert_true(hand_done_unpack(payload, &d_got));
	assert_true(d_got.done == 5 && d_got.missing == 6 && d_got.failed == 7 &&
		    d_got.refused == 8 && slice_eq(d_got.why, d.why));
	payload_check_cuts(payload, unpack_done);
}

static bool
unpack_state(struct slice payload)
{
	struct hand_state s;
	return hand_state_unpack(payload, &s);
}

static void
test_state(void **state)
{
	(void)state;
	struct hand_state s = {.schedule = {1, 2, 3, 4, 5, 6, 7},
				  .space = {.items = 8,
					  .live_bytes = 9,
					  .used_bytes = 10,
					  .free_bytes = 11,
					  .kept_bytes = 12,
					  .full = true,
					  .syncs = 13,
					  .failures = 14,
					  .collected_bytes = 15,
					  .memory_bytes = 16},
				  .egress = EGRESS_LISTED,
				  .egress_text = SLICE("listed:\n3 sites")},
			  got;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_state_pack(&s, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_state_unpack(payload, &got));
	assert_memory_equal(&got.schedule, &s.schedule, sizeof(s.schedule));
	assert_int_equal(got.space.items, 8);
	assert_int_equal(got.space.used_bytes, 10);
	assert_int_equal(got.space.kept_bytes, 12);
	assert_int_equal(got.space.collected_bytes, 15);
	assert_int_equal(got.space.memory_bytes, 16);
	assert_true(got.space.full && !got.space.failing);
	assert_int_equal(got.egress, EGRESS_LISTED);
	assert_true(slice_eq(got.egress_text, s.egress_text));
	payload_check_cuts(payload, unpack_state);
	s.egress_text = SLICE("\x1b]0;x\x07");
	ipc_out_init(&out);
	hand_state_pack(&s, &out);
	assert_false(unpack_state(payload_taken(&out, arena)));
}

static bool
unpack_stored(struct slice bytes)
{
	struct hand_stored s;
	return hand_stored_unpack(bytes, &s);
}

static void
test_stored(void **state)
{
	(void)state;
	struct hand_stored s = {1234, SLICE("the envelope"), SLICE_NONE}, got;
	struct buf out;
	buf_init(&out, HAND_STORED_MOST);
	assert_int_equal(hand_stored_pack(&s, &out), 0);
	struct slice bytes = arena_slice(arena, buf_slice(&out));
	buf_fini(&out);
	assert_true(hand_stored_unpack(bytes, &got));
	assert_true(got.bytes == 1234 && slice_eq(got.envelope, s.envelope) && got.note.n == 0);
	payload_check_cuts(bytes, unpack_stored);
	/* The largest that the store has fits. */
	s.envelope = (struct slice){
		arena_alloc(arena, CUSTODY_ENVELOPE_MOST), CUSTODY_ENVELOPE_MOST};
	s.note = (struct slice){arena_alloc(arena, CUSTODY_NOTE_MOST), CUSTODY_NOTE_MOST};
	buf_init(&out, HAND_STORED_MOST);
	assert_int_equal(hand_stored_pack(&s, &out), 0);
	assert_true(hand_stored_unpack(buf_slice(&out), &got));
	assert_true(got.envelope.n == s.envelope.n && got.note.n == s.note.n);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_act, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ids, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_items, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_of_items, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_control_characters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_small_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_state, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stored, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
