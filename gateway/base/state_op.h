/*
 * One operation on the gateway's state, and its answer, as values: made by filters, carried by
 * messages, done by the keeper (state/state.h). State is what is small, shared by all processes
 * and outlives them: counters of limits, tuples of the greylist, what is remembered. Each
 * operation is one atomic step where the state is, never a get and a put.
 *
 * Times are milliseconds of the wall clock; the keeper's clock counts, not the asker's.
 */
#ifndef BASE_STATE_OP_H
#define BASE_STATE_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { STATE_KEY_MOST = 400, STATE_VALUE_MOST = 1024, STATE_LIMIT_MOST = 1000000000 };

/* A space of keys: what `postern limits` shows apart, and what is kept for how long. */
enum state_space {
	STATE_RATE,  /* token buckets; key "user alice 200/3600000" */
	STATE_QUOTA, /* counters of calendar periods */
	STATE_GREY,  /* greylist: tuples, and passers */
	STATE_MEMO,  /* anything else with a time to live */
	STATE_SPACES
};

enum state_kind {
	STATE_GET,   /* yes: it is there; value, wait_ms: until it goes. ttl_ms, 0: none, is for
			the asker: it is SET for so long when the mail goes on to somebody */
	STATE_SET,   /* value, ttl_ms */
	STATE_DROP,  /* yes: it was there */
	STATE_TAKE,  /* n of a bucket of `limit` that refills evenly within span_ms */
	STATE_COUNT, /* n of at most `limit` in the calendar period that now is in */
	STATE_GIVE,  /* back what TAKE or COUNT (by `limit`, span_ms, period) took: n */
	STATE_SEEN,  /* a greylist tuple: yes: it may pass now. It is noted where it is new */
	STATE_PASS,  /* a tuple's mail was accepted: tuple and passer are remembered, ttl_ms */
	STATE_KINDS
};

/* Calendar periods by the machine's local time; a week begins on Monday (ISO 8601). */
enum state_period { PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH, PERIODS };

struct state_op {
	enum state_kind kind;
	enum state_space space;
	/* In a message: done only where the operation before it was, and was answered "yes". */
	bool chained;
	struct slice key; /* 1 to STATE_KEY_MOST bytes, printable where people see it */
	struct slice value;
	uint64_t ttl_ms;
	/* TAKE, COUNT, GIVE */
	uint64_t limit;   /* 1 to STATE_LIMIT_MOST */
	uint64_t span_ms; /* TAKE: 1 s to 366 d */
	enum state_period period;
	uint64_t n; /* 1 to limit; more is refused by the limit itself */
	/* GIVE: the answer's at_ms, so that what was taken of an earlier period, or has run out
	 * of its bucket since, is not given back again. 0: not known, taken just now. */
	uint64_t taken_ms;
	/* SEEN, PASS */
	struct slice passer; /* a second key, of the network alone; empty: none */
	uint64_t passes;     /* SEEN: it may pass at once when its passer has passed so often */
	uint64_t delay_ms,
		within_ms; /* SEEN: not before, and not later than, after the first */
};

enum state_status {
	STATE_OK,
	STATE_FAILED,  /* no keeper, or it cannot say: nothing was taken */
	STATE_SKIPPED, /* `chained`, and the one before was not "yes": nothing was done */
};

struct state_answer {
	enum state_status status;
	bool yes; /* TAKE, COUNT: taken; see the kinds */
	uint64_t
		wait_ms; /* not yes: when it would be (TAKE, COUNT, SEEN); GET: until it goes */
	uint64_t count;  /* TAKE, COUNT: in use now, this one included where it was taken */
	uint64_t at_ms;  /* TAKE, COUNT: when, by the keeper's clock: for GIVE */
	struct slice value;
};

#endif
