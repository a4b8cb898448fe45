/*
 * Memory that a process shares with all that it forks afterwards, for small tables that each
 * of them reads and writes; and a lock for it that outlives its holder, since a process may be
 * killed at any instruction.
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
 * Zeros; never freed: they live as long as the last of the processes. NULL and err, which names
 * `what`. slice_hash is the same in all processes from here on.
 */
void *shared_new(size_t bytes, const char *what, struct err *err);

void shared_lock_init(struct shared_lock *l); /* in such memory, before the first fork */
/* False: who held it has died inside, and what it guards may be half-written. It is held
 * anyway. */
bool shared_lock(struct shared_lock *l);
void shared_unlock(struct shared_lock *l);

#endif
