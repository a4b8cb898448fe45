/*
 * What an operation does to one entry: no I/O, no clock, the time is an argument. The clock may
 * go back: what an entry holds is then taken as of now, so that nobody waits for a time that
 * was wrong, and nothing that was counted is forgotten.
 *
 * A bucket of N in a span S holds parts of 1/S token: N tokens are N * S parts, and N parts run
 * out each millisecond. No division rounds, so N pass at once and the next one passes in the
 * very millisecond in which there is room for it.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "state/local_priv.h"

/* A change of the time zone, or of the clock over midnight, by no more than this keeps to the
 * later period; what lies further ahead was counted by a clock that was wrong. */
static const uint64_t zones_ms = UINT64_C(26) * 3600 * 1000;

__extension__ typedef unsigned __int128 parts;

struct slice
entry_key(const struct entry *e)
{
	return (struct slice){e->key, e->key_n};
}

void
entry_clear(struct entry *e)
{
	if (e->type == ENTRY_MEMO)
		mem_free(e->u.kept.value);
	memset(&e->u, 0, sizeof(e->u));
	e->type = ENTRY_NONE;
}

/* ---- buckets ---- */

static parts
level_of(const struct entry *e)
{
	return (parts)e->u.bucket.wait_ms * e->u.bucket.limit + e->u.bucket.rest;
}

static void
level_set(struct entry *e, parts level)
{
	e->u.bucket.wait_ms = (uint64_t)(level / e->u.bucket.limit);
	e->u.bucket.rest = (uint32_t)(level % e->u.bucket.limit);
}

static uint64_t
tokens_of(const struct entry *e)
{
	uint64_t span = e->u.bucket.span_ms;
	return (uint64_t)((level_of(e) + span - 1) / span);
}

/* What has run out until now is out. */
static void
bucket_sink(struct entry *e, uint64_t now)
{
	uint64_t passed = now > e->at_ms ? now - e->at_ms : 0;
	if (passed > e->u.bucket.wait_ms)
		e->u.bucket.wait_ms = e->u.bucket.rest = 0;
	else
		e->u.bucket.wait_ms -= passed;
	e->at_ms = now;
}

static bool
bucket_is_empty(const struct entry *e, uint64_t now)
{
	uint64_t passed = now > e->at_ms ? now - e->at_ms : 0;
	return passed > e->u.bucket.wait_ms ||
	       (passed == e->u.bucket.wait_ms && e->u.bucket.rest == 0);
}

/* Another limit under the same key: what is in use stays so. */
static void
bucket_fit(struct entry *e, const struct state_op *op, uint64_t now)
{
	uint64_t used = 0;
	if (e->type == ENTRY_BUCKET && e->u.bucket.limit == op->limit &&
		e->u.bucket.span_ms == op->span_ms) {
		bucket_sink(e, now);
		return;
	}
	if (e->type == ENTRY_BUCKET) {
		bucket_sink(e, now);
		used = tokens_of(e);
	}
	entry_clear(e);
	e->type = ENTRY_BUCKET;
	e->at_ms = now;
	e->u.bucket.limit = (uint32_t)op->limit;
	e->u.bucket.span_ms = op->span_ms;
	level_set(e, (parts)(used < op->limit ? used : op->limit) * op->span_ms);
}

static void
bucket_take(struct entry *e, const struct state_op *op, uint64_t now, struct state_answer *a)
{
	bucket_fit(e, op, now);
	parts before = level_of(e), level = before + (parts)op->n * op->span_ms;
	parts most = (parts)op->limit * op->span_ms;
	a->at_ms = now;
	a->yes = level <= most;
	if (a->yes) {
		if (before < op->span_ms)
			e->u.bucket.low_ms = now;
		level_set(e, level);
		e->touched = true;
	} else {
		a->wait_ms = (uint64_t)((level - most + op->limit - 1) / op->limit);
	}
	a->count = tokens_of(e);
}

/* What was taken before the bucket was last as good as empty has run out of it. */
static void
bucket_give(struct entry *e, const struct state_op *op, uint64_t now)
{
	if (e->type != ENTRY_BUCKET || e->u.bucket.span_ms != op->span_ms ||
		(op->taken_ms != 0 && op->taken_ms < e->u.bucket.low_ms))
		return;
	bucket_sink(e, now);
	parts level = level_of(e), given = (parts)op->n * op->span_ms;
	level_set(e, level > given ? level - given : 0);
	e->touched = true;
}

/* ---- counters ---- */

/* The period that is counted in now; it never goes back to one that has ended. */
static int64_t
counter_now(const struct entry *e, const struct moment *at)
{
	int64_t now = at->calendar->now[e->u.counter.period];
	bool wrong = e->at_ms > at->ms + zones_ms;
	return e->u.counter.number > now && !wrong ? e->u.counter.number : now;
}

static void
counter_fit(struct entry *e, enum state_period period, const struct moment *at)
{
	if (e->type != ENTRY_COUNTER || e->u.counter.period != period) {
		entry_clear(e);
		e->type = ENTRY_COUNTER;
		e->u.counter.period = period;
		e->u.counter.number = at->calendar->now[period];
	}
	int64_t now = counter_now(e, at);
	if (e->u.counter.number < now)
		e->u.counter.count = 0;
	e->u.counter.number = now;
	e->at_ms = at->ms;
}

static void
counter_count(struct entry *e, const struct state_op *op, const struct moment *at,
	struct state_answer *a)
{
	counter_fit(e, op->period, at);
	e->u.counter.limit = (uint32_t)op->limit;
	a->at_ms = at->ms;
	a->yes = e->u.counter.count + op->n <= op->limit;
	if (a->yes) {
		e->u.counter.count += (uint32_t)op->n;
		e->touched = true;
	} else {
		uint64_t next = calendar_start_ms(op->period, e->u.counter.number + 1, at->ms);
		a->wait_ms = next - at->ms;
	}
	a->count = e->u.counter.count;
}

static void
counter_give(struct entry *e, const struct state_op *op, const struct moment *at)
{
	if (e->type != ENTRY_COUNTER || e->u.counter.period != op->period)
		return;
	int64_t now = counter_now(e, at);
	if (e->u.counter.number < now ||
		(op->taken_ms != 0 && calendar_number(op->period, op->taken_ms) < now &&
			op->taken_ms < at->ms && now == at->calendar->now[op->period]))
		return; /* it was another period's */
	e->u.counter.count -=
		(uint32_t)(op->n < e->u.counter.count ? op->n : e->u.counter.count);
	e->touched = true;
}

/* ---- what is kept for a time ---- */

static bool
kept_is_over(const struct entry *e, uint64_t now)
{
	return now > e->at_ms && now - e->at_ms >= e->u.kept.keep_ms;
}

/* What was kept by a clock that was wrong. */
static void
kept_as_of_now(struct entry *e, uint64_t now)
{
	if (e == NULL || e->type < ENTRY_TUPLE || e->at_ms <= now + zones_ms)
		return;
	e->at_ms = now;
	e->touched = true;
}

static uint64_t
kept_wait(const struct entry *e, uint64_t now)
{
	uint64_t passed = now > e->at_ms ? now - e->at_ms : 0;
	return passed < e->u.kept.keep_ms ? e->u.kept.keep_ms - passed : 0;
}

static void
kept_set(struct entry *e, enum entry_type type, uint64_t keep_ms, uint64_t now)
{
	if (e->type != type)
		entry_clear(e);
	e->type = (uint8_t)type;
	e->at_ms = now;
	e->u.kept.keep_ms = keep_ms;
	e->touched = true;
}

static bool
kept_is(const struct entry *e, enum entry_type type, uint64_t now)
{
	return e != NULL && e->type == type && !kept_is_over(e, now);
}

static void
tuple_seen(struct entry *e, struct entry *passer, const struct state_op *op, uint64_t now,
	struct state_answer *a)
{
	if (kept_is(passer, ENTRY_PASSER, now)) {
		a->count = passer->u.kept.passes;
		a->yes = op->passes != 0 && passer->u.kept.passes >= op->passes;
	}
	if (kept_is(e, ENTRY_TUPLE, now) && e->u.kept.passed)
		a->yes = true;
	if (a->yes)
		return;
	if (e->type != ENTRY_TUPLE || e->u.kept.passed || e->at_ms > now ||
		now - e->at_ms > op->within_ms) {
		kept_set(e, ENTRY_TUPLE, op->within_ms + 1, now);
		e->u.kept.passed = false;
	}
	uint64_t passed = now - e->at_ms;
	a->yes = passed >= op->delay_ms;
	a->wait_ms = a->yes ? 0 : op->delay_ms - passed;
}

static void
tuple_passed(struct entry *e, struct entry *passer, const struct state_op *op, uint64_t now)
{
	kept_set(e, ENTRY_TUPLE, op->ttl_ms, now);
	e->u.kept.passed = true;
	if (passer == NULL)
		return;
	if (!kept_is(passer, ENTRY_PASSER, now))
		entry_clear(passer);
	kept_set(passer, ENTRY_PASSER, op->ttl_ms, now);
	passer->u.kept.passes++;
}

static void
memo_set(struct entry *e, const struct state_op *op, uint64_t now)
{
	entry_clear(e);
	kept_set(e, ENTRY_MEMO, op->ttl_ms, now);
	e->u.kept.value = op->value.n != 0 ? mem_new(op->value.n) : NULL;
	if (op->value.n != 0)
		memcpy(e->u.kept.value, op->value.p, op->value.n);
	e->u.kept.value_n = (uint32_t)op->value.n;
}

/* ---- all of them ---- */

bool
entry_is_over(const struct entry *e, const struct moment *at)
{
	switch ((enum entry_type)e->type) {
	case ENTRY_BUCKET: return bucket_is_empty(e, at->ms);
	case ENTRY_COUNTER:
		return e->u.counter.count == 0 || e->u.counter.number < counter_now(e, at);
	case ENTRY_TUPLE:
	case ENTRY_PASSER:
	case ENTRY_MEMO: return kept_is_over(e, at->ms);
	case ENTRY_NONE:
	case ENTRY_TYPES: break;
	}
	return true;
}

void
entry_show(const struct entry *e, const struct moment *at, struct state_item *item_out)
{
	struct entry copy = *e; /* without its key */
	uint64_t until = 0;
	*item_out = (struct state_item){.key = entry_key(e)};
	switch ((enum entry_type)e->type) {
	case ENTRY_BUCKET:
		bucket_sink(&copy, at->ms);
		until = at->ms + copy.u.bucket.wait_ms + (copy.u.bucket.rest != 0);
		item_out->count = tokens_of(&copy);
		item_out->limit = copy.u.bucket.limit;
		break;
	case ENTRY_COUNTER:
		until = calendar_start_ms(e->u.counter.period, counter_now(e, at) + 1, at->ms);
		item_out->count = e->u.counter.count;
		item_out->limit = e->u.counter.limit;
		break;
	case ENTRY_TUPLE:
	case ENTRY_PASSER:
	case ENTRY_MEMO:
		until = at->ms + kept_wait(e, at->ms);
		item_out->count = e->u.kept.passes;
		item_out->value = (struct slice){e->u.kept.value, e->u.kept.value_n};
		if (e->type == ENTRY_TUPLE)
			item_out->value = e->u.kept.passed ? SLICE("passed") : SLICE("waits");
		break;
	case ENTRY_NONE:
	case ENTRY_TYPES: break;
	}
	item_out->until_ms = until;
}

static void
entry_get(const struct entry *e, const struct moment *at, struct state_answer *a)
{
	struct state_item item;
	a->yes = !entry_is_over(e, at);
	if (!a->yes)
		return;
	entry_show(e, at, &item);
	a->count = item.count;
	a->value = item.value;
	a->wait_ms = item.until_ms > at->ms ? item.until_ms - at->ms : 0;
}

void
entry_apply(struct entry *e, struct entry *passer, const struct state_op *op,
	const struct moment *at, struct state_answer *answer_out)
{
	struct state_answer *a = answer_out;
	*a = (struct state_answer){.status = STATE_OK};
	kept_as_of_now(e, at->ms);
	kept_as_of_now(passer, at->ms);
	switch (op->kind) {
	case STATE_GET: entry_get(e, at, a); break;
	case STATE_SET: memo_set(e, op, at->ms); break;
	case STATE_DROP:
		a->yes = !entry_is_over(e, at);
		e->touched |= e->type != ENTRY_NONE;
		entry_clear(e);
		break;
	case STATE_TAKE: bucket_take(e, op, at->ms, a); break;
	case STATE_COUNT: counter_count(e, op, at, a); break;
	case STATE_GIVE:
		if (op->space == STATE_RATE)
			bucket_give(e, op, at->ms);
		else
			counter_give(e, op, at);
		break;
	case STATE_SEEN: tuple_seen(e, passer, op, at->ms, a); break;
	case STATE_PASS: tuple_passed(e, passer, op, at->ms); break;
	case STATE_KINDS: must(op->kind < STATE_KINDS);
	}
}
