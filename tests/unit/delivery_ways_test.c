/*
 * Which way a mail leaves a delivery process, what becomes of each of its recipients, and what
 * is told of where it failed (OUT-03).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "delivering.h"

/* ---- which way ---- */

static void
test_ways(void **state)
{
	(void)state;
	char path[] = "/tmp/delivery-lmtp-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && close(fd) == 0 && unlink(path) == 0);
	world_open_with("127.0.0.1", path);
	struct delivery_mail m = mail_to("dest.example", "r@dest.example", NULL, NULL);
	m.way = DELIVERY_BY_SMARTHOST;
	post_and_wait(&m);
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(w.remote.mails, 1);
	/* The servers of a domain of ours, over LMTP: each recipient has its own fate. */
	m = mail_to("declared.example", "a@declared.example", "b@declared.example",
		"550.c@declared.example");
	m.way = DELIVERY_BY_DOMAIN;
	post_and_wait(&m);
	assert_int_equal(w.other.mails, 1);
	assert_true(slice_starts(buf_slice(&w.other.commands), SLICE("LHLO gate.example\n")));
	assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(last()->rcpts[1].fate, RELAY_DEFERRED);
	assert_int_equal(last()->rcpts[1].phase, SMTP_CL_DOT);
	assert_int_equal(last()->rcpts[2].fate, RELAY_REFUSED);
	assert_int_equal(last()->rcpts[2].phase, SMTP_CL_RCPT);
	assert_true(slice_eq(last()->address, slice_of(path)));
	/* By what `send` says all the same, where that is asked for. */
	m = mail_to("declared.example", "a@declared.example", NULL, NULL);
	m.way = DELIVERY_BY_SEND;
	post_and_wait(&m);
	assert_int_equal(w.remote.mails, 2);
	world_close();
}

/* `route to` of a rule that this process has never seen. */
static void
test_routes(void **state)
{
	(void)state;
	static const char *const texts[] = {"127.0.0.1:%u", "\"127.0.0.1:%u\"",
		"\"127.0.0.1:1\"\n then \"127.0.0.1:%u\"", "balanced { \"127.0.0.1:%u\" }",
		"smart.dest.example:%u"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		world_open(NULL);
		struct delivery_mail m = mail_to("dest.example", "r@dest.example", NULL, NULL);
		struct slice cut[2];
		slice_cut(slice_of(texts[i]), '%', &cut[0], &cut[1]);
		m.way = DELIVERY_BY_ROUTE;
		m.route = arena_printf(w.arena, "%.*s%u%.*s", SLICE_ARG(cut[0]),
			(unsigned)w.other.port, SLICE_ARG(slice_from(cut[1], 1)));
		post_and_wait(&m);
		if (last()->rcpts[0].fate != RELAY_TAKEN || w.other.mails != 1)
			fail_msg("%s: %.*s", texts[i], SLICE_ARG(last()->reply.text));
		assert_true(slice_eq(last()->banner, SLICE("remote.example ESMTP")));
		assert_int_equal(last()->at, FAILURE_AT_DOT);
		world_close();
	}
}

/* Greylisted there: the same address again, of several. */
static void
test_prefer(void **state)
{
	(void)state;
	for (unsigned last_byte = 1; last_byte <= 2; last_byte++) {
		char text[32];
		world_open(NULL);
		struct remote second = {.address = "127.0.0.2", .port = w.other.port};
		remote_start(&second, w.loop);
		struct delivery_mail m = mail_to("dest.example", "r@dest.example", NULL, NULL);
		m.way = DELIVERY_BY_ROUTE;
		m.route = arena_printf(w.arena, "pair.dest.example:%u", (unsigned)w.other.port);
		snprintf(text, sizeof(text), "127.0.0.%u", last_byte);
		assert_true(ip_parse(slice_of(text), &m.prefer));
		post_and_wait(&m);
		assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
		assert_int_equal(w.other.mails, last_byte == 1);
		assert_int_equal(second.mails, last_byte == 2);
		world_close_with(&second);
	}
}

static const struct {
	enum delivery_way way;
	const char *site, *route;
} gone[] = {
	{DELIVERY_BY_DOMAIN, "undeclared.example", NULL},
	{DELIVERY_BY_ROUTE, "dest.example", "what \"is\" this"},
	{DELIVERY_BY_ROUTE, "dest.example", "\"127.0.0.1:25\" auth \"a\" password \"/etc/x\""},
};

/* Gone from the configuration: as `send` says, and one event. */
static void
test_gone_ways(void **state)
{
	(void)state;
	char text[4096];
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		int real = dup(STDERR_FILENO);
		FILE *events = tmpfile();
		assert_true(events != NULL && dup2(fileno(events), STDERR_FILENO) >= 0);
		world_open("127.0.0.1");
		assert_true(dup2(real, STDERR_FILENO) >= 0);
		struct delivery_mail m = mail_to(gone[i].site, "r@dest.example", NULL, NULL);
		m.way = gone[i].way;
		m.route = slice_of(gone[i].route);
		post_and_wait(&m);
		assert_int_equal(last()->rcpts[0].fate, RELAY_TAKEN);
		assert_int_equal(w.remote.mails, 1);
		world_close();
		ssize_t n = pread(fileno(events), text, sizeof(text), 0);
		assert_true(n > 0);
		struct slice all = {text, (size_t)n}, mark = SLICE(" event=route-gone ");
		size_t at = slice_find_slice(all, mark);
		assert_true(at < all.n);
		all = slice_from(all, at + mark.n);
		assert_int_equal(slice_find_slice(all, mark), all.n);
		fclose(events);
		close(real);
	}
	/* A smarthost that is no more, and no other way either. */
	world_open(NULL);
	struct delivery_mail m = mail_to("null.dest.example", "r@dest.example", NULL, NULL);
	m.way = DELIVERY_BY_SMARTHOST;
	post_and_wait(&m);
	assert_int_equal(last()->reply.code, 556);
	assert_int_equal(last()->at, FAILURE_AT_DNS);
	world_close();
}

/* Some get it, some do not: each has a reply of its own, and where it came from. */
static void
test_mixed_recipients(void **state)
{
	(void)state;
	world_open("127.0.0.1");
	w.remote.extensions = "PIPELINING";
	struct delivery_mail m = mail_to(
		"dest.example", "550.a@dest.example", "b@dest.example", "452.c@dest.example");
	post_and_wait(&m);
	const struct relay_rcpt *r = last()->rcpts;
	assert_int_equal(r[0].fate, RELAY_REFUSED);
	assert_int_equal(r[0].reply.code, 550);
	assert_int_equal(delivery_rcpt_at(last(), 0), FAILURE_AT_RCPT);
	assert_int_equal(r[1].fate, RELAY_TAKEN);
	assert_int_equal(r[1].reply.code, 250);
	assert_int_equal(delivery_rcpt_at(last(), 1), FAILURE_AT_DOT);
	assert_int_equal(r[2].fate, RELAY_DEFERRED);
	assert_int_equal(r[2].reply.code, 452);
	assert_int_equal(w.remote.mails, 1);
	/* All or none: nothing is sent. */
	m.all_or_none = true;
	post_and_wait(&m);
	r = last()->rcpts;
	assert_int_equal(r[0].fate, RELAY_REFUSED);
	assert_int_equal(r[1].fate, RELAY_DEFERRED);
	assert_int_equal(w.remote.mails, 1);
	world_close();
}

/* ---- where it failed ---- */

struct stop_case {
	const char *at;
	enum remote_fault fault; /* SILENT: until the budget is spent */
	const char *say;
	int code;
	const char *text; /* NULL: ours */
	enum failure_phase phase;
};

static const struct stop_case stop_cases[] = {
	{"CONNECT", REMOTE_CLOSE, NULL, 451, NULL, FAILURE_AT_GREETING},
	{"CONNECT", REMOTE_SILENT, NULL, 451, NULL, FAILURE_AT_GREETING},
	{"CONNECT", REMOTE_SAY, "554 5.7.1 you are listed", 451, "you are listed",
		FAILURE_AT_GREETING},
	{"CONNECT", REMOTE_SAY, "421 4.7.0 too many", 451, "too many", FAILURE_AT_GREETING},
	{"EHLO", REMOTE_SAY, "450 4.3.2 later", 450, "later", FAILURE_AT_GREETING},
	{"EHLO", REMOTE_SILENT, NULL, 451, NULL, FAILURE_AT_GREETING},
	{"MAIL", REMOTE_CLOSE, NULL, 451, NULL, FAILURE_AT_MAIL},
	{"MAIL", REMOTE_SILENT, NULL, 451, NULL, FAILURE_AT_MAIL},
	{"MAIL", REMOTE_SAY, "451 4.7.1 later", 451, "later", FAILURE_AT_MAIL},
	{"MAIL", REMOTE_SAY, "550 5.7.1 never", 550, "never", FAILURE_AT_MAIL},
	{"RCPT", REMOTE_CLOSE, NULL, 451, NULL, FAILURE_AT_RCPT},
	{"RCPT", REMOTE_SILENT, NULL, 451, NULL, FAILURE_AT_RCPT},
	{"RCPT", REMOTE_SAY, "450 4.2.0 greylisted", 450, "greylisted", FAILURE_AT_RCPT},
	{"RCPT", REMOTE_SAY, "421 4.2.0 going", 451, "going", FAILURE_AT_RCPT},
	{"DATA", REMOTE_CLOSE, NULL, 451, NULL, FAILURE_AT_DATA},
	{"DATA", REMOTE_SILENT, NULL, 451, NULL, FAILURE_AT_DATA},
	{"DATA", REMOTE_SAY, "554 5.6.0 no", 554, "no", FAILURE_AT_DATA},
	{"DOT", REMOTE_CLOSE, NULL, 451, NULL, FAILURE_AT_DOT},
	{"DOT", REMOTE_SAY, "451 4.3.0 later", 451, "later", FAILURE_AT_DOT},
	{"DOT", REMOTE_SAY, "554 5.7.1 spam", 554, "spam", FAILURE_AT_DOT},
};

static void
test_where_it_failed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(stop_cases) / sizeof(stop_cases[0]); i++) {
		const struct stop_case *c = &stop_cases[i];
		world_open("127.0.0.1");
		w.remote.fault_at = c->at;
		w.remote.fault = c->fault;
		w.remote.say = c->say;
		w.remote.on = ~0u;
		struct delivery_mail m = mail_to("dest.example", "r@dest.example", NULL, NULL);
		m.budget_ms = c->fault == REMOTE_SILENT ? 150 : 8000;
		post_and_wait(&m);
		const struct delivery_result *r = last();
		bool ours = c->text == NULL;
		if (r->reply.code != c->code || r->at != c->phase || r->from_hop == ours ||
			(!ours && !slice_eq(r->reply.text, slice_of(c->text))) ||
			r->rcpts[0].reply.code != c->code || delivery_rcpt_at(r, 0) != c->phase)
			fail_msg("%s, fault %d %s: %d %.*s, at %d, from_hop %d", c->at,
				(int)c->fault, c->say, r->reply.code, SLICE_ARG(r->reply.text),
				(int)r->at, r->from_hop);
		enum relay_fate fate = c->code >= 500 ? RELAY_REFUSED : RELAY_DEFERRED;
		if (ours && c->phase == FAILURE_AT_DOT)
			fate = RELAY_DOUBT;
		assert_int_equal(r->rcpts[0].fate, fate);
		world_close();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_prefer),
		cmocka_unit_test(test_gone_ways),
		cmocka_unit_test(test_mixed_recipients),
		cmocka_unit_test(test_where_it_failed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
