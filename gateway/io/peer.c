/*
 * The asking side between two processes. Session processes hold one peer for each kind of
 * process that serves them: scanner, signer, auth, delivery.
 */
#include "io/peer.h"

#include <sys/queue.h>

#include "base/log.h"
#include "base/mem.h"

enum { PEER_BUCKETS = 256 };

struct open_question {
	TAILQ_ENTRY(open_question) link;
	struct peer *peer;
	uint32_t id;
	peer_fn *fn;
	void *arg;
	struct loop_timer timer;
};

TAILQ_HEAD(open_list, open_question);

struct peer {
	struct loop *loop;
	const char *name;
	struct ipc *ipc;
	unsigned open, open_most;
	uint32_t last_id;
	struct open_list buckets[PEER_BUCKETS];
};

struct peer *
peer_new(struct loop *l, const char *name, unsigned open_most)
{
	struct peer *p = MEM_NEW(struct peer);
	p->loop = l;
	p->name = name;
	p->open_most = open_most;
	for (size_t i = 0; i < PEER_BUCKETS; i++)
		TAILQ_INIT(&p->buckets[i]);
	return p;
}

static void
question_free(struct open_question *q)
{
	TAILQ_REMOVE(&q->peer->buckets[q->id % PEER_BUCKETS], q, link);
	q->peer->open--;
	loop_timer_clear(&q->timer);
	mem_free(q);
}

static void
answer(struct open_question *q, struct ipc_msg *m)
{
	peer_fn *fn = q->fn;
	void *arg = q->arg;
	question_free(q);
	fn(arg, m);
}

static struct open_question *
find(struct peer *p, uint32_t id)
{
	struct open_question *q;
	TAILQ_FOREACH (q, &p->buckets[id % PEER_BUCKETS], link)
		if (q->id == id)
			return q;
	return NULL;
}

/* All open questions, those asked from within an answer too, end with NULL. */
static void
fail_all(struct peer *p)
{
	for (size_t i = 0; i < PEER_BUCKETS; i++) {
		struct open_question *q;
		while ((q = TAILQ_FIRST(&p->buckets[i])) != NULL)
			answer(q, NULL);
	}
}

void
peer_free(struct peer **p)
{
	if (*p == NULL)
		return;
	for (size_t i = 0; i < PEER_BUCKETS; i++) {
		struct open_question *q;
		while ((q = TAILQ_FIRST(&(*p)->buckets[i])) != NULL)
			question_free(q);
	}
	ipc_free(&(*p)->ipc);
	mem_free(*p);
	*p = NULL;
}

static void
on_message(void *arg, struct ipc_msg *m)
{
	struct peer *p = arg;
	struct open_question *q = find(p, m->id);
	if (q != NULL) /* else it was forgotten, or its time was over */
		answer(q, m);
}

static void
on_gone(void *arg, const struct err *err)
{
	struct peer *p = arg;
	struct log_line l;
	ipc_free(&p->ipc);
	log_begin(&l, EV_WARNING, NULL);
	log_text(&l, "peer", p->name);
	log_text(&l, "error", err != NULL ? err->text : "closed");
	log_number(&l, "open", p->open);
	log_end(&l);
	fail_all(p);
}

void
peer_attach(struct peer *p, int fd)
{
	static const struct ipc_calls calls = {.on_message = on_message, .on_gone = on_gone};
	ipc_free(&p->ipc);
	fail_all(p);
	p->ipc = ipc_new(p->loop, fd, PEER_QUEUE_BYTES, &calls, p);
}

bool
peer_is_up(const struct peer *p)
{
	return p->ipc != NULL;
}

static void
on_time(void *arg)
{
	answer(arg, NULL);
}

uint32_t
peer_ask(struct peer *p, uint16_t type, struct slice payload, const int *fds, size_t nfds,
	uint32_t timeout_ms, peer_fn *fn, void *arg)
{
	if (p->ipc == NULL || p->open >= p->open_most)
		return 0;
	do
		p->last_id++;
	while (p->last_id == 0 || find(p, p->last_id) != NULL);
	if (ipc_send_fds(p->ipc, type, p->last_id, payload, fds, nfds) < 0)
		return 0;
	struct open_question *q = MEM_NEW(struct open_question);
	*q = (struct open_question){.peer = p, .id = p->last_id, .fn = fn, .arg = arg};
	TAILQ_INSERT_TAIL(&p->buckets[q->id % PEER_BUCKETS], q, link);
	p->open++;
	loop_timer_init(&q->timer, p->loop, on_time, q);
	loop_timer_set(&q->timer, timeout_ms);
	return q->id;
}

void
peer_forget(struct peer *p, uint32_t id)
{
	struct open_question *q = id != 0 ? find(p, id) : NULL;
	if (q != NULL)
		question_free(q);
}

int
peer_tell(struct peer *p, uint16_t type, uint32_t id, struct slice payload)
{
	return p->ipc != NULL ? ipc_send(p->ipc, type, id, payload) : -1;
}
