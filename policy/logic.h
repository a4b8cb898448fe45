/*
 * The values of conditions while they are evaluated: which outcomes are still possible, which
 * can be reached with answers that may come now, and why it is not known yet. Kleene's `and`
 * and `or` over them; `not` stands only at the tests, since policy_compile pushes it there. So
 * a failed fact under `on failure skip` is simply false at its test, whether negated or not:
 * the whole condition comes out false exactly where it would have stayed unknown.
 */
#ifndef POLICY_LOGIC_H
#define POLICY_LOGIC_H

#include <stdbool.h>

enum {
	/* what it can be in the end */
	LOGIC_CAN_TRUE = 1 << 0,
	LOGIC_CAN_FALSE = 1 << 1,
	/* what it can settle to at this stage: true, false, or unknown by failed facts alone */
	LOGIC_NOW_TRUE = 1 << 4,
	LOGIC_NOW_FALSE = 1 << 5,
	LOGIC_NOW_FAILED = 1 << 6,
	/* why it is not known */
	LOGIC_FAILED = 1 << 8,
	LOGIC_LATER = 1 << 9,
	LOGIC_WAITS_CHEAP = 1 << 10,
	LOGIC_WAITS_RESERVE = 1 << 11,
	LOGIC_WAITS_DEAR = 1 << 12,
	LOGIC_UNASKED_CHEAP = 1 << 13,
	LOGIC_UNASKED_RESERVE = 1 << 14,
	LOGIC_UNASKED_DEAR = 1 << 15,

	LOGIC_TRUE = LOGIC_CAN_TRUE | LOGIC_NOW_TRUE,
	LOGIC_FALSE = LOGIC_CAN_FALSE | LOGIC_NOW_FALSE,
	LOGIC_UNKNOWN = LOGIC_CAN_TRUE | LOGIC_CAN_FALSE,
	LOGIC_UNKNOWN_NOW = LOGIC_UNKNOWN | LOGIC_NOW_TRUE | LOGIC_NOW_FALSE,
	LOGIC_WAITS = LOGIC_WAITS_CHEAP | LOGIC_WAITS_RESERVE | LOGIC_WAITS_DEAR,
	LOGIC_WHY = 0xff00,
};

typedef unsigned logic;

static inline bool
logic_known(logic v)
{
	return (v & LOGIC_UNKNOWN) != LOGIC_UNKNOWN;
}

static inline bool
logic_true(logic v)
{
	return (v & LOGIC_UNKNOWN) == LOGIC_CAN_TRUE;
}

static inline bool
logic_false(logic v)
{
	return (v & LOGIC_UNKNOWN) == LOGIC_CAN_FALSE;
}

/* passes: the outcomes of the other side that leave a failed one deciding. */
static inline logic
logic_join(logic r, logic a, logic b, logic passes)
{
	if (((a & LOGIC_NOW_FAILED) != 0 && (b & passes) != 0) ||
		((b & LOGIC_NOW_FAILED) != 0 && (a & passes) != 0))
		r |= LOGIC_NOW_FAILED;
	if (!logic_known(r))
		r |= (a | b) & LOGIC_WHY;
	return r;
}

static inline logic
logic_and(logic a, logic b)
{
	logic r = (a & b & LOGIC_TRUE) | ((a | b) & LOGIC_FALSE);
	return logic_join(r, a, b, LOGIC_NOW_TRUE | LOGIC_NOW_FAILED);
}

static inline logic
logic_or(logic a, logic b)
{
	logic r = ((a | b) & LOGIC_TRUE) | (a & b & LOGIC_FALSE);
	return logic_join(r, a, b, LOGIC_NOW_FALSE | LOGIC_NOW_FAILED);
}

#endif
