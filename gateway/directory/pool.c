/*
 * See pool.h. A job is one value that is not known; it waits until a connection is free. A
 * connection that ends under a job that it had taken over idle may have been dead before, so
 * the job is tried once more; what happens to a fresh one is the directory's state.
 */
#include "directory/pool.h"

#include <stdio.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "directory/cache.h"

enum { WHY_BYTES = 300 };

struct asker {
	TAILQ_ENTRY(asker) link;
	void *arg;
	uint32_t id;
};

struct connection;

struct job {
	TAILQ_ENTRY(job) link; /* of all, the oldest first */
	struct pool *pool;
	struct connection *at; /* NULL: it waits */
	bool tried;            /* once already */
	struct loop_timer timer;
	TAILQ_HEAD(, asker) askers;
	size_t n;
	char value[]; /* and a NUL */
};

enum phase { PHASE_RESOLVING, PHASE_OPENING, PHASE_IDLE, PHASE_BUSY };

struct connection {
	TAILQ_ENTRY(connection) link;
	struct pool *pool;
	enum phase phase;
	struct source *source;
	struct dns_query *query;
	struct loop_timer timer; /* until it is ready */
	struct job *job;
	bool used; /* it has answered before */
};

struct pool {
	struct pool_config config;
	pool_fn *fn;
	struct directory_cache *cache;
	TAILQ_HEAD(, job) jobs;
	size_t n_jobs;
	TAILQ_HEAD(, connection) connections;
	size_t n_connections;
	unsigned turns;                     /* which of the host's addresses is next */
	uint64_t down_until_ms, backoff_ms; /* backoff 0: it is up, as far as known */
	struct loop_task task;              /* pump */
	char why[WHY_BYTES];                /* why it is down */
};

static void pump(struct pool *p);

static uint64_t
now(const struct pool *p)
{
	return loop_now(p->config.env->loop);
}

static void
on_task(void *arg)
{
	pump(arg);
}

struct pool *
pool_new(const struct pool_config *c, pool_fn *fn)
{
	struct pool *p = MEM_NEW(struct pool);
	p->config = *c;
	p->fn = fn;
	p->cache = directory_cache_new();
	TAILQ_INIT(&p->jobs);
	TAILQ_INIT(&p->connections);
	loop_task_init(&p->task, c->env->loop, on_task, p);
	return p;
}

/* --- jobs */

static void
job_free(struct job *j)
{
	struct asker *a;
	while ((a = TAILQ_FIRST(&j->askers)) != NULL) {
		TAILQ_REMOVE(&j->askers, a, link);
		mem_free(a);
	}
	if (j->at != NULL)
		j->at->job = NULL;
	loop_timer_clear(&j->timer);
	TAILQ_REMOVE(&j->pool->jobs, j, link);
	j->pool->n_jobs--;
	mem_free(j);
}

static void
job_done(struct job *j, enum directory_found found, const char *why)
{
	struct pool *p = j->pool;
	struct asker *a;
	struct slice value = {j->value, j->n};
	if (found != DIRECTORY_FAILED)
		directory_cache_put(
			p->cache, value, found == DIRECTORY_YES, now(p) + p->config.cache_ms);
	TAILQ_FOREACH (a, &j->askers, link)
		p->fn(a->arg, a->id, found, why);
	job_free(j);
}

/* --- is the directory there? */

static void
log_state(const struct pool *p, enum log_event ev)
{
	struct log_line l;
	log_begin(&l, ev, NULL);
	log_slice(&l, "table", p->config.table->name);
	log_slice(&l, "directory", p->config.table->directory->text);
	if (ev == EV_DIRECTORY_DOWN)
		log_text(&l, "error", p->why);
	log_end(&l);
}

static void
set_up(struct pool *p)
{
	if (p->backoff_ms != 0)
		log_state(p, EV_DIRECTORY_UP);
	p->backoff_ms = 0;
	p->down_until_ms = 0;
}

/* Whoever waits for a connection is told now: the next try is for those who ask then. */
static void
set_down(struct pool *p, const char *why)
{
	struct job *j, *next;
	bool was_up = p->backoff_ms == 0;
	snprintf(p->why, sizeof(p->why), "%s", why);
	if (now(p) >= p->down_until_ms) { /* several connections that end at once are one try */
		p->backoff_ms = was_up ? POOL_BACKOFF_FIRST_MS : p->backoff_ms * 2;
		if (p->backoff_ms > POOL_BACKOFF_MOST_MS)
			p->backoff_ms = POOL_BACKOFF_MOST_MS;
		p->down_until_ms = now(p) + p->backoff_ms;
	}
	if (was_up)
		log_state(p, EV_DIRECTORY_DOWN);
	for (j = TAILQ_FIRST(&p->jobs); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->at == NULL)
			job_done(j, DIRECTORY_FAILED, p->why);
	}
}

/* --- connections */

static void
connection_free(struct connection *c)
{
	if (c->source != NULL)
		c->pool->config.kind->close(c->source);
	dns_cancel(&c->query);
	loop_timer_clear(&c->timer);
	if (c->job != NULL)
		c->job->at = NULL;
	TAILQ_REMOVE(&c->pool->connections, c, link);
	c->pool->n_connections--;
	mem_free(c);
}

static void
connection_failed(struct connection *c, const char *why)
{
	struct pool *p = c->pool;
	char text[WHY_BYTES];
	snprintf(text, sizeof(text), "%s", why); /* it may be the source's own */
	connection_free(c);
	set_down(p, text);
}

static void
on_ready(void *arg)
{
	struct connection *c = arg;
	loop_timer_clear(&c->timer);
	c->phase = PHASE_IDLE;
	loop_task_queue(&c->pool->task);
}

static void
on_answer(void *arg, enum directory_found found, const char *why)
{
	struct connection *c = arg;
	struct pool *p = c->pool;
	c->phase = PHASE_IDLE;
	c->used = true;
	set_up(p); /* only an answer says so: a system accepts connections for a dead server */
	if (c->job != NULL)
		job_done(c->job, found, why);
	loop_task_queue(&p->task);
}

static void
on_gone(void *arg, const char *why)
{
	struct connection *c = arg;
	struct pool *p = c->pool;
	struct job *j = c->job;
	bool stale = c->used && (j == NULL || !j->tried);
	if (c->phase < PHASE_IDLE || (j != NULL && !stale)) {
		if (j != NULL)
			job_done(j, DIRECTORY_FAILED, why);
		connection_failed(c, why);
		return;
	}
	if (j != NULL)
		j->tried = true;
	connection_free(c);
	loop_task_queue(&p->task);
}

static void
on_slow(void *arg)
{
	connection_failed(arg, "it does not answer in time");
}

static void
connection_open(struct connection *c, const struct ip *address)
{
	static const struct source_calls calls = {
		.on_ready = on_ready, .on_answer = on_answer, .on_gone = on_gone};
	const struct pool_config *config = &c->pool->config;
	struct err err;
	c->phase = PHASE_OPENING;
	c->source = config->kind->open(
		config->env, config->table->directory, address, &calls, c, &err);
	if (c->source == NULL)
		connection_failed(c, err.text);
}

static void
ask_dns(struct connection *c, enum dns_type type, dns_fn *fn)
{
	const struct pool_config *config = &c->pool->config;
	c->query = dns_ask(config->dns, config->table->directory->host, type, 0,
		config->env->timeout_ms, fn, c);
}

/* Several addresses are taken in turn: where one is dead the next try has another. */
static bool
take_address(struct connection *c, const struct dns_answer *answer)
{
	c->query = NULL;
	if (answer->status != DNS_OK || answer->n == 0)
		return false;
	struct ip ip = answer->rr[c->pool->turns++ % answer->n].ip;
	connection_open(c, &ip);
	return true;
}

static void
on_aaaa(void *arg, const struct dns_answer *answer)
{
	struct connection *c = arg;
	if (!take_address(c, answer))
		connection_failed(c, answer->status == DNS_OK || answer->status == DNS_NODATA ||
						     answer->status == DNS_NXDOMAIN
					     ? "its name has no address"
					     : "the DNS does not answer for its name");
}

static void
on_a(void *arg, const struct dns_answer *answer)
{
	struct connection *c = arg;
	if (!take_address(c, answer))
		ask_dns(c, DNS_AAAA, on_aaaa);
}

static void
connect_one(struct pool *p)
{
	const struct conf_directory *d = p->config.table->directory;
	struct connection *c = MEM_NEW(struct connection);
	struct ip local;
	c->pool = p;
	TAILQ_INSERT_TAIL(&p->connections, c, link);
	p->n_connections++;
	loop_timer_init(&c->timer, p->config.env->loop, on_slow, c);
	loop_timer_set(&c->timer, p->config.env->timeout_ms);
	if (d->ip.family != 0 || d->kind == DIRECTORY_SQLITE) {
		connection_open(c, &d->ip);
	} else if (slice_eq_nocase(d->host, SLICE("localhost"))) {
		must(ip_parse(SLICE("127.0.0.1"), &local));
		connection_open(c, &local);
	} else {
		ask_dns(c, DNS_A, on_a);
	}
}

/* --- jobs to connections */

static struct connection *
idle_connection(struct pool *p, size_t *coming_out)
{
	struct connection *c, *idle = NULL;
	*coming_out = 0;
	TAILQ_FOREACH (c, &p->connections, link) {
		*coming_out += c->phase < PHASE_IDLE;
		if (c->phase == PHASE_IDLE && idle == NULL)
			idle = c;
	}
	return idle;
}

/* Waiting jobs to idle connections; for those left, connections are opened as far as there may
 * be more, one where the directory has been away. */
static void
pump(struct pool *p)
{
	struct job *j;
	size_t waiting = 0, coming;
	TAILQ_FOREACH (j, &p->jobs, link) {
		if (j->at != NULL)
			continue;
		struct connection *c = idle_connection(p, &coming);
		if (c == NULL) {
			waiting++;
			continue;
		}
		c->phase = PHASE_BUSY;
		c->job = j;
		j->at = c;
		p->config.kind->ask(c->source, (struct slice){j->value, j->n});
	}
	idle_connection(p, &coming);
	size_t most = p->backoff_ms != 0 ? 1 : p->config.connections;
	while (waiting > coming && p->n_connections < most && now(p) >= p->down_until_ms) {
		size_t before = p->n_connections;
		connect_one(p);
		if (p->n_connections == before) /* it failed at once, and all were told */
			return;
		coming++;
	}
}

/* A look-up's time is over: a connection that has not answered by now is no good. */
static void
on_late(void *arg)
{
	struct job *j = arg;
	struct pool *p = j->pool;
	struct connection *c = j->at;
	if (c == NULL) {
		job_done(j, DIRECTORY_FAILED, "no connection to it was free in time");
		return;
	}
	job_done(j, DIRECTORY_FAILED, "it does not answer in time");
	connection_failed(c, "it does not answer in time");
	loop_task_queue(&p->task);
}

static struct job *
job_find(struct pool *p, struct slice value)
{
	struct job *j;
	TAILQ_FOREACH (j, &p->jobs, link)
		if (slice_eq((struct slice){j->value, j->n}, value))
			return j;
	return NULL;
}

static struct job *
job_new(struct pool *p, struct slice value)
{
	struct job *j = mem_new(sizeof(*j) + value.n + 1);
	j->pool = p;
	j->n = value.n;
	for (size_t i = 0; i < value.n; i++)
		j->value[i] = value.p[i];
	TAILQ_INIT(&j->askers);
	TAILQ_INSERT_TAIL(&p->jobs, j, link);
	p->n_jobs++;
	loop_timer_init(&j->timer, p->config.env->loop, on_late, j);
	loop_timer_set(&j->timer, p->config.env->timeout_ms);
	return j;
}

void
pool_ask(struct pool *p, struct slice value, void *arg, uint32_t id)
{
	bool found;
	if (directory_cache_get(p->cache, value, now(p), &found)) {
		p->fn(arg, id, found ? DIRECTORY_YES : DIRECTORY_NO, NULL);
		return;
	}
	struct job *j = job_find(p, value);
	if (j == NULL && now(p) < p->down_until_ms) {
		p->fn(arg, id, DIRECTORY_FAILED, p->why);
		return;
	}
	if (j == NULL && p->n_jobs == POOL_WAITING_MOST) {
		p->fn(arg, id, DIRECTORY_FAILED, "too many look-ups wait for it");
		return;
	}
	if (j == NULL)
		j = job_new(p, value);
	struct asker *a = MEM_NEW(struct asker);
	a->arg = arg;
	a->id = id;
	TAILQ_INSERT_TAIL(&j->askers, a, link);
	loop_task_queue(&p->task);
}

void
pool_forget(struct pool *p, const void *arg)
{
	struct job *j;
	TAILQ_FOREACH (j, &p->jobs, link) {
		struct asker *a, *next;
		for (a = TAILQ_FIRST(&j->askers); a != NULL; a = next) {
			next = TAILQ_NEXT(a, link);
			if (a->arg != arg)
				continue;
			TAILQ_REMOVE(&j->askers, a, link);
			mem_free(a);
		}
	}
}

void
pool_free(struct pool **pp)
{
	struct pool *p = *pp;
	if (p == NULL)
		return;
	struct job *j;
	struct connection *c;
	while ((j = TAILQ_FIRST(&p->jobs)) != NULL)
		job_free(j);
	while ((c = TAILQ_FIRST(&p->connections)) != NULL)
		connection_free(c);
	directory_cache_free(&p->cache);
	loop_task_clear(&p->task);
	mem_free(p);
	*pp = NULL;
}
