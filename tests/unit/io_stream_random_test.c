/*
 * Streams under random treatment, in clear and in TLS: writes of any size, owners that take a
 * part, pause and resume, small out buffers, both ways at once. Every byte arrives once and in
 * order, and the end behind the last one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"

enum { ROUNDS = 60, BYTES_MOST = 400000, BLOCK = 70000 };

static uint64_t seed, round_seed;
static struct cert cert;

static size_t
random_below(size_t end)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (size_t)(seed >> 33) % end;
}

struct end {
	struct stream *s;
	size_t to_write, written, received, expected;
	bool secure, ended, shut;
	struct loop_timer timer;
};

static struct {
	struct loop *loop;
	struct end end[2];
	struct loop_timer stop;
	bool tls, late;
} w;

/* The byte at a place of the sequence: a period that no buffer size divides. */
static char
byte_at(size_t at)
{
	return (char)(at % 251);
}

static void
write_some(struct end *e)
{
	static char block[BLOCK];
	if (w.tls && !e->secure)
		return;
	while (e->written < e->to_write) {
		size_t n = 1 + random_below(random_below(4) == 0 ? BLOCK : 500);
		n = n < e->to_write - e->written ? n : e->to_write - e->written;
		size_t room = stream_room(e->s);
		n = n > room && room != 0 && random_below(2) == 0 ? room : n;
		if (n > room && room == 0)
			n = 1;
		for (size_t i = 0; i < n; i++)
			block[i] = byte_at(e->written + i);
		if (stream_write(e->s, (struct slice){block, n}) < 0)
			return;
		e->written += n;
		if (random_below(3) == 0)
			return; /* the rest another turn, by the timer */
	}
	if (!e->shut)
		stream_shutdown(e->s);
	e->shut = true;
}

static void
on_timer(void *arg)
{
	struct end *e = arg;
	stream_resume(e->s);
	write_some(e);
	loop_timer_set(&e->timer, 1);
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct end *e = arg;
	size_t taken = random_below(3) == 0 ? random_below(in.n + 1) : in.n;
	for (size_t i = 0; i < taken; i++)
		if (in.p[i] != byte_at(e->received + i))
			fail_msg("seed %d: byte %zu", (int)round_seed, e->received + i);
	e->received += taken;
	if (random_below(5) == 0)
		stream_pause(e->s);
	if (random_below(5) == 0)
		write_some(e);
	return taken;
}

static void
on_secure(void *arg)
{
	struct end *e = arg;
	e->secure = true;
	write_some(e);
}

static void
on_drained(void *arg)
{
	write_some(arg);
}

static void
on_end(void *arg)
{
	struct end *e = arg;
	assert_int_equal(e->received, e->expected);
	assert_false(e->ended);
	e->ended = true;
	if (w.end[0].ended && w.end[1].ended)
		loop_stop(w.loop);
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)arg;
	fail_msg("seed %d: lost %d: %s", (int)round_seed, (int)why, err->text);
}

static void
on_late(void *arg)
{
	(void)arg;
	w.late = true;
	loop_stop(w.loop);
}

static void
run_round(bool tls)
{
	static const struct stream_calls calls = {.on_bytes = on_bytes,
		.on_secure = on_secure,
		.on_end = on_end,
		.on_drained = on_drained,
		.on_lost = on_lost};
	struct err err;
	int fd[2];
	struct tls_peer peer = {.name = "x.example", .verify = TLS_VERIFY_NAME};
	memset(&w, 0, sizeof(w));
	w.tls = tls;
	w.loop = loop_new(&err);
	loop_timer_init(&w.stop, w.loop, on_late, NULL);
	loop_timer_set(&w.stop, 20000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	for (int i = 0; i < 2; i++) {
		struct end *e = &w.end[i];
		e->s = stream_new(w.loop, fd[i], 1 + random_below(BLOCK), &calls, e);
		e->to_write = random_below(BYTES_MOST);
		w.end[1 - i].expected = e->to_write;
		loop_timer_init(&e->timer, w.loop, on_timer, e);
		loop_timer_set(&e->timer, 1);
	}
	struct tls_server *server = tls_server_new(&err);
	struct tls_client *client = tls_client_new(buf_slice(&cert.cert_pem), &err);
	if (tls) {
		assert_int_equal(tls_server_add(server, buf_slice(&cert.cert_pem), "c",
					 buf_slice(&cert.key_pem), "k", &err),
			0);
		stream_start_tls_server(w.end[0].s, server, 5000);
		assert_int_equal(
			stream_start_tls_client(w.end[1].s, client, &peer, 5000, &err), 0);
	}
	assert_int_equal(loop_run(w.loop, &err), 0);
	if (w.late)
		fail_msg("seed %d: stuck", (int)round_seed);
	loop_timer_clear(&w.stop);
	for (int i = 0; i < 2; i++) {
		loop_timer_clear(&w.end[i].timer);
		stream_free(&w.end[i].s);
	}
	tls_server_free(&server);
	tls_client_free(&client);
	loop_free(&w.loop);
}

static void
every_byte_once_and_in_order(void **state)
{
	(void)state;
	for (seed = 1; seed <= ROUNDS; seed++) {
		round_seed = seed;
		run_round(round_seed % 2 == 0);
		seed = round_seed;
	}
}

static int
make_cert(void **state)
{
	(void)state;
	cert_make(&cert, "x.example", CERT_EC, 2, NULL);
	return 0;
}

static int
free_cert(void **state)
{
	(void)state;
	cert_free(&cert);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_once_and_in_order),
	};
	return cmocka_run_group_tests(tests, make_cert, free_cert);
}
