/*
 * What people do to stored mails by hand (`postern queue`), and what the rounds of watch.c find
 * to be done: a mail is read, and when nothing else is under way with it, changed.
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/keeper_priv.h"

enum { ACT_AT_ONCE = 32, /* mails of one job in memory at a time */ WHY_MOST = 400 };

struct act_job { /* one call of act_by_hand */
	struct keeper *keeper;
	const struct hand_act *act;
	size_t next;
	unsigned under_way;
	struct hand_done done;
	char why[WHY_MOST]; /* of the first that failed or was refused */
	hand_done_fn *fn;
	void *arg;
	struct loop_task task;
};

struct hand_work { /* of one mail */
	LIST_ENTRY(hand_work) link;
	struct act_job *job; /* NULL: a review */
	struct custody_id id;
};

static void
job_step(void *arg)
{
	struct act_job *j = arg;
	struct keeper *k = j->keeper;
	while (j->next < j->act->n && j->under_way < ACT_AT_ONCE) {
		const struct custody_id *id = &j->act->ids[j->next++];
		struct hand_work *w = MEM_NEW(struct hand_work);
		struct mail *m = mail_find(k, id);
		w->job = j;
		w->id = *id;
		j->under_way++;
		if (m == NULL)
			m = mail_load(k, id, UINT32_MAX);
		LIST_INSERT_HEAD(&m->hands, w, link);
		if (m->place != MAIL_LOADING) {
			act_urgent(m, j->act->action);
			mail_idle(m);
		}
	}
	if (j->next < j->act->n || j->under_way != 0)
		return;
	j->fn(j->arg, &j->done);
	loop_task_clear(&j->task);
	mem_free(j);
}

/* The first one tells for all: "ID: why". */
static void
say_why(struct act_job *j, const struct custody_id *id, struct slice why)
{
	char text[CUSTODY_ID_TEXT];
	if (j->done.why.n != 0)
		return;
	snprintf(j->why, sizeof(j->why), "%s: %.*s", custody_id_text(id, text), SLICE_ARG(why));
	j->done.why = slice_of(j->why);
}

void
act_end(struct hand_work *w, enum act_result r, struct slice why)
{
	struct act_job *j = w->job;
	struct custody_id id = w->id;
	LIST_REMOVE(w, link);
	mem_free(w);
	if (j == NULL)
		return;
	j->under_way--;
	j->done.done += r == ACT_DONE;
	j->done.missing += r == ACT_NOTHING;
	j->done.failed += r == ACT_FAILED;
	j->done.refused += r == ACT_REFUSED;
	if (r == ACT_FAILED || r == ACT_REFUSED)
		say_why(j, &id, why.n != 0 ? why : SLICE("the spool did not take the change"));
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
	m->note.held = true;
	schedule_remove(m->keeper->schedule, &m->id);
	mail_save(m);
	return ACT_DONE;
}

static enum act_result
release(struct mail *m)
{
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
	if (m->note.held)
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

/* Of a mail in quarantine; the others have no part in it. */
static enum act_result
perform_kept(struct mail *m, struct hand_work *w, struct slice *why)
{
	const struct hand_act *act = w->job->act;
	switch (act->action) {
	case HAND_RELEASE: return quarantine_release(m, act, w, why);
	case HAND_FORWARD: return quarantine_forward(m, act, w, why);
	case HAND_LOOK: return quarantine_look(m, act, why);
	case HAND_EXPIRE: return give_up(m, "");
	case HAND_DROP: return drop(m, "dropped by hand");
	case HAND_HOLD:
	case HAND_RETRY:
	case HAND_ACTIONS: break;
	}
	return ACT_NOTHING;
}

static enum act_result
perform(struct mail *m, struct hand_work *w, struct slice *why)
{
	if (m->place != MAIL_STORED)
		return m->unread ? ACT_FAILED : ACT_NOTHING;
	if (w->job == NULL)
		return review(m);
	if (m->mail.kind == STORED_QUARANTINE)
		return perform_kept(m, w, why);
	switch (w->job->act->action) {
	case HAND_HOLD: return hold(m);
	case HAND_RELEASE: return release(m);
	case HAND_RETRY: return retry(m);
	case HAND_EXPIRE: return give_up(m, "554 5.4.7 Given up by the administrator");
	case HAND_DROP: return drop(m, "dropped by hand");
	case HAND_FORWARD:
	case HAND_LOOK:
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
		struct slice why = SLICE_NONE;
		enum act_result r = perform(m, w, &why);
		if (r == ACT_LATER)
			return true;
		act_end(w, r, why);
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
act_by_hand(void *keeper, const struct hand_act *act, hand_done_fn *fn, void *arg)
{
	struct keeper *k = keeper;
	struct act_job *j = MEM_NEW(struct act_job);
	*j = (struct act_job){.keeper = k, .act = act, .fn = fn, .arg = arg};
	loop_task_init(&j->task, k->loop, job_step, j);
	loop_task_queue(&j->task);
}
