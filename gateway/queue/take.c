/*
 * A transaction of a session, until its client has its answer (DESIGN.md, "Outbound"): what is
 * for a single site, with nothing beside it, is tried from memory, everything else is stored
 * first; the remotes' answers, or the end of the budget, make the reply; what is only temporary
 * stays.
 *
 *   take_message -> [store] -> attempts ... take_progress -> conclude -> [store] -> [notices]
 *   -> answer
 */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/keeper_priv.h"

enum {
	RESULT_RCPTS_MOST = 1000,
	/* Since it came with more than may wait: it has a queue of its own. */
	BULK_MS = 10 * 1000,
	BULK_WAIT_MS = 1000, /* then nothing of it waits longer */
};

struct wait_count { /* clients that are kept waiting, or send in bulk */
	LIST_ENTRY(wait_count) link;
	struct slice client; /* behind it */
	unsigned n;
	uint64_t bulk_until_ms;
};

struct take {
	LIST_ENTRY(take) link;
	struct keeper *keeper;
	struct service_client *from; /* NULL: it is gone */
	uint32_t id;
	struct holding *holding;
	struct queue_take take;
	struct mail **mails; /* by parcel */
	struct buf *packed;  /* envelopes, and the notes of the commit under way: two a mail */
	struct wait_count *wait;
	struct loop_timer timer;
	uint64_t until_ms; /* when it goes off */
	bool trying;       /* attempts may still begin for it */
	bool storing;      /* a commit is under way */
	bool cancelled;    /* nobody wants the answer */
	bool failed; /* the store does not take it: `why_failed` when nothing is under way */
	enum queue_end why_failed;
	bool put_dirty; /* attempts were under way when it was packed */
};

static void conclude(struct take *t);

static void
wait_free(struct wait_count *w)
{
	LIST_REMOVE(w, link);
	mem_free(w);
}

/* By client; those that have nothing waiting and send in bulk no more go on the way. */
static struct wait_count *
wait_find(struct keeper *k, struct slice client)
{
	struct wait_count *w, *next, *found = NULL;
	for (w = LIST_FIRST(&k->waits); w != NULL; w = next) {
		next = LIST_NEXT(w, link);
		if (slice_eq(w->client, client))
			found = w;
		else if (w->n == 0 && w->bulk_until_ms <= loop_now(k->loop))
			wait_free(w);
	}
	if (found != NULL)
		return found;
	w = mem_new(sizeof(*w) + client.n);
	if (client.n != 0)
		memcpy(w + 1, client.p, client.n);
	*w = (struct wait_count){.client = {(const char *)(w + 1), client.n}};
	LIST_INSERT_HEAD(&k->waits, w, link);
	return w;
}

static void
wait_for(struct take *t, uint32_t ms)
{
	t->until_ms = loop_now(t->keeper->loop) + ms;
	loop_timer_set(&t->timer, ms);
}

/*
 * It has as many waiting as it may and comes with one more: a client that sends in bulk, and
 * has a queue of its own. Its last mails should not keep it for the whole budget.
 */
static void
wait_is_bulk(struct keeper *k, struct wait_count *w)
{
	uint64_t now = loop_now(k->loop);
	bool known = w->bulk_until_ms > now;
	struct take *t;
	w->bulk_until_ms = now + BULK_MS;
	if (known)
		return;
	LIST_FOREACH (t, &k->takes, link)
		if (t->wait == w && t->trying && t->until_ms > now + BULK_WAIT_MS)
			wait_for(t, BULK_WAIT_MS);
}

static void
wait_begin(struct take *t)
{
	struct keeper *k = t->keeper;
	uint32_t ms = t->take.budget_ms;
	struct wait_count *w = wait_find(k, t->take.client);
	if (w->n >= KEEPER_WAITS_MOST) {
		wait_is_bulk(k, w);
		return;
	}
	if (w->bulk_until_ms > loop_now(k->loop) && ms > BULK_WAIT_MS)
		ms = BULK_WAIT_MS;
	w->n++;
	t->wait = w;
	wait_for(t, ms);
}

static void
wait_end(struct take *t)
{
	struct wait_count *w = t->wait;
	t->wait = NULL;
	if (w != NULL && --w->n == 0 && w->bulk_until_ms <= loop_now(t->keeper->loop))
		wait_free(w);
}

/* Not the client's own mail, but one that goes with it: see struct queue_parcel. */
static bool
is_beside(const struct take *t, size_t i)
{
	return t->take.parcels[i].beside;
}

static unsigned
in_flight(const struct take *t)
{
	unsigned n = 0;
	for (size_t i = 0; i < t->take.n; i++)
		n += t->mails[i]->in_flight + t->mails[i]->n_waiting_parts;
	return n;
}

static bool
is_settling(const struct take *t)
{
	for (size_t i = 0; i < t->take.n; i++)
		if (t->mails[i]->settling)
			return true;
	return false;
}

static bool
waits(const struct mail *m)
{
	for (size_t i = 0; i < m->note.n_rcpts; i++)
		if (mail_waits(&m->note.rcpts[i]))
			return true;
	return false;
}

static bool
is_worse(const struct stored_rcpt_note *n, const struct stored_rcpt_note *than)
{
	return than == NULL || (n->from_hop && !than->from_hop);
}

static void
count(const struct take *t, struct reply_count *c)
{
	*c = (struct reply_count){0};
	for (size_t i = 0; i < t->take.n; i++) {
		const struct mail *m = t->mails[i];
		for (size_t r = 0; r < m->note.n_rcpts && !is_beside(t, i); r++) {
			const struct stored_rcpt_note *n = &m->note.rcpts[r];
			if (n->state == RCPT_DELIVERED) {
				c->delivered++;
				c->best = c->best != NULL ? c->best : n;
			} else if (n->state == RCPT_FAILED || n->state == RCPT_TOLD) {
				c->refused++;
				c->worst = is_worse(n, c->worst) ? n : c->worst;
			} else if (m->mail.kind != STORED_SEND) {
				c->kept++;
			} else {
				c->waiting++;
				c->later = is_worse(n, c->later) ? n : c->later;
			}
		}
	}
}

static struct relay_rcpt *
result_rcpts(const struct take *t, struct arena *a, size_t *n_out)
{
	size_t n = 0, all = 0;
	for (size_t i = 0; i < t->take.n; i++)
		all += t->mails[i]->note.n_rcpts;
	*n_out = 0;
	if (all > RESULT_RCPTS_MOST)
		return NULL;
	struct relay_rcpt *r = arena_array(a, all, sizeof(*r));
	for (size_t i = 0; i < t->take.n; i++) {
		for (size_t j = 0; j < t->mails[i]->note.n_rcpts; j++) {
			const struct stored_rcpt_note *s = &t->mails[i]->note.rcpts[j];
			r[n++] = (struct relay_rcpt){
				.fate = s->state == RCPT_DELIVERED ? RELAY_TAKEN
					: s->state == RCPT_FAILED || s->state == RCPT_TOLD
						? RELAY_REFUSED
						: RELAY_DEFERRED,
				.reply = s->reply,
				.phase = s->at == FAILURE_AT_RCPT ? SMTP_CL_RCPT : SMTP_CL_DOT};
		}
	}
	*n_out = n;
	return r;
}

static void
send_result(struct take *t, enum queue_end end)
{
	struct arena *a = t->holding->arena;
	struct reply_count c;
	struct ipc_out out;
	struct slice payload;
	if (t->from == NULL)
		return;
	count(t, &c);
	struct queue_result r = {.end = end,
		.delivered = c.delivered,
		.refused = c.refused,
		.waiting = c.waiting,
		.kept = c.kept};
	const struct stored_rcpt_note *whose = end == QUEUE_REFUSED   ? c.worst
					       : end == QUEUE_PUT_OFF ? c.later
								      : c.best;
	reply_make(&c, (const char *)arena_text(a, t->mails[0]->mail.log), end, a, &r.reply);
	if (whose != NULL && end != QUEUE_QUEUED && end <= QUEUE_PUT_OFF) {
		r.from_hop = whose->from_hop;
		r.host = whose->host;
	}
	for (size_t i = 0; i < t->take.n; i++)
		if (t->mails[i]->place == MAIL_STORED) {
			r.id = t->mails[i]->id;
			break;
		}
	r.rcpts = result_rcpts(t, a, &r.n_rcpts);
	ipc_out_init(&out);
	queue_result_pack(&r, &out);
	if (ipc_out_ok(&out, &payload))
		(void)service_answer(t->from, QUEUE_MSG_RESULT, t->id, payload);
	ipc_out_fini(&out);
}

static void
packed_free(struct take *t)
{
	for (size_t i = 0; t->packed != NULL && i < 2 * t->take.n; i++)
		buf_fini(&t->packed[i]);
	mem_free(t->packed);
	t->packed = NULL;
}

/* As they would be stored: what cannot be is found out before anything is sent. */
static bool
pack_envelopes(struct take *t)
{
	bool all = true;
	t->packed = mem_array(2 * t->take.n, sizeof(*t->packed));
	for (size_t i = 0; i < t->take.n; i++) {
		buf_init(&t->packed[2 * i], CUSTODY_ENVELOPE_MOST);
		buf_init(&t->packed[2 * i + 1], CUSTODY_NOTE_MOST);
		all = stored_mail_pack(&t->take.parcels[i].mail, &t->packed[2 * i]) == 0 && all;
	}
	return all;
}

/* The answer is given: its mails go their own way. kept: what is stored stays. */
static void
take_free(struct take *t, bool kept)
{
	struct keeper *k = t->keeper;
	LIST_REMOVE(t, link);
	loop_timer_clear(&t->timer);
	wait_end(t);
	for (size_t i = 0; i < t->take.n; i++) {
		struct mail *m = t->mails[i];
		m->take = NULL;
		if (!kept || m->place != MAIL_STORED)
			mail_drop(m);
		for (uint32_t p = 0; m->place == MAIL_STORED && p < m->n_parts &&
				     m->mail.kind != STORED_QUARANTINE;
			p++)
			mail_schedule(m, p);
		mail_idle(m);
	}
	packed_free(t);
	mem_free(t->mails);
	holding_release(&t->holding);
	mem_free(t);
	keeper_pump(k);
}

static void
answer(struct take *t, enum queue_end end)
{
	send_result(t, end);
	take_free(t, end == QUEUE_DELIVERED || end == QUEUE_QUEUED);
}

/* Which mails a commit is about; also those that nobody can be told of now. */
static bool
is_to_be_put(const struct mail *m)
{
	return m->place == MAIL_NEW && (waits(m) || m->settle_later);
}

static void begin_attempts(struct take *t);

static void
on_put(void *arg, enum custody_result r, struct slice why)
{
	struct take *t = arg;
	struct keeper *k = t->keeper;
	t->storing = false;
	for (size_t i = 0; i < t->take.n; i++) {
		struct mail *m = t->mails[i];
		if (m->place != MAIL_PUTTING)
			continue;
		m->place = r == CUSTODY_OK ? MAIL_STORED : MAIL_NEW;
		if (r == CUSTODY_OK && t->put_dirty)
			m->dirty = true;
		if (r == CUSTODY_OK && m->mail.kind == STORED_QUARANTINE)
			quarantine_add(k, m->body_bytes);
	}
	if (r != CUSTODY_OK) {
		if (r != CUSTODY_FULL)
			store_failed(k, why);
		t->failed = true;
		t->trying = false;
		t->why_failed = r == CUSTODY_FULL ? QUEUE_FULL : QUEUE_FAILED;
		for (size_t i = 0; i < t->take.n; i++)
			attempt_cancel(t->mails[i]);
	} else {
		for (size_t i = 0; i < t->take.n; i++)
			if (t->mails[i]->place == MAIL_STORED)
				keeper_log(t->mails[i], "stored", NULL, NULL);
		if (t->trying && !t->cancelled)
			begin_attempts(t);
	}
	conclude(t);
}

static bool
is_touched(const struct mail *m)
{
	for (size_t i = 0; i < m->note.n_rcpts; i++)
		if (m->note.rcpts[i].state != RCPT_WAITING || m->note.rcpts[i].attempts != 0)
			return true;
	return false;
}

/*
 * The note as it is stored while attempts are under way: their final dots may be out, which
 * after our death nobody could tell (RFC 1047).
 */
static void
pack_note(struct mail *m, struct buf *note)
{
	for (uint32_t i = 0; i < m->n_parts; i++)
		for (uint32_t r = 0; m->parts[i].in_flight && r < m->parts[i].n_asked; r++)
			m->note.rcpts[m->parts[i].asked[r]].state = RCPT_DOUBT;
	if (is_touched(m))
		must(stored_note_pack(&m->note, note) == 0);
	for (uint32_t i = 0; i < m->n_parts; i++)
		for (uint32_t r = 0; m->parts[i].in_flight && r < m->parts[i].n_asked; r++)
			m->note.rcpts[m->parts[i].asked[r]].state = RCPT_WAITING;
}

/* Everything that waits into the store, in one commit. */
static void
put(struct take *t)
{
	struct custody_change *changes = mem_array(t->take.n, sizeof(*changes));
	size_t n = 0;
	for (size_t i = 0; i < t->take.n; i++) {
		struct mail *m = t->mails[i];
		struct buf *envelope = &t->packed[2 * i], *note = &t->packed[2 * i + 1];
		if (!is_to_be_put(m))
			continue;
		buf_clear(note);
		pack_note(m, note);
		m->place = MAIL_PUTTING;
		changes[n++] = (struct custody_change){.op = CUSTODY_PUT,
			.id = m->id,
			.envelope = buf_slice(envelope),
			.note = buf_slice(note),
			.body = &m->body};
	}
	t->storing = true;
	t->put_dirty = in_flight(t) != 0; /* their results are not in it */
	store_commit(t->keeper, changes, n, on_put, t);
	mem_free(changes);
}

static bool
needs_put(const struct take *t)
{
	for (size_t i = 0; i < t->take.n; i++)
		if (is_to_be_put(t->mails[i]))
			return true;
	return false;
}

/* Those that will not be in the store, and whose sender has to be told: before the answer. */
static bool
settle_rest(struct take *t)
{
	bool any = false;
	for (size_t i = 0; i < t->take.n; i++) {
		struct mail *m = t->mails[i];
		if (m->place == MAIL_NEW && mail_is_untold(&m->note) && !m->settling &&
			!m->settle_later) {
			settle(m);
			any = true;
		}
	}
	return any;
}

/* Nobody has it, and it is not for us to keep: see struct queue_take. */
static bool
gives_back(const struct take *t, const struct reply_count *c)
{
	bool unreachable = c->later != NULL && !c->later->from_hop && c->refused == 0;
	return t->take.give_back && c->waiting != 0 && c->delivered + c->kept == 0 &&
	       in_flight(t) == 0 && !(t->take.hold && unreachable);
}

/* Attempts are over, or the time is: what is to be said? */
static void
conclude(struct take *t)
{
	struct reply_count c;
	if (t->storing || is_settling(t) || (t->trying && in_flight(t) != 0))
		return;
	if (t->cancelled || t->failed) {
		if (in_flight(t) != 0)
			return; /* a final dot that is out is waited for */
		count(t, &c);
		answer(t, t->cancelled                          ? QUEUE_CANCELLED
			  : c.waiting + c.kept + c.refused == 0 ? QUEUE_DELIVERED
								: t->why_failed);
		return;
	}
	count(t, &c);
	t->trying = false;
	if (c.waiting + c.kept + c.delivered == 0) {
		answer(t, QUEUE_REFUSED);
	} else if (c.waiting + c.kept + c.refused == 0) {
		if (!settle_rest(t)) /* reports of success go out before the answer */
			answer(t, QUEUE_DELIVERED);
	} else if (gives_back(t, &c)) {
		answer(t, QUEUE_PUT_OFF);
	} else if (needs_put(t)) {
		put(t);
	} else if (!settle_rest(t)) {
		answer(t, QUEUE_QUEUED);
	}
}

void
take_progress(struct take *t)
{
	conclude(t);
}

void
take_settled(struct take *t)
{
	for (size_t i = 0; i < t->take.n; i++)
		if (!t->mails[i]->settling && t->mails[i]->place == MAIL_NEW &&
			mail_is_untold(&t->mails[i]->note) && t->keeper->store_bad) {
			t->failed = true;
			t->why_failed = QUEUE_FAILED;
		}
	conclude(t);
}

static void
on_time(void *arg)
{
	struct take *t = arg;
	t->trying = false;
	conclude(t);
}

bool
take_try(struct take *t, struct mail *m, uint32_t part)
{
	struct keeper *k = t->keeper;
	struct arena *a = arena_new(64 * 1024);
	struct schedule_part p;
	bool now = t->trying && !t->cancelled && !k->stopping && !k->store_bad &&
		   mail_part(k, &m->id, &m->mail, &m->note, m->parts[part].division, part, a,
			   &p) &&
		   schedule_try_now(k->schedule, &p, loop_now(k->loop));
	arena_free(&a);
	if (now)
		attempt_begin(m, part);
	return now;
}

static bool
is_sent(const struct take *t, size_t i)
{
	const struct mail *m = t->mails[i];
	return !is_beside(t, i) && m->mail.kind == STORED_SEND && m->place != MAIL_GONE &&
	       waits(m);
}

/* Sites that work are tried while the client waits, the others when they are due. */
static void
begin_attempts(struct take *t)
{
	t->storing = true; /* conclude waits until all have begun */
	for (size_t i = 0; i < t->take.n; i++) {
		struct mail *m = t->mails[i];
		for (uint32_t p = 0; is_sent(t, i) && p < m->n_parts; p++)
			(void)take_try(t, m, p);
	}
	t->storing = false;
}

static void
mail_of_parcel(struct take *t, size_t i)
{
	struct queue_parcel *p = &t->take.parcels[i];
	struct custody_id id = custody_id_new();
	struct mail *m = mail_new(t->keeper, t->holding, &id);
	t->mails[i] = m;
	m->take = t;
	m->mail = p->mail;
	m->body = p->body;
	m->body_bytes = p->body.bytes;
	must(stored_note_unpack(SLICE_NONE, &m->mail, t->holding->arena, &m->note));
	mail_divide(m);
	for (size_t r = 0; p->refused && r < m->note.n_rcpts; r++) {
		m->note.rcpts[r].state = RCPT_FAILED;
		m->note.rcpts[r].reply = p->reply;
		m->note.rcpts[r].at = FAILURE_AT_DOT;
		m->note.rcpts[r].failure = (struct failure){
			.class = FAILURE_CONTENT, .permanent = true, .about = ABOUT_THE_MAIL};
	}
}

/* One part for one site, and nothing that stays here: no disk is needed for it. */
static struct mail *
single(const struct take *t)
{
	struct mail *only = NULL;
	size_t parts = 0;
	for (size_t i = 0; i < t->take.n; i++) {
		if (!waits(t->mails[i]))
			continue;
		if (is_beside(t, i) || t->mails[i]->mail.kind != STORED_SEND)
			return NULL;
		parts += t->mails[i]->n_parts;
		only = t->mails[i];
	}
	return parts == 1 ? only : NULL;
}

/* What a rule wants kept for a person has room there, or the client keeps the mail. */
static bool
fits_quarantine(const struct take *t)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < t->take.n; i++)
		if (t->mails[i]->mail.kind == STORED_QUARANTINE)
			bytes += t->mails[i]->body_bytes;
	return bytes == 0 || quarantine_has_room(t->keeper, bytes);
}

static void
begin(struct take *t)
{
	struct keeper *k = t->keeper;
	if (!fits_quarantine(t)) {
		answer(t, QUEUE_FULL);
		return;
	}
	t->trying = t->take.budget_ms != 0 && !k->loading;
	/* What may be given back is tried: who brings it waits for its servers, as ever. */
	if (t->trying && t->take.give_back) {
		wait_for(t, t->take.budget_ms);
	} else if (t->trying) {
		wait_begin(t);
		t->trying = t->wait != NULL;
	}
	struct mail *only = single(t);
	if (only != NULL && t->trying) {
		t->storing = true;
		bool tried = take_try(t, only, 0);
		t->storing = false;
		if (!tried)
			t->trying = false;
		conclude(t);
	} else if (needs_put(t)) {
		put(t);
	} else {
		conclude(t);
	}
}

static void
fail(struct service_client *from, uint32_t id, enum queue_end end)
{
	struct arena *a = arena_new(64 * 1024);
	struct queue_result r = {.end = end};
	struct ipc_out out;
	struct slice payload;
	reply_make(&(struct reply_count){0}, "", end, a, &r.reply);
	ipc_out_init(&out);
	queue_result_pack(&r, &out);
	if (ipc_out_ok(&out, &payload))
		(void)service_answer(from, QUEUE_MSG_RESULT, id, payload);
	ipc_out_fini(&out);
	arena_free(&a);
}

void
take_message(struct keeper *k, struct service_client *from, struct ipc_msg *msg)
{
	struct err err;
	struct holding *h = holding_new(2 * (size_t)QUEUE_TAKE_ARENA);
	struct take *t = MEM_NEW(struct take);
	*t = (struct take){.keeper = k, .from = from, .id = msg->id, .holding = h};
	bool ready = !k->store_bad && !k->stopping;
	if (!ready || !queue_take_unpack(msg, h->arena, &t->take, &h->file) ||
		!pack_envelopes(t)) {
		if (ready) {
			err_set(&err, "a session sent a transaction that is none");
			log_error(EV_SYSTEM_ERROR, NULL, &err);
		}
		fail(from, msg->id, QUEUE_FAILED);
		packed_free(t);
		holding_release(&h);
		mem_free(t);
		return;
	}
	LIST_INSERT_HEAD(&k->takes, t, link);
	loop_timer_init(&t->timer, k->loop, on_time, t);
	t->mails = mem_array(t->take.n, sizeof(*t->mails));
	for (size_t i = 0; i < t->take.n; i++)
		mail_of_parcel(t, i);
	begin(t);
}

static void
cancel(struct take *t)
{
	t->cancelled = true;
	t->trying = false;
	for (size_t i = 0; i < t->take.n; i++)
		attempt_cancel(t->mails[i]);
	conclude(t);
}

void
take_cancel(struct keeper *k, struct service_client *from, uint32_t id)
{
	struct take *t;
	LIST_FOREACH (t, &k->takes, link)
		if (t->from == from && t->id == id) {
			cancel(t);
			return;
		}
}

void
take_client_gone(struct keeper *k, struct service_client *from)
{
	struct take *t, *next;
	for (t = LIST_FIRST(&k->takes); t != NULL; t = next) {
		next = LIST_NEXT(t, link);
		if (t->from != from)
			continue;
		t->from = NULL;
		cancel(t);
	}
}

void
take_forget_waits(struct keeper *k)
{
	while (!LIST_EMPTY(&k->waits))
		wait_free(LIST_FIRST(&k->waits));
}

void
take_close_all(struct keeper *k)
{
	struct take *t, *next;
	for (t = LIST_FIRST(&k->takes); t != NULL; t = next) {
		next = LIST_NEXT(t, link);
		cancel(t);
	}
}
