/*
 * The engine on local files beside a naive model, by long random runs: operations on a few
 * keys, time that passes in steps of all sizes, writes, restarts and a table in memory that is
 * far too small. The model counts otherwise than the engine does: buckets in parts of a token
 * by the millisecond, periods by strftime's words, tuples by their times alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "random.h"
#include "state_lab.h"

enum { KEYS = 12, STEPS = 30000 };

__extension__ typedef unsigned __int128 wide;

struct bucket {
	wide parts; /* 1/span token each */
	uint64_t low_ms;
};
struct counter {
	char period[16];
	uint64_t count;
};
struct tuple {
	uint64_t first_ms, passed_ms; /* 0: none */
};
struct passer {
	uint64_t passes, last_ms;
};
struct memo {
	uint64_t set_ms; /* 0: none */
	char value[16];
};

static struct {
	uint64_t seed;
	uint64_t now_ms;
	struct bucket buckets[KEYS];
	struct counter counters[KEYS];
	struct tuple tuples[KEYS];
	struct passer passers[KEYS];
	struct memo memos[KEYS];
	size_t yes[STATE_KINDS], no[STATE_KINDS];
} m;

/* Each key has its own limit and span, some of them odd. */
static uint64_t
limit_of(size_t k)
{
	static const uint64_t limits[KEYS] = {1, 2, 3, 7, 10, 11, 60, 100, 101, 997, 5, 13};
	return limits[k];
}

static uint64_t
span_of(size_t k)
{
	static const uint64_t spans[KEYS] = {1000, 60000, 3600000, 86400000, 1009, 7777, 1000,
		60000, 3600000, 86400000, 31622400000, 1001};
	return spans[k];
}

enum {
	DELAY_MS = 300000,
	WITHIN_MS = 7200000,
	KEEP_MS = 86400000,
	PASSES = 4,
	MEMO_MS = 72000000
};

/* ---- the model ---- */

static void
model_time(uint64_t ms)
{
	for (size_t k = 0; k < KEYS; k++) {
		wide out = (wide)ms * limit_of(k);
		m.buckets[k].parts = m.buckets[k].parts > out ? m.buckets[k].parts - out : 0;
	}
	m.now_ms += ms;
}

static void
period_words(enum state_period p, char out[16])
{
	time_t t = (time_t)(m.now_ms / 1000);
	struct tm tm;
	size_t n = 0;
	assert_non_null(localtime_r(&t, &tm));
	switch (p) {
	case PERIOD_DAY: n = strftime(out, 16, "%Y-%m-%d", &tm); break;
	case PERIOD_WEEK: n = strftime(out, 16, "%G-W%V", &tm); break;
	case PERIOD_MONTH: n = strftime(out, 16, "%Y-%m", &tm); break;
	case PERIODS: break;
	}
	assert_true(n > 0);
}

static bool
model_take(size_t k, uint64_t n)
{
	struct bucket *b = &m.buckets[k];
	if (b->parts + (wide)n * span_of(k) > (wide)limit_of(k) * span_of(k))
		return false;
	if (b->parts < span_of(k))
		b->low_ms = m.now_ms;
	b->parts += (wide)n * span_of(k);
	return true;
}

static void
model_give_bucket(size_t k, uint64_t n, uint64_t taken_ms)
{
	struct bucket *b = &m.buckets[k];
	wide given = (wide)n * span_of(k);
	if (b->parts == 0 || taken_ms < b->low_ms)
		return;
	b->parts = b->parts > given ? b->parts - given : 0;
}

static bool
model_count(size_t k, uint64_t n)
{
	struct counter *c = &m.counters[k];
	char now[16];
	period_words((enum state_period)(k % PERIODS), now);
	if (strcmp(now, c->period) != 0)
		c->count = 0;
	memcpy(c->period, now, sizeof(now));
	if (c->count + n > limit_of(k))
		return false;
	c->count += n;
	return true;
}

static bool
model_seen(size_t k, size_t p)
{
	struct tuple *t = &m.tuples[k];
	if (m.passers[p].passes >= PASSES && m.now_ms - m.passers[p].last_ms < KEEP_MS)
		return true;
	if (t->passed_ms != 0 && m.now_ms - t->passed_ms < KEEP_MS)
		return true;
	if (t->passed_ms != 0 || t->first_ms == 0 || m.now_ms - t->first_ms > WITHIN_MS)
		t->first_ms = m.now_ms;
	t->passed_ms = 0;
	return m.now_ms - t->first_ms >= DELAY_MS;
}

static void
model_pass(size_t k, size_t p)
{
	if (m.passers[p].passes != 0 && m.now_ms - m.passers[p].last_ms >= KEEP_MS)
		m.passers[p].passes = 0;
	m.passers[p].passes++;
	m.passers[p].last_ms = m.tuples[k].passed_ms = m.now_ms;
}

/* ---- both ---- */

static bool
ask(struct state_lab *lab, const struct state_op *op, struct state_answer *a)
{
	*a = state_lab_ask(lab, op);
	assert_int_equal(a->status, STATE_OK);
	m.yes[op->kind] += a->yes;
	m.no[op->kind] += !a->yes;
	return a->yes;
}

static void
check(size_t step, const char *what, size_t k, bool engine, bool model)
{
	if (engine != model)
		fail_msg("step %zu: %s %zu: the engine says %d, the model %d", step, what, k,
			engine, model);
}

static void
step_bucket(struct state_lab *lab, size_t step, size_t k)
{
	static struct state_answer taken[KEYS];
	static uint64_t taken_n[KEYS];
	char key[32];
	struct state_answer a;
	snprintf(key, sizeof(key), "bucket %zu", k);
	uint64_t n = 1 + random_below(&m.seed, limit_of(k) < 4 ? limit_of(k) : 4);
	struct state_op op = state_take(key, limit_of(k), span_of(k), n);
	if (random_below(&m.seed, 4) == 0 && taken_n[k] != 0) {
		op.n = taken_n[k];
		op = state_give(&op, &taken[k]);
		ask(lab, &op, &a);
		model_give_bucket(k, taken_n[k], taken[k].at_ms);
		taken_n[k] = 0;
		return;
	}
	bool model = model_take(k, n);
	check(step, "bucket", k, ask(lab, &op, &a), model);
	uint64_t used = (uint64_t)((m.buckets[k].parts + span_of(k) - 1) / span_of(k));
	assert_int_equal(a.count, used);
	if (model) {
		taken[k] = a;
		taken_n[k] = n;
	}
}

static void
step_counter(struct state_lab *lab, size_t step, size_t k)
{
	char key[32], now[16];
	struct state_answer a;
	snprintf(key, sizeof(key), "counter %zu", k);
	uint64_t n = 1 + random_below(&m.seed, limit_of(k) < 3 ? limit_of(k) : 3);
	struct state_op op = state_count(key, limit_of(k), (enum state_period)(k % PERIODS), n);
	bool model = model_count(k, n);
	check(step, "counter", k, ask(lab, &op, &a), model);
	assert_int_equal(a.count, m.counters[k].count);
	if (!model || random_below(&m.seed, 4) != 0)
		return;
	/* Given back after a while, in which the period may have ended. */
	uint64_t wait = random_below(&m.seed, 2) * random_below(&m.seed, LAB_DAY);
	lab->now_ms += wait;
	model_time(wait);
	op = state_give(&op, &a);
	ask(lab, &op, &a);
	period_words((enum state_period)(k % PERIODS), now);
	if (strcmp(now, m.counters[k].period) == 0)
		m.counters[k].count -= n;
}

static void
step_grey(struct state_lab *lab, size_t step, size_t k)
{
	char key[32], passer[32];
	struct state_answer a;
	size_t p = k / 3;
	snprintf(key, sizeof(key), "tuple %zu", k);
	snprintf(passer, sizeof(passer), "net %zu", p);
	struct state_op op = {.kind = STATE_SEEN,
		.space = STATE_GREY,
		.key = slice_of(key),
		.passer = slice_of(passer),
		.passes = PASSES,
		.delay_ms = DELAY_MS,
		.within_ms = WITHIN_MS,
		.ttl_ms = KEEP_MS};
	bool model = model_seen(k, p);
	check(step, "tuple", k, ask(lab, &op, &a), model);
	if (!a.yes)
		assert_int_equal(a.wait_ms, m.tuples[k].first_ms + DELAY_MS - m.now_ms);
	if (!model || random_below(&m.seed, 3) == 0)
		return;
	op.kind = STATE_PASS;
	ask(lab, &op, &a);
	model_pass(k, p);
}

static void
step_memo(struct state_lab *lab, size_t step, size_t k)
{
	char key[32];
	struct state_answer a;
	struct memo *memo = &m.memos[k];
	snprintf(key, sizeof(key), "memo %zu", k);
	struct state_op op = state_key(STATE_GET, STATE_MEMO, key);
	bool there = memo->set_ms != 0 && m.now_ms - memo->set_ms < MEMO_MS;
	check(step, "memo", k, ask(lab, &op, &a), there);
	if (there) {
		assert_true(slice_eq(a.value, slice_of(memo->value)));
		assert_int_equal(a.wait_ms, memo->set_ms + MEMO_MS - m.now_ms);
	}
	if (random_below(&m.seed, 4) == 0) {
		op.kind = STATE_DROP;
		check(step, "drop", k, ask(lab, &op, &a), there);
		memo->set_ms = 0;
	} else if (random_below(&m.seed, 2) == 0) {
		snprintf(memo->value, sizeof(memo->value), "%llu",
			(unsigned long long)random_below(&m.seed, 1000000));
		op.kind = STATE_SET;
		op.value = slice_of(memo->value);
		op.ttl_ms = MEMO_MS;
		ask(lab, &op, &a);
		memo->set_ms = m.now_ms;
	}
}

static void
step_world(struct state_lab *lab)
{
	static const uint64_t steps[] = {0, 0, 1, 7, 1000, 13333, 300000, 3600000};
	uint64_t ms = steps[random_below(&m.seed, sizeof(steps) / sizeof(steps[0]))];
	ms = ms > 1 ? random_below(&m.seed, 2 * ms) : ms;
	if (random_below(&m.seed, 300) == 0)
		ms += random_below(&m.seed, 40 * LAB_DAY);
	lab->now_ms += ms;
	model_time(ms);
	if (random_below(&m.seed, 50) == 0)
		state_lab_write(lab);
	if (random_below(&m.seed, 200) == 0) {
		state_lab_close(lab);
		state_lab_open(lab);
	}
}

static void
run(uint64_t seed, size_t hot_most)
{
	static struct state_lab lab;
	lab = (struct state_lab){.config = {.hot_most = hot_most}};
	memset(&m, 0, sizeof(m));
	m.seed = seed;
	state_lab_zone("Europe/Berlin");
	m.now_ms = lab.now_ms = state_lab_time("2026-03-01 00:00:00");
	state_lab_make(&lab);
	for (size_t i = 0; i < STEPS; i++) {
		size_t k = random_below(&m.seed, KEYS);
		switch (random_below(&m.seed, 4)) {
		case 0: step_bucket(&lab, i, k); break;
		case 1: step_counter(&lab, i, k); break;
		case 2: step_grey(&lab, i, k); break;
		default: step_memo(&lab, i, k); break;
		}
		step_world(&lab);
		struct err err;
		/* A table that is full of what waits for the writer would have to forget. */
		if (hot_most != 0)
			assert_int_equal(local_settle(lab.local, &err), 0);
	}
	state_lab_drop(&lab);
	/* A run in which something never happened has tested nothing of it. */
	assert_true(m.yes[STATE_TAKE] > 1000 && m.no[STATE_TAKE] > 300);
	assert_true(m.yes[STATE_COUNT] > 1000 && m.no[STATE_COUNT] > 300);
	assert_true(m.yes[STATE_SEEN] > 300 && m.no[STATE_SEEN] > 1000);
	assert_true(m.yes[STATE_GET] > 300 && m.no[STATE_GET] > 1000);
	assert_true(m.yes[STATE_DROP] > 100);
}

static void
test_all_in_memory(void **state)
{
	(void)state;
	run(1, 0);
}

static void
test_small_table(void **state)
{
	(void)state;
	run(2, 40); /* of up to 52 */
}

static void
test_other_seed(void **state)
{
	(void)state;
	run(29112026, 45);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_in_memory),
		cmocka_unit_test(test_small_table),
		cmocka_unit_test(test_other_seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
