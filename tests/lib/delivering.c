/* A delivery process under test, and the world around it; see delivering.h. */
#include "delivering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "io/child.h"

struct delivering w;

static const struct name rows[] = {
	{"\4null\4dest\7example", 0, DNS_MX, "\0\0\0", 3},
	{"\4loop\4dest\7example", 0, DNS_MX, "\0\12\4host\4loop\4dest\7example", 26},
	{"\4host\4loop\4dest\7example", 0, DNS_A, "\177\0\0\5", 4},
	{"\5smart\4dest\7example", 0, DNS_A, "\177\0\0\1", 4},
	{"\4pair\4dest\7example", 0, DNS_A, "\177\0\0\1", 4},
	{"\4pair\4dest\7example", 0, DNS_A, "\177\0\0\2", 4},
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

void
run_for(uint32_t ms)
{
	struct err err;
	loop_timer_set(&w.late, ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
	loop_timer_clear(&w.late);
}

void
run(void)
{
	w.timed_out = false;
	run_for(10 * 1000);
	assert_false(w.timed_out);
}

bool
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

void
give_channel(void)
{
	int fds[2];
	struct err err;
	must(ipc_pair(fds, &err) == 0);
	must(control_send_peer(w.control, PROCESS_SESSION, 0, fds[1]) == 0);
	close(fds[1]);
	peer_attach(w.session, fds[0]);
}

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

void
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

void
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

void
world_close(void)
{
	world_close_with(NULL);
}

void
world_close_with(struct remote *more)
{
	(void)control_send_stop(w.control);
	while (!w.gone)
		run();
	expect_exit();
	peer_free(&w.session);
	ipc_free(&w.control);
	remote_stop(&w.remote);
	remote_stop(&w.other);
	if (more != NULL)
		remote_stop(more);
	names_stop(&w.names);
	loop_free(&w.loop);
	arena_free(&w.arena);
}

void
on_answer(void *arg, struct ipc_msg *m)
{
	(void)arg;
	if (m == NULL) {
		w.lost++;
	} else {
		assert_int_equal(m->type, DELIVERY_MSG_RESULT);
		assert_true(delivery_result_unpack(
			arena_slice(w.arena, m->payload), w.arena, &w.result));
		w.answers++;
	}
	if (w.answers + w.lost == w.wanted)
		loop_stop(w.loop);
}

struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

struct delivery_mail
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

uint32_t
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

void
post_and_wait(const struct delivery_mail *m)
{
	w.wanted = w.answers + w.lost + 1;
	post(m);
	run();
	assert_int_equal(w.lost, 0);
}

uint32_t
ask(const char *site, const char *rcpt, uint32_t budget_ms, int fd)
{
	struct delivery_mail m = mail_to(site, rcpt, NULL, NULL);
	m.budget_ms = budget_ms;
	if (fd >= 0)
		relay_body_add_file(&m.body, fd, 4, 12);
	return post(&m);
}

void
ask_and_wait(const char *site, const char *rcpt, uint32_t budget_ms, int fd)
{
	w.wanted = w.answers + w.lost + 1;
	ask(site, rcpt, budget_ms, fd);
	run();
	assert_int_equal(w.lost, 0);
}

const struct delivery_result *
last(void)
{
	return &w.result;
}
