/*
 * The state at the keeper's: see state_desk.h. A question of a session is kept until its
 * answers come, which an engine may take its time for; it outlives its client, and the desk.
 */
#include "queue/state_desk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "queue/hand_limits.h"
#include "state/local.h"
#include "state/messages.h"

struct question {
	LIST_ENTRY(question) link;
	struct state_desk *desk;
	struct service_client *client; /* NULL: gone */
	uint32_t id;
};

struct state_desk {
	struct loop_timer timer;
	int spool, dir;
	struct state *state; /* NULL: not to be had now */
	bool told;
	LIST_HEAD(, question) questions;
};

/* ---- the engine ---- */

static int
open_folder(struct state_desk *d, struct err *err)
{
	if (mkdirat(d->spool, "state", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "make the folder of the state");
	d->dir = openat(d->spool, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return d->dir >= 0 ? 0 : err_sys(err, "open the folder of the state");
}

static void
open_engine(struct state_desk *d)
{
	struct err err;
	if (d->dir < 0 && open_folder(d, &err) < 0)
		d->state = NULL;
	else
		d->state = local_open(&(struct local_config){.dir_fd = d->dir}, &err);
	if (d->state == NULL && !d->told)
		log_error(EV_STATE, NULL, &err);
	d->told = d->state == NULL;
}

static void
on_timer(void *arg)
{
	struct state_desk *d = arg;
	struct err err;
	if (d->state == NULL)
		open_engine(d);
	else
		(void)d->state->calls->flush(d->state, &err); /* which has told */
	loop_timer_set(&d->timer, d->state != NULL ? STATE_FLUSH_MS : STATE_AGAIN_MS);
}

struct state_desk *
state_desk_new(struct loop *l, int spool)
{
	struct state_desk *d = MEM_NEW(struct state_desk);
	d->spool = spool;
	d->dir = -1;
	LIST_INIT(&d->questions);
	loop_timer_init(&d->timer, l, on_timer, d);
	open_engine(d);
	loop_timer_set(&d->timer, STATE_FLUSH_MS);
	return d;
}

void
state_desk_free(struct state_desk **dp)
{
	struct state_desk *d = *dp;
	struct question *q;
	if (d == NULL)
		return;
	*dp = NULL;
	loop_timer_clear(&d->timer);
	if (d->state != NULL)
		d->state->calls->close(&d->state);
	if (d->dir >= 0)
		close(d->dir);
	LIST_FOREACH (q, &d->questions, link)
		q->desk = NULL;
	mem_free(d);
}

/* ---- sessions ---- */

static void
send_answers(
	struct service_client *to, uint32_t id, const struct state_answer *answers, size_t n)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	state_answers_pack(answers, n, &out);
	must(ipc_out_ok(&out, &payload));
	/* One that does not read has its own end of time for an answer. */
	(void)service_answer(to, STATE_MSG_ANSWER, id, payload);
	ipc_out_fini(&out);
}

static void
on_answers(void *arg, const struct state_answer *answers, size_t n)
{
	struct question *q = arg;
	if (q->desk != NULL)
		LIST_REMOVE(q, link);
	if (q->desk != NULL && q->client != NULL)
		send_answers(q->client, q->id, answers, n);
	mem_free(q);
}

static void
ask(struct state_desk *d, struct service_client *from, uint32_t id, const struct state_op *ops,
	size_t n)
{
	if (d->state == NULL) {
		struct state_answer failed[STATE_OPS_MOST];
		for (size_t i = 0; i < n; i++)
			failed[i] = (struct state_answer){.status = STATE_FAILED};
		send_answers(from, id, failed, n);
		return;
	}
	struct question *q = MEM_NEW(struct question);
	q->desk = d;
	q->client = from;
	q->id = id;
	LIST_INSERT_HEAD(&d->questions, q, link);
	d->state->calls->ask(d->state, ops, n, on_answers, q);
}

/* What changes something and is answered by nothing. */
static bool
is_told(const struct state_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ops[i].kind != STATE_GIVE && ops[i].kind != STATE_PASS &&
			ops[i].kind != STATE_SET)
			return false;
	return true;
}

bool
state_desk_message(struct state_desk *d, struct service_client *from, const struct ipc_msg *m)
{
	struct state_op ops[STATE_OPS_MOST];
	size_t n;
	struct err err;
	if (m->type != STATE_MSG_ASK && m->type != STATE_MSG_TELL)
		return false;
	if (!state_ops_unpack(m->payload, ops, &n) ||
		(m->type == STATE_MSG_TELL && !is_told(ops, n))) {
		err_set(&err, "a session asked of the state what cannot be read");
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	} else if (m->type == STATE_MSG_ASK) {
		ask(d, from, m->id, ops, n);
	} else if (d->state != NULL) {
		d->state->calls->ask(d->state, ops, n, NULL, NULL);
	}
	return true;
}

void
state_desk_client_gone(struct state_desk *d, struct service_client *client)
{
	struct question *q;
	LIST_FOREACH (q, &d->questions, link)
		if (q->client == client)
			q->client = NULL;
}

/* ---- people ---- */

struct hand_question {
	hand_other_fn *fn;
	void *arg;
	uint32_t uid;
};

static void
fail(const struct hand_question *q)
{
	q->fn(q->arg, HAND_MSG_ERROR,
		SLICE("the state cannot be had now: see event=state in the log"));
}

static void
on_page(void *arg, const struct state_item *items, size_t n, struct slice next, bool failed)
{
	struct hand_question *q = arg;
	struct ipc_out out;
	struct slice payload;
	if (failed) {
		fail(q);
		mem_free(q);
		return;
	}
	if (n > HAND_LIMITS_MOST) {
		next = items[HAND_LIMITS_MOST].key;
		n = HAND_LIMITS_MOST;
	}
	ipc_out_init(&out);
	hand_limits_page_pack(items, n, next, &out);
	must(ipc_out_ok(&out, &payload));
	q->fn(q->arg, HAND_MSG_LIMITS_PAGE, payload);
	ipc_out_fini(&out);
	mem_free(q);
}

static void
on_reset(void *arg, const struct state_answer *answers, size_t n)
{
	struct hand_question *q = arg;
	struct ipc_out out;
	struct slice payload;
	uint32_t done = 0;
	bool failed = false;
	for (size_t i = 0; i < n; i++) {
		done += answers[i].yes;
		failed = failed || answers[i].status != STATE_OK;
	}
	if (failed) {
		fail(q);
		mem_free(q);
		return;
	}
	ipc_out_init(&out);
	hand_limits_done_pack(done, &out);
	must(ipc_out_ok(&out, &payload));
	q->fn(q->arg, HAND_MSG_LIMITS_DONE, payload);
	ipc_out_fini(&out);
	mem_free(q);
}

/* Who takes someone's limit away stands in the log, as all that people do by hand. */
static void
log_reset(uint32_t uid, struct slice key)
{
	struct log_line l;
	log_begin(&l, EV_HAND, NULL);
	log_number(&l, "uid", uid);
	log_text(&l, "action", "reset");
	log_slice(&l, "key", key);
	log_end(&l);
}

/* From every space that limits something. */
static void
reset(struct state_desk *d, struct slice key, struct hand_question *q)
{
	struct state_op ops[STATE_MEMO];
	for (int s = 0; s < STATE_MEMO; s++)
		ops[s] = (struct state_op){
			.kind = STATE_DROP, .space = (enum state_space)s, .key = key};
	log_reset(q->uid, key);
	d->state->calls->ask(d->state, ops, STATE_MEMO, on_reset, q);
}

bool
state_desk_hand(void *desk, uint32_t uid, const struct ipc_msg *m, hand_other_fn *fn, void *arg)
{
	struct state_desk *d = desk;
	struct hand_limits list;
	struct slice key;
	bool lists = m->type == HAND_MSG_LIMITS && hand_limits_unpack(m->payload, &list);
	bool resets =
		m->type == HAND_MSG_LIMITS_RESET && hand_limits_key_unpack(m->payload, &key);
	if (!lists && !resets)
		return false;
	struct hand_question *q = MEM_NEW(struct hand_question);
	*q = (struct hand_question){.fn = fn, .arg = arg, .uid = uid};
	if (d->state == NULL) {
		fail(q);
		mem_free(q);
	} else if (lists) {
		d->state->calls->list(d->state, list.space, list.prefix, list.from, on_page, q);
	} else {
		reset(d, key, q);
	}
	return true;
}
