/*
 * One mail to its next hops, against remotes on loopback that break at every step (EXT-14,
 * OUT-03, OUT-04, OUT-05). After each run the copies that arrived are counted: never two, and
 * none where the sender is told that there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "certs.h"
#include "relay/relay.h"
#include "remote.h"

#define ARRAY(a)  (sizeof(a) / sizeof((a)[0]))
#define MAIL_TEXT "From: a@example.org\r\n\r\n.hidden\r\nlast\r\n"

enum { RCPTS_MOST = 4 };

/* For remotes that say nothing; long enough for the other one on a busy machine. */
static const struct relay_times quick = {
	.connect = 5000, .greeting = 400, .command = 400, .data = 400, .body = 400, .dot = 400};

static struct {
	struct loop *loop;
	struct relay_pool *pool;
	struct relay_config config;
	struct remote a, b;
	struct next_hop hops[2];
	struct hop_list list;
	struct relay_way way;
	struct arena *arena;
	struct relay_body body;
	struct relay_mail mail;
	struct relay_rcpt rcpts[RCPTS_MOST];
	struct relay_result result;
	unsigned called;
	unsigned wanted; /* calls until the loop stops */
	struct loop_timer late;
	bool timed_out;
} w;

static void
on_late(void *arg)
{
	(void)arg;
	w.timed_out = true;
	loop_stop(w.loop);
}

static void
stop_in(uint32_t ms)
{
	struct err err;
	loop_timer_set(&w.late, ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
}

/* A condition that comes soon; on a busy machine later. */
#define UNTIL(cond)                                                  \
	do {                                                         \
		for (int turns = 0; turns < 500 && !(cond); turns++) \
			stop_in(10);                                 \
		assert_true(cond);                                   \
	} while (0)

static bool
has_command(const struct remote *r, struct slice line)
{
	struct slice all = buf_slice(&r->commands);
	return slice_find_slice(all, line) < all.n;
}

/* Until `wanted` callbacks came; five seconds are a fault. */
static void
run(void)
{
	w.timed_out = false;
	stop_in(5000);
	loop_timer_clear(&w.late);
	assert_false(w.timed_out);
}

static void
on_result(void *arg, const struct relay_result *r)
{
	(void)arg;
	w.result = *r;
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

static struct next_hop
hop_to(const struct remote *r)
{
	struct next_hop h = {
		.kind = HOP_HOST, .host = SLICE("127.0.0.1"), .port = r->port, .lmtp = r->lmtp};
	must(ip_parse(h.host, &h.ip));
	h.text = arena_printf(w.arena, "127.0.0.1:%u", (unsigned)r->port);
	return h;
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
	remote_start(&w.a, w.loop);
	remote_start(&w.b, w.loop);
	w.config = (struct relay_config){.loop = w.loop, .hostname = SLICE("gate.example")};
	w.pool = relay_pool_new(&w.config);
}

static void
world_way(void)
{
	w.hops[0] = hop_to(&w.a);
	w.hops[1] = hop_to(&w.b);
	w.list = (struct hop_list){.hops = w.hops, .n = 2};
	w.way = (struct relay_way){.hops = &w.list};
}

static void
world_mail(const char *rcpt1, const char *rcpt2)
{
	relay_body_init(&w.body, w.arena);
	relay_body_add(&w.body, SLICE(MAIL_TEXT));
	w.rcpts[0] = (struct relay_rcpt){.address = address_of(rcpt1)};
	if (rcpt2 != NULL)
		w.rcpts[1] = (struct relay_rcpt){.address = address_of(rcpt2)};
	w.mail = (struct relay_mail){.sender = address_of("s@example.org"),
		.rcpts = w.rcpts,
		.n_rcpts = rcpt2 != NULL ? 2 : 1,
		.body = &w.body,
		.times = &relay_times_inbound,
		.arena = w.arena};
}

static void
world_close(void)
{
	relay_pool_free(&w.pool);
	remote_stop(&w.a);
	remote_stop(&w.b);
	stop_in(20); /* QUITs on their way */
	loop_timer_clear(&w.late);
	loop_free(&w.loop);
	arena_free(&w.arena);
}

static void
send_and_wait(void)
{
	w.wanted = w.called + 1;
	relay_send(w.pool, &w.way, &w.mail, on_result, NULL);
	run();
}

struct fault_case {
	const char *at;
	enum remote_fault fault;
	const char *say;
	enum relay_fate fate;
	int code;
	unsigned a, b; /* mails there */
};

static const struct fault_case fault_cases[] = {
	{"CONNECT", REMOTE_CLOSE, NULL, RELAY_TAKEN, 250, 0, 1},
	{"CONNECT", REMOTE_SILENT, NULL, RELAY_TAKEN, 250, 0, 1},
	{"CONNECT", REMOTE_SAY, "554 5.7.1 not you", RELAY_TAKEN, 250, 0, 1},
	{"CONNECT", REMOTE_SAY, "421 4.3.2 full", RELAY_TAKEN, 250, 0, 1},
	{"CONNECT", REMOTE_SAY, "nonsense", RELAY_TAKEN, 250, 0, 1},
	{"EHLO", REMOTE_CLOSE, NULL, RELAY_TAKEN, 250, 0, 1},
	{"EHLO", REMOTE_SILENT, NULL, RELAY_TAKEN, 250, 0, 1},
	{"EHLO", REMOTE_SAY, "451 4.3.0 later", RELAY_TAKEN, 250, 0, 1},
	{"MAIL", REMOTE_CLOSE, NULL, RELAY_TAKEN, 250, 0, 1},
	{"MAIL", REMOTE_SILENT, NULL, RELAY_TAKEN, 250, 0, 1},
	{"MAIL", REMOTE_SAY, "421 4.3.2 going", RELAY_TAKEN, 250, 0, 1},
	{"MAIL", REMOTE_SAY, "550 5.7.1 not you", RELAY_REFUSED, 550, 0, 0},
	{"MAIL", REMOTE_SAY, "451 4.7.1 not now", RELAY_TAKEN, 250, 0, 1},
	{"RCPT", REMOTE_CLOSE, NULL, RELAY_TAKEN, 250, 0, 1},
	{"RCPT", REMOTE_SILENT, NULL, RELAY_TAKEN, 250, 0, 1},
	{"RCPT", REMOTE_SAY, "421 4.3.2 going", RELAY_TAKEN, 250, 0, 1},
	{"RCPT", REMOTE_SAY, "452 4.2.2 full", RELAY_DEFERRED, 452, 0, 0},
	{"RCPT", REMOTE_SAY, "550 5.1.1 who", RELAY_REFUSED, 550, 0, 0},
	{"DATA", REMOTE_CLOSE, NULL, RELAY_TAKEN, 250, 0, 1},
	{"DATA", REMOTE_SILENT, NULL, RELAY_TAKEN, 250, 0, 1},
	{"DATA", REMOTE_SAY, "451 4.3.1 full", RELAY_DEFERRED, 451, 0, 0},
	{"DATA", REMOTE_SAY, "554 5.6.0 no", RELAY_REFUSED, 554, 0, 0},
	{"DATA", REMOTE_SAY, "250 nonsense", RELAY_TAKEN, 250, 0, 1},
	{"DOT", REMOTE_CLOSE, NULL, RELAY_DOUBT, 451, 1, 0},
	{"DOT", REMOTE_SILENT, NULL, RELAY_DOUBT, 451, 1, 0},
	{"DOT", REMOTE_SAY, "nonsense", RELAY_DOUBT, 451, 1, 0},
	{"DOT", REMOTE_SAY, "421 4.3.2 going", RELAY_DEFERRED, 421, 1, 0},
	{"DOT", REMOTE_SAY, "451 4.3.0 later", RELAY_DEFERRED, 451, 1, 0},
	{"DOT", REMOTE_SAY, "554 5.7.1 spam", RELAY_REFUSED, 554, 1, 0},
};

static void
run_fault(const struct fault_case *c, const char *extensions)
{
	world_open();
	w.a.fault_at = c->at;
	w.a.fault = c->fault;
	w.a.say = c->say;
	w.a.on = ~0u;
	w.a.extensions = w.b.extensions = extensions;
	world_way();
	world_mail("r@example.org", NULL);
	if (c->fault == REMOTE_SILENT)
		w.mail.times = &quick;
	send_and_wait();
	if (w.rcpts[0].fate != c->fate || w.rcpts[0].reply.code != c->code ||
		w.a.mails != c->a || w.b.mails != c->b || w.called != 1)
		fail_msg("%s, fault %d %s: fate %d, code %d, mails %u and %u", c->at,
			(int)c->fault, c->say, (int)w.rcpts[0].fate, w.rcpts[0].reply.code,
			w.a.mails, w.b.mails);
	world_close();
}

static void
test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(fault_cases); i++) {
		run_fault(&fault_cases[i], NULL);
		run_fault(&fault_cases[i], "PIPELINING");
	}
}

static void
test_mail_arrives_as_it_is(void **state)
{
	(void)state;
	world_open();
	w.a.extensions = "PIPELINING\nSIZE 1000\n8BITMIME\nDSN";
	world_way();
	world_mail("r@example.org", NULL);
	w.mail.params.ret = SMTP_RET_FULL;
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(w.result.phase, SMTP_CL_DOT);
	assert_true(w.result.from_hop);
	assert_true(slice_eq(w.result.hop, w.hops[0].text));
	assert_int_equal(w.result.address.port, w.a.port);
	assert_true(w.result.offer.dsn && !w.result.offer.smtputf8);
	assert_true(slice_eq(buf_slice(&w.a.data),
		SLICE("From: a@example.org\r\n\r\n..hidden\r\nlast\r\n.\r\n")));
	assert_int_equal(w.a.reads, 1); /* header, body and dot in one write */
	assert_true(slice_eq(buf_slice(&w.a.commands),
		SLICE("EHLO gate.example\nMAIL FROM:<s@example.org> SIZE=38 RET=FULL\n"
		      "RCPT TO:<r@example.org>\nDATA\n")));
	world_close();
}

static void
test_recipients_differ(void **state)
{
	(void)state;
	world_open();
	world_way();
	world_mail("550.no@example.org", "r@example.org");
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_REFUSED);
	assert_int_equal(w.rcpts[0].phase, SMTP_CL_RCPT);
	assert_int_equal(w.rcpts[1].fate, RELAY_TAKEN);
	assert_int_equal(w.rcpts[1].phase, SMTP_CL_DOT);
	assert_int_equal(w.a.mails, 1);
	/* All or none: the other is not delivered to either, and told why. */
	world_mail("550.no@example.org", "r@example.org");
	w.mail.all_or_none = true;
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_REFUSED);
	assert_int_equal(w.rcpts[1].fate, RELAY_DEFERRED);
	assert_int_equal(w.rcpts[1].phase, SMTP_CL_RCPT);
	assert_int_equal(w.a.mails, 1);
	assert_int_equal(w.a.n_conns, 1);
	world_close();
}

static void
test_lmtp(void **state)
{
	(void)state;
	world_open();
	w.a.lmtp = true;
	world_way();
	world_mail("r1@example.org", "r2@example.org");
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(w.rcpts[1].fate, RELAY_DEFERRED);
	assert_int_equal(w.rcpts[1].reply.code, 450);
	world_close();
}

/* A socket of this machine; no TLS there, whatever it has on offer. */
static void
test_lmtp_socket(void **state)
{
	(void)state;
	char path[] = "/tmp/relay-send-lmtp-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && close(fd) == 0 && unlink(path) == 0);
	world_open();
	struct remote r = {.path = path, .lmtp = true};
	remote_start(&r, w.loop);
	world_way();
	w.hops[0] = (struct next_hop){.kind = HOP_LMTP_PATH,
		.lmtp = true,
		.host = slice_of(path),
		.text = SLICE("lmtp")};
	world_mail("r1@example.org", NULL);
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(r.mails, 1);
	assert_true(slice_starts(buf_slice(&r.commands), SLICE("LHLO gate.example\n")));
	assert_string_equal(w.result.address.path, path);
	relay_pool_free(&w.pool);
	w.pool = relay_pool_new(&w.config);
	remote_stop(&r);
	world_close();
}

/* Connections are kept, closed after N mails, and one that died meanwhile costs no mail. */
static void
test_kept_connections(void **state)
{
	(void)state;
	world_open();
	world_way();
	w.way.mails = 3;
	for (int i = 0; i < 3; i++) {
		world_mail("r@example.org", NULL);
		send_and_wait();
		assert_int_equal(w.rcpts[0].fate, RELAY_TAKEN);
	}
	assert_int_equal(w.a.n_conns, 1);
	world_mail("r@example.org", NULL);
	send_and_wait();
	assert_int_equal(w.a.n_conns, 2);
	UNTIL(w.a.open == 1);
	assert_int_equal(w.a.mails, 4);
	world_close();
}

static void
test_kept_connection_dies(void **state)
{
	(void)state;
	world_open();
	world_way();
	world_mail("r@example.org", NULL);
	send_and_wait();
	w.a.fault_at = "MAIL";
	w.a.fault = REMOTE_CLOSE;
	w.a.on = 1; /* the kept one only */
	world_mail("r@example.org", NULL);
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(w.a.mails, 2);
	assert_int_equal(w.a.n_conns, 2);
	assert_int_equal(w.b.n_conns, 0); /* it said nothing against the hop */
	assert_false(relay_is_down(w.pool, &w.way));
	world_close();
}

static void
test_idle_time(void **state)
{
	(void)state;
	world_open();
	relay_pool_free(&w.pool);
	w.config.idle_ms = 100;
	w.pool = relay_pool_new(&w.config);
	world_way();
	world_mail("r@example.org", NULL);
	send_and_wait();
	assert_int_equal(w.a.open, 1);
	UNTIL(w.a.open == 0);
	assert_true(slice_ends(buf_slice(&w.a.commands), SLICE("QUIT\n")));
	world_close();
}

/* All hops dead: 451, marked down; up again by the next that answers. */
static void
test_down_and_up(void **state)
{
	(void)state;
	world_open();
	w.a.fault_at = w.b.fault_at = "CONNECT";
	w.a.fault = w.b.fault = REMOTE_CLOSE;
	w.a.on = w.b.on = 1;
	world_way();
	world_mail("r@example.org", NULL);
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_DEFERRED);
	assert_int_equal(w.rcpts[0].reply.code, 451);
	assert_false(w.result.from_hop);
	assert_true(w.result.why.n > 0);
	assert_int_equal(w.result.attempts, 2);
	assert_true(relay_is_down(w.pool, &w.way));
	world_mail("r@example.org", NULL);
	send_and_wait(); /* both down: tried all the same, in order */
	assert_int_equal(w.rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(w.a.mails, 1);
	assert_false(relay_is_down(w.pool, &w.way));
	world_close();
}

static void
test_down_is_passed_over(void **state)
{
	(void)state;
	world_open();
	w.a.fault_at = "CONNECT";
	w.a.fault = REMOTE_CLOSE;
	w.a.on = 1;
	world_way();
	for (int i = 0; i < 2; i++) {
		world_mail("r@example.org", NULL);
		send_and_wait();
	}
	assert_int_equal(w.a.n_conns, 1);
	assert_int_equal(w.b.mails, 2);
	world_close();
}

static void
test_balanced(void **state)
{
	(void)state;
	world_open();
	world_way();
	struct next_hop both = {
		.kind = HOP_BALANCED, .text = SLICE("balanced"), .items = w.hops, .n_items = 2};
	w.list = (struct hop_list){.hops = &both, .n = 1};
	for (int i = 0; i < 6; i++) {
		world_mail("r@example.org", NULL);
		send_and_wait();
	}
	assert_int_equal(w.a.mails, 3);
	assert_int_equal(w.b.mails, 3);
	world_close();
}

/* `connections 1`: the others wait their turn, over the same connection. */
static void
test_connection_limit(void **state)
{
	(void)state;
	world_open();
	world_way();
	w.list.n = 1;
	w.way.connections = 1;
	struct relay_mail mails[6];
	struct relay_rcpt rcpts[6];
	world_mail("r@example.org", NULL);
	w.wanted = ARRAY(mails);
	for (size_t i = 0; i < ARRAY(mails); i++) {
		rcpts[i] = w.rcpts[0];
		mails[i] = w.mail;
		mails[i].rcpts = &rcpts[i];
		struct relay_transfer *t =
			relay_send(w.pool, &w.way, &mails[i], on_result, NULL);
		if (i == 3) { /* one that gives up keeps nobody waiting */
			assert_true(relay_cancel(&t));
			assert_null(t);
			w.wanted--;
		}
	}
	run();
	assert_int_equal(w.a.open_most, 1);
	assert_int_equal(w.a.mails, 5);
	world_close();
}

static void
test_deadline(void **state)
{
	static const char *const phases[] = {"CONNECT", "MAIL", "DATA"};
	(void)state;
	for (size_t i = 0; i < ARRAY(phases); i++) {
		world_open();
		w.a.fault_at = phases[i];
		w.a.fault = REMOTE_SILENT;
		w.a.on = ~0u;
		world_way();
		world_mail("r@example.org", NULL);
		w.mail.deadline_ms = loop_now(w.loop) + 40;
		send_and_wait();
		assert_int_equal(w.rcpts[0].fate, RELAY_DEFERRED);
		assert_int_equal(w.a.mails + w.b.mails, 0);
		world_close();
	}
}

/* The client goes away: before the dot nothing is delivered, after it the dot is not cut. */
static void
test_cancel(void **state)
{
	(void)state;
	world_open();
	w.a.fault_at = "DATA";
	w.a.fault = REMOTE_SILENT;
	w.a.on = 1;
	world_way();
	world_mail("r@example.org", NULL);
	w.mail.times = &quick;
	struct relay_transfer *t = relay_send(w.pool, &w.way, &w.mail, on_result, NULL);
	UNTIL(has_command(&w.a, SLICE("DATA")));
	assert_false(relay_is_final(t));
	assert_true(relay_cancel(&t));
	stop_in(20);
	assert_int_equal(w.called, 0);
	assert_int_equal(w.a.mails + w.b.mails, 0);
	w.a.fault_at = "DOT";
	w.a.on = 2;
	t = relay_send(w.pool, &w.way, &w.mail, on_result, NULL);
	UNTIL(relay_is_final(t));
	assert_false(relay_cancel(&t));
	w.wanted = 1;
	run();
	assert_int_equal(w.rcpts[0].fate, RELAY_DOUBT);
	world_close();
}

/* More than the buffers hold, from memory and a file, with a reader that is not faster. */
static void
test_large_mail(void **state)
{
	enum { LINES = 40000 };
	(void)state;
	world_open();
	w.a.extensions = "PIPELINING";
	world_way();
	world_mail("r@example.org", NULL);
	char path[] = "/tmp/relay-send-XXXXXX", line[64];
	int fd = mkstemp(path);
	assert_true(fd >= 0 && unlink(path) == 0);
	FILE *f = fdopen(fd, "w+");
	uint64_t bytes = 0;
	struct buf sent;
	buf_init(&sent, 8 * 1024 * 1024);
	buf_add_text(&sent, "From: a@example.org\r\n\r\n..hidden\r\nlast\r\n");
	for (int i = 0; i < LINES; i++) {
		int n = snprintf(line, sizeof(line), "%sline %d of a large mail\r\n",
			i % 7 ? "" : ".", i);
		assert_int_equal(fwrite(line, 1, (size_t)n, f), n);
		bytes += (uint64_t)n;
		if (i % 7 == 0)
			buf_add_byte(&sent, '.');
		buf_add(&sent, (struct slice){line, (size_t)n});
	}
	assert_int_equal(fflush(f), 0);
	buf_add_text(&sent, ".\r\n");
	relay_body_add_file(&w.body, fd, 0, bytes);
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_TAKEN);
	assert_true(slice_eq(buf_slice(&w.a.data), buf_slice(&sent)));
	/* A spill file that is too short: no dot, nothing delivered, and no other hop is tried.
	 */
	relay_body_add_file(&w.body, fd, bytes, 10);
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_DEFERRED);
	assert_int_equal(w.a.mails, 1);
	assert_int_equal(w.b.mails, 0);
	buf_fini(&sent);
	fclose(f);
	world_close();
}

static void
test_needs_smtputf8(void **state)
{
	(void)state;
	world_open();
	world_way();
	world_mail("r@example.org", NULL);
	w.mail.params.smtputf8 = true;
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_REFUSED);
	assert_int_equal(w.rcpts[0].reply.enhanced[1], 6);
	assert_int_equal(w.rcpts[0].reply.enhanced[2], 7);
	assert_false(w.result.from_hop);
	assert_int_equal(w.a.mails + w.b.mails, 0);
	world_close();
}

static void
test_offer(void **state)
{
	(void)state;
	struct smtp_offer o;
	world_open();
	w.a.extensions = "SIZE 5000\n8BITMIME\nSMTPUTF8\nDSN";
	w.b.extensions = "SIZE 3000\n8BITMIME";
	world_way();
	assert_false(relay_offer(w.pool, &w.way, &o));
	UNTIL(relay_offer(w.pool, &w.way, &o) && o.size == 3000 && w.a.n_conns == 1);
	assert_true(o.eightbit);
	assert_false(o.smtputf8 || o.dsn || o.sizeless);
	assert_int_equal(o.size, 3000);
	assert_int_equal(w.a.n_conns + w.b.n_conns, 2);
	world_close();
}

/* ---- TLS ---- */

static struct tls_server *
make_tls_server(struct cert *c)
{
	struct err err;
	cert_make(c, "remote.example", CERT_EC, 1, NULL);
	struct tls_server *t = tls_server_new(&err);
	must(t != NULL);
	must(tls_server_add(t, buf_slice(&c->cert_pem), "cert", buf_slice(&c->key_pem), "key",
		     &err) == 0);
	return t;
}

struct tls_case {
	const char *what;
	enum tls_level tls;
	bool required, offered, bad, named; /* the hop has the certificate's name */
	enum relay_fate fate;
	bool secure;
};

static const struct tls_case tls_cases[] = {
	{"opportunistic, on offer", TLS_LEVEL_OPPORTUNISTIC, false, true, false, false,
		RELAY_TAKEN, true},
	{"opportunistic, not on offer", TLS_LEVEL_OPPORTUNISTIC, false, false, false, false,
		RELAY_TAKEN, false},
	{"opportunistic, broken: in clear", TLS_LEVEL_OPPORTUNISTIC, false, false, true, false,
		RELAY_TAKEN, false},
	{"demanded, on offer", TLS_LEVEL_REQUIRED, false, true, false, false, RELAY_TAKEN,
		true},
	{"demanded by the domain", TLS_LEVEL_OPPORTUNISTIC, true, true, false, true,
		RELAY_TAKEN, true},
	{"demanded by the domain, another certified", TLS_LEVEL_OPPORTUNISTIC, true, true,
		false, false, RELAY_DEFERRED, false},
	{"demanded, not on offer", TLS_LEVEL_REQUIRED, false, false, false, false,
		RELAY_DEFERRED, false},
	{"demanded by the domain, not on offer", TLS_LEVEL_OPPORTUNISTIC, true, false, false,
		false, RELAY_DEFERRED, false},
	{"demanded, broken", TLS_LEVEL_REQUIRED, false, false, true, false, RELAY_DEFERRED,
		false},
	{"name wanted, another certified", TLS_LEVEL_VERIFIED, false, true, false, false,
		RELAY_DEFERRED, false},
	{"never", TLS_LEVEL_NEVER, false, true, false, false, RELAY_TAKEN, false},
	{"name wanted and borne", TLS_LEVEL_VERIFIED, false, true, false, true, RELAY_TAKEN,
		true},
	{"opportunistic, name borne", TLS_LEVEL_OPPORTUNISTIC, false, true, false, true,
		RELAY_TAKEN, true},
};

/* Each case gets a world with TLS; the remote's certificate is for remote.example and trusted.
 */
static struct {
	struct cert cert;
	struct tls_server *server;
	struct tls_client *client;
} tls;

static void
tls_open(void)
{
	struct err err;
	world_open();
	tls.server = make_tls_server(&tls.cert);
	tls.client = tls_client_new(buf_slice(&tls.cert.cert_pem), &err);
	assert_non_null(tls.client);
	relay_pool_free(&w.pool);
	w.config.tls = tls.client;
	w.pool = relay_pool_new(&w.config);
	world_way();
	w.list.n = 1;
	world_mail("r@example.org", NULL);
}

static void
tls_close(void)
{
	world_close();
	tls_client_free(&tls.client);
	tls_server_free(&tls.server);
	cert_free(&tls.cert);
}

static void
test_tls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(tls_cases); i++) {
		const struct tls_case *c = &tls_cases[i];
		tls_open();
		if (c->offered)
			w.a.tls = tls.server;
		w.a.bad_tls = c->bad;
		w.list.tls_required = c->required;
		w.way.tls.level = c->tls;
		if (c->named)
			w.hops[0].host = SLICE("remote.example");
		send_and_wait();
		if (w.rcpts[0].fate != c->fate || w.result.tls != c->secure ||
			w.result.tls_verified != (c->secure && c->named))
			fail_msg("%s: fate %d, tls %d, %.*s", c->what, (int)w.rcpts[0].fate,
				w.result.tls, SLICE_ARG(w.result.why));
		assert_int_equal(w.a.mails, c->fate == RELAY_TAKEN);
		tls_close();
	}
}

/* A smarthost's name and password: under TLS, and never in clear. */
static void
test_auth(void **state)
{
	static const char *const passwords[] = {"secret", "wrong"};
	(void)state;
	for (size_t i = 0; i < ARRAY(passwords); i++) {
		tls_open();
		w.a.tls = tls.server;
		w.a.extensions = "AUTH PLAIN LOGIN";
		w.a.auth = "PLAIN AGFsaWNlAHNlY3JldA==";
		w.hops[0].user = SLICE("alice");
		w.hops[0].password = slice_of(passwords[i]);
		send_and_wait();
		assert_int_equal(w.rcpts[0].fate, i == 0 ? RELAY_TAKEN : RELAY_DEFERRED);
		assert_int_equal(w.a.mails, i == 0);
		tls_close();
	}
	tls_open();
	w.a.extensions = "AUTH PLAIN LOGIN";
	w.hops[0].user = SLICE("alice");
	w.hops[0].password = SLICE("secret");
	send_and_wait();
	assert_int_equal(w.rcpts[0].fate, RELAY_DEFERRED);
	assert_true(slice_eq(buf_slice(&w.a.commands), SLICE("EHLO gate.example\n")));
	tls_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_mail_arrives_as_it_is),
		cmocka_unit_test(test_recipients_differ),
		cmocka_unit_test(test_lmtp),
		cmocka_unit_test(test_lmtp_socket),
		cmocka_unit_test(test_kept_connections),
		cmocka_unit_test(test_kept_connection_dies),
		cmocka_unit_test(test_idle_time),
		cmocka_unit_test(test_down_and_up),
		cmocka_unit_test(test_down_is_passed_over),
		cmocka_unit_test(test_balanced),
		cmocka_unit_test(test_connection_limit),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_large_mail),
		cmocka_unit_test(test_needs_smtputf8),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_auth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
