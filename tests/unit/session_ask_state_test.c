/*
 * Operations on the state between a session process and the keeper: one message a turn, answers
 * to who asked, and what becomes of what was taken: kept, given back, given back late because
 * nobody was there any more. The keeper is played over a real channel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "session/process_priv.h"
#include "state/messages.h"

enum { PATIENCE_MS = 600, STEP_MS = 60, TURNS = 10, LOG_MOST = 4000 };

struct lab {
	struct loop *loop;
	struct peer *peer;
	struct ipc *keeper; /* the other end; NULL: gone */
	struct state_asker *asker;
	struct loop_timer over;
	unsigned turns;
	uint64_t turn_ms;
	struct loop_task wake;
	unsigned woken;
	bool silent;     /* the keeper keeps its answers for later */
	bool over_limit; /* and says no */
	size_t refuses;  /* and, where it is not 0, that one and what is chained behind it */
	bool broken;     /* and answers nonsense */
	uint32_t ids[8];
	size_t counts[8], n_asks, n_tells;
	char log[LOG_MOST]; /* "ask user a 5/hour;" "give ..." */
	size_t logged;
};

static void
note(struct lab *l, const char *what, const struct state_op *op)
{
	int n = snprintf(
		l->log + l->logged, LOG_MOST - l->logged, "%s %.*s;", what, SLICE_ARG(op->key));
	assert_true(n > 0 && l->logged + (size_t)n < LOG_MOST);
	l->logged += (size_t)n;
}

static void
note_chain(struct lab *l)
{
	assert_true(l->logged + 1 < LOG_MOST);
	l->log[l->logged++] = '+';
}

static void
answer(struct lab *l, uint32_t id, size_t n)
{
	struct state_answer answers[STATE_OPS_MOST];
	struct ipc_out out;
	struct slice payload;
	for (size_t i = 0; i < n; i++)
		answers[i] = (struct state_answer){
			.yes = !l->over_limit, .count = 1, .at_ms = 1000 + i, .wait_ms = 5};
	if (l->refuses != 0 && n > l->refuses + 1) {
		answers[l->refuses].yes = false;
		answers[l->refuses + 1] = (struct state_answer){.status = STATE_SKIPPED};
	}
	ipc_out_init(&out);
	state_answers_pack(answers, l->broken ? n - 1 : n, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_int_equal(ipc_send(l->keeper, STATE_MSG_ANSWER, id, payload), 0);
	ipc_out_fini(&out);
}

static void
on_message(void *arg, struct ipc_msg *m)
{
	static const char *const words[STATE_KINDS] = {[STATE_TAKE] = "take",
		[STATE_COUNT] = "count",
		[STATE_GIVE] = "give",
		[STATE_SEEN] = "seen",
		[STATE_PASS] = "pass",
		[STATE_GET] = "get",
		[STATE_SET] = "set"};
	struct lab *l = arg;
	struct state_op ops[STATE_OPS_MOST];
	size_t n;
	assert_true(state_ops_unpack(m->payload, ops, &n));
	for (size_t i = 0; i < n; i++) {
		assert_non_null(words[ops[i].kind]);
		if (ops[i].chained)
			note_chain(l);
		note(l, words[ops[i].kind], &ops[i]);
		if (ops[i].kind == STATE_GIVE)
			assert_in_range(ops[i].taken_ms, 1000, 1000 + STATE_OPS_MOST);
	}
	if (m->type == STATE_MSG_TELL) {
		l->n_tells++;
		return;
	}
	assert_int_equal(m->type, STATE_MSG_ASK);
	assert_true(l->n_asks < 8);
	l->ids[l->n_asks] = m->id;
	l->counts[l->n_asks++] = n;
	if (!l->silent)
		answer(l, m->id, n);
}

static void
on_gone(void *arg, const struct err *err)
{
	struct lab *l = arg;
	(void)err;
	ipc_free(&l->keeper);
}

static void
on_over(void *arg)
{
	struct lab *l = arg;
	if (--l->turns == 0)
		loop_stop(l->loop);
	else
		loop_timer_set(&l->over, l->turn_ms);
}

static void
on_wake(void *arg)
{
	struct lab *l = arg;
	l->woken++;
}

static void
run(struct lab *l, uint64_t ms)
{
	struct err err;
	l->turns = TURNS; /* however long this process was not run in between */
	l->turn_ms = ms / TURNS;
	loop_timer_set(&l->over, l->turn_ms);
	assert_int_equal(loop_run(l->loop, &err), 0);
}

static void
keeper_starts(struct lab *l)
{
	static const struct ipc_calls calls = {.on_message = on_message, .on_gone = on_gone};
	struct err err;
	int fds[2];
	assert_int_equal(ipc_pair(fds, &err), 0);
	l->keeper = ipc_new(l->loop, fds[1], 1 << 20, &calls, l);
	peer_attach(l->peer, fds[0]);
}

static void
lab_open(struct lab *l)
{
	struct err err;
	*l = (struct lab){.loop = loop_new(&err)};
	assert_non_null(l->loop);
	l->peer = peer_new(l->loop, "keeper", 100);
	loop_timer_init(&l->over, l->loop, on_over, l);
	loop_task_init(&l->wake, l->loop, on_wake, l);
	keeper_starts(l);
	l->asker = state_asker_new(l->loop, l->peer, PATIENCE_MS);
}

static void
lab_close(struct lab *l)
{
	state_asker_free(&l->asker);
	peer_free(&l->peer);
	ipc_free(&l->keeper);
	loop_task_clear(&l->wake);
	loop_timer_clear(&l->over);
	loop_free(&l->loop);
}

/* A scope, as of one mail, with a question in it. */
struct scope {
	struct arena *arena;
	struct questions questions;
};

static void
scope_open(struct scope *s)
{
	s->arena = arena_new(16 << 20);
	questions_init(&s->questions, s->arena);
}

static struct question *
ask(struct lab *l, struct scope *s, enum state_kind kind, const char *key)
{
	struct state_op op = {.kind = kind,
		.space = kind == STATE_COUNT  ? STATE_QUOTA
			 : kind == STATE_SEEN ? STATE_GREY
			 : kind == STATE_GET  ? STATE_MEMO
					      : STATE_RATE,
		.key = slice_of(key),
		.limit = 5,
		.span_ms = 3600 * 1000,
		.n = 1,
		.passer = kind == STATE_SEEN ? SLICE("net 192.0.2.0/24") : SLICE_NONE,
		.within_ms = 1000,
		.ttl_ms = 1000};
	struct question *q = questions_state(&s->questions, &op);
	ask_state(l->asker, &l->wake, q, &s->questions);
	return q;
}

static void
expect_log(struct lab *l, const char *want)
{
	l->log[l->logged] = '\0';
	assert_string_equal(l->log, want);
	l->logged = 0;
}

/* What is asked in one turn is one message, 64 at most; each answer goes to who asked. */
static void
test_one_message_a_turn(void **state)
{
	struct lab l;
	struct scope s[3];
	char key[20];
	(void)state;
	lab_open(&l);
	for (size_t i = 0; i < 3; i++)
		scope_open(&s[i]);
	const struct question *a = ask(&l, &s[0], STATE_TAKE, "a"),
			      *b = ask(&l, &s[1], STATE_COUNT, "b"),
			      *c = ask(&l, &s[1], STATE_SEEN, "c");
	run(&l, STEP_MS);
	expect_log(&l, "take a;+count b;+seen c;");
	assert_int_equal(l.n_asks, 1);
	assert_true(a->state == QUESTION_ANSWERED && a->answer.yes && a->answer.at_ms == 1000);
	assert_true(b->state == QUESTION_ANSWERED && b->answer.at_ms == 1001);
	assert_true(c->state == QUESTION_ANSWERED && c->answer.at_ms == 1002);
	assert_int_equal(l.woken, 1);
	l.over_limit = true;
	for (int i = 0; i < STATE_OPS_MOST + 6; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		ask(&l, &s[2], STATE_TAKE, key);
	}
	run(&l, STEP_MS);
	assert_int_equal(l.n_asks, 3);
	assert_int_equal(l.counts[1], STATE_OPS_MOST);
	assert_int_equal(l.counts[2], 6);
	l.logged = 0;
	for (size_t i = 0; i < 3; i++)
		arena_free(&s[i].arena);
	run(&l, STEP_MS);
	expect_log(&l, "give a;give b;"); /* what was over its limit has taken nothing */
	assert_int_equal(l.n_tells, 1);
	lab_close(&l);
}

/*
 * What one session asks is chained in the order of its rules, whatever scopes it is in; what
 * was skipped is no answer, and is asked again where it is still wanted.
 */
static void
test_chain(void **state)
{
	struct lab l;
	struct scope s, t;
	struct loop_task other;
	(void)state;
	lab_open(&l);
	loop_task_init(&other, l.loop, on_wake, &l);
	scope_open(&s);
	scope_open(&t);
	const struct question *a = ask(&l, &s, STATE_TAKE, "a");
	struct state_op op = a->op;
	op.key = SLICE("late");
	struct question *late = questions_state(&t.questions, &op); /* asked for before b */
	const struct question *b = ask(&l, &s, STATE_TAKE, "b");
	ask_state(l.asker, &l.wake, late, &t.questions);
	op.key = SLICE("other");
	ask_state(l.asker, &other, questions_state(&t.questions, &op), &t.questions);
	l.refuses = 1;
	run(&l, STEP_MS);
	expect_log(&l, "take a;+take late;+take b;take other;");
	assert_true(a->state == QUESTION_ANSWERED && a->answer.yes);
	assert_true(late->state == QUESTION_ANSWERED && !late->answer.yes);
	assert_int_equal(b->state, QUESTION_SKIPPED);
	assert_null(questions_new(&s.questions));
	op.key = SLICE("b");
	assert_false(questions_state_has(&s.questions, &op));
	struct question *again = questions_state(&s.questions, &op);
	assert_ptr_equal(again, b);
	assert_ptr_equal(questions_new(&s.questions), b);
	ask_state(l.asker, &l.wake, again, &s.questions);
	run(&l, STEP_MS);
	expect_log(&l, "take b;");
	assert_true(b->state == QUESTION_ANSWERED && b->answer.yes);
	arena_free(&t.arena);
	arena_free(&s.arena);
	run(&l, STEP_MS);
	expect_log(&l, "give other;give b;give a;"); /* once each */
	loop_task_clear(&other);
	lab_close(&l);
}

/* Kept: it stays taken, and a tuple has passed. Not kept: it goes back, and has not. */
static void
test_kept_or_given_back(void **state)
{
	struct lab l;
	struct scope s;
	(void)state;
	lab_open(&l);
	for (int kept = 0; kept < 2; kept++) {
		scope_open(&s);
		ask(&l, &s, STATE_TAKE, "a")->kept = kept != 0;
		ask(&l, &s, STATE_COUNT, "b")->kept = kept != 0;
		ask(&l, &s, STATE_SEEN, "c")->kept = kept != 0;
		run(&l, STEP_MS);
		expect_log(&l, "take a;+count b;+seen c;");
		arena_free(&s.arena);
		run(&l, 3 * STEP_MS); /* nobody waits for a pass: it may take its time */
		expect_log(&l, kept ? "pass c;" : "give b;give a;");
	}
	/* not known yet: it does not pass, whatever becomes of the mail */
	l.over_limit = true;
	scope_open(&s);
	ask(&l, &s, STATE_SEEN, "c")->kept = true;
	run(&l, STEP_MS);
	arena_free(&s.arena);
	run(&l, 3 * STEP_MS);
	expect_log(&l, "seen c;");
	lab_close(&l);
}

/*
 * A look-up stands before the reservations of its session and in no chain: what it does not
 * find skips nothing. It is set when the mail goes on, found or not, and only then.
 */
static void
test_look_ups(void **state)
{
	struct lab l;
	struct scope s;
	(void)state;
	lab_open(&l);
	for (int round = 0; round < 4; round++) {
		bool kept = (round & 1) != 0;
		l.over_limit = (round & 2) != 0;
		scope_open(&s);
		ask(&l, &s, STATE_TAKE, "a")->kept = true;
		struct question *k = ask(&l, &s, STATE_GET, "k"),
				*m = ask(&l, &s, STATE_GET, "m");
		ask(&l, &s, STATE_TAKE, "b")->kept = true;
		m->op.ttl_ms = 0; /* nothing to remember */
		k->kept = m->kept = kept;
		run(&l, STEP_MS);
		expect_log(&l, "get k;get m;take a;+take b;");
		assert_true(k->state == QUESTION_ANSWERED && k->answer.yes == !l.over_limit);
		assert_true(m->state == QUESTION_ANSWERED);
		arena_free(&s.arena);
		run(&l, 4 * STEP_MS);
		expect_log(&l, kept ? "set k;" : "");
	}
	lab_close(&l);
}

/* Who is gone before the message leaves is not in it. */
static void
test_gone_before_it_is_asked(void **state)
{
	struct lab l;
	struct scope s, stays;
	(void)state;
	lab_open(&l);
	scope_open(&s);
	scope_open(&stays);
	ask(&l, &s, STATE_TAKE, "a");
	const struct question *b = ask(&l, &stays, STATE_TAKE, "b");
	ask(&l, &s, STATE_TAKE, "c");
	arena_free(&s.arena);
	run(&l, STEP_MS);
	expect_log(&l, "take b;");
	assert_true(b->state == QUESTION_ANSWERED && b->answer.yes);
	/* and alone: nothing is sent at all */
	scope_open(&s);
	ask(&l, &s, STATE_TAKE, "d");
	arena_free(&s.arena);
	run(&l, STEP_MS);
	expect_log(&l, "");
	arena_free(&stays.arena);
	lab_close(&l);
}

/* The asker is gone when the answer comes: what was taken goes back, what was not does not. */
static void
test_gone_before_it_is_answered(void **state)
{
	struct lab l;
	struct scope s;
	(void)state;
	lab_open(&l);
	l.silent = true;
	for (int over = 0; over < 2; over++) {
		l.over_limit = over != 0;
		scope_open(&s);
		ask(&l, &s, STATE_TAKE, "a")->kept = true; /* nobody has heard of it */
		ask(&l, &s, STATE_SEEN, "b");
		run(&l, STEP_MS);
		arena_free(&s.arena);
		run(&l, STEP_MS);
		expect_log(&l, "take a;+seen b;");
		answer(&l, l.ids[over], 2);
		run(&l, STEP_MS);
		expect_log(&l, over ? "" : "give a;");
	}
	assert_int_equal(l.woken, 0);
	lab_close(&l);
}

/* No answer in time: the fact has failed; one that comes later still is given back. */
static void
test_late(void **state)
{
	struct lab l;
	struct scope s;
	(void)state;
	lab_open(&l);
	l.silent = true;
	scope_open(&s);
	const struct question *a = ask(&l, &s, STATE_TAKE, "a");
	run(&l, STEP_MS);
	assert_int_equal(a->state, QUESTION_ASKED);
	run(&l, PATIENCE_MS);
	assert_int_equal(a->state, QUESTION_ANSWERED);
	assert_int_equal(a->answer.status, STATE_FAILED);
	assert_int_equal(l.woken, 1);
	answer(&l, l.ids[0], 1);
	run(&l, STEP_MS);
	expect_log(&l, "take a;give a;");
	arena_free(&s.arena);
	run(&l, STEP_MS);
	expect_log(&l, "");
	lab_close(&l);
}

static void
test_nonsense(void **state)
{
	struct lab l;
	struct scope s;
	(void)state;
	lab_open(&l);
	l.broken = true;
	scope_open(&s);
	const struct question *a = ask(&l, &s, STATE_TAKE, "a"),
			      *b = ask(&l, &s, STATE_TAKE, "b");
	run(&l, STEP_MS);
	assert_int_equal(a->answer.status, STATE_FAILED);
	assert_int_equal(b->answer.status, STATE_FAILED);
	arena_free(&s.arena);
	lab_close(&l);
}

/*
 * The keeper dies: what is open has failed at once, what is asked meanwhile fails, and what is
 * to be given back waits for the next one.
 */
static void
test_keeper_gone(void **state)
{
	struct lab l;
	struct scope s, t;
	(void)state;
	lab_open(&l);
	scope_open(&s);
	scope_open(&t);
	ask(&l, &s, STATE_TAKE, "a");
	run(&l, STEP_MS);
	l.silent = true;
	const struct question *b = ask(&l, &t, STATE_TAKE, "b");
	run(&l, STEP_MS);
	ipc_free(&l.keeper);
	run(&l, STEP_MS);
	assert_int_equal(b->answer.status, STATE_FAILED);
	const struct question *c = ask(&l, &t, STATE_TAKE, "c");
	run(&l, STEP_MS);
	assert_int_equal(c->answer.status, STATE_FAILED);
	arena_free(&s.arena);
	arena_free(&t.arena);
	run(&l, STEP_MS);
	expect_log(&l, "take a;take b;");
	keeper_starts(&l);
	run(&l, 1000 + STEP_MS);
	expect_log(&l, "give a;");
	lab_close(&l);
}

/* The process ends with mails under way: what they had goes back before its channel closes. */
static void
test_process_ends(void **state)
{
	struct lab l;
	struct scope s;
	(void)state;
	lab_open(&l);
	scope_open(&s);
	ask(&l, &s, STATE_TAKE, "a");
	run(&l, STEP_MS);
	arena_free(&s.arena);
	state_asker_free(&l.asker);
	peer_free(&l.peer);
	run(&l, STEP_MS);
	expect_log(&l, "take a;give a;");
	lab_close(&l);
}

/* No spool, no keeper: it was never asked for, and fails. */
static void
test_no_keeper(void **state)
{
	struct lab l;
	struct scope s;
	(void)state;
	lab_open(&l);
	state_asker_free(&l.asker);
	l.asker = state_asker_new(l.loop, NULL, PATIENCE_MS);
	scope_open(&s);
	const struct question *a = ask(&l, &s, STATE_TAKE, "a");
	run(&l, STEP_MS);
	assert_int_equal(a->answer.status, STATE_FAILED);
	arena_free(&s.arena);
	lab_close(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_message_a_turn),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_kept_or_given_back),
		cmocka_unit_test(test_look_ups),
		cmocka_unit_test(test_gone_before_it_is_asked),
		cmocka_unit_test(test_gone_before_it_is_answered),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_keeper_gone),
		cmocka_unit_test(test_process_ends),
		cmocka_unit_test(test_no_keeper),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
