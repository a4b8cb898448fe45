/*
 * `answer at rcpt`: one recipient asked of its remote, answered once and in time, over a
 * connection that is then the mail's. What nobody waits for any more goes at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/must.h"
#include "delivering.h"

static void
on_says(void *arg, struct ipc_msg *m)
{
	(void)arg;
	if (m == NULL) {
		w.lost++;
	} else {
		assert_int_equal(m->type, DELIVERY_MSG_RCPT_SAYS);
		assert_true(delivery_rcpt_answer_unpack(
			arena_slice(w.arena, m->payload), w.arena, &w.says));
		w.answers++;
	}
	if (w.answers + w.lost == w.wanted)
		loop_stop(w.loop);
}

static uint32_t
question(const char *site, const char *rcpt, uint32_t budget_ms)
{
	struct delivery_rcpt_question q = {.site = slice_of(site),
		.log = SLICE("m-1"),
		.sender = address_of("s@example.org"),
		.rcpt = address_of(rcpt),
		.budget_ms = budget_ms};
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	delivery_rcpt_question_pack(&q, &out);
	must(ipc_out_ok(&out, &payload));
	w.says = (struct smtp_reply){.code = -1};
	w.wanted = w.answers + w.lost + 1;
	uint32_t id = peer_ask(
		w.session, DELIVERY_MSG_RCPT, payload, NULL, 0, 20 * 1000, on_says, NULL);
	must(id != 0);
	ipc_out_fini(&out);
	return id;
}

static int
says(const char *site, const char *rcpt, uint32_t budget_ms)
{
	question(site, rcpt, budget_ms);
	run();
	return w.says.code;
}

static void
test_question(void **state)
{
	(void)state;
	world_open("127.0.0.1");
	assert_int_equal(says("dest.example", "550.no@dest.example", 5000), 550);
	assert_true(slice_eq(w.says.text, SLICE("said of the recipient")));
	UNTIL(has_command(SLICE("RSET")));
	run_for(20);
	assert_int_equal(says("dest.example", "r@dest.example", 5000), 250);
	run_for(20);
	ask_and_wait("dest.example", "r@dest.example", 5000, -1);
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(w.remote.n_conns, 1); /* the connection was kept for the mail */
	assert_int_equal(w.remote.mails, 1);
	world_close();
	world_open(NULL);
	assert_int_equal(says("null.dest.example", "r@null.dest.example", 5000), 556);
	assert_int_equal(says("broken.dest.example", "r@broken.dest.example", 5000), 0);
	world_close();
}

static const struct {
	const char *at;
	enum remote_fault fault;
	const char *say;
	int code; /* 0: nothing is known */
} question_cases[] = {
	{"CONNECT", REMOTE_CLOSE, NULL, 0},
	{"CONNECT", REMOTE_SAY, "554 5.7.1 you are listed", 0},
	{"EHLO", REMOTE_SILENT, NULL, 0},
	{"MAIL", REMOTE_SAY, "550 5.7.1 not from you", 550},
	{"MAIL", REMOTE_SAY, "451 4.7.1 later", 451},
	{"RCPT", REMOTE_SILENT, NULL, 0},
	{"RCPT", REMOTE_CLOSE, NULL, 0},
	{"RCPT", REMOTE_SAY, "450 4.2.0 greylisted", 450},
};

static void
test_question_without_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(question_cases) / sizeof(question_cases[0]); i++) {
		world_open("127.0.0.1");
		w.remote.fault_at = question_cases[i].at;
		w.remote.fault = question_cases[i].fault;
		w.remote.say = question_cases[i].say;
		w.remote.on = ~0u;
		int code = says("dest.example", "r@dest.example", 200);
		if (code != question_cases[i].code)
			fail_msg(
				"%s %s: %d", question_cases[i].at, question_cases[i].say, code);
		assert_int_equal(w.remote.mails, 0);
		world_close();
	}
}

/* Nobody waits any more: the connection goes at once, and nothing else comes. */
static void
test_question_given_up(void **state)
{
	(void)state;
	for (int by_cancel = 0; by_cancel < 3; by_cancel++) {
		world_open("127.0.0.1");
		w.remote.fault_at = "RCPT";
		w.remote.fault = REMOTE_SILENT;
		w.remote.on = 1;
		uint32_t id = question("dest.example", "r@dest.example", 0);
		UNTIL(has_command(SLICE("RCPT TO:<r@dest.example>")));
		if (by_cancel == 0)
			give_channel(); /* the first one closes */
		else if (by_cancel == 1)
			(void)peer_tell(w.session, DELIVERY_MSG_CANCEL, id, SLICE_NONE);
		else
			(void)control_send_stop(w.control);
		UNTIL(w.answers + w.lost == 1);
		assert_int_equal(w.lost, by_cancel == 0);
		assert_int_equal(w.says.code, by_cancel == 0 ? -1 : 0);
		UNTIL(w.remote.open == 0);
		world_close();
	}
	world_open("127.0.0.1");
	w.wanted = 1;
	assert_int_not_equal(peer_ask(w.session, DELIVERY_MSG_RCPT, SLICE("no question"), NULL,
				     0, 5000, on_says, NULL),
		0);
	run();
	assert_int_equal(w.says.code, 0);
	assert_int_equal(says("dest.example", "r@dest.example", 5000), 250);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_question_without_answer),
		cmocka_unit_test(test_question_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
