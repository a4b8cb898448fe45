/*
 * The delivery process as the parent starts it, in its sandbox, with this test as parent,
 * session, name server and smarthost (OUT-01 to OUT-04). Each mail is answered exactly once,
 * whatever goes away meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "delivery/delivery.h"
#include "delivery/messages.h"
#include "io/child.h"
#include "io/control.h"
#include "io/peer.h"
#include "remote.h"

#define MAIL_TEXT "Subject: x\r\n\r\nhello\r\n"

enum { ANSWERS_MOST = 8 };

static struct {
	struct arena *arena;
	struct loop *loop;
	struct loop_timer late;
	bool timed_out;
	struct remote remote;
	int dns_fd;
	struct loop_watch *dns_watch;
	struct next_hop hop;
	struct conf conf;
	struct delivery_start start;
	struct ipc *control;
	struct peer *session;
	pid_t pid;
	bool ready, gone;
	struct delivery_result results[ANSWERS_MOST];
	unsigned answers, lost, wanted;
} w;

/* ---- a name server of a few names; the case of letters comes as the asker likes ---- */

struct name {
	const char *name; /* as on the wire */
	uint8_t rcode;
	uint16_t type;
	const char *data;
	size_t n;
};

static const struct name names[] = {
	{"\4null\4dest\7example", 0, DNS_MX, "\0\0\0", 3},
	{"\4loop\4dest\7example", 0, DNS_MX, "\0\12\4host\4loop\4dest\7example", 26},
	{"\4host\4loop\4dest\7example", 0, DNS_A, "\177\0\0\5", 4},
	{"\5smart\4dest\7example", 0, DNS_A, "\177\0\0\1", 4},
	{"\6broken\4dest\7example", 2, 0, NULL, 0},
	{"\4gone\4dest\7example", 3, 0, NULL, 0},
	{"\7nowhere\4dest\7example", 0, DNS_MX, "\0\12\4void\4dest\7example", 21},
};

static const struct name *
find_name(const char *question, uint16_t type)
{
	const struct name *found = NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(question, names[i].name) == 0 &&
			(names[i].type == type || names[i].rcode != 0))
			found = &names[i];
	return found;
}

static void
on_dns(void *arg, unsigned ready)
{
	(void)arg, (void)ready;
	char packet[1024];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(
		w.dns_fd, packet, sizeof(packet) / 2, 0, (struct sockaddr *)&from, &len);
	if (n < 17)
		return;
	size_t name_bytes = strlen(packet + 12) + 1, end = 12 + name_bytes + 4;
	must(end <= (size_t)n);
	uint16_t type = (uint16_t)(packet[12 + name_bytes] << 8 | packet[13 + name_bytes]);
	const struct name *found = find_name(packet + 12, type);
	packet[2] = (char)0x85;
	packet[3] = (char)(0x80 | (found != NULL ? found->rcode : 0));
	memset(packet + 6, 0, 6);
	if (found != NULL && found->n > 0) {
		static const char fixed[] = "\300\14\0\0\0\1\0\0\0\74\0\0";
		packet[7] = 1;
		memcpy(packet + end, fixed, 12);
		packet[end + 3] = (char)type;
		packet[end + 11] = (char)found->n;
		memcpy(packet + end + 12, found->data, found->n);
		end += 12 + found->n;
	}
	sendto(w.dns_fd, packet, end, 0, (struct sockaddr *)&from, len);
}

static uint16_t
dns_start(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	w.dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(w.dns_fd >= 0 && bind(w.dns_fd, (struct sockaddr *)&sin, len) == 0);
	must(getsockname(w.dns_fd, (struct sockaddr *)&sin, &len) == 0);
	w.dns_watch = loop_watch_new(w.loop, w.dns_fd, on_dns, NULL);
	loop_watch_set(w.dns_watch, LOOP_READ);
	return ntohs(sin.sin_port);
}

/* ---- parent and session ---- */

static void
on_late(void *arg)
{
	(void)arg;
	w.timed_out = true;
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
run(void)
{
	w.timed_out = false;
	run_for(10 * 1000);
	assert_false(w.timed_out);
}

/* A condition that comes soon; on a busy machine later. */
#define UNTIL(cond)                                                  \
	do {                                                         \
		for (int turns = 0; turns < 500 && !(cond); turns++) \
			run_for(10);                                 \
		assert_true(cond);                                   \
	} while (0)

static bool
has_command(struct slice line)
{
	struct slice all = buf_slice(&w.remote.commands);
	return slice_find_slice(all, line) < all.n;
}

static void
on_control(void *arg, struct ipc_msg *m)
{
	(void)arg;
	assert_int_equal(m->type, CONTROL_READY);
	w.ready = true;
	loop_stop(w.loop);
}

static void
on_control_gone(void *arg, const struct err *err)
{
	(void)arg, (void)err;
	w.gone = true;
	loop_stop(w.loop);
}

static void
give_channel(void)
{
	int fds[2];
	struct err err;
	must(ipc_pair(fds, &err) == 0);
	must(control_send_peer(w.control, PROCESS_SESSION, 0, fds[1]) == 0);
	close(fds[1]);
	peer_attach(w.session, fds[0]);
}

/* smarthost: by name where the DNS is to be asked; NULL: direct. */
static void
world_open(const char *smarthost)
{
	static const struct ipc_calls calls = {
		.on_message = on_control, .on_gone = on_control_gone};
	struct err err;
	int fds[2];
	memset(&w, 0, sizeof(w));
	w.arena = arena_new(1024 * 1024);
	w.loop = loop_new(&err);
	must(w.loop != NULL);
	loop_timer_init(&w.late, w.loop, on_late, NULL);
	remote_start(&w.remote, w.loop);
	w.conf = (struct conf){.arena = w.arena,
		.hostname = SLICE("gate.example"),
		.resolver = {.n_servers = 1, .insecure = true}};
	must(ip_parse(SLICE("127.0.0.1"), &w.conf.resolver.servers[0].ip));
	w.conf.resolver.servers[0].port = dns_start();
	w.hop = (struct next_hop){.kind = HOP_HOST,
		.host = slice_of(smarthost),
		.text = SLICE("smarthost"),
		.port = w.remote.port};
	(void)ip_parse(w.hop.host, &w.hop.ip);
	w.conf.send.way = smarthost == NULL ? SEND_DIRECT : SEND_SMARTHOST;
	w.conf.send.smarthosts = (struct hop_list){.hops = &w.hop, .n = 1};
	must(ipc_pair(fds, &err) == 0);
	w.start = (struct delivery_start){.conf = &w.conf, .control_fd = fds[1]};
	struct child_spec spec = {.kind = "delivery",
		.keep = &fds[1],
		.nkeep = 1,
		.run = delivery_main,
		.arg = &w.start};
	w.pid = child_fork(&spec, &err);
	must(w.pid > 0);
	close(fds[1]);
	w.control = ipc_new(w.loop, fds[0], 64 * 1024, &calls, NULL);
	w.session = peer_new(w.loop, "delivery", 64);
	run();
	assert_true(w.ready);
	give_channel();
}

static void
expect_exit(void)
{
	int status;
	pid_t pid;
	do
		pid = waitpid(w.pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	assert_true(pid == w.pid && WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
world_close(void)
{
	(void)control_send_stop(w.control);
	while (!w.gone)
		run();
	expect_exit();
	peer_free(&w.session);
	ipc_free(&w.control);
	remote_stop(&w.remote);
	loop_watch_free(&w.dns_watch);
	close(w.dns_fd);
	loop_free(&w.loop);
	arena_free(&w.arena);
}

static void
on_answer(void *arg, struct ipc_msg *m)
{
	(void)arg;
	if (m == NULL) {
		w.lost++;
	} else {
		assert_int_equal(m->type, DELIVERY_MSG_RESULT);
		assert_true(w.answers < ANSWERS_MOST);
		assert_true(delivery_result_unpack(
			arena_slice(w.arena, m->payload), w.arena, &w.results[w.answers]));
		w.answers++;
	}
	if (w.answers + w.lost == w.wanted)
		loop_stop(w.loop);
}

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

static uint32_t
ask(const char *site, const char *rcpt, uint32_t budget_ms, int fd)
{
	struct relay_rcpt rcpts[1] = {{.address = address_of(rcpt)}};
	struct delivery_mail m = {.site = slice_of(site),
		.log = SLICE("m-1"),
		.budget_ms = budget_ms,
		.sender = address_of("s@example.org"),
		.rcpts = rcpts,
		.n_rcpts = 1};
	struct ipc_out out;
	struct slice payload;
	int with;
	relay_body_init(&m.body, w.arena);
	relay_body_add(&m.body, SLICE(MAIL_TEXT));
	if (fd >= 0)
		relay_body_add_file(&m.body, fd, 4, 12);
	ipc_out_init(&out);
	must(delivery_mail_pack(&m, &out, &with) == 0 && ipc_out_ok(&out, &payload));
	uint32_t id = peer_ask(w.session, DELIVERY_MSG_MAIL, payload, &with, with >= 0 ? 1 : 0,
		20 * 1000, on_answer, NULL);
	must(id != 0);
	ipc_out_fini(&out);
	return id;
}

static void
ask_and_wait(const char *site, const char *rcpt, uint32_t budget_ms, int fd)
{
	w.wanted = w.answers + w.lost + 1;
	ask(site, rcpt, budget_ms, fd);
	run();
	assert_int_equal(w.lost, 0);
}

static const struct delivery_result *
last(void)
{
	return &w.results[w.answers - 1];
}

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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
