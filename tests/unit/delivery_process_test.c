/*
 * The delivery process as the parent starts it, in its sandbox (OUT-01 to OUT-04). Each mail is
 * answered exactly once, whatever goes away meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "delivering.h"

static void
test_smarthost(void **state)
{
	(void)state;
	char path[] = "/tmp/delivery-process-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && unlink(path) == 0);
	assert_int_equal(write(fd, "xxxxfrom a file\r\n", 16), 16);
	assert_int_equal(pwrite(fd, "\r\n", 2, 14), 2);
	world_open("127.0.0.1");
	ask_and_wait("dest.example", "r@dest.example", 8000, fd);
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	assert_true(last()->from_hop);
	assert_true(slice_eq(last()->hop, SLICE("smarthost")));
	assert_true(slice_starts(last()->address, SLICE("127.0.0.1:")));
	assert_true(
		slice_eq(buf_slice(&w.remote.data), SLICE(MAIL_TEXT "from a fil\r\n.\r\n")));
	ask_and_wait("dest.example", "550.no@dest.example", 8000, -1);
	assert_int_equal(last()->rcpts[0].fate, RELAY_REFUSED);
	assert_int_equal(last()->rcpts[0].phase, SMTP_CL_RCPT);
	assert_int_equal(last()->reply.code, 550);
	assert_int_equal(w.remote.n_conns, 1); /* kept */
	assert_int_equal(w.remote.mails, 1);
	world_close();
	close(fd);
}

static void
test_smarthost_by_name(void **state)
{
	(void)state;
	world_open("smart.dest.example");
	ask_and_wait("dest.example", "r@dest.example", 8000, -1);
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(w.remote.mails, 1);
	world_close();
	world_open("gone.dest.example");
	ask_and_wait("dest.example", "r@dest.example", 8000, -1);
	assert_int_equal(
		last()->rcpts[0].fate, RELAY_DEFERRED); /* ours to put right: never 5yz */
	world_close();
}

struct direct_case {
	const char *site;
	int code;
	enum relay_fate fate;
};

static const struct direct_case direct_cases[] = {
	{"null.dest.example", 556, RELAY_REFUSED},
	{"loop.dest.example", 554, RELAY_REFUSED}, /* leads to 127.0.0.5 */
	{"broken.dest.example", 451, RELAY_DEFERRED},
	{"gone.dest.example", 550, RELAY_REFUSED},
	{"nowhere.dest.example", 550, RELAY_REFUSED},
	{"[127.0.0.1]", 554, RELAY_REFUSED},
	{"[IPv6:::1]", 554, RELAY_REFUSED},
	{"[what]", 550, RELAY_REFUSED},
};

static void
test_direct(void **state)
{
	(void)state;
	world_open(NULL);
	for (size_t i = 0; i < sizeof(direct_cases) / sizeof(direct_cases[0]); i++) {
		const struct direct_case *c = &direct_cases[i];
		ask_and_wait(c->site, "r@dest.example", 8000, -1);
		if (last()->reply.code != c->code || last()->rcpts[0].fate != c->fate)
			fail_msg("%s: %d %.*s", c->site, last()->reply.code,
				SLICE_ARG(last()->reply.text));
		assert_false(last()->from_hop);
	}
	assert_int_equal(w.remote.n_conns, 0);
	world_close();
}

static void
test_budget(void **state)
{
	(void)state;
	world_open("127.0.0.1");
	w.remote.fault_at = "MAIL";
	w.remote.fault = REMOTE_SILENT;
	w.remote.on = 1;
	ask_and_wait("dest.example", "r@dest.example", 100, -1);
	assert_int_equal(last()->rcpts[0].fate, RELAY_DEFERRED);
	assert_int_equal(w.remote.mails, 0);
	world_close();
}

/* The client goes away before the dot: answered once, and no dot is started. */
static void
test_cancel(void **state)
{
	(void)state;
	world_open("127.0.0.1");
	w.remote.fault_at = "DATA";
	w.remote.fault = REMOTE_SILENT;
	w.remote.on = 1;
	uint32_t id = ask("dest.example", "r@dest.example", 8000, -1);
	UNTIL(has_command(SLICE("DATA")));
	assert_int_equal(peer_tell(w.session, DELIVERY_MSG_CANCEL, id, SLICE_NONE), 0);
	assert_int_equal(peer_tell(w.session, DELIVERY_MSG_CANCEL, id, SLICE_NONE), 0);
	w.wanted = 1;
	run();
	assert_int_equal(last()->rcpts[0].fate, RELAY_DEFERRED);
	run_for(50);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.remote.mails, 0);
	world_close();
}

/* The session dies: what is before its dot is dropped, and the process serves the next session.
 */
static void
test_session_gone(void **state)
{
	(void)state;
	world_open("127.0.0.1");
	w.remote.fault_at = "DATA";
	w.remote.fault = REMOTE_SILENT;
	w.remote.on = 1;
	ask("dest.example", "r@dest.example", 8000, -1);
	UNTIL(has_command(SLICE("DATA")));
	w.wanted = 1;
	give_channel(); /* the first one closes */
	UNTIL(w.lost == 1 && w.remote.open == 0);
	assert_int_equal(w.remote.mails, 0);
	w.wanted = 2;
	ask("dest.example", "r@dest.example", 8000, -1);
	run();
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	world_close();
}

/* Stopped while a final dot is out: it is waited for, and told. */
static void
test_stop_waits_for_the_dot(void **state)
{
	(void)state;
	world_open("127.0.0.1");
	w.remote.fault_at = "DOT";
	w.remote.fault = REMOTE_SILENT;
	w.remote.on = 1;
	ask("dest.example", "r@dest.example", 8000, -1);
	UNTIL(w.remote.mails == 1);
	(void)control_send_stop(w.control);
	run_for(100);
	assert_int_equal(w.answers, 0);
	w.wanted = 1;
	stream_write(w.remote.conns[0].stream, SLICE("250 2.0.0 late\r\n"));
	run();
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	world_close();
}

static void
test_nonsense(void **state)
{
	(void)state;
	world_open("127.0.0.1");
	w.wanted = 1;
	assert_int_not_equal(peer_ask(w.session, DELIVERY_MSG_MAIL, SLICE("no mail of ours"),
				     NULL, 0, 5000, on_answer, NULL),
		0);
	run();
	assert_int_equal(last()->n_rcpts, 0);
	assert_int_equal(last()->reply.code, 451);
	ask_and_wait("dest.example", "r@dest.example", 8000, -1);
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	world_close();
}

/* The keeper's body: all of it in one descriptor, or in one piece of memory. */
static void
test_body_in_memory_file(void **state)
{
	(void)state;
	char text[] = "Subject: x\r\n\r\nfrom the store\r\n";
	int fd = memfd_create("mail", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	world_open("127.0.0.1");
	struct delivery_mail m = mail_to("dest.example", "r@dest.example", NULL, NULL);
	relay_body_init(&m.body, w.arena);
	relay_body_add_file(&m.body, fd, 0, sizeof(text) - 1);
	post_and_wait(&m);
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	assert_true(slice_starts(buf_slice(&w.remote.data), slice_of(text)));
	relay_body_init(&m.body, w.arena);
	relay_body_add(&m.body, slice_of(text));
	buf_clear(&w.remote.data);
	post_and_wait(&m);
	assert_true(slice_starts(buf_slice(&w.remote.data), slice_of(text)));
	world_close();
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smarthost),
		cmocka_unit_test(test_smarthost_by_name),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_session_gone),
		cmocka_unit_test(test_stop_waits_for_the_dot),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_body_in_memory_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
