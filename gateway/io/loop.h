/*
 * The event loop of a process: descriptors, timers, tasks that run later in this turn, signals.
 * The only user of libevent. One loop per process, one thread; every callback runs inside
 * loop_run, never inside the call that armed it. Callbacks may arm, clear and free anything,
 * themselves too.
 *
 * A turn: descriptors that are ready, then timers that are due, then tasks (a task queued by a
 * task runs in the same turn, at most LOOP_TASK_ROUNDS deep; what is left runs next turn).
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_watch;

typedef void loop_fn(void *arg);
typedef void loop_fd_fn(void *arg, unsigned ready); /* LOOP_READ | LOOP_WRITE */
typedef void loop_signal_fn(void *arg, int signo);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
enum { LOOP_TASK_ROUNDS = 8, LOOP_SIGNALS_MOST = 8 };

struct loop *loop_new(struct err *err); /* NULL: err */
void loop_free(struct loop **l);        /* watches, timers and tasks must be gone; takes NULL */
int loop_run(struct loop *l, struct err *err); /* until loop_stop: 0, or -1 and err */
void loop_stop(struct loop *l);                /* loop_run returns after this turn */
uint64_t loop_now(struct loop *l);             /* monotonic ms, read once a turn */

/* A descriptor stays the caller's; free the watch before closing it. LOOP_READ also means EOF,
 * error. */
struct loop_watch *loop_watch_new(struct loop *l, int fd, loop_fd_fn *fn, void *arg);
void loop_watch_set(struct loop_watch *w, unsigned wanted); /* 0: nothing */
void loop_watch_free(struct loop_watch **w);

/*
 * A timer is embedded in what it serves. Moving one that is set to a later time costs nothing
 * (the usual case: a session's deadline pushed on by each command); any other change is O(log
 * n).
 */
struct loop_timer {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	uint64_t due_ms;  /* when fn runs; 0: not set */
	uint64_t heap_ms; /* where it stands in the heap; never later than due_ms */
	size_t slot;      /* its place there, from 1; 0: not in it */
};

void loop_timer_init(struct loop_timer *t, struct loop *l, loop_fn *fn, void *arg);
void
loop_timer_set(struct loop_timer *t, uint64_t after_ms); /* fn runs once, after so many ms */
void loop_timer_clear(struct loop_timer *t); /* before its memory goes; harmless when not set */
bool loop_timer_is_set(const struct loop_timer *t);

/* A call made later in this turn, once however often it is queued before; embedded likewise. */
struct loop_task {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	struct loop_task *next, *prev; /* NULL: not queued */
};

void loop_task_init(struct loop_task *t, struct loop *l, loop_fn *fn, void *arg);
void loop_task_queue(struct loop_task *t);
void loop_task_clear(struct loop_task *t); /* before its memory goes */

/*
 * From now on signo is blocked and arrives as a callback (SIGTERM, SIGHUP, SIGCHLD); several of
 * one kind may arrive as one. A forked child gets its mask back by child_fork.
 */
int loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg, struct err *err);

#endif
