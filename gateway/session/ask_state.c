/*
 * Operations on the gateway's state (limits, greylist), asked of the keeper, which alone keeps
 * it. What the sessions of this process ask in one turn of the loop travels in one message, the
 * reservations of one session chained: each only where the one before it was granted. When the
 * scope of a question ends, what was taken and is not kept goes back, a sender on the greylist
 * whose mail was taken has passed, and what was looked up to be remembered (GET with a time to
 * live) is set. An answer that finds nobody there any more is given back too, also one that
 * comes after we have stopped to wait for it.
 */
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "base/must.h"
#include "session/process_priv.h"
#include "state/messages.h"

enum {
	LATE_STATE_MS = 60 * 1000, /* so long a late answer is still given back */
	TELL_AGAIN_MS = 1000,
	PASS_MS = 100,      /* nobody waits for it: many travel together */
	TELLS_MOST = 10000, /* while there is no keeper */
};

/* What the keeper is told, with no answer. */
struct tell {
	STAILQ_ENTRY(tell) link;
	struct state_op op; /* its slices lie behind it */
};
STAILQ_HEAD(tell_list, tell);

struct asked;

/* One message of questions, and who asked each. */
struct batch {
	TAILQ_ENTRY(batch) link;
	struct state_asker *asker;
	struct asked *asked[STATE_OPS_MOST]; /* NULL: gone */
	struct tell *back[STATE_OPS_MOST];   /* gone: what gives back what it may have taken */
	size_t n;
	struct loop_timer timer;
	uint32_t id; /* 0: it is being gathered */
};
TAILQ_HEAD(batch_list, batch);

struct state_asker {
	struct peer *keeper;
	struct loop *loop;
	uint32_t patience_ms;
	struct loop_task task;   /* sends what was gathered */
	struct loop_timer again; /* tells the keeper: it was not there, or there was no hurry */
	struct batch *gathering;
	struct batch_list sent;
	struct tell_list tells;
	size_t n_tells;
	bool tell_now; /* something is given back: somebody else may want it */
};

/* A question while its scope lives; in the scope's arena. */
struct asked {
	struct state_asker *asker;
	struct loop_task *wake;
	struct questions *scope;
	struct question *question;
	struct batch *batch; /* NULL: it was answered */
	size_t slot;
};

/* --- what the keeper is told */

static struct slice
copy_to(char **room, struct slice s)
{
	char *at = *room;
	if (s.n != 0)
		memcpy(at, s.p, s.n);
	*room += s.n;
	return (struct slice){at, s.n};
}

static struct tell *
tell_new(const struct state_op *op, enum state_kind kind)
{
	struct tell *t = mem_new(sizeof(*t) + op->key.n + op->passer.n);
	char *room = (char *)(t + 1);
	t->op = *op;
	t->op.kind = kind;
	t->op.chained = false;
	t->op.key = copy_to(&room, op->key);
	t->op.passer = copy_to(&room, op->passer);
	t->op.value = SLICE_NONE;
	return t;
}

static void
tell_drop_first(struct state_asker *s)
{
	struct tell *t = STAILQ_FIRST(&s->tells);
	STAILQ_REMOVE_HEAD(&s->tells, link);
	s->n_tells--;
	mem_free(t);
}

static void
tell_later(struct state_asker *s, struct tell *t)
{
	STAILQ_INSERT_TAIL(&s->tells, t, link);
	if (++s->n_tells > TELLS_MOST)
		tell_drop_first(s);
	if (t->op.kind == STATE_GIVE) {
		s->tell_now = true;
		loop_task_queue(&s->task);
	} else if (!loop_timer_is_set(&s->again)) {
		loop_timer_set(&s->again, PASS_MS);
	}
}

/* False: the keeper is not there, or does not keep up. */
static bool
tell_some(struct state_asker *s)
{
	struct state_op ops[STATE_OPS_MOST];
	struct tell *t;
	struct ipc_out out;
	struct slice payload;
	size_t n = 0;
	STAILQ_FOREACH (t, &s->tells, link) {
		if (n == STATE_OPS_MOST)
			break;
		ops[n++] = t->op;
	}
	ipc_out_init(&out);
	state_ops_pack(ops, n, &out);
	must(ipc_out_ok(&out, &payload));
	bool told = s->keeper != NULL && peer_tell(s->keeper, STATE_MSG_TELL, 0, payload) == 0;
	ipc_out_fini(&out);
	for (; told && n > 0; n--)
		tell_drop_first(s);
	return told;
}

static void
tell_all(struct state_asker *s)
{
	s->tell_now = false;
	while (s->n_tells != 0)
		if (!tell_some(s)) {
			loop_timer_set(&s->again, TELL_AGAIN_MS);
			return;
		}
}

/* --- batches of questions */

static void
batch_free(struct batch *b)
{
	if (b->id != 0)
		TAILQ_REMOVE(&b->asker->sent, b, link);
	loop_timer_clear(&b->timer);
	for (size_t i = 0; i < b->n; i++)
		mem_free(b->back[i]);
	mem_free(b);
}

static void
answer(struct asked *a, const struct state_answer *answer)
{
	a->batch = NULL;
	question_answer_state(a->scope, a->question, answer);
	loop_task_queue(a->wake);
}

static void
skip(struct asked *a)
{
	a->batch = NULL;
	question_skip_state(a->scope, a->question);
	a->question = NULL;
	loop_task_queue(a->wake);
}

static bool
takes(const struct state_op *op)
{
	return op->kind == STATE_TAKE || op->kind == STATE_COUNT;
}

/* Nobody waits for this answer any more; what it will say was taken goes back. */
static void
let_go(struct batch *b, size_t slot)
{
	const struct state_op *op = &b->asked[slot]->question->op;
	b->asked[slot] = NULL;
	if (b->id != 0 && takes(op))
		b->back[slot] = tell_new(op, STATE_GIVE);
}

static void
fail_all(struct batch *b)
{
	static const struct state_answer failed = {.status = STATE_FAILED};
	for (size_t i = 0; i < b->n; i++) {
		struct asked *a = b->asked[i];
		if (a == NULL)
			continue;
		let_go(b, i);
		answer(a, &failed);
	}
}

/* The keeper may still answer: then what it has taken is given back. */
static void
on_time(void *arg)
{
	fail_all(arg);
}

static void
give_back(struct batch *b, size_t slot, const struct state_answer *a)
{
	struct tell *t = b->back[slot];
	b->back[slot] = NULL;
	if (t == NULL)
		return;
	if (a->status == STATE_OK && a->yes) {
		t->op.taken_ms = a->at_ms;
		tell_later(b->asker, t);
	} else {
		mem_free(t);
	}
}

static void
on_answer(void *arg, struct ipc_msg *m)
{
	struct batch *b = arg;
	struct state_answer answers[STATE_OPS_MOST];
	size_t n = 0;
	bool right = m != NULL && m->type == STATE_MSG_ANSWER &&
		     state_answers_unpack(m->payload, answers, &n) && n == b->n;
	if (!right)
		fail_all(b);
	for (size_t i = 0; right && i < n; i++) {
		if (b->asked[i] != NULL && answers[i].status == STATE_SKIPPED)
			skip(b->asked[i]);
		else if (b->asked[i] != NULL)
			answer(b->asked[i], &answers[i]);
		else
			give_back(b, i, &answers[i]);
	}
	batch_free(b);
}

static bool
is_look_up(const struct asked *a)
{
	return a->question->op.kind == STATE_GET;
}

/* Whether a stands behind b: of a session, look-ups, then reservations in the order of its
 * rules. */
static bool
is_behind(const struct asked *a, const struct asked *b)
{
	if (a->wake != b->wake)
		return false;
	if (is_look_up(a) != is_look_up(b))
		return is_look_up(b);
	return a->question->order > b->question->order;
}

/*
 * Who is gone before the message leaves is not in it. A session asks all that it has in one go,
 * so its questions stand together already, by scope.
 */
static size_t
close_ranks(struct batch *b, struct state_op ops[STATE_OPS_MOST])
{
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct asked *one = b->asked[i];
		size_t at = n;
		if (one == NULL)
			continue;
		for (; at > 0 && is_behind(b->asked[at - 1], one); at--)
			b->asked[at] = b->asked[at - 1];
		b->asked[at] = one;
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		b->asked[i]->slot = i;
		ops[i] = b->asked[i]->question->op;
		ops[i].chained = i > 0 && b->asked[i - 1]->wake == b->asked[i]->wake &&
				 !is_look_up(b->asked[i]) && !is_look_up(b->asked[i - 1]);
	}
	return n;
}

static void
send_gathered(struct state_asker *s)
{
	struct batch *b = s->gathering;
	struct state_op ops[STATE_OPS_MOST];
	struct ipc_out out;
	struct slice payload;
	if (b == NULL)
		return;
	s->gathering = NULL;
	b->n = close_ranks(b, ops);
	if (b->n == 0) {
		batch_free(b);
		return;
	}
	ipc_out_init(&out);
	state_ops_pack(ops, b->n, &out);
	must(ipc_out_ok(&out, &payload));
	if (s->keeper != NULL)
		b->id = peer_ask(s->keeper, STATE_MSG_ASK, payload, NULL, 0, LATE_STATE_MS,
			on_answer, b);
	ipc_out_fini(&out);
	if (b->id == 0) {
		fail_all(b);
		batch_free(b);
		return;
	}
	TAILQ_INSERT_TAIL(&s->sent, b, link);
	loop_timer_set(&b->timer, s->patience_ms);
}

static struct batch *
batch_new(struct state_asker *s)
{
	struct batch *b = MEM_NEW(struct batch);
	b->asker = s;
	loop_timer_init(&b->timer, s->loop, on_time, b);
	return b;
}

/* --- questions */

/* The scope of the question ends. */
static void
asked_end(void *arg)
{
	struct asked *a = arg;
	const struct question *q = a->question;
	if (q == NULL) /* skipped; another one stands for it since */
		return;
	if (a->batch != NULL) {
		let_go(a->batch, a->slot);
		return;
	}
	if (q->answer.status != STATE_OK)
		return;
	if (q->op.kind == STATE_GET && q->op.ttl_ms != 0 && q->kept)
		tell_later(a->asker, tell_new(&q->op, STATE_SET));
	if (!q->answer.yes)
		return;
	if (takes(&q->op) && !q->kept) {
		struct tell *t = tell_new(&q->op, STATE_GIVE);
		t->op.taken_ms = q->answer.at_ms;
		tell_later(a->asker, t);
	} else if (q->op.kind == STATE_SEEN && q->kept) {
		tell_later(a->asker, tell_new(&q->op, STATE_PASS));
	}
}

void
ask_state(struct state_asker *s, struct loop_task *wake, struct question *q,
	struct questions *scope)
{
	struct asked *a = ARENA_NEW(scope->arena, struct asked);
	if (s->gathering == NULL)
		s->gathering = batch_new(s);
	struct batch *b = s->gathering;
	*a = (struct asked){s, wake, scope, q, b, b->n};
	q->state = QUESTION_ASKED;
	b->asked[b->n++] = a;
	arena_defer(scope->arena, asked_end, a);
	if (b->n == STATE_OPS_MOST)
		send_gathered(s);
	else
		loop_task_queue(&s->task);
}

/* --- the process's one asker */

static void
on_task(void *arg)
{
	struct state_asker *s = arg;
	if (s->tell_now) /* first: what is given back can be taken again */
		tell_all(s);
	send_gathered(s);
}

static void
on_again(void *arg)
{
	tell_all(arg);
}

struct state_asker *
state_asker_new(struct loop *l, struct peer *keeper, uint32_t patience_ms)
{
	struct state_asker *s = MEM_NEW(struct state_asker);
	s->loop = l;
	s->keeper = keeper;
	s->patience_ms = patience_ms;
	loop_task_init(&s->task, l, on_task, s);
	loop_timer_init(&s->again, l, on_again, s);
	TAILQ_INIT(&s->sent);
	STAILQ_INIT(&s->tells);
	return s;
}

void
state_asker_free(struct state_asker **asker)
{
	struct state_asker *s = *asker;
	struct batch *b;
	if (s == NULL)
		return;
	tell_all(s);
	while ((b = TAILQ_FIRST(&s->sent)) != NULL) {
		peer_forget(s->keeper, b->id);
		batch_free(b);
	}
	if (s->gathering != NULL)
		batch_free(s->gathering);
	while (s->n_tells != 0)
		tell_drop_first(s);
	loop_task_clear(&s->task);
	loop_timer_clear(&s->again);
	mem_free(s);
	*asker = NULL;
}
