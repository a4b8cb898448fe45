/*
 * Jobs from clients to workers and answers back; see pool.h. The scanner and the second engines
 * stand on it: what parses strangers' bytes with other people's code runs in the workers, each
 * in its sandbox; the process itself sees messages only.
 */
#include "io/pool.h"

#include <signal.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "io/child.h"
#include "io/control.h"

enum { WORKER_QUEUE_BYTES = 512 * 1024, AGAIN_MS = 1000 };

struct job {
	TAILQ_ENTRY(job) link;         /* in the queue, while no worker has it */
	struct service_client *client; /* NULL: the session is gone */
	uint32_t id;
	struct pool_sort sort;
	struct buf payload;
	int fd; /* -1: inline */
	unsigned deaths;
};

TAILQ_HEAD(job_list, job);

struct worker {
	struct pool *pool;
	unsigned index;
	pid_t pid;
	struct ipc *ipc;
	struct job *job; /* NULL: idle */
	bool over;       /* killed because its time was over */
	uint64_t started_ms;
	struct loop_timer timer; /* of the job; where there is no process, to start one */
};

struct pool {
	const struct pool_start *start;
	struct loop *loop;
	struct service *service;
	struct worker workers[POOL_WORKERS_MOST];
	struct job_list queue;
	unsigned queued;
	bool ending;
};

static void worker_start(struct worker *w);

static void
job_free(struct job *j)
{
	if (j->fd >= 0)
		close(j->fd);
	buf_fini(&j->payload);
	mem_free(j);
}

/* What a client sends is of the first sort, unless it says the other. */
static struct pool_sort
sort_of(const struct pool *m, uint16_t type)
{
	const struct pool_start *s = m->start;
	if (s->other.job != 0 && type == s->other.job)
		return s->other;
	return (struct pool_sort){s->job, s->answer, s->failed};
}

static void
fail(const struct pool_sort *sort, struct service_client *to, uint32_t id,
	enum pool_failure why)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	sort->failed(why, &out);
	if (to != NULL && ipc_out_ok(&out, &payload))
		(void)service_answer(
			to, sort->answer, id, payload); /* full: its time will be over */
	ipc_out_fini(&out);
}

static void
give(struct worker *w, struct job *j)
{
	uint16_t type = j->sort.job;
	w->job = j;
	loop_timer_set(&w->timer, w->pool->start->time_ms);
	int result = j->fd >= 0 ? ipc_send_fds(w->ipc, type, j->id, buf_slice(&j->payload),
					  &j->fd, 1)
				: ipc_send(w->ipc, type, j->id, buf_slice(&j->payload));
	if (result < 0) /* no descriptor to be had: it dies and the mail is tried again */
		kill(w->pid, SIGKILL);
}

static void
hand_out(struct pool *m)
{
	for (unsigned i = 0; i < m->start->workers; i++) {
		struct worker *w = &m->workers[i];
		struct job *j = TAILQ_FIRST(&m->queue);
		if (j == NULL)
			return;
		if (w->ipc == NULL || w->job != NULL)
			continue;
		TAILQ_REMOVE(&m->queue, j, link);
		m->queued--;
		give(w, j);
	}
}

static void
on_answer(void *arg, struct ipc_msg *msg)
{
	struct worker *w = arg;
	struct job *j = w->job;
	if (j == NULL || msg->id != j->id || msg->type != j->sort.answer)
		return; /* a worker out of step is of no use, but does no harm either */
	w->job = NULL;
	loop_timer_clear(&w->timer);
	if (j->client != NULL)
		(void)service_answer(j->client, msg->type, j->id, msg->payload);
	job_free(j);
	hand_out(w->pool);
}

/* Once more, in front of all others, as long as it may be another's fault. */
static void
worker_died(struct worker *w)
{
	struct job *j = w->job;
	struct pool *m = w->pool;
	w->job = NULL;
	if (j == NULL)
		return;
	if (++j->deaths < m->start->deaths_most && j->client != NULL) {
		TAILQ_INSERT_HEAD(&m->queue, j, link);
		m->queued++;
		return;
	}
	fail(&j->sort, j->client, j->id, w->over ? POOL_LATE : POOL_DIED);
	job_free(j);
}

static void
on_worker_gone(void *arg, const struct err *err)
{
	struct worker *w = arg;
	(void)err; /* SIGCHLD comes too, and starts another */
	ipc_free(&w->ipc);
	loop_timer_clear(&w->timer);
}

static void
on_time(void *arg)
{
	struct worker *w = arg;
	if (w->pid == 0) {
		worker_start(w);
		hand_out(w->pool);
		return;
	}
	w->over = true;
	kill(w->pid, SIGKILL);
}

struct worker_run { /* what a worker needs of us */
	const struct pool_start *start;
	int channel;
};

static int
worker_run(void *arg)
{
	const struct worker_run *r = arg;
	return r->start->run(r->channel, r->start->arg);
}

static void
worker_start(struct worker *w)
{
	static const struct ipc_calls calls = {
		.on_message = on_answer, .on_gone = on_worker_gone};
	struct pool *m = w->pool;
	struct err err;
	int fds[2];
	w->over = false;
	w->started_ms = loop_now(m->loop);
	if (ipc_pair(fds, &err) < 0) {
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		loop_timer_set(&w->timer, AGAIN_MS);
		return;
	}
	struct worker_run run = {m->start, fds[1]};
	struct child_spec spec = {.kind = m->start->worker,
		.keep = &fds[1],
		.nkeep = 1,
		.run = worker_run,
		.arg = &run};
	w->pid = child_fork(&spec, &err);
	close(fds[1]);
	if (w->pid < 0) {
		w->pid = 0;
		close(fds[0]);
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		loop_timer_set(&w->timer, AGAIN_MS);
		return;
	}
	w->ipc = ipc_new(m->loop, fds[0], WORKER_QUEUE_BYTES, &calls, w);
}

/* At once; but one that ends at its start, by no mail, would be started without end. */
static void
worker_again(struct worker *w, bool busy)
{
	uint64_t lived = loop_now(w->pool->loop) - w->started_ms;
	if (busy || lived >= AGAIN_MS)
		worker_start(w);
	else
		loop_timer_set(&w->timer, AGAIN_MS);
}

static void
on_child(void *arg, int signo)
{
	struct pool *m = arg;
	char words[CHILD_STATUS_BYTES];
	pid_t pid;
	int status;
	(void)signo;
	while (child_reap(&pid, &status)) {
		for (unsigned i = 0; i < m->start->workers; i++) {
			struct worker *w = &m->workers[i];
			if (w->pid != pid)
				continue;
			struct log_line l;
			log_begin(&l, EV_CHILD_EXIT, NULL);
			log_text(&l, "kind", m->start->worker);
			log_number(&l, "child", pid);
			log_text(&l, "status", child_status_text(status, words));
			log_text(&l, "busy", w->job != NULL ? "yes" : "no");
			log_end(&l);
			bool busy = w->job != NULL;
			w->pid = 0;
			ipc_free(&w->ipc);
			loop_timer_clear(&w->timer);
			worker_died(w);
			if (!m->ending)
				worker_again(w, busy);
		}
	}
	hand_out(m);
}

static void
on_job(void *arg, struct service_client *from, struct ipc_msg *msg)
{
	struct pool *m = arg;
	struct pool_sort sort = sort_of(m, msg->type);
	if (m->queued >= POOL_QUEUE_MOST) {
		fail(&sort, from, msg->id, POOL_FULL);
		return;
	}
	struct job *j = MEM_NEW(struct job);
	j->client = from;
	j->id = msg->id;
	j->sort = sort;
	j->fd = ipc_take_fd(msg, 0);
	buf_init(&j->payload, IPC_PAYLOAD_BYTES);
	(void)buf_add(&j->payload, msg->payload); /* a payload's maximum is the buffer's */
	TAILQ_INSERT_TAIL(&m->queue, j, link);
	m->queued++;
	hand_out(m);
}

/* The session is gone: what waits is dropped, what is being worked on is nobody's. */
static void
on_client_gone(void *arg, struct service_client *client)
{
	struct pool *m = arg;
	struct job *j, *next;
	for (j = TAILQ_FIRST(&m->queue); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->client != client)
			continue;
		TAILQ_REMOVE(&m->queue, j, link);
		m->queued--;
		job_free(j);
	}
	for (unsigned i = 0; i < m->start->workers; i++)
		if (m->workers[i].job != NULL && m->workers[i].job->client == client)
			m->workers[i].job->client = NULL;
}

static int
pool_open(struct pool *m, struct err *err)
{
	m->loop = loop_new(err);
	if (m->loop == NULL || loop_signal(m->loop, SIGCHLD, on_child, m, err) < 0)
		return -1;
	for (unsigned i = 0; i < m->start->workers; i++) {
		m->workers[i].pool = m;
		m->workers[i].index = i;
		loop_timer_init(&m->workers[i].timer, m->loop, on_time, &m->workers[i]);
		worker_start(&m->workers[i]);
	}
	m->service = service_new(m->loop, m->start->control_fd, on_job, on_client_gone, m);
	return 0;
}

/* Workers end when their channel closes; one that has a job is killed.
 */
static void
pool_close(struct pool *m)
{
	struct job *j;
	m->ending = true;
	service_free(&m->service);
	for (unsigned i = 0; i < m->start->workers; i++) {
		struct worker *w = &m->workers[i];
		ipc_free(&w->ipc);
		loop_timer_clear(&w->timer);
		if (w->job != NULL) {
			if (w->pid != 0)
				kill(w->pid, SIGKILL);
			job_free(w->job);
		}
	}
	while ((j = TAILQ_FIRST(&m->queue)) != NULL) {
		TAILQ_REMOVE(&m->queue, j, link);
		job_free(j);
	}
	child_wait_all();
	loop_free(&m->loop);
}

int
pool_main(const struct pool_start *s)
{
	struct pool m = {.start = s};
	struct err err;
	TAILQ_INIT(&m.queue);
	must(s->workers >= 1 && s->workers <= POOL_WORKERS_MOST);
	int result = pool_open(&m, &err);
	if (result == 0) {
		service_ready(m.service);
		result = loop_run(m.loop, &err);
	}
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	pool_close(&m);
	return result < 0 ? 1 : 0;
}
