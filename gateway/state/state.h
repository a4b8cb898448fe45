/*
 * The gateway's state as an engine: an asynchronous interface that several can stand behind.
 * One on local files (local.h) is here; a shared one is another implementation of the same
 * calls, held to the same suite (tests/unit/state_conformance_test.c). The keeper owns the
 * engine and alone writes; other processes ask it by messages.h.
 *
 * An answer says what holds from now on in all processes. It need not be on stable storage:
 * what an engine was told is kept over a crash but for the last second of it.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/state_op.h"

struct state;

enum { STATE_OPS_MOST = 64, STATE_PAGE_MOST = 500 };

/* answers: of each op, in their order; valid in the call. May be called before ask returns. */
typedef void state_fn(void *arg, const struct state_answer *answers, size_t n);

struct state_item { /* for people: `postern limits` */
	struct slice key;
	uint64_t count, limit; /* RATE, QUOTA; in use now */
	uint64_t until_ms;     /* wall clock: empty again, or gone; 0: never */
	struct slice value;    /* GREY, MEMO */
};
/* items: at most STATE_PAGE_MOST, valid in the call; next: where it goes on, empty: the end.
 * failed: the engine cannot say. */
typedef void state_page_fn(
	void *arg, const struct state_item *items, size_t n, struct slice next, bool failed);

struct state_calls {
	/* n: up to STATE_OPS_MOST. A wrong op (state_op_ok) is STATE_FAILED, nothing else. */
	void (*ask)(
		struct state *s, const struct state_op *ops, size_t n, state_fn *fn, void *arg);
	/* Keys of a space that begin with prefix, from `from` on (empty: the first). */
	void (*list)(struct state *s, enum state_space space, struct slice prefix,
		struct slice from, state_page_fn *fn, void *arg);
	/* Writes behind what is due; the owner calls it about once a second. -1: it failed,
	 * once more next time; an event was logged at the first failure. */
	int (*flush)(struct state *s, struct err *err);
	void (*close)(struct state **s); /* with a last flush */
};

struct state {
	const struct state_calls *calls;
};

bool state_op_ok(const struct state_op *op);
/* Of the operations of one message, answered up to i: whether i is not to be skipped. */
bool state_op_is_due(const struct state_op *ops, const struct state_answer *answers, size_t i);
const char *state_space_text(enum state_space s); /* "rate" */

#endif
