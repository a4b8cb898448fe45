/*
 * Collection: what is still needed of a segment that is mostly garbage is copied to the end of
 * the log, then its file is free. It goes through the writer like any commit, a megabyte at a
 * time and no faster than COLLECT_RATE, unless room is short.
 *
 * A DROP is needed as long as a segment is there that may hold a PUT of that item: one no newer
 * than the DROP first was. Where the same item has been put again meanwhile, it is the item
 * that is copied in its place. What has changes on its way is left for the next round: a copy
 * behind them in the log would undo them.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "custody/store_priv.h"

enum { STEP_BYTES = 1024 * 1024, STEP_COPIES = 256, WAKE_MS = 50, TRIES_MOST = 3 };
static const uint64_t collect_rate = 32 * 1024 * 1024; /* bytes a second */

static void step(void *arg);

void
collect_init(struct store *s)
{
	loop_timer_init(&s->collect.timer, s->loop, step, s);
}

void
collect_fini(struct store *s)
{
	loop_timer_clear(&s->collect.timer);
	placed_fini(&s->collect.list);
}

void
collect_wake(struct store *s)
{
	if (!s->closing && !s->collect.running && !loop_timer_is_set(&s->collect.timer))
		loop_timer_set(&s->collect.timer, WAKE_MS);
}

static void
log_segment(const char *what, uint32_t sequence, const struct custody_id *id)
{
	struct log_line l;
	char text[CUSTODY_ID_TEXT];
	log_begin(&l, EV_SPOOL, NULL);
	log_text(&l, "state", what);
	log_number(&l, "segment", sequence);
	if (id != NULL)
		log_text(&l, "item", custody_id_text(id, text));
	log_end(&l);
}

/* Bytes that collecting it would gain; 0: not worth it. */
static uint64_t
gain(const struct store *s, const struct segment *g, bool hurry)
{
	bool oldest = g == s->segments[0];
	uint64_t keep = g->live + (oldest ? 0 : (uint64_t)g->drops * DROP_BYTES);
	if (!g->sealed || (g->stuck && g->live > 0) || keep >= g->bytes)
		return 0;
	uint64_t dead = g->bytes - keep;
	return dead >= (hurry ? g->bytes / 8 : g->bytes / 4 * 3) ? dead : 0;
}

static struct segment *
choose(const struct store *s, bool hurry)
{
	struct segment *best = NULL;
	uint64_t most = 0;
	for (size_t i = 0; i < s->n_segments; i++) {
		uint64_t n = gain(s, s->segments[i], hurry);
		if (n > most) {
			most = n;
			best = s->segments[i];
		}
	}
	return best;
}

static struct job *
segment_job(const struct segment *g, enum job_kind kind)
{
	struct job *j = job_new(kind, NULL);
	j->u.segment.sequence = g->sequence;
	j->u.segment.generation = g->generation;
	j->u.segment.bytes = g->bytes;
	j->u.segment.end = g->end;
	j->u.segment.failed = g->failed;
	return j;
}

static bool
drop_needed(const struct store *s, const struct placed *p)
{
	uint32_t oldest = s->segments[0]->sequence;
	return oldest != s->collect.victim && oldest <= p->until;
}

/* Does this record of the victim have to be copied, and as what? */
static bool
needed(struct store *s, const struct placed *p, struct copy *c)
{
	uint32_t victim = s->collect.victim;
	if (p->op == RECORD_MARK)
		return false;
	const struct entry *e = index_find(&s->index, &p->id);
	bool there = e != NULL && e->put_in != 0;
	bool put = there && e->put_in == victim && e->put_at == p->at;
	bool note = there && e->note_in == victim && e->note_at == p->at;
	bool drop = p->op == RECORD_DROP && drop_needed(s, p);
	if (!put && !note && !drop)
		return false;
	if (e != NULL && e->busy != 0) {
		s->collect.postponed = true;
		return false;
	}
	*c = (struct copy){.op = put || (drop && there) ? RECORD_COPY
				 : note                 ? RECORD_NOTE
							: RECORD_DROP,
		.from = {.id = p->id}};
	if (there)
		c->from = state_place(s, e);
	if (c->op == RECORD_DROP)
		c->until = p->until;
	return true;
}

static uint64_t
copy_bytes(const struct copy *c)
{
	bool all = c->op == RECORD_COPY;
	return record_bytes(all ? c->from.envelope_bytes : 0,
		c->op != RECORD_DROP ? c->from.note_bytes : 0, all ? c->from.body_bytes : 0);
}

/* The next copies as one commit; NULL: the end of the list. */
static struct job *
next_copies(struct store *s)
{
	struct collect *co = &s->collect;
	struct job *j = job_new(JOB_COMMIT, NULL);
	struct job_commit *c = &j->u.commit;
	c->copies = mem_array(STEP_COPIES, sizeof(*c->copies));
	c->at = mem_array(STEP_COPIES, sizeof(*c->at));
	for (; co->at < co->list.n && c->n < STEP_COPIES && c->bytes < STEP_BYTES; co->at++)
		if (needed(s, &co->list.p[co->at], &c->copies[c->n]))
			c->bytes += copy_bytes(&c->copies[c->n++]);
	if (c->n > 0)
		return j;
	job_free(j);
	return NULL;
}

static void
end_round(struct store *s)
{
	struct collect *co = &s->collect;
	struct segment *g = state_segment(s, co->victim);
	placed_fini(&co->list);
	co->running = false;
	if (!co->postponed && g->live == 0) {
		struct job *j = segment_job(g, JOB_FORGET);
		state_segment_remove(s, g->sequence);
		job_queue(s, &s->to_reader, j);
		loop_timer_set(&co->timer, 0); /* there may be another */
	} else if (!co->postponed) {
		g->stuck = true;
		log_segment("not collected", g->sequence, NULL);
	}
}

static void
start_round(struct store *s)
{
	struct collect *co = &s->collect;
	struct segment *g = choose(s, account_short(s));
	if (g == NULL)
		return;
	co->running = true;
	co->postponed = false;
	co->victim = g->sequence;
	co->at = 0;
	job_queue(s, &s->to_reader, segment_job(g, JOB_LOAD));
}

static void
step(void *arg)
{
	struct store *s = arg;
	struct collect *co = &s->collect;
	if (!co->running) {
		start_round(s);
		return;
	}
	struct job *j = next_copies(s);
	if (j == NULL) {
		end_round(s);
		return;
	}
	pthread_mutex_lock(&s->lock);
	s->account.queued_bytes += j->u.commit.bytes;
	pthread_mutex_unlock(&s->lock);
	job_queue(s, &s->to_writer, j);
}

void
collect_loaded(struct store *s, struct job *j)
{
	struct collect *co = &s->collect;
	if (j->result != CUSTODY_OK) {
		struct segment *g = state_segment(s, co->victim);
		g->stuck = g->live > 0;
		co->running = false;
		log_error(EV_SPOOL, NULL, &j->why);
		return;
	}
	co->list = j->u.segment.sidecar.list;
	j->u.segment.sidecar.list = (struct placed_list){0};
	if (!s->closing)
		loop_timer_set(&co->timer, 0);
}

/* A damaged record stays where it is, with its segment, until its item is dropped. */
static void
apply_copy(struct store *s, const struct job_commit *c, size_t i)
{
	const struct copy *copy = &c->copies[i];
	if (copy->lost) {
		log_segment("damaged", copy->from.put_in, &copy->from.id);
		return;
	}
	struct placed p = {.id = copy->from.id,
		.at = c->at[i],
		.envelope_bytes = copy->from.envelope_bytes,
		.note_bytes = copy->from.note_bytes,
		.until = copy->until,
		.body_bytes = copy->from.body_bytes,
		.op = copy->op};
	state_apply(s, c->in, &p);
}

void
collect_copied(struct store *s, struct job *j)
{
	struct collect *co = &s->collect;
	struct job_commit *c = &j->u.commit;
	bool good = j->result == CUSTODY_OK;
	for (size_t i = 0; good && i < c->n; i++)
		apply_copy(s, c, i);
	if (good) {
		co->copied_bytes += c->bytes;
	} else { /* another round may come to it */
		struct segment *g = state_segment(s, co->victim);
		co->postponed = true;
		co->at = co->list.n;
		if (j->result == CUSTODY_FAILED && ++g->tries >= TRIES_MOST)
			g->stuck = true;
	}
	uint64_t wait_ms = account_short(s) ? 0 : c->bytes * 1000 / collect_rate;
	if (!s->closing)
		loop_timer_set(&co->timer, wait_ms);
}
