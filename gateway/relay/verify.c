/*
 * The call-out: is this recipient known to the protected server? See relay.h. A probe is a
 * transfer that ends behind RCPT. What was learnt is kept by hash, in sets of four places where
 * the one that ends first makes room; known and unknown have a table each, so that somebody who
 * guesses names cannot push out the known ones.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "relay/relay_priv.h"

enum { PLACES = 4, SETS = RELAY_VERIFY_MOST / PLACES, JOB_ARENA_BYTES = 64 * 1024 };

struct kept {
	uint64_t hash;
	uint64_t until_ms; /* 0: empty */
};

struct job;

struct relay_probe {
	TAILQ_ENTRY(relay_probe) of_job;
	struct job *job;
	relay_verify_fn *fn;
	void *arg;
};
TAILQ_HEAD(probe_list, relay_probe);

/* One probe on the way, for all who ask the same at once. */
struct job {
	TAILQ_ENTRY(job) of_all;
	struct relay_verify *verify;
	uint64_t hash;
	struct arena *arena;
	struct probe_list probes;
	struct relay_transfer *transfer; /* NULL: the answer was kept */
	struct loop_task task;
	enum relay_known known;
	bool told;
	struct relay_mail mail;
	struct relay_rcpt rcpt;
};
TAILQ_HEAD(job_list, job);

struct relay_verify {
	struct relay_pool *pool;
	struct kept *known, *unknown; /* SETS * PLACES each, made at the first use */
	struct job_list jobs;
};

struct relay_verify *
relay_verify_new(struct relay_pool *p)
{
	struct relay_verify *v = MEM_NEW(struct relay_verify);
	v->pool = p;
	TAILQ_INIT(&v->jobs);
	return v;
}

static void
free_job(struct job *j)
{
	TAILQ_REMOVE(&j->verify->jobs, j, of_all);
	for (struct relay_probe *p; (p = TAILQ_FIRST(&j->probes)) != NULL;) {
		TAILQ_REMOVE(&j->probes, p, of_job);
		mem_free(p);
	}
	if (j->transfer != NULL)
		relay_transfer_free(j->transfer);
	loop_task_clear(&j->task);
	arena_free(&j->arena);
	mem_free(j);
}

void
relay_verify_free(struct relay_verify **vp)
{
	struct relay_verify *v = *vp;
	*vp = NULL;
	for (struct job *j; (j = TAILQ_FIRST(&v->jobs)) != NULL;)
		free_job(j);
	mem_free(v->known);
	mem_free(v->unknown);
	mem_free(v);
}

static uint64_t
now(const struct relay_verify *v)
{
	return loop_now(v->pool->config.loop);
}

static bool
is_kept(const struct relay_verify *v, const struct kept *table, uint64_t hash)
{
	if (table == NULL)
		return false;
	const struct kept *set = &table[hash % SETS * PLACES];
	for (size_t i = 0; i < PLACES; i++)
		if (set[i].hash == hash && set[i].until_ms > now(v))
			return true;
	return false;
}

/* until_ms 0 takes the entry out. */
static void
keep(struct kept **table, uint64_t hash, uint64_t until_ms)
{
	if (*table == NULL)
		*table = mem_array((size_t)SETS * PLACES, sizeof(**table));
	struct kept *set = &(*table)[hash % SETS * PLACES], *to = &set[0];
	for (size_t i = 0; i < PLACES; i++)
		if (set[i].until_ms < to->until_ms)
			to = &set[i];
	for (size_t i = 0; i < PLACES; i++)
		if (set[i].hash == hash)
			to = &set[i];
	if (until_ms != 0 || to->hash == hash)
		*to = (struct kept){hash, until_ms};
}

static void
learn(struct relay_verify *v, uint64_t hash, enum relay_known known)
{
	if (known == RELAY_FAILED)
		return;
	bool yes = known == RELAY_KNOWN;
	keep(&v->known, hash, yes ? now(v) + RELAY_KNOWN_MS : 0);
	keep(&v->unknown, hash, yes ? 0 : now(v) + RELAY_UNKNOWN_MS);
}

static uint64_t
hash_of(const struct address *rcpt)
{
	return slice_hash_nocase(rcpt->text);
}

/* POLICY.md: what a reply to RCPT says of the recipient. */
static enum relay_known
judge(const struct smtp_reply *r)
{
	if (smtp_reply_class(r) == 2)
		return RELAY_KNOWN;
	if (smtp_reply_class(r) != 5)
		return RELAY_FAILED;
	bool mailbox = r->code == 550 || r->code == 551 || r->code == 553;
	return mailbox && (!r->has_enhanced || r->enhanced[1] == 1) ? RELAY_UNKNOWN
								    : RELAY_KNOWN;
}

void
relay_verify_note(struct relay_pool *p, const struct address *rcpt, const struct smtp_reply *r)
{
	learn(p->verify, hash_of(rcpt), judge(r));
}

/* All who asked are told; each may cancel another one or ask again meanwhile. */
static void
tell(struct job *j, enum relay_known known, const struct smtp_reply *r)
{
	j->told = true; /* who asks now starts anew */
	for (struct relay_probe *p; (p = TAILQ_FIRST(&j->probes)) != NULL;) {
		relay_verify_fn *fn = p->fn;
		void *arg = p->arg;
		TAILQ_REMOVE(&j->probes, p, of_job);
		mem_free(p);
		fn(arg, known, r);
	}
	free_job(j);
}

static void
on_result(void *arg, const struct relay_result *result)
{
	struct job *j = arg;
	j->transfer = NULL;
	enum relay_known known = RELAY_FAILED;
	struct smtp_reply none = {0};
	bool answered = result->from_hop && j->rcpt.phase == SMTP_CL_RCPT;
	if (answered) { /* a refused MAIL says nothing of the recipient */
		known = judge(&j->rcpt.reply);
		learn(j->verify, j->hash, known);
	}
	tell(j, known, result->from_hop ? &j->rcpt.reply : &none);
}

static void
on_task(void *arg)
{
	struct job *j = arg;
	struct smtp_reply r =
		smtp_reply_of(j->known == RELAY_KNOWN ? "250 2.1.5 The recipient is known"
						      : "550 5.1.1 The recipient is not known");
	tell(j, j->known, &r);
}

static struct job *
find_job(struct relay_verify *v, uint64_t hash)
{
	struct job *j;
	TAILQ_FOREACH (j, &v->jobs, of_all)
		if (j->hash == hash && !j->told)
			return j;
	return NULL;
}

static struct address
copy_address(const struct address *from, struct arena *a)
{
	struct address to = *from;
	to.local = arena_slice(a, from->local);
	to.domain = arena_slice(a, from->domain);
	to.text = arena_slice(a, from->text);
	to.raw = arena_slice(a, from->raw);
	return to;
}

static struct job *
start_job(struct relay_verify *v, const struct relay_way *w, const struct address *rcpt,
	const struct relay_times *times, uint64_t hash)
{
	struct job *j = MEM_NEW(struct job);
	j->verify = v;
	j->hash = hash;
	TAILQ_INIT(&j->probes);
	TAILQ_INSERT_TAIL(&v->jobs, j, of_all);
	loop_task_init(&j->task, v->pool->config.loop, on_task, j);
	bool known = is_kept(v, v->known, hash);
	if (known || is_kept(v, v->unknown, hash)) {
		j->known = known ? RELAY_KNOWN : RELAY_UNKNOWN;
		loop_task_queue(&j->task);
		return j;
	}
	j->arena = arena_new(JOB_ARENA_BYTES);
	j->rcpt.address = copy_address(rcpt, j->arena);
	j->mail = (struct relay_mail){.sender = {.is_null = true},
		.rcpts = &j->rcpt,
		.n_rcpts = 1,
		.times = times,
		.arena = j->arena};
	j->transfer = relay_transfer_new(v->pool, RELAY_PROBE, w, &j->mail, on_result, j);
	return j;
}

struct relay_probe *
relay_verify(struct relay_pool *pool, const struct relay_way *w, const struct address *rcpt,
	const struct relay_times *times, relay_verify_fn *fn, void *arg)
{
	struct relay_verify *v = pool->verify;
	uint64_t hash = hash_of(rcpt);
	struct job *j = find_job(v, hash);
	if (j == NULL)
		j = start_job(v, w, rcpt, times, hash);
	struct relay_probe *p = MEM_NEW(struct relay_probe);
	p->job = j;
	p->fn = fn;
	p->arg = arg;
	TAILQ_INSERT_TAIL(&j->probes, p, of_job);
	return p;
}

/* A probe that nobody waits for any more goes on: its answer is kept for the next. */
void
relay_verify_cancel(struct relay_probe **pp)
{
	struct relay_probe *p = *pp;
	if (p == NULL)
		return;
	*pp = NULL;
	TAILQ_REMOVE(&p->job->probes, p, of_job);
	mem_free(p);
}
