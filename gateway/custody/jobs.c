/*
 * Jobs between the loop and the two threads of the segment store: lists under the store's lock,
 * and an eventfd that wakes the loop.
 */
#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "custody/store_priv.h"

void
job_list_init(struct job_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

void
job_list_add(struct job_list *l, struct job *j)
{
	j->next = NULL;
	*l->last = j;
	l->last = &j->next;
}

struct job *
job_list_take(struct job_list *l)
{
	struct job *first = l->first;
	job_list_init(l);
	return first;
}

struct job *
job_new(enum job_kind kind, void *arg)
{
	struct job *j = MEM_NEW(struct job);
	j->kind = kind;
	j->arg = arg;
	return j;
}

static void
items_fini(struct job_items *i)
{
	for (size_t k = 0; k < i->n_items; k++)
		mem_free(i->texts[k]);
	mem_free(i->texts);
	mem_free(i->items);
	mem_free(i->places);
	mem_free(i->after);
}

void
job_free(struct job *j)
{
	switch (j->kind) {
	case JOB_COMMIT:
		mem_free(j->u.commit.changes);
		mem_free(j->u.commit.copies);
		mem_free(j->u.commit.at);
		break;
	case JOB_RESOLVE: mem_free(j->u.resolve.ids); break;
	case JOB_BODY: mem_free(j->u.body.bytes); break;
	case JOB_ITEMS: items_fini(&j->u.items); break;
	case JOB_SIDECAR:
	case JOB_LOAD:
	case JOB_FORGET:
	case JOB_OPENED:
	case JOB_SEALED: placed_fini(&j->u.segment.sidecar.list); break;
	}
	mem_free(j);
}

void
job_queue(struct store *s, struct lane *lane, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	job_list_add(&lane->jobs, j);
	pthread_cond_signal(&lane->more);
	pthread_mutex_unlock(&s->lock);
}

struct job *
lane_take(struct store *s, struct lane *lane)
{
	pthread_mutex_lock(&s->lock);
	while (lane->jobs.first == NULL && !lane->stop)
		pthread_cond_wait(&lane->more, &s->lock);
	struct job *first = job_list_take(&lane->jobs);
	pthread_mutex_unlock(&s->lock);
	return first;
}

static void
wake(struct store *s)
{
	static const uint64_t one = 1;
	ssize_t n;
	do
		n = write(s->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	must(n == (ssize_t)sizeof(one));
}

void
job_done(struct store *s, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	bool first = s->done.first == NULL;
	job_list_add(&s->done, j);
	s->n_done++;
	pthread_cond_signal(&s->answered);
	pthread_mutex_unlock(&s->lock);
	if (first)
		wake(s);
}

struct job *
job_answered(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	struct job *j = s->done.first;
	if (j != NULL) {
		s->n_done--;
		s->done.first = j->next;
		if (j->next == NULL)
			job_list_init(&s->done);
	}
	pthread_mutex_unlock(&s->lock);
	return j;
}

void
job_wake(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool some = s->done.first != NULL;
	pthread_mutex_unlock(&s->lock);
	if (some)
		wake(s);
}
