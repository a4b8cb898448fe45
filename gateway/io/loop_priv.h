/* Within the folder: the loop's timers (loop_timer.c), and libevent's base for libunbound. */
#ifndef IO_LOOP_PRIV_H
#define IO_LOOP_PRIV_H

#include "io/loop.h"

struct event_base;

struct loop_heap {
	struct loop_timer **at; /* from 1; at[1] is due first */
	size_t n, room;
};

struct event_base *loop_event_base(struct loop *l);
struct loop_heap *loop_heap_of(struct loop *l);
/* What lives on without an owner ends with the loop: fn runs in loop_free, unless cleared
 * before. */
void loop_orphan(struct loop_task *t);
/* Calls what is due at now_ms. */
void loop_heap_run(struct loop_heap *h, uint64_t now_ms);
uint64_t loop_heap_next(const struct loop_heap *h); /* ms, 0: nothing is set */

#endif
