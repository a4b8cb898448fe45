/*
 * An entry as a record on disk: its type, its time and what the type needs, little-endian. What
 * is read has been written by us or by nobody knows whom: every number is held against its
 * bounds before it is counted with.
 */
#include <string.h>

#include "base/mem.h"
#include "state/local_priv.h"

struct cursor {
	char *out;
	const char *in;
	size_t left;
	bool bad;
};

static void
put(struct cursor *c, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		*c->out++ = (char)(v >> (8 * i) & 0xff);
}

static uint64_t
get(struct cursor *c, size_t bytes)
{
	uint64_t v = 0;
	if (c->left < bytes) {
		c->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)(unsigned char)*c->in++ << (8 * i);
	c->left -= bytes;
	return v;
}

size_t
entry_pack(const struct entry *e, char record[RECORD_MOST])
{
	struct cursor c = {.out = record};
	put(&c, e->type, 1);
	put(&c, e->at_ms, 8);
	switch ((enum entry_type)e->type) {
	case ENTRY_BUCKET:
		put(&c, e->u.bucket.limit, 4);
		put(&c, e->u.bucket.rest, 4);
		put(&c, e->u.bucket.span_ms, 8);
		put(&c, e->u.bucket.wait_ms, 8);
		put(&c, e->u.bucket.low_ms, 8);
		break;
	case ENTRY_COUNTER:
		put(&c, e->u.counter.period, 1);
		put(&c, (uint64_t)e->u.counter.number, 8);
		put(&c, e->u.counter.limit, 4);
		put(&c, e->u.counter.count, 4);
		break;
	case ENTRY_TUPLE:
	case ENTRY_PASSER:
	case ENTRY_MEMO:
		put(&c, e->u.kept.keep_ms, 8);
		put(&c, e->u.kept.passes, 8);
		put(&c, e->u.kept.passed, 1);
		if (e->u.kept.value_n != 0)
			memcpy(c.out, e->u.kept.value, e->u.kept.value_n);
		c.out += e->u.kept.value_n;
		break;
	case ENTRY_NONE:
	case ENTRY_TYPES: return 0;
	}
	return (size_t)(c.out - record);
}

static bool
bucket_is_right(const struct entry *e)
{
	uint64_t limit = e->u.bucket.limit, span = e->u.bucket.span_ms;
	return limit != 0 && limit <= STATE_LIMIT_MOST && span != 0 &&
	       e->u.bucket.rest < limit && e->u.bucket.wait_ms <= span;
}

static void
get_kept(struct cursor *c, struct entry *e)
{
	e->u.kept.keep_ms = get(c, 8);
	e->u.kept.passes = get(c, 8);
	uint64_t passed = get(c, 1);
	e->u.kept.passed = passed != 0;
	if (c->bad || passed > 1 || c->left > STATE_VALUE_MOST ||
		(c->left != 0 && e->type != ENTRY_MEMO)) {
		c->bad = true;
		return;
	}
	if (c->left != 0) {
		e->u.kept.value = mem_new(c->left);
		memcpy(e->u.kept.value, c->in, c->left);
	}
	e->u.kept.value_n = (uint32_t)c->left;
	c->left = 0;
}

bool
entry_unpack(struct slice record, struct entry *e)
{
	struct cursor c = {.in = record.p, .left = record.n};
	entry_clear(e);
	uint64_t type = get(&c, 1);
	e->at_ms = get(&c, 8);
	if (c.bad || type == ENTRY_NONE || type >= ENTRY_TYPES)
		return false;
	e->type = (uint8_t)type;
	if (type == ENTRY_BUCKET) {
		e->u.bucket.limit = (uint32_t)get(&c, 4);
		e->u.bucket.rest = (uint32_t)get(&c, 4);
		e->u.bucket.span_ms = get(&c, 8);
		e->u.bucket.wait_ms = get(&c, 8);
		e->u.bucket.low_ms = get(&c, 8);
		c.bad |= !bucket_is_right(e);
	} else if (type == ENTRY_COUNTER) {
		uint64_t period = get(&c, 1);
		e->u.counter.period = period < PERIODS ? (enum state_period)period : PERIOD_DAY;
		e->u.counter.number = (int64_t)get(&c, 8);
		e->u.counter.limit = (uint32_t)get(&c, 4);
		e->u.counter.count = (uint32_t)get(&c, 4);
		c.bad |= period >= PERIODS || e->u.counter.limit > STATE_LIMIT_MOST ||
			 e->u.counter.count > STATE_LIMIT_MOST;
	} else {
		get_kept(&c, e);
	}
	if (!c.bad && c.left == 0)
		return true;
	entry_clear(e);
	return false;
}
