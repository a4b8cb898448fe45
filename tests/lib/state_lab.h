/*
 * An engine of the state for a test: in a folder of its own, with a clock that the test moves,
 * alone or behind an engine with faults put in (nothing is, until the test says so). Questions
 * are asked one at a time and answered before the call returns.
 */
#ifndef TESTS_STATE_LAB_H
#define TESTS_STATE_LAB_H

#include "state/local.h"

#define LAB_SECOND UINT64_C(1000)
#define LAB_HOUR   (3600 * LAB_SECOND)
#define LAB_DAY    (24 * LAB_HOUR)

struct state_lab {
	char dir[64];
	int dir_fd;
	struct local_config config; /* the test's to change before state_lab_open */
	uint64_t now_ms;            /* what the engine takes the time to be */
	bool with_fault;
	struct state *s;              /* what is asked */
	struct state *local;          /* the engine below, or the same */
	char value[STATE_VALUE_MOST]; /* of the last answer */
};

void state_lab_make(struct state_lab *lab); /* the folder, and opens */
void state_lab_open(struct state_lab *lab);
void state_lab_close(struct state_lab *lab);
void state_lab_drop(struct state_lab *lab); /* closes, and removes all */
/* All that has changed is on disk. */
void state_lab_write(struct state_lab *lab);
struct state_answer state_lab_ask(struct state_lab *lab, const struct state_op *op);
void state_lab_ask_all(struct state_lab *lab, const struct state_op *ops, size_t n,
	struct state_answer *answers_out); /* values are not kept */
/* How many items a listing has, all pages of it; fn may be NULL. */
typedef void state_lab_item_fn(void *arg, const struct state_item *item);
size_t state_lab_list(struct state_lab *lab, enum state_space space, const char *prefix,
	state_lab_item_fn *fn, void *arg);
/* "2026-11-29 23:59:59" by local time. */
uint64_t state_lab_time(const char *text);
void state_lab_zone(const char *tz);

struct state_op state_take(const char *key, uint64_t limit, uint64_t span_ms, uint64_t n);
struct state_op
state_count(const char *key, uint64_t limit, enum state_period period, uint64_t n);
/* Of a take or count, answered so. */
struct state_op state_give(const struct state_op *taken, const struct state_answer *answer);
struct state_op state_key(enum state_kind kind, enum state_space space, const char *key);

/* ---- faults ---- */

enum state_fault {
	STATE_FAULT_NONE,
	STATE_FAULT_FAIL,  /* answers are FAILED, nothing is done; flush and list fail */
	STATE_FAULT_DELAY, /* nothing is done or answered until state_fault_release */
};
struct state *state_fault_new(struct state *below); /* owns it */
void state_fault_set(struct state *fault, enum state_fault f);
size_t state_fault_release(struct state *fault); /* how many questions */

#endif
