/*
 * Operations on the state and their answers, between a session and the keeper: they come out as
 * they went in, cut or grown they are refused, and so is each number that cannot be. The
 * largest that there are fit into one message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "payload.h"
#include "state/messages.h"

#define DAY_MS (UINT64_C(86400) * 1000)

static struct arena *arena;
static struct state_op ops_got[STATE_OPS_MOST];
static struct state_answer answers_got[STATE_OPS_MOST];

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

static struct slice
pack_ops(const struct state_op *ops, size_t n)
{
	struct ipc_out out;
	ipc_out_init(&out);
	state_ops_pack(ops, n, &out);
	return payload_taken(&out, arena);
}

static struct slice
pack_answers(const struct state_answer *answers, size_t n)
{
	struct ipc_out out;
	ipc_out_init(&out);
	state_answers_pack(answers, n, &out);
	return payload_taken(&out, arena);
}

static bool
takes_ops(struct slice payload)
{
	size_t n;
	bool taken_up = state_ops_unpack(payload, ops_got, &n);
	assert_true(taken_up ? n > 0 && n <= STATE_OPS_MOST : n == 0);
	return taken_up;
}

static bool
takes_answers(struct slice payload)
{
	size_t n;
	bool taken_up = state_answers_unpack(payload, answers_got, &n);
	assert_true(taken_up ? n > 0 && n <= STATE_OPS_MOST : n == 0);
	return taken_up;
}

static const struct state_op every_kind[] = {
	{.kind = STATE_GET, .space = STATE_MEMO, .key = {"k", 1}},
	{.kind = STATE_SET,
		.space = STATE_MEMO,
		.key = {"memo", 4},
		.value = {"a\0b", 3},
		.ttl_ms = 60000},
	{.kind = STATE_DROP, .space = STATE_RATE, .key = {"user a 200/3600000", 18}},
	{.kind = STATE_TAKE,
		.space = STATE_RATE,
		.key = {"user a 200/3600000", 18},
		.limit = 200,
		.n = 3,
		.span_ms = 3600000},
	{.kind = STATE_COUNT,
		.space = STATE_QUOTA,
		.key = {"user a month", 12},
		.limit = STATE_LIMIT_MOST,
		.n = STATE_LIMIT_MOST,
		.period = PERIOD_MONTH},
	{.kind = STATE_GIVE,
		.space = STATE_RATE,
		.key = {"user a 200/3600000", 18},
		.limit = 200,
		.n = 1,
		.span_ms = 1000},
	{.kind = STATE_GIVE,
		.space = STATE_QUOTA,
		.key = {"user a week", 11},
		.limit = 9,
		.n = 2,
		.period = PERIOD_WEEK,
		.taken_ms = UINT64_C(1795948800000)},
	{.kind = STATE_SEEN,
		.space = STATE_GREY,
		.key = {"net 192.0.2.0/24 example.org", 28},
		.passer = {"net 192.0.2.0/24", 16},
		.passes = 5,
		.delay_ms = 300000,
		.within_ms = 172800000,
		.ttl_ms = 36 * DAY_MS},
	{.kind = STATE_PASS,
		.space = STATE_GREY,
		.key = {"spf example.org", 15},
		.ttl_ms = 36 * DAY_MS},
};
enum { EVERY_KIND = sizeof(every_kind) / sizeof(every_kind[0]) };

static void
check_same(const struct state_op *a, const struct state_op *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->space, b->space);
	assert_true(slice_eq(a->key, b->key) && slice_eq(a->value, b->value) &&
		    slice_eq(a->passer, b->passer));
	assert_int_equal(a->ttl_ms, b->ttl_ms);
	assert_int_equal(a->limit, b->limit);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->span_ms, b->span_ms);
	assert_int_equal(a->period, b->period);
	assert_int_equal(a->taken_ms, b->taken_ms);
	assert_int_equal(a->passes, b->passes);
	assert_int_equal(a->delay_ms, b->delay_ms);
	assert_int_equal(a->within_ms, b->within_ms);
}

static void
test_ops(void **state)
{
	(void)state;
	size_t n;
	struct slice payload = pack_ops(every_kind, EVERY_KIND);
	assert_true(state_ops_unpack(payload, ops_got, &n));
	assert_int_equal(n, EVERY_KIND);
	for (size_t i = 0; i < n; i++)
		check_same(&ops_got[i], &every_kind[i]);
	payload_check_cuts(payload, takes_ops);
	for (size_t i = 0; i < EVERY_KIND; i++)
		payload_check_cuts(pack_ops(&every_kind[i], 1), takes_ops);
}

/* Each byte of a message in turn takes all values: what is then still taken is right. */
static void
test_ops_garbage(void **state)
{
	(void)state;
	size_t refused = 0, kept = 0;
	struct slice payload = pack_ops(every_kind, EVERY_KIND);
	char *bytes = arena_text(arena, payload);
	for (size_t at = 0; at < payload.n; at++) {
		for (int v = 0; v < 256; v++) {
			size_t n;
			bytes[at] = (char)v;
			bool taken_up =
				state_ops_unpack((struct slice){bytes, payload.n}, ops_got, &n);
			for (size_t i = 0; i < n; i++)
				assert_true(state_op_ok(&ops_got[i]));
			refused += !taken_up;
			kept += taken_up;
		}
		bytes[at] = payload.p[at];
	}
	assert_true(refused > 1000 && kept > payload.n);
}

/* Numbers that no session may ask with, made by hand as pack does not make them. */
static void
test_wrong_ops(void **state)
{
	(void)state;
	static const struct {
		uint8_t kind, space;
		uint32_t limit, n;
		uint64_t span_ms;
		bool ok;
	} rows[] = {
		{STATE_TAKE, STATE_RATE, 200, 1, 3600000, true},
		{STATE_TAKE, STATE_RATE, 200, 200, 1000, true},
		{STATE_TAKE, STATE_RATE, 0, 1, 3600000, false},
		{STATE_TAKE, STATE_RATE, 200, 0, 3600000, false},
		{STATE_TAKE, STATE_RATE, 200, 201, 3600000, false},
		{STATE_TAKE, STATE_RATE, STATE_LIMIT_MOST + 1, 1, 3600000, false},
		{STATE_TAKE, STATE_RATE, 200, 1, 999, false},
		{STATE_TAKE, STATE_RATE, 200, 1, 367 * DAY_MS, false},
		{STATE_COUNT, STATE_RATE, 200, 1, 3600000, false},
		{STATE_SEEN, STATE_RATE, 200, 1, 3600000, false},
		{STATE_KINDS, STATE_RATE, 200, 1, 3600000, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_out out;
		ipc_out_init(&out);
		ipc_put_u32(&out, 1);
		ipc_put_u8(&out, rows[i].kind);
		ipc_put_u8(&out, rows[i].space);
		ipc_put_text(&out, "user a");
		ipc_put_u32(&out, rows[i].limit);
		ipc_put_u32(&out, rows[i].n);
		ipc_put_u64(&out, rows[i].span_ms);
		if (takes_ops(payload_taken(&out, arena)) != rows[i].ok)
			fail_msg("row %zu", i);
	}
}

static void
test_bounds_of_ops(void **state)
{
	(void)state;
	static char key[STATE_KEY_MOST + 1], value[STATE_VALUE_MOST];
	struct state_op ops[STATE_OPS_MOST];
	memset(key, 'k', sizeof(key));
	for (size_t i = 0; i < STATE_OPS_MOST; i++)
		ops[i] = (struct state_op){.kind = STATE_SET,
			.space = STATE_MEMO,
			.key = {key, STATE_KEY_MOST},
			.value = {value, STATE_VALUE_MOST},
			.ttl_ms = 1};
	assert_true(takes_ops(pack_ops(ops, STATE_OPS_MOST)));
	for (size_t i = 0; i < STATE_OPS_MOST; i++)
		ops[i] = (struct state_op){.kind = STATE_SEEN,
			.space = STATE_GREY,
			.key = {key, STATE_KEY_MOST},
			.passer = {key, STATE_KEY_MOST},
			.ttl_ms = 1};
	assert_true(takes_ops(pack_ops(ops, STATE_OPS_MOST)));
	/* None, one too many, a key that is empty or too long. */
	struct ipc_out out;
	for (uint32_t n = 0; n <= STATE_OPS_MOST + 1; n += STATE_OPS_MOST + 1) {
		ipc_out_init(&out);
		ipc_put_u32(&out, n);
		for (uint32_t i = 0; i < n; i++) {
			ipc_put_u8(&out, STATE_GET);
			ipc_put_u8(&out, STATE_MEMO);
			ipc_put_text(&out, "k");
		}
		assert_false(takes_ops(payload_taken(&out, arena)));
	}
	for (size_t n = 0; n <= STATE_KEY_MOST + 1; n += STATE_KEY_MOST + 1) {
		ipc_out_init(&out);
		ipc_put_u32(&out, 1);
		ipc_put_u8(&out, STATE_GET);
		ipc_put_u8(&out, STATE_MEMO);
		ipc_put_slice(&out, (struct slice){key, n});
		assert_false(takes_ops(payload_taken(&out, arena)));
	}
}

static void
test_answers(void **state)
{
	(void)state;
	static char value[STATE_VALUE_MOST + 1];
	const struct state_answer answers[] = {
		{.status = STATE_OK, .yes = true, .count = 7, .at_ms = 1795948800000},
		{.status = STATE_OK, .wait_ms = UINT64_MAX, .count = 200},
		{.status = STATE_OK, .yes = true, .wait_ms = 5, .value = SLICE("v")},
		{.status = STATE_FAILED},
	};
	size_t n;
	struct slice payload = pack_answers(answers, 4);
	assert_true(state_answers_unpack(payload, answers_got, &n));
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(answers_got[i].status, answers[i].status);
		assert_int_equal(answers_got[i].yes, answers[i].yes);
		assert_true(answers_got[i].wait_ms == answers[i].wait_ms);
		assert_int_equal(answers_got[i].count, answers[i].count);
		assert_int_equal(answers_got[i].at_ms, answers[i].at_ms);
		assert_true(slice_eq(answers_got[i].value, answers[i].value));
	}
	payload_check_cuts(payload, takes_answers);
	/* A failed one says nothing, whatever the engine left in it. */
	const struct state_answer untidy = {.status = STATE_FAILED, .yes = true, .count = 3};
	assert_true(takes_answers(pack_answers(&untidy, 1)));
	assert_false(answers_got[0].yes || answers_got[0].count != 0);
	struct state_answer many[STATE_OPS_MOST];
	for (size_t i = 0; i < STATE_OPS_MOST; i++)
		many[i] = (struct state_answer){.value = {value, STATE_VALUE_MOST}};
	assert_true(takes_answers(pack_answers(many, STATE_OPS_MOST)));
}

static void
test_wrong_answers(void **state)
{
	(void)state;
	static char value[STATE_VALUE_MOST + 1];
	static const struct {
		uint32_t n;
		uint8_t status, yes;
		uint64_t count;
		size_t value;
		bool ok;
	} rows[] = {
		{1, STATE_OK, 1, 3, 0, true},
		{1, STATE_OK, 1, 3, STATE_VALUE_MOST, true},
		{1, STATE_OK, 1, 3, STATE_VALUE_MOST + 1, false},
		{1, STATE_OK, 2, 3, 0, false},
		{1, STATE_FAILED, 0, 0, 0, true},
		{1, STATE_FAILED, 1, 0, 0, false},
		{1, STATE_FAILED, 0, 1, 0, false},
		{1, STATE_FAILED, 0, 0, 1, false},
		{1, STATE_SKIPPED, 0, 0, 0, true},
		{1, STATE_SKIPPED, 1, 0, 0, false},
		{1, STATE_SKIPPED + 1, 0, 0, 0, false},
		{0, STATE_OK, 1, 3, 0, false},
		{STATE_OPS_MOST, STATE_OK, 1, 3, 0, true},
		{STATE_OPS_MOST + 1, STATE_OK, 1, 3, 0, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_out out;
		ipc_out_init(&out);
		ipc_put_u32(&out, rows[i].n);
		for (uint32_t k = 0; k < rows[i].n; k++) {
			ipc_put_u8(&out, rows[i].status);
			ipc_put_u8(&out, rows[i].yes);
			ipc_put_u64(&out, 0);
			ipc_put_u64(&out, rows[i].count);
			ipc_put_u64(&out, 0);
			ipc_put_slice(&out, (struct slice){value, rows[i].value});
		}
		if (takes_answers(payload_taken(&out, arena)) != rows[i].ok)
			fail_msg("row %zu", i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ops),
		cmocka_unit_test(test_ops_garbage),
		cmocka_unit_test(test_wrong_ops),
		cmocka_unit_test(test_bounds_of_ops),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_wrong_answers),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
