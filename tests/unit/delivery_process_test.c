/*
 * The delivery process as the parent starts it, in its sandbox, with this test as parent,
 * client, name server, smarthost and the servers of a declared domain (OUT-01 to OUT-04). Each
 * mail and each question is answered exactly once, whatever goes away meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "delivery/delivery.h"
#include "delivery/messages.h"
#include "io/child.h"
#include "io/control.h"
#include "io/peer.h"
#include "names.h"
#include "remote.h"

#define MAIL_TEXT "Subject: x\r\n\r\nhello\r\n"

enum { ANSWERS_MOST = 8 };

static struct {
	struct arena *arena;
	struct loop *loop;
	struct loop_timer late;
	bool timed_out;
	struct remote remote, other; /* the smarthost; next hop of domain and routes */
	struct conf_domain domain;
	struct next_hop domain_hop;
	struct names names;
	struct next_hop hop;
	struct conf conf;
	struct delivery_start start;
	struct ipc *control;
	struct peer *session;
	pid_t pid;
	bool ready, gone;
	struct delivery_result results[ANSWERS_MOST];
	struct smtp_reply says; /* to the last question */
	unsigned answers, lost, wanted;
} w;

static const struct name rows[] = {
	{"\4null\4dest\7example", 0, DNS_MX, "\0\0\0", 3},
	{"\4loop\4dest\7example", 0, DNS_MX, "\0\12\4host\4loop\4dest\7example", 26},
	{"\4host\4loop\4dest\7example", 0, DNS_A, "\177\0\0\5", 4},
	{"\5smart\4dest\7example", 0, DNS_A, "\177\0\0\1", 4},
	{"\6broken\4dest\7example", 2, 0, NULL, 0},
	{"\4gone\4dest\7example", 3, 0, NULL, 0},
	{"\7nowhere\4dest\7example", 0, DNS_MX, "\0\12\4void\4dest\7example", 21},
};

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

/* "declared.example" goes by LMTP to a socket of this machine, in another sandbox than ours. */
static void
declare_domain(const char *path)
{
	w.domain_hop = (struct next_hop){.kind = HOP_LMTP_PATH,
		.lmtp = true,
		.host = slice_of(path),
		.text = SLICE("lmtp")};
	w.domain = (struct conf_domain){
		.name = SLICE("declared.example"), .deliver = {.hops = &w.domain_hop, .n = 1}};
	w.conf.domain_map = map_new(w.arena, true);
	map_put(w.conf.domain_map, w.domain.name, &w.domain);
}

/* smarthost: by name where the DNS is to be asked; NULL: direct. */
static void
world_open_with(const char *smarthost, const char *lmtp_path)
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
	w.other.path = lmtp_path;
	w.other.lmtp = lmtp_path != NULL;
	remote_start(&w.other, w.loop);
	w.conf = (struct conf){.arena = w.arena,
		.hostname = SLICE("gate.example"),
		.resolver = {.n_servers = 1, .insecure = true}};
	must(ip_parse(SLICE("127.0.0.1"), &w.conf.resolver.servers[0].ip));
	names_start(&w.names, w.loop, rows, sizeof(rows) / sizeof(rows[0]));
	w.conf.resolver.servers[0].port = w.names.port;
	w.hop = (struct next_hop){.kind = HOP_HOST,
		.host = slice_of(smarthost),
		.text = SLICE("smarthost"),
		.port = w.remote.port};
	(void)ip_parse(w.hop.host, &w.hop.ip);
	w.conf.send.way = smarthost == NULL ? SEND_DIRECT : SEND_SMARTHOST;
	if (smarthost != NULL)
		w.conf.send.smarthosts = (struct hop_list){.hops = &w.hop, .n = 1};
	declare_domain(lmtp_path);
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
world_open(const char *smarthost)
{
	world_open_with(smarthost, NULL);
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
	remote_stop(&w.other);
	names_stop(&w.names);
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

/* To at most three recipients. */
static struct delivery_mail
mail_to(const char *site, const char *a, const char *b, const char *c)
{
	const char *const all[] = {a, b, c};
	struct delivery_mail m = {.site = slice_of(site),
		.log = SLICE("m-1"),
		.budget_ms = 8000,
		.sender = address_of("s@example.org"),
		.rcpts = arena_array(w.arena, 3, sizeof(*m.rcpts))};
	for (; m.n_rcpts < 3 && all[m.n_rcpts] != NULL; m.n_rcpts++)
		m.rcpts[m.n_rcpts].address = address_of(all[m.n_rcpts]);
	relay_body_init(&m.body, w.arena);
	relay_body_add(&m.body, SLICE(MAIL_TEXT));
	return m;
}

static uint32_t
post(const struct delivery_mail *m)
{
	struct ipc_out out;
	struct slice payload;
	int with;
	ipc_out_init(&out);
	must(delivery_mail_pack(m, &out, &with) == 0 && ipc_out_ok(&out, &payload));
	uint32_t id = peer_ask(w.session, DELIVERY_MSG_MAIL, payload, &with, with >= 0 ? 1 : 0,
		20 * 1000, on_answer, NULL);
	must(id != 0);
	ipc_out_fini(&out);
	return id;
}

static void
post_and_wait(const struct delivery_mail *m)
{
	w.wanted = w.answers + w.lost + 1;
	post(m);
	run();
	assert_int_equal(w.lost, 0);
}

static uint32_t
ask(const char *site, const char *rcpt, uint32_t budget_ms, int fd)
{
	struct delivery_mail m = mail_to(site, rcpt, NULL, NULL);
	m.budget_ms = budget_ms;
	if (fd >= 0)
		relay_body_add_file(&m.body, fd, 4, 12);
	return post(&m);
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

/* ---- a recipient's question ---- */

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
	w.answers = 0; /* results begin at 0 */
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
		cmocka_unit_test(test_smarthost),
		cmocka_unit_test(test_smarthost_by_name),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_session_gone),
		cmocka_unit_test(test_stop_waits_for_the_dot),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_gone_ways),
		cmocka_unit_test(test_mixed_recipients),
		cmocka_unit_test(test_where_it_failed),
		cmocka_unit_test(test_body_in_memory_file),
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_question_without_answer),
		cmocka_unit_test(test_question_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
