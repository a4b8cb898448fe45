/*
 * The clock of notices in shared memory, under a mutex that outlives its holder; see notify.h.
 * Asked when the parcels of a mail are made.
 */
#include "session/notify.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/must.h"

struct entry {
	uint64_t key; /* of rule and address; 0: free */
	uint64_t last_ms, left_out;
};

struct notices {
	pthread_mutex_t lock;
	struct entry entries[NOTICES_MOST];
};

struct notices *
notices_new(struct err *err)
{
	struct notices *t = mmap(
		NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attr;
	if (t == MAP_FAILED) {
		err_sys(err, "map the table of notices");
		return NULL;
	}
	must(pthread_mutexattr_init(&attr) == 0);
	must(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
	must(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	must(pthread_mutex_init(&t->lock, &attr) == 0);
	(void)slice_hash(
		SLICE("")); /* the key is made here, so that all processes have the same */
	return t;
}

/* Of the rule's place and address: a reload that changes neither changes nothing here. */
static uint64_t
key_of(const struct rule *r)
{
	uint64_t words[3] = {
		slice_hash(slice_of(r->at.file)), r->at.line, slice_hash_nocase(r->text)};
	uint64_t key = slice_hash((struct slice){(const char *)words, sizeof(words)});
	return key != 0 ? key : 1;
}

static void
lock(struct notices *t)
{
	int result = pthread_mutex_lock(&t->lock);
	if (result == EOWNERDEAD) { /* at most one entry is half-written: all are forgotten */
		memset(t->entries, 0, sizeof(t->entries));
		result = pthread_mutex_consistent(&t->lock);
	}
	must(result == 0);
}

bool
notices_take(struct notices *t, const struct rule *r, uint64_t now_ms, uint64_t *left_out_out)
{
	uint64_t key = key_of(r);
	lock(t);
	struct entry *e = &t->entries[key % NOTICES_MOST];
	bool known = e->key == key;
	bool due = !known || now_ms - e->last_ms >= NOTICE_EVERY_MS;
	*left_out_out = known && due ? e->left_out : 0;
	if (due)
		*e = (struct entry){.key = key, .last_ms = now_ms};
	else
		e->left_out++;
	must(pthread_mutex_unlock(&t->lock) == 0);
	return due;
}
