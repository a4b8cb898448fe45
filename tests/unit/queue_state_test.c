/*
 * The state at the keeper's, in its real process and sandbox: what sessions ask and tell it,
 * what people see and reset over its socket, and what a SIGKILL leaves: all but the last
 * second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "keeping.h"
#include "queue/hand_limits.h"
#include "queue/state_desk.h"
#include "state/messages.h"

enum { ANSWER_MS = 10000 };

static struct keeping k;

struct asked {
	size_t answers;
	struct state_answer first;
	bool none;
};

static void
on_answer(void *arg, struct ipc_msg *m)
{
	static struct state_answer answers[STATE_OPS_MOST];
	struct asked *a = arg;
	size_t n;
	if (m == NULL) {
		a->none = true;
		a->answers = 1;
		return;
	}
	assert_int_equal(m->type, STATE_MSG_ANSWER);
	assert_true(state_answers_unpack(m->payload, answers, &n));
	a->first = answers[0];
	a->answers = n;
}

static void
pack(const struct state_op *ops, size_t n, struct ipc_out *out, struct slice *payload)
{
	ipc_out_init(out);
	state_ops_pack(ops, n, out);
	assert_true(ipc_out_ok(out, payload));
}

static struct state_answer
ask(const struct state_op *ops, size_t n)
{
	struct asked a = {.answers = 0};
	struct ipc_out out;
	struct slice payload;
	pack(ops, n, &out, &payload);
	assert_true(peer_ask(k.session, STATE_MSG_ASK, payload, NULL, 0, ANSWER_MS, on_answer,
			    &a) != 0);
	ipc_out_fini(&out);
	keeping_until(&k, &a.answers, 1);
	assert_false(a.none);
	assert_int_equal(a.answers, n);
	assert_int_equal(a.first.status, STATE_OK);
	return a.first;
}

static void
tell(const struct state_op *op)
{
	struct ipc_out out;
	struct slice payload;
	pack(op, 1, &out, &payload);
	assert_int_equal(peer_tell(k.session, STATE_MSG_TELL, 0, payload), 0);
	ipc_out_fini(&out);
}

static struct state_op
count_op(uint64_t n)
{
	return (struct state_op){.kind = STATE_COUNT,
		.space = STATE_QUOTA,
		.key = SLICE("user alice 100000/month"),
		.limit = 100000,
		.period = PERIOD_MONTH,
		.n = n};
}

static struct state_op
take_op(const char *key)
{
	return (struct state_op){.kind = STATE_TAKE,
		.space = STATE_RATE,
		.key = slice_of(key),
		.limit = 5,
		.span_ms = 3600 * 1000,
		.n = 1};
}

static int
set_up(void **state)
{
	(void)state;
	memset(&k, 0, sizeof(k));
	keeping_open(&k);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	keeping_close(&k);
	return 0;
}

/* ---- sessions ---- */

static void
test_asked_and_told(void **state)
{
	(void)state;
	struct state_op take = take_op("user alice 5/3600000");
	struct state_op all[STATE_OPS_MOST];
	for (uint64_t i = 0; i < 5; i++) {
		struct state_answer a = ask(&take, 1);
		assert_true(a.yes && a.count == i + 1);
	}
	struct state_answer refused = ask(&take, 1);
	assert_true(
		!refused.yes && refused.wait_ms > 700 * 1000 && refused.wait_ms <= 720 * 1000);
	struct state_op give = take;
	give.kind = STATE_GIVE;
	tell(&give);
	assert_true(ask(&take, 1).yes);
	assert_false(ask(&take, 1).yes);
	for (size_t i = 0; i < STATE_OPS_MOST; i++)
		all[i] = take_op("user bob 5/3600000");
	assert_true(ask(all, STATE_OPS_MOST).yes);
	assert_false(ask(all, 1).yes);
}

/* What cannot be read, or may not be told, changes nothing; the next question is answered. */
static void
test_garbage(void **state)
{
	(void)state;
	struct asked a = {.answers = 0};
	struct state_op take = take_op("user carol 5/3600000");
	assert_true(peer_ask(k.session, STATE_MSG_ASK, SLICE("\1\0\0\0garbage"), NULL, 0, 300,
			    on_answer, &a) != 0);
	tell(&take); /* a TAKE wants an answer: nobody may take on the quiet */
	assert_int_equal(ask(&take, 1).count, 1);
	keeping_until(&k, &a.answers, 1);
	assert_true(a.none);
}

/* ---- over a restart, and over a kill ---- */

static void
test_restart(void **state)
{
	(void)state;
	struct state_op count = count_op(7), take = take_op("user dave 5/3600000");
	ask(&count, 1);
	ask(&take, 1);
	keeping_stop(&k); /* at once: the last write is its own */
	keeping_start(&k);
	assert_int_equal(ask(&count, 1).count, 14);
	assert_int_equal(ask(&take, 1).count, 2);
}

/* Counted without a pause; what is there afterwards is what was answered more than a second
 * (and the time of a write) before the kill, at the least, and nothing that was not asked. */
static void
test_kill(void **state)
{
	(void)state;
	enum { WRITE_MS = 500, LONG_MS = 3300 };
	static struct {
		uint64_t ms, count;
	} seen[200000];
	size_t n = 0;
	struct state_op count = count_op(1);
	uint64_t start = clock_ms(), now = start;
	while (now - start < LONG_MS && n < sizeof(seen) / sizeof(seen[0])) {
		struct state_answer a = ask(&count, 1);
		now = clock_ms();
		assert_true(a.yes);
		seen[n].ms = now;
		seen[n++].count = a.count;
	}
	keeping_kill(&k);
	uint64_t least = 0;
	for (size_t i = 0; i < n; i++)
		if (seen[i].ms + STATE_FLUSH_MS + WRITE_MS <= now)
			least = seen[i].count;
	assert_true(least > 0);
	keeping_start(&k);
	uint64_t after = ask(&count, 1).count - 1;
	print_message("answered %llu, kept %llu, at the least %llu\n",
		(unsigned long long)seen[n - 1].count, (unsigned long long)after,
		(unsigned long long)least);
	assert_true(after >= least && after <= seen[n - 1].count);
}

/* A damaged file costs the counts, not the keeper: it starts, and has put the file aside. */
static void
test_damaged(void **state)
{
	(void)state;
	char path[120];
	struct state_op count = count_op(1);
	ask(&count, 1);
	keeping_stop(&k);
	snprintf(path, sizeof(path), "%s/state/data.mdb", k.folder);
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "garbage", 7, 20), 7);
	close(fd);
	keeping_start(&k);
	assert_int_equal(ask(&count, 1).count, 1);
	/* And a folder that cannot be used costs the limits alone. */
	keeping_stop(&k);
	snprintf(path, sizeof(path), "rm -rf %s/state", k.folder);
	pid_t pid = fork();
	if (pid == 0)
		execl("/bin/sh", "sh", "-c", path, NULL);
	assert_true(pid > 0 && waitpid(pid, NULL, 0) == pid);
	snprintf(path, sizeof(path), "%s/state", k.folder);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	close(fd);
	keeping_start(&k);
	struct asked a = {.answers = 0};
	struct ipc_out out;
	struct slice payload;
	pack(&count, 1, &out, &payload);
	assert_true(peer_ask(k.session, STATE_MSG_ASK, payload, NULL, 0, ANSWER_MS, on_answer,
			    &a) != 0);
	ipc_out_fini(&out);
	keeping_until(&k, &a.answers, 1);
	assert_true(!a.none && a.first.status == STATE_FAILED);
	struct queue_parcel parcel = keeping_parcel(&k, "ok.1@a.example");
	assert_int_equal(keeping_take(&k, &parcel, 1, 10000)->end, QUEUE_DELIVERED);
}

/* ---- people ---- */

struct hand_answer {
	size_t done;
	uint16_t type;
	struct state_item items[HAND_LIMITS_MOST];
	size_t n;
	struct slice next;
	uint32_t dropped;
	char keys[HAND_LIMITS_MOST][64];
};

static void
on_hand(void *arg, struct ipc_msg *m)
{
	struct hand_answer *a = arg;
	a->type = m->type;
	if (m->type == HAND_MSG_LIMITS_PAGE) {
		assert_true(hand_limits_page_unpack(m->payload, a->items, &a->n, &a->next));
		a->next = arena_slice(k.arena, a->next);
		for (size_t i = 0; i < a->n; i++)
			snprintf(a->keys[i], sizeof(a->keys[i]), "%.*s",
				SLICE_ARG(a->items[i].key));
	} else if (m->type == HAND_MSG_LIMITS_DONE) {
		assert_true(hand_limits_done_unpack(m->payload, &a->dropped));
	}
	a->done = 1;
}

static void
on_hand_gone(void *arg, const struct err *err)
{
	struct hand_answer *a = arg;
	(void)err;
	a->type = 0;
	a->done = 1;
}

static struct hand_answer *
hand(uint16_t type, struct ipc_out *out)
{
	static const struct ipc_calls calls = {.on_message = on_hand, .on_gone = on_hand_gone};
	static struct hand_answer a;
	struct slice payload;
	struct err err;
	char path[80];
	a = (struct hand_answer){.done = 0};
	snprintf(path, sizeof(path), "%s/control", k.folder);
	int fd = ipc_connect(path, &err);
	assert_true(fd >= 0);
	struct ipc *channel = ipc_new(k.loop, fd, 256 * 1024, &calls, &a);
	assert_true(ipc_out_ok(out, &payload));
	assert_int_equal(ipc_send(channel, type, 1, payload), 0);
	keeping_until(&k, &a.done, 1);
	ipc_free(&channel);
	ipc_out_fini(out);
	return &a;
}

static struct hand_answer *
list(enum state_space space, const char *prefix, struct slice from)
{
	struct ipc_out out;
	ipc_out_init(&out);
	hand_limits_pack(
		&(struct hand_limits){.space = space, .prefix = slice_of(prefix), .from = from},
		&out);
	return hand(HAND_MSG_LIMITS, &out);
}

static uint32_t
reset(const char *key)
{
	struct ipc_out out;
	ipc_out_init(&out);
	hand_limits_key_pack(slice_of(key), &out);
	struct hand_answer *a = hand(HAND_MSG_LIMITS_RESET, &out);
	assert_int_equal(a->type, HAND_MSG_LIMITS_DONE);
	return a->dropped;
}

static void
test_people(void **state)
{
	(void)state;
	char keys[2 * HAND_LIMITS_MOST + 10][32];
	enum { MANY = sizeof(keys) / sizeof(keys[0]) };
	struct state_op ops[MANY];
	for (size_t i = 0; i < MANY; i++) {
		snprintf(keys[i], sizeof(keys[i]), "user u%04zu 5/3600000", i);
		ops[i] = take_op(keys[i]);
	}
	for (size_t i = 0; i < MANY; i += 41) /* ten times */
		ask(ops + i, 41);
	struct hand_answer *a = list(STATE_RATE, "user u0007 ", SLICE_NONE);
	assert_int_equal(a->n, 1);
	assert_string_equal(a->keys[0], keys[7]);
	assert_true(a->items[0].count == 1 && a->items[0].limit == 5);
	uint64_t now = (uint64_t)clock_wall_ms();
	assert_true(a->items[0].until_ms > now + 700 * 1000 &&
		    a->items[0].until_ms <= now + 720 * 1000);
	size_t n = 0, pages = 0;
	struct slice from = SLICE_NONE;
	do {
		a = list(STATE_RATE, "user ", from);
		for (size_t i = 0; i < a->n; i++)
			assert_string_equal(a->keys[i], keys[n + i]);
		n += a->n;
		from = a->next;
		pages++;
	} while (from.n != 0);
	assert_int_equal(n, MANY);
	assert_int_equal(pages, 3);
	assert_int_equal(reset(keys[7]), 1);
	assert_int_equal(reset(keys[7]), 0);
	assert_int_equal(list(STATE_RATE, keys[7], SLICE_NONE)->n, 0);
	struct ipc_out out; /* what is no message closes the connection */
	ipc_out_init(&out);
	ipc_put_u8(&out, STATE_SPACES);
	assert_int_equal(hand(HAND_MSG_LIMITS, &out)->type, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_asked_and_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kill, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_people, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
