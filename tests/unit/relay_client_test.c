/*
 * The client that has brought a mail, told to its next hop (EXT-09): by XCLIENT, XFORWARD or a
 * PROXY header over connections that are kept. Never is one client's mail carried as another's,
 * and a probe is nobody's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "relay/relay.h"
#include "remote.h"

static struct {
	struct loop *loop;
	struct relay_pool *pool;
	struct remote remote;
	struct next_hop hop;
	struct hop_list list;
	struct relay_way way;
	struct arena *arena;
	struct relay_body body;
	struct relay_rcpt rcpt;
	struct relay_mail mail;
	struct xclient client;
	struct relay_result result;
	struct loop_timer late;
	bool late_came;
	int events; /* what was logged */
} w;

static void
on_late(void *arg)
{
	(void)arg;
	w.late_came = true;
	loop_stop(w.loop);
}

static void
turn(uint32_t ms)
{
	struct err err;
	w.late_came = false;
	loop_timer_set(&w.late, ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
	loop_timer_clear(&w.late);
}

static void
on_result(void *arg, const struct relay_result *r)
{
	(void)arg;
	w.result = *r;
	loop_stop(w.loop);
}

static void
on_known(void *arg, enum relay_known known, const struct smtp_reply *r)
{
	(void)arg, (void)r;
	assert_int_equal(known, RELAY_KNOWN);
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
world_open(enum hop_client by, const char *extensions)
{
	struct err err;
	memset(&w, 0, sizeof(w));
	w.arena = arena_new(1024 * 1024);
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	loop_timer_init(&w.late, w.loop, on_late, NULL);
	w.remote.extensions = extensions;
	w.remote.proxied = by == HOP_CLIENT_PROXY;
	remote_start(&w.remote, w.loop);
	w.pool = relay_pool_new(
		&(struct relay_config){.loop = w.loop, .hostname = SLICE("gate.example")});
	w.hop = (struct next_hop){.host = SLICE("127.0.0.1"), .port = w.remote.port};
	must(ip_parse(w.hop.host, &w.hop.ip));
	w.hop.text = SLICE("hop");
	w.list = (struct hop_list){.hops = &w.hop, .n = 1, .client = by};
	w.way = (struct relay_way){.hops = &w.list};
	relay_body_init(&w.body, w.arena);
	relay_body_add(&w.body, SLICE("From: a@example.org\r\n\r\nx\r\n"));
}

static void
world_close(void)
{
	relay_pool_free(&w.pool);
	remote_stop(&w.remote);
	turn(20); /* QUITs on their way */
	loop_timer_clear(&w.late);
	loop_free(&w.loop);
	arena_free(&w.arena);
}

/* client: an address, or NULL: nobody is told of. */
static void
send_from(const char *client)
{
	w.rcpt = (struct relay_rcpt){.address = address_of("r@example.org")};
	w.client = (struct xclient){.given = XCLIENT_ALL | XFORWARD_ALL,
		.known = XCLIENT_ADDR | XCLIENT_PORT,
		.port = 4242};
	if (client != NULL)
		must(ip_parse(slice_of(client), &w.client.addr));
	w.mail = (struct relay_mail){.sender = {.is_null = true},
		.rcpts = &w.rcpt,
		.n_rcpts = 1,
		.body = &w.body,
		.times = &relay_times_inbound,
		.client = client != NULL ? &w.client : NULL,
		.arena = w.arena};
	relay_send(w.pool, &w.way, &w.mail, on_result, NULL);
	turn(5000);
	assert_false(w.late_came);
	assert_int_equal(w.rcpt.fate, RELAY_TAKEN);
	turn(20); /* the connection becomes idle */
}

static void
expect_commands(const char *want)
{
	if (!slice_eq(buf_slice(&w.remote.commands), slice_of(want)))
		fail_msg("%.*s", SLICE_ARG(buf_slice(&w.remote.commands)));
	buf_clear(&w.remote.commands);
}

#define HELLO "EHLO gate.example\n"
#define MAIL  "MAIL FROM:<>\nRCPT TO:<r@example.org>\nDATA\n"

static void
test_xclient(void **state)
{
	(void)state;
	world_open(HOP_CLIENT_XCLIENT, "PIPELINING\nXCLIENT ADDR PORT");
	send_from("192.0.2.1");
	expect_commands(HELLO "XCLIENT ADDR=192.0.2.1 PORT=4242\n" HELLO MAIL);
	send_from("192.0.2.1");
	expect_commands(MAIL);
	send_from("2001:db8::1");
	expect_commands("XCLIENT ADDR=IPV6:2001:db8::1 PORT=4242\n" HELLO MAIL);
	assert_int_equal(w.remote.n_conns, 1);
	/* nobody's mail: not as the last one's client */
	send_from(NULL);
	expect_commands(HELLO MAIL);
	/* another way to the same hop that tells nobody */
	struct hop_list plain = w.list;
	plain.client = HOP_CLIENT_NONE;
	w.way.hops = &plain;
	send_from("192.0.2.1");
	expect_commands(HELLO MAIL);
	assert_int_equal(w.remote.n_conns, 3);
	world_close();
}

static void
test_xforward(void **state)
{
	(void)state;
	world_open(HOP_CLIENT_XFORWARD, "PIPELINING\nXFORWARD ADDR");
	send_from("192.0.2.1");
	expect_commands(HELLO "XFORWARD ADDR=192.0.2.1\n" MAIL);
	send_from("192.0.2.1");
	expect_commands("XFORWARD ADDR=192.0.2.1\n" MAIL);
	send_from(NULL);
	expect_commands(MAIL);
	assert_int_equal(w.remote.n_conns, 1);
	world_close();
}

static void
test_proxy(void **state)
{
	(void)state;
	struct address rcpt = address_of("r@example.org");
	world_open(HOP_CLIENT_PROXY, "PIPELINING");
	send_from("192.0.2.1");
	expect_commands("PROXY 192.0.2.1 4242\n" HELLO MAIL);
	send_from("192.0.2.1");
	expect_commands(MAIL);
	send_from("2001:db8::1");
	expect_commands("PROXY 2001:db8::1 4242\n" HELLO MAIL);
	send_from("192.0.2.1");
	expect_commands(MAIL);
	assert_int_equal(w.remote.n_conns, 2);
	relay_verify(w.pool, &w.way, &rcpt, &relay_times_inbound, on_known, NULL);
	turn(5000);
	assert_false(w.late_came);
	turn(20);
	expect_commands(
		"PROXY local 0\n" HELLO "MAIL FROM:<>\nRCPT TO:<r@example.org>\nRSET\n");
	world_close();
}

/* How often the events so far say that the hop lacks it. */
static unsigned
warnings(void)
{
	static char text[64 * 1024];
	ssize_t n = pread(w.events, text, sizeof(text) - 1, 0);
	struct slice rest = {text, n > 0 ? (size_t)n : 0}, mark = SLICE(" event=hop-unnamed ");
	unsigned count = 0;
	for (size_t at; (at = slice_find_slice(rest, mark)) < rest.n; count++)
		rest = slice_from(rest, at + mark.n);
	return count;
}

/* Not on offer: the mail goes without, and there is one warning until that changes. */
static void
test_lacks(void **state)
{
	(void)state;
	int real = dup(STDERR_FILENO);
	FILE *events = tmpfile();
	assert_non_null(events);
	for (int by = HOP_CLIENT_XCLIENT; by <= HOP_CLIENT_XFORWARD; by++) {
		world_open((enum hop_client)by, "PIPELINING");
		w.events = fileno(events);
		assert_int_equal(ftruncate(w.events, 0), 0);
		assert_true(dup2(w.events, STDERR_FILENO) >= 0);
		for (int i = 0; i < 3; i++)
			send_from("192.0.2.1");
		unsigned first = warnings();
		w.remote.extensions =
			by == HOP_CLIENT_XCLIENT ? "XCLIENT ADDR" : "XFORWARD ADDR";
		relay_pool_free(&w.pool);
		assert_true(dup2(real, STDERR_FILENO) >= 0);
		assert_int_equal(first, 1);
		expect_commands(HELLO MAIL MAIL MAIL);
		w.pool = relay_pool_new(&(struct relay_config){
			.loop = w.loop, .hostname = SLICE("gate.example")});
		send_from("192.0.2.1");
		assert_int_equal(warnings(), 1);
		world_close();
	}
	fclose(events);
	close(real);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xclient),
		cmocka_unit_test(test_xforward),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_lacks),
	};
	return cmocka_run_group_tests_name("relay_client", tests, NULL, NULL);
}
