/*
 * Tables that processes share, and their locks; see shared.h. Made by the parent before it
 * forks the sessions.
 */
#include "io/shared.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/must.h"
#include "base/slice.h"

void *
shared_new(size_t bytes, const char *what, struct err *err)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		err_sys(err, "map %s", what);
		return NULL;
	}
	(void)slice_hash(SLICE("")); /* its key is made at the first use */
	return p;
}

void
shared_lock_init(struct shared_lock *l)
{
	pthread_mutexattr_t attr;
	must(pthread_mutexattr_init(&attr) == 0);
	must(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	must(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	must(pthread_mutex_init(&l->mutex, &attr) == 0);
	must(pthread_mutexattr_destroy(&attr) == 0);
}

bool
shared_lock(struct shared_lock *l)
{
	int result = pthread_mutex_lock(&l->mutex);
	bool died = result == EOWNERDEAD;
	if (died)
		result = pthread_mutex_consistent(&l->mutex);
	must(result == 0);
	return !died;
}

void
shared_unlock(struct shared_lock *l)
{
	must(pthread_mutex_unlock(&l->mutex) == 0);
}
