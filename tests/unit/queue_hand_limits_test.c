/*
 * `postern limits` and the keeper: each message comes out as it went in, is refused cut at each
 * point and grown, and the largest page fits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "payload.h"
#include "queue/hand_limits.h"

static struct arena *arena;
static struct state_item items_got[HAND_LIMITS_MOST];

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

static bool
takes_list(struct slice payload)
{
	struct hand_limits q;
	return hand_limits_unpack(payload, &q);
}

static bool
takes_page(struct slice payload)
{
	struct slice next;
	size_t n;
	return hand_limits_page_unpack(payload, items_got, &n, &next);
}

static bool
takes_key(struct slice payload)
{
	struct slice key;
	return hand_limits_key_unpack(payload, &key);
}

static bool
takes_done(struct slice payload)
{
	uint32_t done;
	return hand_limits_done_unpack(payload, &done);
}

static void
test_questions(void **state)
{
	(void)state;
	struct hand_limits q = {STATE_GREY, SLICE("net 192."), SLICE("net 192.0.2.0/24 a")},
			   got;
	struct ipc_out out;
	struct slice key;
	ipc_out_init(&out);
	hand_limits_pack(&q, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_limits_unpack(payload, &got));
	assert_int_equal(got.space, STATE_GREY);
	assert_true(slice_eq(got.prefix, q.prefix) && slice_eq(got.from, q.from));
	payload_check_cuts(payload, takes_list);
	ipc_out_init(&out);
	hand_limits_key_pack(SLICE("user alice 200/hour"), &out);
	payload = payload_taken(&out, arena);
	assert_true(hand_limits_key_unpack(payload, &key));
	assert_true(slice_eq(key, SLICE("user alice 200/hour")));
	payload_check_cuts(payload, takes_key);
}

static void
test_wrong_questions(void **state)
{
	(void)state;
	static char long_key[HAND_KEY_MOST + 1];
	struct ipc_out out;
	ipc_out_init(&out);
	ipc_put_u8(&out, STATE_SPACES);
	ipc_put_text(&out, "");
	ipc_put_text(&out, "");
	assert_false(takes_list(payload_taken(&out, arena)));
	for (int i = 0; i < 2; i++) {
		ipc_out_init(&out);
		ipc_put_u8(&out, STATE_RATE);
		ipc_put_slice(&out, (struct slice){long_key, i == 0 ? sizeof(long_key) : 0});
		ipc_put_slice(&out, (struct slice){long_key, i == 1 ? sizeof(long_key) : 0});
		assert_false(takes_list(payload_taken(&out, arena)));
	}
	ipc_out_init(&out);
	hand_limits_key_pack(SLICE_NONE, &out);
	assert_false(takes_key(payload_taken(&out, arena)));
	ipc_out_init(&out);
	hand_limits_key_pack((struct slice){long_key, STATE_KEY_MOST + 1}, &out);
	assert_false(takes_key(payload_taken(&out, arena)));
}

static void
test_answers(void **state)
{
	(void)state;
	static char key[HAND_KEY_MOST];
	struct state_item items[HAND_LIMITS_MOST];
	struct ipc_out out;
	struct slice next;
	size_t n;
	memset(key, 'k', sizeof(key));
	for (size_t i = 0; i < HAND_LIMITS_MOST; i++)
		items[i] = (struct state_item){
			{key, sizeof(key)}, i, UINT64_MAX, 7, SLICE("passed")};
	ipc_out_init(&out);
	hand_limits_page_pack(items, 3, SLICE("next"), &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_limits_page_unpack(payload, items_got, &n, &next));
	assert_int_equal(n, 3);
	assert_true(slice_eq(next, SLICE("next")));
	assert_true(slice_eq(items_got[2].key, items[2].key) && items_got[2].count == 2 &&
		    items_got[2].limit == UINT64_MAX && items_got[2].until_ms == 7 &&
		    slice_eq(items_got[2].value, SLICE("passed")));
	payload_check_cuts(payload, takes_page);
	ipc_out_init(&out);
	hand_limits_page_pack(items, HAND_LIMITS_MOST, (struct slice){key, sizeof(key)}, &out);
	assert_true(takes_page(payload_taken(&out, arena)));
	ipc_out_init(&out);
	ipc_put_u32(&out, 1); /* an item without a key */
	ipc_put_text(&out, "");
	for (int i = 0; i < 3; i++)
		ipc_put_u64(&out, 1);
	ipc_put_text(&out, "");
	ipc_put_text(&out, "");
	assert_false(takes_page(payload_taken(&out, arena)));
	ipc_out_init(&out);
	hand_limits_done_pack(2, &out);
	payload_check_cuts(payload_taken(&out, arena), takes_done);
	ipc_out_init(&out);
	hand_limits_done_pack(STATE_SPACES + 1, &out);
	assert_false(takes_done(payload_taken(&out, arena)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_wrong_questions),
		cmocka_unit_test(test_answers),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
