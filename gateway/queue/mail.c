/*
 * Mails in memory: those that are being taken, those with an attempt under way, and some that
 * wait for their first. All others are in the store alone, and in the schedule as parts. A mail
 * is freed when nothing is under way with it.
 */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/keeper_priv.h"

/* Envelope and note at their largest, unpacked, with a body in memory and what attempts add. */
enum { MAIL_ARENA_MOST = 256 * 1024 * 1024 };

struct holding *
holding_new(size_t most)
{
	struct holding *h = MEM_NEW(struct holding);
	h->arena = arena_new(most);
	h->file = -1;
	h->uses = 1;
	return h;
}

void
holding_release(struct holding **h)
{
	if (*h != NULL && --(*h)->uses == 0) {
		if ((*h)->file >= 0)
			close((*h)->file);
		arena_free(&(*h)->arena);
		mem_free(*h);
	}
	*h = NULL;
}

static struct mail_bucket *
bucket(struct keeper *k, const struct custody_id *id)
{
	uint64_t h;
	memcpy(&h, id->bytes, sizeof(h));
	return &k->mails[h % KEEPER_BUCKETS];
}

struct mail *
mail_find(struct keeper *k, const struct custody_id *id)
{
	struct mail *m;
	LIST_FOREACH (m, bucket(k, id), link)
		if (custody_id_eq(&m->id, id))
			return m;
	return NULL;
}

struct mail *
mail_new(struct keeper *k, struct holding *h, const struct custody_id *id)
{
	struct mail *m = MEM_NEW(struct mail);
	m->keeper = k;
	m->holding = h;
	h->uses++;
	m->id = *id;
	m->place = MAIL_NEW;
	m->body_place = BODY_HERE;
	LIST_INIT(&m->hands);
	LIST_INSERT_HEAD(bucket(k, id), m, link);
	return m;
}

static void
uncache(struct mail *m)
{
	if (!m->cached)
		return;
	TAILQ_REMOVE(&m->keeper->cache, m, cache);
	m->keeper->cache_bytes -= m->body_bytes;
	m->cached = false;
}

void
mail_free(struct mail *m)
{
	must(m->users == 0 && m->in_flight == 0 && LIST_EMPTY(&m->hands));
	uncache(m);
	LIST_REMOVE(m, link);
	mem_free(m->waiting_parts);
	if (m->body_file > 0)
		close(m->body_file);
	holding_release(&m->holding);
	mem_free(m);
}

/* The process ends: what is under way will not come back. */
void
mail_forget_all(struct keeper *k)
{
	struct mail *m;
	for (size_t i = 0; i < KEEPER_BUCKETS; i++) {
		while ((m = LIST_FIRST(&k->mails[i])) != NULL) {
			act_forget(m);
			m->users = m->in_flight = 0;
			mail_free(m);
		}
	}
}

void
mail_divide(struct mail *m)
{
	struct division *d;
	size_t n = divide_mail(&m->mail, m->holding->arena, &d);
	m->parts = arena_array(m->holding->arena, n, sizeof(*m->parts));
	m->n_parts = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		m->parts[i] = (struct part){.division = &d[i], .mail = m};
}

bool
mail_waits(const struct stored_rcpt_note *r)
{
	return r->state == RCPT_WAITING || r->state == RCPT_DOUBT;
}

bool
mail_is_final(const struct mail *m)
{
	for (size_t i = 0; i < m->note.n_rcpts; i++)
		if (mail_waits(&m->note.rcpts[i]))
			return false;
	return !mail_is_untold(&m->note);
}

bool
mail_is_untold(const struct stored_note *n)
{
	for (size_t i = 0; i < n->n_rcpts; i++)
		if (n->rcpts[i].state == RCPT_FAILED || n->rcpts[i].success_owed)
			return true;
	return false;
}

uint64_t
mail_sender(const struct stored_mail *m)
{
	return slice_hash(m->user.n != 0 ? m->user : m->sender.raw);
}

bool
mail_part(struct keeper *k, const struct custody_id *id, const struct stored_mail *m,
	const struct stored_note *n, const struct division *d, uint32_t part, struct arena *a,
	struct schedule_part *part_out)
{
	for (uint32_t i = 0; i < d->n; i++) {
		const struct stored_rcpt_note *r = &n->rcpts[d->rcpts[i]];
		if (!mail_waits(r))
			continue;
		uint64_t due = r->due_ms != 0           ? r->due_ms
			       : m->kind == STORED_HOLD ? m->hold_until_ms
							: 0;
		*part_out = (struct schedule_part){.id = *id,
			.part = part,
			.site = divide_site(m, &m->rcpts[d->rcpts[i]], r->way, a),
			.sender = mail_sender(m),
			.attempts = r->attempts,
			.due_ms = keeper_mono(k, due)};
		return true;
	}
	return false;
}

void
mail_schedule(struct mail *m, uint32_t part)
{
	struct keeper *k = m->keeper;
	struct arena *a = arena_new(64 * 1024);
	struct schedule_part p;
	if (!m->parts[part].in_flight &&
		mail_part(k, &m->id, &m->mail, &m->note, m->parts[part].division, part, a, &p))
		(void)schedule_add(k->schedule, &p, loop_now(k->loop)); /* or it is there */
	arena_free(&a);
	keeper_pump(k);
}

void
mail_schedule_stored(struct keeper *k, const struct custody_id *id, const struct stored_mail *m,
	const struct stored_note *n)
{
	struct arena *a = arena_new(MAIL_ARENA_MOST);
	struct division *d;
	struct schedule_part p;
	size_t parts = divide_mail(m, a, &d);
	for (size_t i = 0; i < parts; i++)
		if (mail_part(k, id, m, n, &d[i], (uint32_t)i, a, &p))
			(void)schedule_add(k->schedule, &p, loop_now(k->loop));
	arena_free(&a);
	keeper_pump(k);
}

bool
mail_is_over(const struct keeper *k, const struct stored_mail *m)
{
	if (m->kind == STORED_QUARANTINE)
		return k->settings.queue.quarantine_ms != 0 &&
		       keeper_is_older(k, m->arrived_ms, k->settings.queue.quarantine_ms);
	return keeper_is_older(k, m->kind == STORED_HOLD ? m->hold_until_ms : m->arrived_ms,
		k->settings.queue.lifetime_ms);
}

void
mail_go_on(struct mail *m)
{
	if (m->take != NULL)
		take_progress(m->take);
	else
		mail_idle(m);
}

void
mail_drop(struct mail *m)
{
	schedule_remove(m->keeper->schedule, &m->id);
	if (m->place == MAIL_STORED && m->mail.kind == STORED_QUARANTINE)
		quarantine_remove(m->keeper, m->body_bytes);
	if (m->place == MAIL_STORED || m->place == MAIL_PUTTING)
		drops_add(m->keeper, &m->id);
	m->place = MAIL_GONE;
}

void
mail_save_all(struct keeper *k)
{
	struct mail *m, *next;
	for (size_t i = 0; i < KEEPER_BUCKETS; i++) {
		for (m = LIST_FIRST(&k->mails[i]); m != NULL; m = next) {
			next = LIST_NEXT(m, link);
			if (m->place == MAIL_STORED && m->dirty)
				mail_save(m);
		}
	}
}

/* What is being read has come, or is not to be had: who waited for it goes on. */
void
mail_wake_parts(struct mail *m)
{
	uint32_t *parts = m->waiting_parts, n = m->n_waiting_parts;
	m->waiting_parts = NULL;
	m->n_waiting_parts = m->room_waiting_parts = 0;
	m->users++;
	for (uint32_t i = 0; i < n; i++)
		attempt_begin(m, parts[i]);
	m->users--;
	mem_free(parts);
	mail_idle(m);
}

void
mail_wait_part(struct mail *m, uint32_t part)
{
	if (part == UINT32_MAX)
		return;
	if (m->n_waiting_parts == m->room_waiting_parts) {
		m->room_waiting_parts =
			m->room_waiting_parts != 0 ? 2 * m->room_waiting_parts : 4;
		m->waiting_parts = mem_resize(
			m->waiting_parts, m->room_waiting_parts * sizeof(*m->waiting_parts));
	}
	m->waiting_parts[m->n_waiting_parts++] = part;
}

/* The oldest ones make room: they are read again when they are due. */
static void
cache(struct mail *m)
{
	struct keeper *k = m->keeper;
	if (m->cached)
		return;
	TAILQ_INSERT_TAIL(&k->cache, m, cache);
	m->cached = true;
	k->cache_bytes += m->body_bytes;
	while (k->cache_bytes > KEEPER_CACHE_BYTES) {
		struct mail *oldest = TAILQ_FIRST(&k->cache);
		bool self = oldest == m;
		mail_free(oldest);
		if (self)
			return;
	}
}

static bool
is_untried(const struct mail *m)
{
	for (uint32_t i = 0; i < m->note.n_rcpts; i++)
		if (m->note.rcpts[i].attempts != 0 || m->note.rcpts[i].due_ms != 0)
			return false;
	return m->mail.kind == STORED_SEND && m->body_place == BODY_HERE &&
	       m->holding->file < 0 && !m->note.held;
}

void
mail_idle(struct mail *m)
{
	uncache(m);
	if (m->users != 0 || m->take != NULL || m->in_flight != 0 || m->n_waiting_parts != 0)
		return;
	if (act_pending(m))
		return;
	if (m->place != MAIL_GONE && settle_is_due(m)) {
		settle(m);
		return;
	}
	if (m->place == MAIL_STORED && mail_is_final(m) && m->mail.kind != STORED_QUARANTINE) {
		keeper_log(m, "done", NULL, NULL);
		mail_drop(m);
	}
	if (m->place == MAIL_STORED && m->dirty) { /* a failed store: until it works again */
		if (!m->keeper->store_bad)
			mail_save(m);
		return;
	}
	if (m->place == MAIL_STORED && mail_is_untold(&m->note))
		watch_soon(m->keeper); /* it could not be done now */
	if (m->place == MAIL_STORED && is_untried(m))
		cache(m);
	else
		mail_free(m);
}
