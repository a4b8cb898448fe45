/* The call-out: POLICY.md "recipient known by call-out", its memory, and equal probes at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "relay/relay.h"
#include "remote.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

static const struct relay_times quick = {
	.connect = 5000, .greeting = 400, .command = 400, .data = 400, .body = 400, .dot = 400};

static struct {
	struct loop *loop;
	struct relay_pool *pool;
	struct remote a;
	struct next_hop hop;
	struct hop_list list;
	struct relay_way way;
	enum relay_known known;
	int code;
	unsigned called, wanted;
	struct loop_timer late;
} w;

static void
on_late(void *arg)
{
	(void)arg;
	loop_stop(w.loop);
}

static void
run_for(uint32_t ms)
{
	struct err err;
	loop_timer_set(&w.late, ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
	loop_timer_clear(&w.late);
}

static void
on_known(void *arg, enum relay_known known, const struct smtp_reply *r)
{
	(void)arg;
	w.known = known;
	w.code = r->code;
	if (++w.called == w.wanted)
		loop_stop(w.loop);
}

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

static void
world_open(void)
{
	struct err err;
	memset(&w, 0, sizeof(w));
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	loop_timer_init(&w.late, w.loop, on_late, NULL);
	remote_start(&w.a, w.loop);
	struct relay_config config = {.loop = w.loop, .hostname = SLICE("gate.example")};
	w.pool = relay_pool_new(&config);
	w.hop = (struct next_hop){.kind = HOP_HOST,
		.host = SLICE("127.0.0.1"),
		.port = w.a.port,
		.text = SLICE("remote")};
	must(ip_parse(w.hop.host, &w.hop.ip));
	w.list = (struct hop_list){.hops = &w.hop, .n = 1};
	w.way.hops = &w.list;
}

static void
world_close(void)
{
	relay_pool_free(&w.pool);
	remote_stop(&w.a);
	run_for(20);
	loop_free(&w.loop);
}

static void
ask(const char *rcpt)
{
	struct address a = address_of(rcpt);
	w.wanted = w.called + 1;
	relay_verify(w.pool, &w.way, &a, &quick, on_known, NULL);
	run_for(3000);
	assert_int_equal(w.called, w.wanted);
}

static unsigned
count_rcpts(void)
{
	struct slice rest = buf_slice(&w.a.commands);
	unsigned n = 0;
	for (size_t at; (at = slice_find_slice(rest, SLICE("RCPT"))) < rest.n; n++)
		rest = slice_from(rest, at + 4);
	return n;
}

struct reply_case {
	const char *say; /* to RCPT */
	enum relay_known known;
	bool kept;
};

static const struct reply_case reply_cases[] = {
	{"250 2.1.5 ok", RELAY_KNOWN, true},
	{"251 will forward", RELAY_KNOWN, true},
	{"550 5.1.1 no such user", RELAY_UNKNOWN, true},
	{"550 no such user", RELAY_UNKNOWN, true},
	{"551 5.1.6 moved", RELAY_UNKNOWN, true},
	{"553 5.1.3 bad", RELAY_UNKNOWN, true},
	{"550 5.7.1 you are listed", RELAY_KNOWN, true},
	{"552 5.2.2 full", RELAY_KNOWN, true},
	{"554 5.1.1 odd code", RELAY_KNOWN, true},
	{"450 4.2.1 later", RELAY_FAILED, false},
	{"421 4.3.2 going", RELAY_FAILED, false},
};

static void
test_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(reply_cases); i++) {
		const struct reply_case *c = &reply_cases[i];
		world_open();
		w.a.fault_at = "RCPT";
		w.a.fault = REMOTE_SAY;
		w.a.say = c->say;
		w.a.on = ~0u;
		for (int k = 0; k < 2; k++) {
			ask(k == 0 ? "User@example.org" : "uSER@example.org");
			if (w.known != c->known)
				fail_msg("%s: %d", c->say, (int)w.known);
		}
		assert_int_equal(count_rcpts(), c->kept ? 1 : 2);
		assert_int_equal(w.a.mails, 0);
		world_close();
	}
}

static void
test_no_answer(void **state)
{
	static const char *const at[] = {"CONNECT", "EHLO", "MAIL", "RCPT"};
	(void)state;
	for (size_t i = 0; i < ARRAY(at); i++) {
		world_open();
		w.a.fault_at = at[i];
		w.a.fault = i % 2 ? REMOTE_SILENT : REMOTE_CLOSE;
		w.a.on = ~0u;
		ask("user@example.org");
		assert_int_equal(w.known, RELAY_FAILED);
		assert_int_equal(w.code, 0);
		world_close();
	}
}

/* MAIL FROM:<> refused says nothing of the recipient. */
static void
test_mail_refused(void **state)
{
	(void)state;
	world_open();
	w.a.fault_at = "MAIL";
	w.a.fault = REMOTE_SAY;
	w.a.say = "550 5.7.1 no null sender here";
	w.a.on = ~0u;
	ask("user@example.org");
	assert_int_equal(w.known, RELAY_FAILED);
	world_close();
}

static void
test_probes_share(void **state)
{
	(void)state;
	world_open();
	struct address a = address_of("user@example.org");
	struct relay_probe *probes[5];
	for (size_t i = 0; i < ARRAY(probes); i++)
		probes[i] = relay_verify(w.pool, &w.way, &a, &quick, on_known, NULL);
	relay_verify_cancel(&probes[0]);
	relay_verify_cancel(&probes[3]);
	assert_null(probes[3]);
	w.wanted = 3;
	run_for(3000);
	assert_int_equal(w.called, 3);
	assert_int_equal(w.known, RELAY_KNOWN);
	assert_int_equal(count_rcpts(), 1);
	run_for(20); /* RSET leaves the connection for the next */
	assert_int_equal(w.a.probes, 1);
	ask("other@example.org");
	assert_int_equal(w.a.n_conns, 1);
	world_close();
}

/* Bounded connections, however many ask. */
static void
test_many(void **state)
{
	enum { MANY = 100 };
	(void)state;
	world_open();
	char text[MANY][32];
	for (size_t i = 0; i < MANY; i++) {
		snprintf(text[i], sizeof(text[i]), "%su%zu@example.org", i % 2 ? "550" : "", i);
		struct address a = address_of(text[i]);
		relay_verify(w.pool, &w.way, &a, &quick, on_known, NULL);
	}
	w.wanted = MANY;
	run_for(5000);
	assert_int_equal(w.called, MANY);
	assert_in_range(w.a.open_most, 1, 4);
	world_close();
}

/* What a real RCPT was told is known without a probe. */
static void
test_note(void **state)
{
	(void)state;
	world_open();
	struct address a = address_of("gone@example.org");
	struct smtp_reply no = smtp_reply_of("550 5.1.1 gone"),
			  yes = smtp_reply_of("250 2.1.5 ok");
	relay_verify_note(w.pool, &a, &no);
	ask("gone@example.org");
	assert_int_equal(w.known, RELAY_UNKNOWN);
	assert_int_equal(w.code, 550);
	relay_verify_note(w.pool, &a, &yes);
	ask("gone@example.org");
	assert_int_equal(w.known, RELAY_KNOWN);
	assert_int_equal(w.a.n_conns, 0);
	world_close();
}

/* Whoever guesses names, however many, does not push out what is known. */
static void
test_harvest(void **state)
{
	(void)state;
	world_open();
	struct smtp_reply no = smtp_reply_of("550 5.1.1 gone"),
			  yes = smtp_reply_of("250 2.1.5 ok");
	struct address here = address_of("here@example.org");
	relay_verify_note(w.pool, &here, &yes);
	for (size_t i = 0; i < 3 * RELAY_VERIFY_MOST; i++) {
		char text[40];
		snprintf(text, sizeof(text), "guess%zu@example.org", i);
		struct address a = address_of(text);
		relay_verify_note(w.pool, &a, &no);
	}
	ask("here@example.org");
	assert_int_equal(w.known, RELAY_KNOWN);
	assert_int_equal(w.a.n_conns, 0);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_mail_refused),
		cmocka_unit_test(test_probes_share),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_note),
		cmocka_unit_test(test_harvest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
