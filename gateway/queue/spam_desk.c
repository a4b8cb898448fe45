/*
 * Models of the spam filter at the keeper's: see spam_desk.h. Lessons are counted, and each
 * model knows the number of its last one and the number up to which its file holds all: who
 * asks for a commit waits until no model lacks anything before the number of his last lesson.
 *
 * A round packs, publishes and writes every model that has changed, one after another.
 */
#include "queue/spam_desk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "queue/hand_messages.h"
#include "queue/hand_spam.h"
#include "queue/spam_writer.h"

enum { SITE = 0, NOBODY = -1, SCRATCH_MOST = 4 * 1024 * 1024 };

struct desk_model {
	struct spam_model *model; /* NULL: the place is free */
	char domain[HAND_DOMAIN_MOST + 1];
	char name[SPAM_NAME_BYTES]; /* of its file */
	bool configured;
	bool unread;      /* what it has learned stands in a file that cannot be read now */
	bool stuck;       /* a damaged file is in the way: not to be written over */
	bool shown;       /* what is published is what it is */
	uint64_t changed; /* the number of its last lesson */
	uint64_t stored;  /* its file holds all up to this one */
	uint64_t bytes;   /* of the file; 0: there is none */
	int64_t taught_ms;
	unsigned round; /* the last one in which it was tried */
};

struct waiter { /* for a commit */
	STAILQ_ENTRY(waiter) link;
	hand_other_fn *fn;
	void *arg;
	uint64_t lesson; /* all up to this one */
	bool tried;      /* a round has begun since it came */
};

struct spam_desk {
	struct loop *loop;
	struct loop_timer timer;
	struct spam_shared *shared;
	struct spam_writer *writer;
	struct arena *scratch;
	int spool, dir; /* dir -1: not to be had now */
	struct desk_model models[HAND_SPAM_MODELS_MOST];
	uint64_t lessons;
	uint64_t told[HAND_TEACHES]; /* of them, those that the log has not heard of yet */
	unsigned round;
	int writing;             /* the model under way, or NOBODY */
	uint64_t writing_lesson; /* what is being written holds all up to it */
	uint64_t writing_bytes;
	bool in_round, round_failed, failing, no_place;
	struct err why; /* the last failure */
	STAILQ_HEAD(, waiter) waiters;
};

static void round_begin(struct spam_desk *d);

static bool
is_dirty(const struct desk_model *m)
{
	return m->model != NULL && m->changed > m->stored;
}

/* ---- the log ---- */

static void
log_model(const char *what, const char *name, const char *why, const char *file)
{
	struct log_line l;
	log_begin(&l, EV_SPAM_MODEL, NULL);
	log_text(&l, "what", what);
	if (name != NULL)
		log_text(&l, "model", name);
	if (why != NULL)
		log_text(&l, "error", why);
	if (file != NULL)
		log_text(&l, "file", file);
	log_end(&l);
}

/* Who teaches the gateway stands in the log, as all that people do by hand. */
static void
log_taught(struct spam_desk *d, uint32_t uid)
{
	struct log_line l;
	if (d->told[HAND_TEACH_HAM] + d->told[HAND_TEACH_SPAM] + d->told[HAND_TEACH_UNLEARN] ==
		0)
		return;
	log_begin(&l, EV_HAND, NULL);
	log_number(&l, "uid", uid);
	log_text(&l, "action", "learn");
	log_number(&l, "ham", (int64_t)d->told[HAND_TEACH_HAM]);
	log_number(&l, "spam", (int64_t)d->told[HAND_TEACH_SPAM]);
	log_number(&l, "unlearned", (int64_t)d->told[HAND_TEACH_UNLEARN]);
	log_end(&l);
	memset(d->told, 0, sizeof(d->told));
}

/* ---- reading ---- */

static bool
open_folder(struct spam_desk *d)
{
	if (d->dir < 0)
		d->dir = spam_files_open(d->spool, &d->why);
	return d->dir >= 0;
}

/* It begins anew, unless the damaged file cannot be moved: then it learns in memory alone. */
static void
set_aside(struct spam_desk *d, struct desk_model *m, const struct err *why)
{
	char aside[SPAM_NAME_BYTES];
	struct err err;
	m->stuck = spam_files_set_aside(d->dir, m->name, clock_wall_ms(), aside, &err) < 0;
	log_model(m->stuck ? "damaged, and cannot be set aside" : "set aside", m->name,
		why->text, m->stuck ? NULL : aside);
}

/* What no other try will read. A descriptor that is missing, or a right, is another thing. */
static bool
is_damaged(const struct err *err)
{
	return err->code == 0 || err->code == EIO || err->code == ELOOP;
}

static void
load(struct spam_desk *d, struct desk_model *m)
{
	struct buf file;
	struct err err;
	int64_t when = 0;
	struct spam_model *read = NULL;
	buf_init(&file, SPAM_FILE_MOST + 1);
	int got = open_folder(d) ? spam_files_read(d->dir, m->name, &file, &when, &err) : -1;
	if (d->dir < 0)
		err = d->why;
	if (got > 0) {
		err.code = 0;
		read = spam_model_unpack(buf_slice(&file), &err);
	}
	bool was_unread = m->unread;
	m->unread = got < 0 && (d->dir < 0 || !is_damaged(&err));
	m->bytes = read != NULL ? buf_slice(&file).n : 0;
	m->taught_ms = read != NULL ? when : 0;
	buf_fini(&file);
	if (m->unread && !was_unread)
		log_model("not read", m->name, err.text, NULL);
	if (m->unread)
		d->why = err;
	else if (got != 0 && read == NULL)
		set_aside(d, m, &err);
	spam_model_free(&m->model);
	m->model = read != NULL ? read : spam_model_new();
	m->shown = false;
}

/* Whether others see something of it that it is not: nothing is no news to those who know of
 * nothing, and costs no memory. */
static bool
is_news(const struct spam_desk *d, const struct desk_model *m)
{
	const struct spam_weights *w = spam_model_weights(m->model);
	struct spam_features none = {.n_raw = 0};
	struct spam_opinion opinion;
	return w->ham + w->spam != 0 ||
	       spam_shared_ask(d->shared, slice_of(m->domain), &none, &opinion);
}

static void
publish(struct spam_desk *d, struct desk_model *m)
{
	if (m->shown || m->unread || d->shared == NULL)
		return;
	m->shown = !is_news(d, m) || spam_shared_publish(d->shared, slice_of(m->domain),
					     spam_model_weights(m->model));
	if (m->shown || d->no_place)
		return;
	d->no_place = true;
	log_model("no place for it before a restart", m->name, NULL, NULL);
}

/* ---- domains ---- */

static struct desk_model *
find(struct spam_desk *d, struct slice domain)
{
	for (size_t i = 0; i < HAND_SPAM_MODELS_MOST; i++)
		if (d->models[i].model != NULL &&
			slice_eq_nocase(slice_of(d->models[i].domain), domain))
			return &d->models[i];
	return NULL;
}

/* A free one, or that of a domain that has no model any more and lacks nothing on disk. */
static struct desk_model *
place(struct spam_desk *d)
{
	struct desk_model *old = NULL;
	for (size_t i = SITE + 1; i < HAND_SPAM_MODELS_MOST; i++) {
		struct desk_model *m = &d->models[i];
		if (m->model == NULL)
			return m;
		if (!m->configured && !is_dirty(m) && d->writing != (int)i)
			old = m;
	}
	if (old != NULL)
		spam_model_free(&old->model);
	return old;
}

static void
add(struct spam_desk *d, struct slice domain)
{
	char name[SPAM_NAME_BYTES];
	bool right = domain.n <= HAND_DOMAIN_MOST && spam_files_name(domain, name);
	struct desk_model *m = right ? place(d) : NULL;
	if (m == NULL) {
		log_model(right ? "no place for it" : "its name is too long for a file",
			right ? name : NULL, NULL, NULL);
		return;
	}
	*m = (struct desk_model){.configured = true};
	snprintf(m->domain, sizeof(m->domain), "%.*s", SLICE_ARG(domain));
	memcpy(m->name, name, sizeof(name));
	load(d, m);
	publish(d, m);
}

void
spam_desk_domains(struct spam_desk *d, const struct slice *domains, size_t n)
{
	for (size_t i = SITE + 1; i < HAND_SPAM_MODELS_MOST; i++)
		d->models[i].configured = false;
	for (size_t i = 0; i < n; i++) {
		struct desk_model *m = find(d, domains[i]);
		if (m != NULL)
			m->configured = true;
	}
	for (size_t i = 0; i < n; i++)
		if (domains[i].n != 0 && find(d, domains[i]) == NULL)
			add(d, domains[i]);
}

/* ---- a round ---- */

static bool
is_stored(const struct spam_desk *d, uint64_t lesson)
{
	for (size_t i = 0; i < HAND_SPAM_MODELS_MOST; i++)
		if (is_dirty(&d->models[i]) && d->models[i].stored < lesson)
			return false;
	return true;
}

static void
answer(struct waiter *w, bool stored, const char *why)
{
	struct hand_spam_done done = {stored, stored ? SLICE_NONE : slice_of(why)};
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	hand_spam_done_pack(&done, &out);
	must(ipc_out_ok(&out, &payload));
	w->fn(w->arg, HAND_MSG_SPAM_DONE, payload);
	ipc_out_fini(&out);
	mem_free(w);
}

/* Those who have what they wait for, or have seen a round that did not bring it. */
static void
answer_all(struct spam_desk *d)
{
	STAILQ_HEAD(, waiter) later = STAILQ_HEAD_INITIALIZER(later);
	struct waiter *w;
	while ((w = STAILQ_FIRST(&d->waiters)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->waiters, link);
		bool stored = is_stored(d, w->lesson);
		if (stored || w->tried)
			answer(w, stored, d->why.text);
		else
			STAILQ_INSERT_TAIL(&later, w, link);
	}
	STAILQ_CONCAT(&d->waiters, &later);
}

static void
round_end(struct spam_desk *d)
{
	bool dirty = false;
	d->in_round = false;
	if (d->round_failed != d->failing)
		log_model(d->round_failed ? "not written" : "written again", NULL,
			d->round_failed ? d->why.text : NULL, NULL);
	d->failing = d->round_failed;
	answer_all(d);
	for (size_t i = 0; i < HAND_SPAM_MODELS_MOST; i++)
		dirty = dirty || is_dirty(&d->models[i]);
	if (!STAILQ_EMPTY(&d->waiters))
		round_begin(d);
	else if (dirty)
		loop_timer_set(&d->timer, d->failing ? SPAM_AGAIN_MS : SPAM_WRITE_MS);
}

static struct desk_model *
next_dirty(struct spam_desk *d)
{
	for (size_t i = 0; i < HAND_SPAM_MODELS_MOST; i++)
		if (is_dirty(&d->models[i]) && d->models[i].round != d->round)
			return &d->models[i];
	return NULL;
}

static bool
may_write(struct spam_desk *d, const struct desk_model *m)
{
	if (m->stuck) {
		err_set(&d->why, "%s is damaged and cannot be set aside", m->name);
		return false;
	}
	return open_folder(d);
}

static void
write_begin(struct spam_desk *d, struct desk_model *m)
{
	size_t n = spam_model_file_bytes(m->model);
	uint8_t *bytes = mem_new(n);
	spam_model_pack(m->model, bytes);
	d->writing = (int)(m - d->models);
	d->writing_lesson = d->lessons;
	d->writing_bytes = n;
	spam_writer_start(d->writer, d->dir, m->name, bytes, n);
}

/* Until one is on its way, or nothing is left. */
static void
round_go_on(struct spam_desk *d)
{
	struct desk_model *m;
	while ((m = next_dirty(d)) != NULL) {
		m->round = d->round;
		publish(d, m);
		if (may_write(d, m)) {
			write_begin(d, m);
			return;
		}
		d->round_failed = true;
	}
	round_end(d);
}

static void
round_begin(struct spam_desk *d)
{
	struct waiter *w;
	d->in_round = true;
	d->round_failed = false;
	d->round++;
	loop_timer_clear(&d->timer);
	STAILQ_FOREACH (w, &d->waiters, link)
		w->tried = true;
	round_go_on(d);
}

static void
on_written(void *arg, const struct err *err)
{
	struct spam_desk *d = arg;
	struct desk_model *m = &d->models[d->writing];
	d->writing = NOBODY;
	if (err == NULL) {
		m->stored = d->writing_lesson;
		m->bytes = d->writing_bytes;
	} else {
		d->why = *err;
		d->round_failed = true;
	}
	round_go_on(d);
}

static void
on_timer(void *arg)
{
	round_begin(arg);
}

/* ---- lessons ---- */

static struct hand_learned
take_lesson(struct spam_desk *d, struct desk_model *m, const struct hand_lesson *lesson)
{
	const struct spam_features *f = &lesson->features;
	struct spam_logits before = spam_weigh(spam_model_weights(m->model), f);
	struct hand_learned done = {
		.raw = hand_logit(before.raw), .text = hand_logit(before.text)};
	done.result = lesson->teach == HAND_TEACH_UNLEARN
			      ? spam_model_unlearn(m->model, f)
			      : spam_model_learn(m->model, f, lesson->teach == HAND_TEACH_SPAM);
	if (done.result == SPAM_KNOWN || done.result == SPAM_UNKNOWN)
		return done;
	m->changed = ++d->lessons;
	m->shown = false;
	d->told[lesson->teach]++;
	return done;
}

static void
learn(struct spam_desk *d, struct desk_model *m, const struct hand_lessons *l,
	hand_other_fn *fn, void *arg)
{
	struct hand_learned done[HAND_LESSONS_MOST];
	struct ipc_out out;
	struct slice payload;
	for (size_t i = 0; i < l->n; i++)
		done[i] = take_lesson(d, m, &l->list[i]);
	m->taught_ms = clock_wall_ms();
	if (!d->in_round && !loop_timer_is_set(&d->timer) && is_dirty(m))
		loop_timer_set(&d->timer, SPAM_WRITE_MS);
	ipc_out_init(&out);
	hand_learned_pack(done, l->n, &out);
	must(ipc_out_ok(&out, &payload));
	fn(arg, HAND_MSG_SPAM_LEARNED, payload);
	ipc_out_fini(&out);
}

static void
refuse_domain(struct slice domain, hand_other_fn *fn, void *arg)
{
	char words[HAND_DOMAIN_MOST + 100];
	snprintf(words, sizeof(words),
		"%.*s has no model of its own: `model for` of `filter spam` names those that "
		"have",
		SLICE_ARG(domain));
	fn(arg, HAND_MSG_ERROR, slice_of(words));
}

static void
refuse_unread(struct spam_desk *d, hand_other_fn *fn, void *arg)
{
	struct err err = d->why;
	err_wrap(&err, "what was learned before cannot be read now");
	fn(arg, HAND_MSG_ERROR, slice_of(err.text));
}

static bool
ask_learn(struct spam_desk *d, struct slice payload, hand_other_fn *fn, void *arg)
{
	struct hand_lessons l;
	arena_reset(d->scratch);
	if (!hand_lessons_unpack(payload, d->scratch, &l))
		return false;
	struct desk_model *m = find(d, l.domain);
	if (m != NULL && m->unread)
		load(d, m);
	if (m == NULL || !m->configured)
		refuse_domain(l.domain, fn, arg);
	else if (m->unread)
		refuse_unread(d, fn, arg);
	else
		learn(d, m, &l, fn, arg);
	return true;
}

static bool
ask_commit(
	struct spam_desk *d, uint32_t uid, struct slice payload, hand_other_fn *fn, void *arg)
{
	if (payload.n != 0)
		return false;
	struct waiter *w = MEM_NEW(struct waiter);
	*w = (struct waiter){.fn = fn, .arg = arg, .lesson = d->lessons};
	STAILQ_INSERT_TAIL(&d->waiters, w, link);
	log_taught(d, uid);
	if (!d->in_round)
		round_begin(d);
	return true;
}

static bool
ask_status(struct spam_desk *d, struct slice payload, hand_other_fn *fn, void *arg)
{
	struct hand_spam_model list[HAND_SPAM_MODELS_MOST];
	struct ipc_out out;
	struct slice bytes;
	size_t n = 0;
	if (payload.n != 0)
		return false;
	for (size_t i = 0; i < HAND_SPAM_MODELS_MOST; i++) {
		const struct desk_model *m = &d->models[i];
		if (!m->configured)
			continue;
		const struct spam_weights *w = spam_model_weights(m->model);
		list[n++] = (struct hand_spam_model){.domain = slice_of(m->domain),
			.ham = w->ham,
			.spam = w->spam,
			.bytes = m->bytes,
			.taught_ms = (uint64_t)m->taught_ms,
			.stored = !is_dirty(m)};
	}
	ipc_out_init(&out);
	hand_spam_models_pack(list, n, &out);
	must(ipc_out_ok(&out, &bytes));
	fn(arg, HAND_MSG_SPAM_MODELS, bytes);
	ipc_out_fini(&out);
	return true;
}

bool
spam_desk_hand(void *desk, uint32_t uid, const struct ipc_msg *m, hand_other_fn *fn, void *arg)
{
	struct spam_desk *d = desk;
	switch (m->type) {
	case HAND_MSG_SPAM_LEARN: return ask_learn(d, m->payload, fn, arg);
	case HAND_MSG_SPAM_COMMIT: return ask_commit(d, uid, m->payload, fn, arg);
	case HAND_MSG_SPAM_STATUS: return ask_status(d, m->payload, fn, arg);
	default: return false;
	}
}

/* ---- its life ---- */

struct spam_desk *
spam_desk_new(struct loop *l, int spool, struct spam_shared *shared, struct err *err)
{
	struct spam_desk *d = MEM_NEW(struct spam_desk);
	d->loop = l;
	d->spool = spool;
	d->dir = -1;
	d->shared = shared;
	d->writing = NOBODY;
	STAILQ_INIT(&d->waiters);
	loop_timer_init(&d->timer, l, on_timer, d);
	d->writer = spam_writer_new(l, on_written, d, err);
	if (d->writer == NULL) {
		spam_desk_free(&d);
		return NULL;
	}
	d->scratch = arena_new(SCRATCH_MOST);
	struct desk_model *site = &d->models[SITE];
	site->configured = true;
	must(spam_files_name(SLICE_NONE, site->name));
	load(d, site);
	publish(d, site);
	return d;
}

/* The loop is at its end: what is left is written here, and waited for. */
void
spam_desk_free(struct spam_desk **dp)
{
	struct spam_desk *d = *dp;
	if (d == NULL)
		return;
	*dp = NULL;
	loop_timer_clear(&d->timer);
	if (d->writer != NULL && !d->in_round)
		round_begin(d);
	while (d->writer != NULL && d->writing != NOBODY)
		spam_writer_wait(d->writer); /* on_written goes on with the next one */
	loop_timer_clear(&d->timer);
	must(STAILQ_EMPTY(&d->waiters));
	spam_writer_free(&d->writer);
	for (size_t i = 0; i < HAND_SPAM_MODELS_MOST; i++)
		spam_model_free(&d->models[i].model);
	if (d->dir >= 0)
		close(d->dir);
	arena_free(&d->scratch);
	mem_free(d);
}
