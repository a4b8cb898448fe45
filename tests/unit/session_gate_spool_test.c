/*
 * The gate with a spool at its bounds: 10,000 recipients, the most headers that one mail may
 * have, one more of them; waits that are counted; a keeper's answer for every recipient.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "session/gate.h"
#include "session/refusals.h"

enum { TAGS = 9, ARENA_BYTES = 8 * 1024 * 1024 };

/* Nine tags, each for the recipients whose local part has its letter: 512 headers. */
#define TAG(letter) "tag \"X-" letter ": 1\" if recipient matches \"*" letter "*@*\"\n"
#define CONF                                                                                  \
	"hostname \"mx.example.com\"\nspool \"/var/spool/postern\"\n"                         \
	"listen inbound on \"127.0.0.1:2525\"\n"                                              \
	"domain \"a.example\" deliver to \"127.0.0.1:2526\"\n"                                \
	"domain \"b.example\" deliver to \"127.0.0.1:2527\"\n"                                \
	"limits {\nrecipients 10000\n}\ninbound {\n" TAG("a") TAG("b") TAG("c") TAG("d")      \
		TAG("e") TAG("f") TAG("g") TAG("h")                                           \
			TAG("i") "accept\n}\n"                                                \
				 "listen outbound on \"127.0.0.1:2588\" from { 0.0.0.0/8 }\n" \
				 "send direct\noutbound { accept }\n"

struct lab {
	struct conf *conf;
	struct arena *arena;
	struct gate_config config;
	struct gate *gate;
};

static void
lab_open_for(struct lab *l, enum direction direction)
{
	struct conf_report report;
	struct err err;
	*l = (struct lab){.conf = conf_text(CONF), .arena = arena_new(ARENA_BYTES)};
	conf_report_init(&report);
	l->config = (struct gate_config){.conf = l->conf,
		.listener = &l->conf->listeners[direction == OUTBOUND],
		.direction = direction,
		.spill_dir = -1};
	l->config.policy = policy_compile(l->conf, direction, facts_all(), l->arena, &report);
	if (l->config.policy == NULL)
		fail_msg("%.*s", SLICE_ARG(conf_report_text(&report, l->arena)));
	l->config.refusals = refusals_new(&err);
	conf_report_fini(&report);
	struct gate_client client = {.ip = {.family = 4}};
	l->gate = gate_new(&l->config, &client, "s", (int64_t)1800000000 * 1000);
	gate_written(l->gate, gate_output(l->gate).n);
}

static void
lab_open(struct lab *l)
{
	lab_open_for(l, INBOUND);
}

static void
lab_close(struct lab *l)
{
	gate_free(&l->gate);
	conf_free(&l->conf);
	arena_free(&l->arena);
}

/* The code of the reply to a line; 0: there is none yet. */
static int
say(struct lab *l, const char *line)
{
	struct slice in = slice_of(line);
	int code = 0;
	assert_int_equal(gate_feed(l->gate, in), in.n);
	struct slice out = gate_output(l->gate);
	if (out.n >= 3)
		code = (out.p[0] - '0') * 100 + (out.p[1] - '0') * 10 + (out.p[2] - '0');
	gate_written(l->gate, out.n);
	return code;
}

/* A mail to n recipients, the i-th with the tags of the bits of i % headers. */
static int
send_mail(struct lab *l, size_t n, size_t headers)
{
	char line[128];
	say(l, "EHLO client.example\r\n");
	assert_int_equal(say(l, "MAIL FROM:<ann@example.net>\r\n"), 250);
	for (size_t i = 0; i < n; i++) {
		char tags[TAGS + 1], *end = tags;
		for (unsigned bit = 0; bit < TAGS; bit++)
			if ((i % headers >> bit & 1) != 0)
				*end++ = (char)('a' + bit);
		*end = '\0';
		snprintf(line, sizeof(line), "RCPT TO:<%s%zu@%c.example>\r\n", tags, i,
			i % 2 == 0 ? 'a' : 'b');
		assert_int_equal(say(l, line), 250);
	}
	assert_int_equal(say(l, "DATA\r\n"), 354);
	return say(l, "From: ann@example.net\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n\r\n"
		      "hello\r\n.\r\n");
}

static void
test_most_recipients(void **state)
{
	(void)state;
	struct lab l;
	lab_open(&l);
	assert_int_equal(send_mail(&l, 10000, EDITS_MOST), 0);
	assert_int_equal(gate_wants(l.gate), GATE_WANT_TRANSFER);
	struct gate_transfer *t = gate_transfer(l.gate);
	assert_int_equal(t->n_parcels, EDITS_MOST);
	size_t n = 0;
	for (size_t i = 0; i < t->n_parcels; i++) {
		const struct queue_parcel *p = &t->parcels[i];
		n += p->mail.n_rcpts;
		assert_int_equal(p->mail.kind, STORED_SEND);
		/* the bytes are those that this one's recipients asked for */
		struct slice lines = p->body.parts[0].bytes;
		struct slice local = p->mail.rcpts[0].address.local;
		for (char c = 'a'; c < 'a' + TAGS; c++) {
			const char tag[] = {'X', '-', c, ':'};
			bool there = slice_find_slice(lines, (struct slice){tag, 4}) < lines.n;
			assert_int_equal(there, slice_has(local, c));
		}
	}
	assert_int_equal(n, 10000);
	/* what leaves the process fits */
	struct queue_take take = {.parcels = t->parcels, .n = t->n_parcels};
	struct ipc_out out;
	struct err err;
	int fds[IPC_FDS_MOST], large;
	size_t n_fds;
	ipc_out_init(&out);
	if (queue_take_pack(&take, -1, &out, fds, &n_fds, &large, &err) < 0)
		fail_msg("%s", err.text);
	ipc_out_fini(&out);
	t->reply = smtp_reply_of("250 2.0.0 Queued");
	gate_transferred(l.gate);
	struct slice said = gate_output(l.gate);
	assert_true(slice_starts(said, SLICE("250 2.0.0 Queued")));
	lab_close(&l);
}

/* One more header than a mail may have: put off, and the next mail is as any other. */
static void
test_too_many_headers(void **state)
{
	(void)state;
	struct lab l;
	lab_open(&l);
	assert_int_equal(send_mail(&l, EDITS_MOST + 1, EDITS_MOST + 1), 451);
	assert_int_equal(gate_wants(l.gate), GATE_WANT_NOTHING);
	assert_int_equal(send_mail(&l, 2, 1), 0);
	assert_int_equal(gate_wants(l.gate), GATE_WANT_TRANSFER);
	gate_transfer(l.gate)->reply = smtp_reply_of("250 2.0.0 Queued");
	gate_transferred(l.gate);
	lab_close(&l);
}

static uint32_t
budget(struct lab *l, uint64_t waited_ms)
{
	assert_int_equal(send_mail(l, 2, 1), 0);
	struct gate_transfer *t = gate_transfer(l->gate);
	uint32_t ms = t->budget_ms;
	gate_waited(l->gate, waited_ms);
	t->reply = smtp_reply_of("250 2.0.0 Queued");
	gate_transferred(l->gate);
	gate_written(l->gate, gate_output(l->gate).n);
	return ms;
}

/* 8 s for a mail, 30 s for all of a connection; our own servers have their time for each. */
static void
test_patience(void **state)
{
	(void)state;
	struct lab l;
	lab_open(&l);
	assert_int_equal(budget(&l, 60000), 8000);
	assert_int_equal(budget(&l, 0), 8000);
	lab_close(&l);
	lab_open_for(&l, OUTBOUND);
	assert_int_equal(budget(&l, 22000), 8000);
	assert_int_equal(budget(&l, 500), 8000);
	assert_int_equal(budget(&l, 60000), 7500);
	assert_int_equal(budget(&l, 0), 0);
	lab_close(&l);
}

/* Each of the keeper's answers is noted for its own recipient, whatever parcel it is in. */
static void
test_refusals_are_noted(void **state)
{
	(void)state;
	struct lab l;
	lab_open(&l);
	assert_int_equal(send_mail(&l, 4, 2), 0);
	struct gate_transfer *t = gate_transfer(l.gate);
	struct relay_rcpt rcpts[4] = {{.fate = RELAY_DEFERRED}, {.fate = RELAY_DEFERRED},
		{.fate = RELAY_DEFERRED}, {.fate = RELAY_DEFERRED}};
	struct queue_result r = {.end = QUEUE_FAILED, .rcpts = rcpts, .n_rcpts = 4};
	assert_int_equal(t->n_parcels, 2);
	/* 0 and 2 are in the first one, 1 and 3 in the second */
	rcpts[3] = (struct relay_rcpt){.fate = RELAY_REFUSED,
		.phase = SMTP_CL_RCPT,
		.reply = smtp_reply_of("550 5.1.1 no such user")};
	rcpts[1] = rcpts[3];
	rcpts[1].phase = SMTP_CL_DOT; /* about the mail, not about the recipient */
	t->reply = smtp_reply_of("451 4.3.0 not now");
	t->result = &r;
	gate_transferred(l.gate);
	gate_written(l.gate, gate_output(l.gate).n);
	assert_int_equal(say(&l, "MAIL FROM:<joe@example.net>\r\n"), 250);
	assert_int_equal(say(&l, "RCPT TO:<0@a.example>\r\n"), 250);
	assert_int_equal(say(&l, "RCPT TO:<a1@b.example>\r\n"), 250);
	assert_int_equal(say(&l, "RCPT TO:<2@a.example>\r\n"), 250);
	assert_int_equal(say(&l, "RCPT TO:<a3@b.example>\r\n"), 550);
	lab_close(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_most_recipients),
		cmocka_unit_test(test_too_many_headers),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_refusals_are_noted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
