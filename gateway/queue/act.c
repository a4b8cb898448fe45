/*
 * What people do to stored mails by hand (`postern queue`), and what the rounds of watch.c find
 * to be done: a mail is read, and when nothing else is under way with it, changed.
 */
#include "base/mem.h"
#include "base/must.h"
#include "queue/keeper_priv.h"

enum { ACT_AT_ONCE = 32 }; /* mails of one job in memory at a time */

struct act_job { /* one call of act_by_hand */
	struct keeper *keeper;
	enum hand_action action;
	const struct custody_id *ids;
	size_t n, next;
	unsigned under_way;
	struct hand_done done;
	hand_done_fn *fn;
	void *arg;
	struct loop_task task;
};

struct hand_work { /* of one mail */
	LIST_ENTRY(hand_work) link;
	struct act_job *job; /* NULL: a review */
};

enum act_result { ACT_DONE, ACT_NOTHING, ACT_FAILED, ACT_LATER /* mail_idle comes again */ };

static void
job_step(void *arg)
{
	struct act_job *j = arg;
	struct keeper *k = j->keeper;
	while (j->next < j->n && j->under_way < ACT_AT_ONCE) {
		const struct custody_id *id = &j->ids[j->next++];
		struct hand_work *w = MEM_NEW(struct hand_work);
		struct mail *m = mail_find(k, id);
		w->job = j;
		j->under_way++;
		if (m == NULL)
			m = mail_load(k, id, UINT32_MAX);
		LIST_INSERT_HEAD(&m->hands, w, link);
		if (m->place != MAIL_LOADING) {
			act_urgent(m, j->action);
			mail_idle(m);
		}
	}
	if (j->next < j->n || j->under_way != 0)
		return;
	j->fn(j->arg, &j->done);
	loop_task_clear(&j->task);
	mem_free(j);
}

static void
work_end(struct hand_work *w, enum act_result r)
{
	struct act_job *j = w->job;
	LIST_REMOVE(w, link);
	mem_free(w);
	if (j == NULL)
		return;
	j->under_way--;
	j->done.done += r == ACT_DONE;
	j->done.missing += r == ACT_NOTHING;
	j->done.failed += r == ACT_FAILED;
	if (r == ACT_FAILED)
		j->done.why = SLICE("the spool did not take the change");
	loop_task_queue(&j->task);
}

static void
all_due_now(struct mail *m)
{
	struct keeper *k = m->keeper;
	for (uint32_t i = 0; i < m->note.n_rcpts; i++)
		if (mail_waits(&m->note.rcpts[i]))
			m->note.rcpts[i].due_ms = (uint64_t)keeper_wall(k);
	for (uint32_t i = 0; i < m->n_parts; i++)
		mail_schedule(m, i);
	schedule_due(k->schedule, &m->id, 0, loop_now(k->loop));
	mail_save(m);
}

static enum act_result
hold(struct mail *m)
{
	if (m->mail.kind == STORED_QUARANTINE)
		return ACT_NOTHING;
	m->note.held = true;
	schedule_remove(m->keeper->schedule, &m->id);
	mail_save(m);
	return ACT_DONE;
}

struct releasing { /* a mail out of the quarantine: stored anew as one that is sent */
	struct mail *mail;
	struct stored_mail stored;
	struct custody_id id;
	struct buf envelope;
};

static void
on_released(void *arg, enum custody_result r, struct slice why)
{
	struct releasing *s = arg;
	struct mail *m = s->mail;
	struct hand_work *w = LIST_FIRST(&m->hands);
	struct stored_note note;
	m->users--;
	if (r != CUSTODY_OK) {
		if (r != CUSTODY_FULL)
			store_failed(m->keeper, why);
	} else if (stored_note_unpack(SLICE_NONE, &s->stored, m->holding->arena, &note)) {
		mail_schedule_stored(m->keeper, &s->id, &s->stored, &note);
		keeper_log(m, "released from quarantine", NULL, NULL);
		m->place = MAIL_GONE;
	}
	work_end(w, r == CUSTODY_OK ? ACT_DONE : ACT_FAILED);
	buf_fini(&s->envelope);
	mem_free(s);
	mail_idle(m);
}

static enum act_result
release_quarantined(struct mail *m)
{
	if (!mail_body(m, UINT32_MAX))
		return ACT_LATER;
	if (m->body_place != BODY_HERE)
		return ACT_FAILED;
	struct releasing *s = MEM_NEW(struct releasing);
	*s = (struct releasing){.mail = m, .stored = m->mail, .id = custody_id_new()};
	s->stored.kind = STORED_SEND;
	s->stored.arrived_ms = (uint64_t)keeper_wall(m->keeper);
	s->stored.quarantine = SLICE_NONE;
	buf_init(&s->envelope, CUSTODY_ENVELOPE_MOST);
	must(stored_mail_pack(&s->stored, &s->envelope) == 0); /* no more than it was */
	struct custody_change changes[2] = {{.op = CUSTODY_PUT,
						    .id = s->id,
						    .envelope = buf_slice(&s->envelope),
						    .body = &m->body},
		{.op = CUSTODY_DROP, .id = m->id}};
	m->users++;
	store_commit(m->keeper, changes, 2, on_released, s);
	return ACT_LATER;
}

static enum act_result
release(struct mail *m)
{
	if (m->mail.kind == STORED_QUARANTINE)
		return release_quarantined(m);
	if (!m->note.held && m->mail.kind != STORED_HOLD)
		return ACT_NOTHING;
	m->note.held = false;
	all_due_now(m);
	return ACT_DONE;
}

static enum act_result
retry(struct mail *m)
{
	struct keeper *k = m->keeper;
	if (m->mail.kind == STORED_QUARANTINE || m->note.held)
		return ACT_NOTHING;
	for (uint32_t i = 0; i < m->note.n_rcpts; i++) {
		if (!mail_waits(&m->note.rcpts[i]))
			continue;
		struct arena *a = arena_new(64 * 1024);
		schedule_site_retry(k->schedule,
			divide_site(&m->mail, &m->mail.rcpts[i], m->note.rcpts[i].way, a),
			loop_now(k->loop));
		arena_free(&a);
	}
	all_due_now(m);
	return ACT_DONE;
}

static enum act_result
drop(struct mail *m, const char *why)
{
	keeper_log(m, why, NULL, NULL);
	mail_drop(m);
	return ACT_DONE;
}

static enum act_result
give_up(struct mail *m, const char *words)
{
	if (m->mail.kind == STORED_QUARANTINE)
		return drop(m, "dropped: its time in quarantine is over");
	for (uint32_t i = 0; i < m->note.n_rcpts; i++)
		if (mail_waits(&m->note.rcpts[i]))
			settle_expire(m, i, words);
	schedule_remove(m->keeper->schedule, &m->id);
	m->dirty = true; /* settle.c stores it, with the notices */
	return ACT_DONE;
}

struct delaying {
	struct mail *mail;
	struct arena *arena;
	struct buf note;
	uint32_t *told; /* recipients */
	uint32_t n_told;
};

static void
on_delay_told(void *arg, bool stored)
{
	struct delaying *d = arg;
	struct mail *m = d->mail;
	m->users--;
	m->settling = m->telling = false;
	for (uint32_t i = 0; !stored && i < d->n_told; i++)
		m->note.rcpts[d->told[i]].delay_told = false; /* the next round tries again */
	buf_fini(&d->note);
	arena_free(&d->arena);
	mem_free(d);
	if (m->dirty && stored)
		mail_save(m);
	mail_idle(m);
}

static bool
delay_told(void *arg, struct custody_change *with_out)
{
	struct delaying *d = arg;
	struct mail *m = d->mail;
	for (uint32_t i = 0; i < d->n_told; i++)
		m->note.rcpts[d->told[i]].delay_told = true;
	must(stored_note_pack(&m->note, &d->note) == 0);
	m->dirty = false;
	m->telling = true; /* a note of meanwhile would be overtaken by this one */
	*with_out = (struct custody_change){
		.op = CUSTODY_NOTE, .id = m->id, .note = buf_slice(&d->note)};
	return true;
}

static void
tell_delay(struct mail *m)
{
	struct delaying *d = MEM_NEW(struct delaying);
	*d = (struct delaying){.mail = m, .arena = arena_new(16 * 1024 * 1024)};
	struct dsn_rcpt *rcpts = arena_array(d->arena, m->note.n_rcpts, sizeof(*rcpts));
	size_t n = 0;
	d->told = arena_array(d->arena, m->note.n_rcpts, sizeof(*d->told));
	for (uint32_t i = 0; i < m->note.n_rcpts; i++) {
		struct stored_rcpt_note *r = &m->note.rcpts[i];
		if (!mail_waits(r) || r->delay_told ||
			!dsn_is_due(&m->mail, &m->mail.rcpts[i], DSN_DELAYED))
			continue;
		d->told[d->n_told++] = i;
		rcpts[n++] = (struct dsn_rcpt){&m->mail.rcpts[i], r, DSN_DELAYED};
	}
	if (n == 0) {
		arena_free(&d->arena);
		mem_free(d);
		return;
	}
	buf_init(&d->note, CUSTODY_NOTE_MOST);
	m->users++;
	m->settling = true;
	notice_send(m, rcpts, n, delay_told, on_delay_told, d);
}

static enum act_result
review(struct mail *m)
{
	struct keeper *k = m->keeper;
	const struct conf_queue *q = &k->settings.queue;
	const struct stored_mail *s = &m->mail;
	if (s->kind == STORED_QUARANTINE)
		return mail_is_over(k, s) ? give_up(m, "") : ACT_NOTHING;
	if (m->note.expire)
		return give_up(m, "554 5.4.7 Given up by the administrator");
	if (mail_is_over(k, s))
		return give_up(m, "554 5.4.7 The time for this mail is over");
	if (q->delay_notice_ms != 0 && keeper_is_older(k, s->arrived_ms, q->delay_notice_ms))
		tell_delay(m);
	return ACT_DONE;
}

static enum act_result
perform(struct mail *m, const struct hand_work *w)
{
	if (m->place != MAIL_STORED)
		return m->unread ? ACT_FAILED : ACT_NOTHING;
	if (w->job == NULL)
		return review(m);
	switch (w->job->action) {
	case HAND_HOLD: return hold(m);
	case HAND_RELEASE: return release(m);
	case HAND_RETRY: return retry(m);
	case HAND_EXPIRE: return give_up(m, "554 5.4.7 Given up by the administrator");
	case HAND_DROP: return drop(m, "dropped by hand");
	case HAND_ACTIONS: break;
	}
	return ACT_NOTHING;
}

/* With an attempt under way: what cannot wait for its end. */
void
act_urgent(struct mail *m, enum hand_action a)
{
	if (m->place != MAIL_STORED || m->in_flight == 0)
		return;
	if (a == HAND_HOLD) {
		m->note.held = true;
		schedule_remove(m->keeper->schedule, &m->id);
	}
	if (a == HAND_DROP || a == HAND_EXPIRE)
		attempt_cancel(m);
}

bool
act_pending(struct mail *m)
{
	struct hand_work *w;
	while ((w = LIST_FIRST(&m->hands)) != NULL) {
		enum act_result r = perform(m, w);
		if (r == ACT_LATER)
			return true;
		work_end(w, r);
		if (m->users != 0)
			return true;
	}
	return false;
}

/* The process ends: its jobs are answered by nobody. */
void
act_forget(struct mail *m)
{
	struct hand_work *w;
	while ((w = LIST_FIRST(&m->hands)) != NULL) {
		struct act_job *j = w->job;
		LIST_REMOVE(w, link);
		mem_free(w);
		if (j != NULL && --j->under_way == 0) {
			loop_task_clear(&j->task);
			mem_free(j);
		}
	}
}

void
act_review(struct keeper *k, const struct custody_id *id)
{
	struct hand_work *w = MEM_NEW(struct hand_work);
	struct mail *m = mail_load(k, id, UINT32_MAX);
	LIST_INSERT_HEAD(&m->hands, w, link);
}

void
act_by_hand(void *keeper, enum hand_action action, const struct custody_id *ids, size_t n,
	hand_done_fn *fn, void *arg)
{
	struct keeper *k = keeper;
	struct act_job *j = MEM_NEW(struct act_job);
	*j = (struct act_job){
		.keeper = k, .action = action, .ids = ids, .n = n, .fn = fn, .arg = arg};
	loop_task_init(&j->task, k->loop, job_step, j);
	loop_task_queue(&j->task);
}
