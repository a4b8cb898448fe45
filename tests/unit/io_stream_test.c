/* Streams in clear: holding, back-pressure, ends, freeing from inside, connecting, listening.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/listen.h"
#include "io/loop.h"
#include "io/stream.h"

enum { OUT_MAX = 64 * 1024 };

struct end {
	struct stream *s;
	char got[4096];
	size_t used, all; /* all: bytes that came, kept or not */
	size_t take_most; /* on_bytes takes no more than this at a time; 0: all */
	size_t taken_to_stop;
	bool free_in_bytes, finish_in_bytes, echo, stop_at_end;
	int connected, ended, drained, lost;
	enum stream_lost why;
	struct err err;
};

static struct {
	struct loop *loop;
	struct end a, b;
	struct loop_timer stop;
	bool late;
	struct loop_timer step;
	struct listener *listener;
	int accepted, accept_errors;
	struct err err;
} w;

static void
on_connected(void *arg)
{
	((struct end *)arg)->connected++;
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct end *e = arg;
	size_t n = e->take_most != 0 && e->take_most < in.n ? e->take_most : in.n;
	for (size_t i = 0; i < n && e->used < sizeof(e->got); i++)
		e->got[e->used++] = in.p[i];
	e->all += n;
	if (e->echo)
		assert_int_equal(stream_write(e->s, slice_first(in, n)), 0);
	if (e->finish_in_bytes)
		stream_finish(&e->s, 1000);
	if (e->free_in_bytes)
		stream_free(&e->s);
	if (e->taken_to_stop != 0 && e->all >= e->taken_to_stop)
		loop_stop(w.loop);
	return n;
}

static void
on_end(void *arg)
{
	struct end *e = arg;
	e->ended++;
	if (e->stop_at_end)
		loop_stop(w.loop);
}

static void
on_drained(void *arg)
{
	struct end *e = arg;
	e->drained++;
	assert_true(stream_unsent(e->s) <= OUT_MAX / 4);
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	struct end *e = arg;
	e->lost++;
	e->why = why;
	e->err = *err;
	loop_stop(w.loop);
}

static const struct stream_calls calls = {
	.on_connected = on_connected,
	.on_bytes = on_bytes,
	.on_end = on_end,
	.on_drained = on_drained,
	.on_lost = on_lost,
};

static void
on_late(void *arg)
{
	(void)arg;
	w.late = true;
	loop_stop(w.loop);
}

static void
open_loop(void)
{
	struct err err;
	memset(&w, 0, sizeof(w));
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	loop_timer_init(&w.stop, w.loop, on_late, NULL);
}

static void
open_pair(void)
{
	int fd[2];
	open_loop();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	w.a.s = stream_new(w.loop, fd[0], OUT_MAX, &calls, &w.a);
	w.b.s = stream_new(w.loop, fd[1], OUT_MAX, &calls, &w.b);
}

static void
run(uint64_t most_ms)
{
	struct err err;
	w.late = false;
	loop_timer_set(&w.stop, most_ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
	loop_timer_clear(&w.stop);
}

static void
close_all(void)
{
	stream_free(&w.a.s);
	stream_free(&w.b.s);
	listener_free(&w.listener);
	loop_free(&w.loop);
}

static void
bytes_cross_and_come_back(void **state)
{
	(void)state;
	open_pair();
	w.b.echo = true;
	w.a.taken_to_stop = 11;
	assert_int_equal(stream_write(w.a.s, SLICE("hello ")), 0);
	assert_int_equal(stream_write(w.a.s, SLICE("world")), 0);
	assert_int_equal(stream_unsent(w.a.s), 11);
	run(2000);
	assert_false(w.late);
	assert_memory_equal(w.a.got, "hello world", 11);
	assert_memory_equal(w.b.got, "hello world", 11);
	close_all();
}

static void
resume_b(void *arg)
{
	(void)arg;
	if (w.b.s == NULL)
		return;
	stream_resume(w.b.s);
	loop_timer_set(&w.step, 1);
}

/* What is not taken comes again in front of what is new; the end comes last. */
static void
held_bytes_come_again_in_order(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 7, 11};
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		open_pair();
		loop_timer_init(&w.step, w.loop, resume_b, NULL);
		loop_timer_set(&w.step, 1);
		w.b.take_most = sizes[i];
		w.b.stop_at_end = true;
		assert_int_equal(stream_write(w.a.s, SLICE("hello world")), 0);
		stream_shutdown(w.a.s);
		run(3000);
		assert_false(w.late);
		assert_int_equal(w.b.used, 11);
		assert_memory_equal(w.b.got, "hello world", 11);
		assert_int_equal(w.b.ended, 1);
		loop_timer_clear(&w.step);
		close_all();
	}
}

static void
without_resume_nothing_more_comes(void **state)
{
	(void)state;
	open_pair();
	w.b.take_most = 3;
	stream_write(w.a.s, SLICE("hello"));
	stream_shutdown(w.a.s);
	run(30);
	assert_true(w.late);
	assert_int_equal(w.b.used, 3);
	assert_int_equal(w.b.ended, 0);
	close_all();
}

static void
pause_holds_bytes_and_end(void **state)
{
	(void)state;
	open_pair();
	stream_pause(w.b.s);
	stream_write(w.a.s, SLICE("hello"));
	run(20);
	assert_int_equal(w.b.used, 0);
	assert_false(stream_peer_gone(w.b.s));
	stream_free(&w.a.s);
	assert_true(stream_peer_gone(w.b.s));
	run(20);
	assert_int_equal(w.b.ended, 0);
	w.b.stop_at_end = true;
	stream_resume(w.b.s);
	run(2000);
	assert_false(w.late);
	assert_int_equal(w.b.used, 5);
	assert_int_equal(w.b.ended, 1);
	close_all();
}

/* Writes are refused at the maximum and on_drained tells when to go on. */
static void
a_slow_reader_stops_the_writer(void **state)
{
	static char block[10000];
	size_t written = 0;
	(void)state;
	open_pair();
	stream_pause(w.b.s);
	for (int turn = 0; turn < 300; turn++) {
		while (stream_write(w.a.s, (struct slice){block, sizeof(block)}) == 0)
			written += sizeof(block);
		assert_true(stream_unsent(w.a.s) <= OUT_MAX);
		int drained = w.a.drained;
		run(1);
		if (w.a.drained == drained)
			break;
	}
	int drained = w.a.drained;
	assert_true(stream_unsent(w.a.s) > OUT_MAX / 4);
	w.b.taken_to_stop = written;
	stream_resume(w.b.s);
	run(3000);
	assert_false(w.late);
	assert_int_equal(w.b.all, written);
	assert_true(w.a.drained > drained);
	assert_int_equal(stream_unsent(w.a.s), 0);
	close_all();
}

static void
free_inside_on_bytes(void **state)
{
	(void)state;
	open_pair();
	w.b.free_in_bytes = true;
	w.b.echo = true;
	w.a.stop_at_end = true;
	stream_write(w.a.s, SLICE("x"));
	run(2000);
	assert_false(w.late);
	assert_null(w.b.s);
	assert_int_equal(w.a.ended, 1);
	close_all();
}

/* The last reply arrives although the peer has sent what nobody reads any more. */
static void
finish_sends_what_is_unsent(void **state)
{
	(void)state;
	open_pair();
	w.b.finish_in_bytes = true;
	w.b.echo = true;
	w.a.stop_at_end = true;
	stream_write(w.a.s, SLICE("221 bye"));
	run(2000);
	assert_false(w.late);
	assert_null(w.b.s);
	stream_write(w.a.s, SLICE("ignored"));
	assert_int_equal(w.a.used, 7);
	assert_int_equal(w.a.ended, 1);
	assert_int_equal(w.a.lost, 0);
	run(20);
	close_all();
}

static void
on_accept(void *arg, int fd, const struct stream_addr *peer)
{
	(void)arg;
	char text[STREAM_ADDR_TEXT_BYTES];
	w.accepted++;
	if (peer->ip.family == 4)
		assert_memory_equal(stream_addr_text(peer, text), "127.0.0.1:", 10);
	if (w.b.s == NULL)
		w.b.s = stream_new(w.loop, fd, OUT_MAX, &calls, &w.b);
	else
		close(fd);
}

static void
on_accept_error(void *arg, const struct err *err)
{
	(void)arg;
	w.accept_errors++;
	w.err = *err;
}

static const struct listen_calls listen_calls = {on_accept, on_accept_error};

/* Listens on a port of the kernel's choice; *a_out becomes where. */
static int
listen_somewhere(struct stream_addr *a_out, int backlog)
{
	struct err err;
	struct sockaddr_in in;
	socklen_t n = sizeof(in);
	*a_out = (struct stream_addr){0};
	assert_true(ip_parse(SLICE("127.0.0.1"), &a_out->ip));
	int fd = listen_open(a_out, backlog, 0, &err);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	a_out->port = ntohs(in.sin_port);
	return fd;
}

static void
connect_over_tcp(void **state)
{
	struct stream_addr to, peer, local;
	struct err err;
	struct ip from;
	(void)state;
	open_loop();
	int fd = listen_somewhere(&to, 16);
	w.listener = listener_new(w.loop, fd, &listen_calls, NULL);
	assert_true(ip_parse(SLICE("127.0.0.2"), &from));
	from.bytes[3] = 1;
	w.a.s = stream_connect(w.loop, &to, &from, 2000, OUT_MAX, &calls, &w.a, &err);
	assert_non_null(w.a.s);
	assert_int_equal(stream_write(w.a.s, SLICE("early")), 0);
	w.b.echo = true;
	w.a.taken_to_stop = 5;
	run(2000);
	assert_false(w.late);
	assert_int_equal(w.a.connected, 1);
	assert_int_equal(w.accepted, 1);
	stream_peer(w.a.s, &peer);
	assert_int_equal(peer.port, to.port);
	stream_local(w.b.s, &local);
	assert_int_equal(local.port, to.port);
	assert_true(ip_eq(&local.ip, &to.ip));
	close_all();
	close(fd);
}

static void
connect_refused_is_told(void **state)
{
	struct stream_addr to;
	struct err err;
	(void)state;
	open_loop();
	close(listen_somewhere(&to, 1));
	w.a.s = stream_connect(w.loop, &to, NULL, 2000, OUT_MAX, &calls, &w.a, &err);
	assert_non_null(w.a.s);
	run(2000);
	assert_int_equal(w.a.lost, 1);
	assert_int_equal(w.a.why, STREAM_LOST_CONNECT);
	assert_int_equal(w.a.err.code, ECONNREFUSED);
	assert_non_null(strstr(w.a.err.text, "connect to 127.0.0.1:"));
	close_all();
}

/* A listener whose queue is full answers no SYN: the deadline ends it. */
static void
connect_has_a_deadline(void **state)
{
	struct stream_addr to;
	struct err err;
	int fill[3];
	(void)state;
	open_loop();
	int fd = listen_somewhere(&to, 0);
	for (size_t i = 0; i < 3; i++) {
		struct sockaddr_storage ss;
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		socklen_t n = ip_to_sockaddr(&to.ip, to.port, &ss);
		connect(fill[i], (struct sockaddr *)&ss, n);
	}
	w.a.s = stream_connect(w.loop, &to, NULL, 50, OUT_MAX, &calls, &w.a, &err);
	assert_non_null(w.a.s);
	run(2000);
	assert_false(w.late);
	assert_int_equal(w.a.lost, 1);
	assert_int_equal(w.a.why, STREAM_LOST_TIME);
	for (size_t i = 0; i < 3; i++)
		close(fill[i]);
	close_all();
	close(fd);
}

static void
unix_sockets_and_stale_files(void **state)
{
	char dir[] = "/tmp/io_stream_test.XXXXXX";
	struct stream_addr a = {0};
	struct err err;
	(void)state;
	open_loop();
	assert_non_null(mkdtemp(dir));
	snprintf(a.path, sizeof(a.path), "%s/socket", dir);
	int dead = listen_open(&a, 4, 0600, &err);
	assert_true(dead >= 0);
	assert_int_equal(listen_open(&a, 4, 0600, &err), -1); /* alive: not taken away */
	assert_int_equal(err.code, EADDRINUSE);
	close(dead);
	int fd = listen_open(&a, 4, 0600, &err);
	assert_true(fd >= 0);
	w.listener = listener_new(w.loop, fd, &listen_calls, NULL);
	w.a.s = stream_connect(w.loop, &a, NULL, 1000, OUT_MAX, &calls, &w.a, &err);
	assert_non_null(w.a.s);
	w.a.taken_to_stop = 2;
	w.b.echo = true;
	stream_write(w.a.s, SLICE("hi"));
	run(2000);
	assert_false(w.late);
	close_all();
	close(fd);
	unlink(a.path);
	rmdir(dir);
}

static void
a_paused_listener_leaves_clients_queued(void **state)
{
	struct stream_addr to;
	struct err err;
	(void)state;
	open_loop();
	int fd = listen_somewhere(&to, 16);
	w.listener = listener_new(w.loop, fd, &listen_calls, NULL);
	listener_pause(w.listener);
	w.a.s = stream_connect(w.loop, &to, NULL, 1000, OUT_MAX, &calls, &w.a, &err);
	run(30);
	assert_int_equal(w.accepted, 0);
	listener_resume(w.listener);
	run(30);
	assert_int_equal(w.accepted, 1);
	close_all();
	close(fd);
}

/* Out of descriptors: accepting rests, says so, and goes on when there are some again. */
static void
a_listener_out_of_descriptors_rests(void **state)
{
	struct stream_addr to;
	struct err err;
	struct rlimit now, few;
	(void)state;
	open_loop();
	int fd = listen_somewhere(&to, 16);
	w.listener = listener_new(w.loop, fd, &listen_calls, NULL);
	w.a.s = stream_connect(w.loop, &to, NULL, 1000, OUT_MAX, &calls, &w.a, &err);
	assert_non_null(w.a.s);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	few = (struct rlimit){
		.rlim_cur = (rlim_t)stream_fd(w.a.s) + 1, .rlim_max = now.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	run(LISTEN_REST_MS / 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(w.accepted, 0);
	assert_int_equal(w.accept_errors, 1);
	assert_int_equal(w.err.code, EMFILE);
	run(LISTEN_REST_MS);
	assert_int_equal(w.accepted, 1);
	assert_int_equal(w.accept_errors, 1);
	close_all();
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_cross_and_come_back),
		cmocka_unit_test(held_bytes_come_again_in_order),
		cmocka_unit_test(without_resume_nothing_more_comes),
		cmocka_unit_test(pause_holds_bytes_and_end),
		cmocka_unit_test(a_slow_reader_stops_the_writer),
		cmocka_unit_test(free_inside_on_bytes),
		cmocka_unit_test(finish_sends_what_is_unsent),
		cmocka_unit_test(connect_over_tcp),
		cmocka_unit_test(connect_refused_is_told),
		cmocka_unit_test(connect_has_a_deadline),
		cmocka_unit_test(unix_sockets_and_stale_files),
		cmocka_unit_test(a_paused_listener_leaves_clients_queued),
		cmocka_unit_test(a_listener_out_of_descriptors_rests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
