/*
 * Memory that a process shares with all that it forks afterwards, for small tables that each
 * of them reads and writes. What is shared begins with a struct shared_lock: a mutex that
 * outlives its holder, since a process may be killed at any instruction.
 */
#ifndef IO_SHARED_H
#define IO_SHARED_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"

struct shared_lock {
	pthread_mutex_t mutex;
};

/*
 * Zeros behind a lock that is open; never freed: it lives as long as the last of the processes.
 * NULL and err, which names `what`. slice_hash is the same in all processes from here on.
 */
void *shared_new(size_t bytes, const char *what, struct err *err);

/* False: who held it has died inside, and what it guards may be half-written. It is held
 * anyway. */
bool shared_lock(struct shared_lock *l);
void shared_unlock(struct shared_lock *l);

#endif
