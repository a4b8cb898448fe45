/*
 * Where a transfer ended, for every phase and every way to end there (OUT-03), and how good TLS
 * must be for whom (OUT-05): policies with names of their own, over connections that are never
 * shared with mails of another policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "certs.h"
#include "relay/relay.h"
#include "remote.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* For remotes that say nothing. */
static const struct relay_times quick = {
	.connect = 5000, .greeting = 300, .command = 300, .data = 300, .body = 300, .dot = 300};

static struct {
	struct loop *loop;
	struct relay_pool *pool;
	struct remote remote;
	struct next_hop hop;
	struct hop_list list;
	struct relay_way way;
	struct arena *arena;
	struct relay_body body;
	struct relay_mail mail;
	struct relay_rcpt rcpt;
	struct relay_result result;
	struct cert cert; /* for remote.example, trusted */
	struct tls_server *server;
	struct tls_client *client;
	unsigned called;
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
world_open(void)
{
	struct err err;
	memset(&w, 0, sizeof(w));
	w.arena = arena_new(1024 * 1024);
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	loop_timer_init(&w.late, w.loop, on_late, NULL);
	cert_make(&w.cert, "remote.example", CERT_EC, 1, NULL);
	w.server = tls_server_new(&err);
	must(w.server != NULL && tls_server_add(w.server, buf_slice(&w.cert.cert_pem), "cert",
					 buf_slice(&w.cert.key_pem), "key", &err) == 0);
	w.client = tls_client_new(buf_slice(&w.cert.cert_pem), &err);
	must(w.client != NULL);
	remote_start(&w.remote, w.loop);
	w.pool = relay_pool_new(&(struct relay_config){
		.loop = w.loop, .hostname = SLICE("gate.example"), .tls = w.client});
	w.hop = (struct next_hop){.kind = HOP_HOST,
		.host = SLICE("127.0.0.1"),
		.text = SLICE("remote"),
		.port = w.remote.port};
	must(ip_parse(w.hop.host, &w.hop.ip));
	w.list = (struct hop_list){.hops = &w.hop, .n = 1};
	w.way = (struct relay_way){.hops = &w.list};
	relay_body_init(&w.body, w.arena);
	relay_body_add(&w.body, SLICE("From: a@example.org\r\n\r\nhello\r\n"));
	struct address a = {.raw = SLICE("a@example.org"), .domain = SLICE("example.org")};
	w.rcpt = (struct relay_rcpt){.address = a};
	w.mail = (struct relay_mail){.sender = a,
		.rcpts = &w.rcpt,
		.n_rcpts = 1,
		.body = &w.body,
		.times = &quick,
		.arena = w.arena};
}

static void
world_close(void)
{
	relay_pool_free(&w.pool);
	remote_stop(&w.remote);
	run_for(20); /* QUITs on their way */
	tls_client_free(&w.client);
	tls_server_free(&w.server);
	cert_free(&w.cert);
	loop_free(&w.loop);
	arena_free(&w.arena);
}

static void
on_result(void *arg, const struct relay_result *r)
{
	(void)arg;
	w.result = *r;
	w.called++;
	loop_stop(w.loop);
}

static void
send_and_wait(void)
{
	unsigned before = w.called;
	relay_send(w.pool, &w.way, &w.mail, on_result, NULL);
	run_for(5000);
	assert_int_equal(w.called, before + 1);
}

struct stage_case {
	const char *at;
	enum remote_fault fault;
	const char *say;
	enum relay_stage stage;
	int said;      /* 0: nothing before the mail */
	bool from_hop; /* an answer */
};

static const struct stage_case stage_cases[] = {
	{"CONNECT", REMOTE_CLOSE, NULL, RELAY_AT_GREETING, 0, false},
	{"CONNECT", REMOTE_SILENT, NULL, RELAY_AT_GREETING, 0, false},
	{"CONNECT", REMOTE_SAY, "554 5.7.1 listed", RELAY_AT_GREETING, 554, false},
	{"CONNECT", REMOTE_SAY, "nonsense", RELAY_AT_GREETING, 0, false},
	{"EHLO", REMOTE_CLOSE, NULL, RELAY_AT_GREETING, 0, false},
	{"EHLO", REMOTE_SILENT, NULL, RELAY_AT_GREETING, 0, false},
	{"EHLO", REMOTE_SAY, "421 4.3.2 full", RELAY_AT_GREETING, 421, false},
	{"MAIL", REMOTE_CLOSE, NULL, RELAY_AT_MAIL, 0, false},
	{"MAIL", REMOTE_SILENT, NULL, RELAY_AT_MAIL, 0, false},
	{"MAIL", REMOTE_SAY, "421 4.3.2 going", RELAY_AT_MAIL, 421, false},
	{"MAIL", REMOTE_SAY, "451 4.7.1 later", RELAY_AT_MAIL, 0, true},
	{"MAIL", REMOTE_SAY, "550 5.7.1 no", RELAY_AT_MAIL, 0, true},
	{"RCPT", REMOTE_CLOSE, NULL, RELAY_AT_RCPT, 0, false},
	{"RCPT", REMOTE_SILENT, NULL, RELAY_AT_RCPT, 0, false},
	{"RCPT", REMOTE_SAY, "450 4.7.1 later", RELAY_AT_RCPT, 0, true},
	{"RCPT", REMOTE_SAY, "550 5.1.1 who", RELAY_AT_RCPT, 0, true},
	{"DATA", REMOTE_CLOSE, NULL, RELAY_AT_DATA, 0, false},
	{"DATA", REMOTE_SILENT, NULL, RELAY_AT_DATA, 0, false},
	{"DATA", REMOTE_SAY, "451 4.3.1 full", RELAY_AT_DATA, 0, true},
	{"DOT", REMOTE_CLOSE, NULL, RELAY_AT_DOT, 0, false},
	{"DOT", REMOTE_SILENT, NULL, RELAY_AT_DOT, 0, false},
	{"DOT", REMOTE_SAY, "451 4.3.0 later", RELAY_AT_DOT, 0, true},
	{"DOT", REMOTE_SAY, "554 5.7.1 spam", RELAY_AT_DOT, 0, true},
	{"DOT", REMOTE_SAY, "250 2.0.0 fine", RELAY_AT_DOT, 0, true},
};

static void
test_stages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(stage_cases); i++) {
		const struct stage_case *c = &stage_cases[i];
		world_open();
		w.remote.fault_at = c->at;
		w.remote.fault = c->fault;
		w.remote.say = c->say;
		w.remote.on = ~0u;
		send_and_wait();
		if (w.result.stage != c->stage || w.result.said.code != c->said ||
			w.result.from_hop != c->from_hop)
			fail_msg("%s, fault %d %s: stage %d, said %d, from_hop %d", c->at,
				(int)c->fault, c->say, (int)w.result.stage, w.result.said.code,
				w.result.from_hop);
		world_close();
	}
}

static void
test_no_connection(void **state)
{
	(void)state;
	world_open();
	listener_free(&w.remote.listener);
	close(w.remote.fd);
	w.remote.fd = -1;
	send_and_wait();
	assert_int_equal(w.result.stage, RELAY_AT_CONNECT);
	assert_int_equal(w.result.banner.n, 0);
	assert_int_equal(w.result.said.code, 0);
	world_close();
}

/* The time is over: where it was. */
static void
test_deadline(void **state)
{
	static const struct {
		const char *at;
		enum relay_stage stage;
	} cases[] = {{"CONNECT", RELAY_AT_GREETING}, {"EHLO", RELAY_AT_GREETING},
		{"MAIL", RELAY_AT_MAIL}, {"RCPT", RELAY_AT_RCPT}, {"DATA", RELAY_AT_DATA}};
	(void)state;
	for (size_t i = 0; i < ARRAY(cases); i++) {
		world_open();
		w.remote.fault_at = cases[i].at;
		w.remote.fault = REMOTE_SILENT;
		w.remote.on = ~0u;
		w.mail.times = &relay_times_outbound;
		w.mail.deadline_ms = loop_now(w.loop) + 150;
		send_and_wait();
		if (w.result.stage != cases[i].stage || w.rcpt.fate != RELAY_DEFERRED)
			fail_msg("%s: stage %d", cases[i].at, (int)w.result.stage);
		assert_int_equal(w.result.banner.n > 0, i > 0);
		world_close();
	}
}

struct tls_case {
	const char *what;
	enum tls_level level;
	bool offered, bad;
	const char *starttls, *user; /* what STARTTLS is answered; a name for AUTH */
	enum relay_stage stage;
	int said;
};

static const struct tls_case tls_cases[] = {
	{"demanded, not on offer", TLS_LEVEL_REQUIRED, false, false, NULL, NULL, RELAY_AT_TLS,
		0},
	{"demanded, broken", TLS_LEVEL_REQUIRED, false, true, NULL, NULL, RELAY_AT_TLS, 0},
	{"demanded, refused", TLS_LEVEL_REQUIRED, true, false, "454 4.7.0 not now", NULL,
		RELAY_AT_TLS, 454},
	{"another certified", TLS_LEVEL_VERIFIED, true, false, NULL, NULL, RELAY_AT_TLS, 0},
	{"opportunistic, refused", TLS_LEVEL_OPPORTUNISTIC, true, false, "454 4.7.0 not now",
		NULL, RELAY_AT_DOT, 0},
	{"opportunistic, broken", TLS_LEVEL_OPPORTUNISTIC, false, true, NULL, NULL,
		RELAY_AT_DOT, 0},
	{"a password that is wrong", TLS_LEVEL_OPPORTUNISTIC, true, false, NULL, "alice",
		RELAY_AT_AUTH, 535},
	{"a password, no TLS for it", TLS_LEVEL_OPPORTUNISTIC, false, false, NULL, "alice",
		RELAY_AT_TLS, 0},
};

static void
test_tls_stages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(tls_cases); i++) {
		const struct tls_case *c = &tls_cases[i];
		world_open();
		w.way.tls.level = c->level;
		w.remote.tls = c->offered ? w.server : NULL;
		w.remote.bad_tls = c->bad;
		w.remote.extensions = "AUTH PLAIN";
		w.hop.user = slice_of(c->user);
		w.hop.password = SLICE("wrong");
		if (c->starttls != NULL) {
			w.remote.fault_at = "STARTTLS";
			w.remote.fault = REMOTE_SAY;
			w.remote.say = c->starttls;
			w.remote.on = ~0u;
		}
		send_and_wait();
		if (w.result.stage != c->stage || w.result.said.code != c->said)
			fail_msg("%s: stage %d, said %d", c->what, (int)w.result.stage,
				w.result.said.code);
		if (c->stage != RELAY_AT_DOT)
			assert_int_equal(w.result.starttls, c->offered || c->bad);
		assert_int_equal(w.remote.mails, c->stage == RELAY_AT_DOT);
		world_close();
	}
}

/* ---- policies ---- */

static const char *const good[] = {"other.example", "remote.example"};
static const char *const bad[] = {"other.example"};

static void
test_names(void **state)
{
	(void)state;
	world_open();
	w.remote.tls = w.server;
	w.way.tls = (struct tls_policy){
		.level = TLS_LEVEL_VERIFIED, .names = bad, .n_names = 1, .source = "a test"};
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_int_equal(w.result.stage, RELAY_AT_TLS);
	assert_int_equal(w.remote.mails, 0);
	w.way.tls.names = good;
	w.way.tls.n_names = 2;
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_TAKEN);
	assert_true(w.result.tls_verified);
	/* A bad name last is as good. */
	relay_pool_free(&w.pool);
	w.pool = relay_pool_new(&(struct relay_config){
		.loop = w.loop, .hostname = SLICE("gate.example"), .tls = w.client});
	const char *const turned[] = {good[1], good[0]};
	w.way.tls.names = turned;
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_TAKEN);
	world_close();
}

/* What one policy has opened is no way for another: not even where it would do. */
static void
test_policies_share_nothing(void **state)
{
	(void)state;
	world_open();
	w.remote.tls = w.server;
	send_and_wait();
	assert_int_equal(w.remote.n_conns, 1);
	w.way.tls =
		(struct tls_policy){.level = TLS_LEVEL_VERIFIED, .names = bad, .n_names = 1};
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_int_equal(w.remote.n_conns, 2);
	w.way.tls.names = good;
	w.way.tls.n_names = 2;
	for (int i = 0; i < 2; i++) {
		send_and_wait();
		assert_int_equal(w.rcpt.fate, RELAY_TAKEN);
		assert_int_equal(w.remote.n_conns, 3); /* an equal one is shared */
	}
	w.way.tls.names = bad; /* other names: another policy */
	w.way.tls.n_names = 1;
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_int_equal(w.remote.n_conns, 4);
	w.way.tls = (struct tls_policy){0};
	send_and_wait();
	assert_int_equal(w.remote.n_conns, 4);
	assert_int_equal(w.remote.mails, 4);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_no_connection),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_tls_stages),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_policies_share_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
