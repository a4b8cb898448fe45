/*
 * What holds for every engine: which operations are right, and what spaces are called. An
 * operation comes over a channel from a process that may have been taken over, so all its
 * numbers are looked at here, before an engine counts with them.
 */
#include "state/state.h"

enum { SECOND_MS = 1000 };
static const uint64_t year_ms = UINT64_C(366) * 86400 * 1000;
static const uint64_t ttl_most_ms = UINT64_C(3660) * 86400 * 1000;

static bool
counts_ok(const struct state_op *op)
{
	if (op->limit == 0 || op->limit > STATE_LIMIT_MOST || op->n == 0 || op->n > op->limit)
		return false;
	if (op->space == STATE_RATE)
		return op->kind != STATE_COUNT && op->span_ms >= SECOND_MS &&
		       op->span_ms <= year_ms;
	return op->space == STATE_QUOTA && op->kind != STATE_TAKE && op->period < PERIODS;
}

static bool
tuple_ok(const struct state_op *op)
{
	if (op->passer.n > STATE_KEY_MOST || op->ttl_ms == 0 || op->ttl_ms > ttl_most_ms)
		return false;
	return op->kind == STATE_PASS ||
	       (op->delay_ms <= op->within_ms && op->within_ms <= year_ms);
}

bool
state_op_ok(const struct state_op *op)
{
	if (op->kind >= STATE_KINDS || op->space >= STATE_SPACES || op->key.n == 0 ||
		op->key.n > STATE_KEY_MOST || op->value.n > STATE_VALUE_MOST)
		return false;
	switch (op->kind) {
	case STATE_TAKE:
	case STATE_COUNT:
	case STATE_GIVE: return counts_ok(op);
	case STATE_SEEN:
	case STATE_PASS: return op->space == STATE_GREY && tuple_ok(op);
	case STATE_SET:
		return op->space == STATE_MEMO && op->ttl_ms != 0 && op->ttl_ms <= ttl_most_ms;
	case STATE_GET:
		return op->ttl_ms == 0 ||
		       (op->space == STATE_MEMO && op->ttl_ms <= ttl_most_ms);
	case STATE_DROP:
	case STATE_KINDS: break;
	}
	return true;
}

bool
state_op_is_due(const struct state_op *ops, const struct state_answer *answers, size_t i)
{
	return !ops[i].chained || i == 0 ||
	       (answers[i - 1].status == STATE_OK && answers[i - 1].yes);
}

const char *
state_space_text(enum state_space s)
{
	static const char *const texts[STATE_SPACES] = {"rate", "quota", "greylist", "memo"};
	return s < STATE_SPACES ? texts[s] : "";
}
