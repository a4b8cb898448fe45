/* TLS on streams: handshakes, names, what is dropped, how it ends, what is refused. */
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"
#include "io/tls_priv.h"

enum { OUT_MAX = 256 * 1024, DEADLINE_MS = 5000 };

struct end {
	struct stream *s;
	char got[512];
	size_t used, all;
	size_t expected; /* stops the loop once both have theirs */
	size_t take_most;
	int secure, ended, lost;
	const char *first; /* server: taken in clear, then TLS starts */
	bool behind;
	const char *greeting; /* written when secure */
	enum stream_lost why;
	struct err err;
};

static struct cert ca, one, two, two_rsa, expired, stranger;

static struct {
	struct loop *loop;
	struct tls_server *server_ctx;
	struct tls_client *client_ctx;
	struct end client, server;
	struct loop_timer stop, step;
	int wire[2]; /* where a slow wire is between the two: its inner ends */
	size_t chunk;
	bool late;
} w;

static void
maybe_done(void)
{
	if (w.client.all >= w.client.expected && w.server.all >= w.server.expected &&
		w.client.secure != 0 && w.server.secure != 0)
		loop_stop(w.loop);
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct end *e = arg;
	if (e->first != NULL && e->secure == 0) {
		size_t n = strlen(e->first);
		if (in.n < n)
			return 0;
		assert_memory_equal(in.p, e->first, n);
		if (e->behind)
			stream_start_tls_behind(e->s, w.server_ctx, DEADLINE_MS);
		else
			stream_start_tls_server(e->s, w.server_ctx, DEADLINE_MS);
		return n;
	}
	size_t n = e->take_most != 0 && e->take_most < in.n ? e->take_most : in.n;
	for (size_t i = 0; i < n && e->used < sizeof(e->got); i++)
		e->got[e->used++] = in.p[i];
	e->all += n;
	maybe_done();
	return n;
}

static void
on_secure(void *arg)
{
	struct end *e = arg;
	e->secure++;
	if (e->greeting != NULL)
		assert_int_equal(stream_write(e->s, slice_of(e->greeting)), 0);
	maybe_done();
}

static void
on_end(void *arg)
{
	((struct end *)arg)->ended++;
	loop_stop(w.loop);
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	struct end *e = arg;
	e->lost++;
	e->why = why;
	e->err = *err;
	if (e == &w.client || w.client.lost != 0 || w.client.s == NULL)
		loop_stop(w.loop);
}

static const struct stream_calls calls = {
	.on_bytes = on_bytes, .on_secure = on_secure, .on_end = on_end, .on_lost = on_lost};

static void
on_late(void *arg)
{
	(void)arg;
	w.late = true;
	loop_stop(w.loop);
}

static void
add_pair(struct tls_server *t, const struct cert *c)
{
	struct err err;
	if (tls_server_add(t, buf_slice(&c->cert_pem), "c.pem", buf_slice(&c->key_pem), "k.pem",
		    &err) < 0)
		fail_msg("%s", err.text);
}

static void
open_world(const struct cert *first, const struct cert *second)
{
	struct err err;
	memset(&w, 0, sizeof(w));
	w.wire[0] = w.wire[1] = -1;
	w.loop = loop_new(&err);
	loop_timer_init(&w.stop, w.loop, on_late, NULL);
	w.server_ctx = tls_server_new(&err);
	add_pair(w.server_ctx, first);
	if (second != NULL)
		add_pair(w.server_ctx, second);
	w.client_ctx = tls_client_new(buf_slice(&ca.cert_pem), &err);
	assert_non_null(w.client_ctx);
}

static void
open_streams(void)
{
	int fd[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	w.client.s = stream_new(w.loop, fd[0], OUT_MAX, &calls, &w.client);
	w.server.s = stream_new(w.loop, fd[1], OUT_MAX, &calls, &w.server);
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
close_world(void)
{
	loop_timer_clear(&w.step);
	stream_free(&w.client.s);
	stream_free(&w.server.s);
	tls_server_free(&w.server_ctx);
	tls_client_free(&w.client_ctx);
	loop_free(&w.loop);
	for (int i = 0; i < 2; i++)
		if (w.wire[i] >= 0)
			close(w.wire[i]);
}

static void
start_client(const char *name, enum tls_verify verify)
{
	struct err err;
	struct tls_peer peer = {.name = name, .verify = verify};
	if (stream_start_tls_client(w.client.s, w.client_ctx, &peer, DEADLINE_MS, &err) < 0)
		fail_msg("%s", err.text);
}

static void
both_speak_tls(void **state)
{
	struct tls_info c, s;
	(void)state;
	open_world(&one, NULL);
	open_streams();
	w.server.greeting = "220 hello";
	w.client.expected = 9;
	w.client.greeting = "EHLO x";
	w.server.expected = 6;
	assert_false(stream_tls_info(w.client.s, &c));
	stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
	start_client("One.Example", TLS_VERIFY_NAME);
	assert_int_equal(stream_write(w.client.s, SLICE("too early")), -1);
	run(3000);
	assert_false(w.late);
	assert_memory_equal(w.client.got, "220 hello", 9);
	assert_memory_equal(w.server.got, "EHLO x", 6);
	assert_true(stream_tls_info(w.client.s, &c) && stream_tls_info(w.server.s, &s));
	assert_string_equal(c.version, "TLSv1.3");
	assert_string_equal(c.cipher, s.cipher);
	assert_true(c.bits >= 128 && c.verified && !c.resumed);
	assert_string_equal(c.peer_name, "one.example");
	assert_string_equal(s.sni, "one.example");
	close_world();
}

/* Moves a few bytes each way each millisecond: records arrive in pieces. */
static void
on_step(void *arg)
{
	char block[4096];
	(void)arg;
	for (int i = 0; i < 2; i++) {
		ssize_t n = recv(w.wire[i], block, w.chunk, MSG_DONTWAIT);
		if (n > 0)
			assert_int_equal(send(w.wire[1 - i], block, (size_t)n, 0), n);
	}
	loop_timer_set(&w.step, 1);
}

static void
records_come_in_pieces(void **state)
{
	static const size_t chunks[] = {3, 5, 61, 1000};
	(void)state;
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		int a[2], b[2];
		open_world(&one, NULL);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
		w.client.s = stream_new(w.loop, a[0], OUT_MAX, &calls, &w.client);
		w.server.s = stream_new(w.loop, b[0], OUT_MAX, &calls, &w.server);
		w.wire[0] = a[1];
		w.wire[1] = b[1];
		w.chunk = chunks[i];
		loop_timer_init(&w.step, w.loop, on_step, NULL);
		loop_timer_set(&w.step, 1);
		w.server.greeting = "220 hello";
		w.client.expected = 9;
		stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
		start_client("one.example", TLS_VERIFY_NAME);
		run(4000);
		assert_false(w.late);
		assert_memory_equal(w.client.got, "220 hello", 9);
		close_world();
	}
}

/* EXT-03: what came in clear behind STARTTLS is never seen. */
static void
clear_bytes_behind_starttls_are_dropped(void **state)
{
	(void)state;
	open_world(&one, NULL);
	open_streams();
	w.server.first = "STARTTLS\r\n";
	w.client.greeting = "NOOP\r\n";
	w.server.expected = 6;
	stream_write(w.client.s, SLICE("STARTTLS\r\nRSET\r\n"));
	run(30);
	start_client("one.example", TLS_VERIFY_NONE);
	run(3000);
	assert_false(w.late);
	assert_int_equal(w.server.all, 6);
	assert_memory_equal(w.server.got, "NOOP\r\n", 6);
	close_world();
}

/* EXT-08 with implicit TLS: the header in clear, the handshake in the same segment. */
static void
the_handshake_may_follow_a_proxy_header(void **state)
{
	(void)state;
	open_world(&one, NULL);
	open_streams();
	w.server.first = "PROXY UNKNOWN\r\n";
	w.server.behind = true;
	w.server.greeting = "220 hello";
	w.client.expected = 9;
	stream_write(w.client.s, SLICE("PROXY UNKNOWN\r\n"));
	start_client("one.example", TLS_VERIFY_NAME);
	run(3000);
	assert_false(w.late);
	assert_memory_equal(w.client.got, "220 hello", 9);
	close_world();
}

static void
names_and_chains_are_verified(void **state)
{
	static const struct {
		const struct cert *cert;
		const char *name, *words;
	} rows[] = {
		{&one, "one.example", NULL},
		{&one, "mail.wild.example", NULL},
		{&one, "other.example", "mismatch"},
		{&one, "a.mail.wild.example", "mismatch"},
		{&one, "192.0.2.1", NULL},
		{&one, "2001:db8::1", NULL},
		{&one, "192.0.2.2", "mismatch"},
		{&two, "192.0.2.1", "mismatch"},
		{&expired, "expired.example", "expired"},
		{&stranger, "stranger.example", "self"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int verify = TLS_VERIFY_NONE; verify <= TLS_VERIFY_NAME; verify++) {
			struct tls_info info;
			open_world(rows[i].cert, NULL);
			open_streams();
			stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
			start_client(rows[i].name, (enum tls_verify)verify);
			run(3000);
			assert_false(w.late);
			bool good = rows[i].words == NULL;
			if (good || verify == TLS_VERIFY_NONE) {
				assert_true(stream_tls_info(w.client.s, &info));
				assert_int_equal(info.verified, good);
				assert_true(good == (info.problem[0] == '\0'));
				if (!good && strstr(info.problem, rows[i].words) == NULL)
					fail_msg("%s: %s", rows[i].name, info.problem);
			} else {
				assert_int_equal(w.client.lost, 1);
				assert_int_equal(w.client.why, STREAM_LOST_TLS);
				assert_int_equal(w.client.secure, 0);
				assert_non_null(
					strstr(w.client.err.text, "certificate verify failed"));
			}
			close_world();
		}
	}
}

static void
a_verified_peer_needs_a_name(void **state)
{
	struct err err;
	struct tls_peer peer = {.verify = TLS_VERIFY_NAME};
	(void)state;
	open_world(&one, NULL);
	open_streams();
	assert_int_equal(
		stream_start_tls_client(w.client.s, w.client_ctx, &peer, DEADLINE_MS, &err),
		-1);
	assert_false(stream_is_tls(w.client.s));
	close_world();
}

static void
sni_chooses_the_certificate(void **state)
{
	static const struct {
		const char *sni, *leaf;
	} rows[] = {{"two.example", "two.example"}, {"one.example", "one.example"},
		{"MAIL.wild.example", "one.example"}, {"none.example", "one.example"},
		{NULL, "one.example"}};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_info info;
		open_world(&one, &two);
		open_streams();
		stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
		/* Replaced while the handshake runs: the session keeps what it began with. */
		tls_server_free(&w.server_ctx);
		start_client(rows[i].sni, TLS_VERIFY_NONE);
		run(3000);
		assert_false(w.late);
		assert_true(stream_tls_info(w.client.s, &info));
		assert_string_equal(info.peer_name, rows[i].leaf);
		close_world();
	}
}

static void
two_key_types_for_one_name(void **state)
{
	struct err err;
	(void)state;
	struct tls_server *t = tls_server_new(&err);
	add_pair(t, &two);
	add_pair(t, &two_rsa);
	SSL *s = tls_server_session(t);
	SSL_CTX *ctx = SSL_get_SSL_CTX(s);
	int pairs = 0;
	for (long ok = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST); ok == 1;
		ok = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_NEXT))
		pairs++;
	assert_int_equal(pairs, 2);
	SSL_free(s);
	tls_server_free(&t);
}

static void
a_handshake_has_a_deadline(void **state)
{
	(void)state;
	open_world(&one, NULL);
	open_streams();
	stream_start_tls_server(w.server.s, w.server_ctx, 30);
	w.client.lost = 1; /* so that the loop stops with the server's */
	run(3000);
	assert_false(w.late);
	assert_int_equal(w.server.lost, 1);
	assert_int_equal(w.server.why, STREAM_LOST_TIME);
	close_world();
}

static void
what_is_no_handshake_is_refused(void **state)
{
	(void)state;
	open_world(&one, NULL);
	open_streams();
	stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
	stream_write(w.client.s, SLICE("EHLO not.tls.example\r\n"));
	w.client.lost = 1;
	run(3000);
	assert_int_equal(w.server.lost, 1);
	assert_int_equal(w.server.why, STREAM_LOST_TLS);
	assert_int_equal(w.server.all, 0);
	assert_non_null(strstr(w.server.err.text, "TLS handshake"));
	close_world();
}

/* EXT-03, lesson 3: after close_notify the connection is at its end; clear bytes are never
 * seen. */
static void
there_is_no_way_back_to_clear(void **state)
{
	(void)state;
	open_world(&one, NULL);
	open_streams();
	stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
	start_client("one.example", TLS_VERIFY_NAME);
	run(3000);
	assert_false(w.late);
	int fd = stream_fd(w.client.s), copy = dup(fd);
	stream_shutdown(w.client.s);
	run(1000);
	assert_int_equal(w.server.ended, 1);
	assert_int_equal(w.server.lost, 0);
	(void)send(copy, "QUIT\r\n", 6, MSG_NOSIGNAL);
	run(30);
	assert_int_equal(w.server.all, 0);
	close(copy);
	close_world();
}

static void
the_end_of_tcp_alone_is_a_loss(void **state)
{
	(void)state;
	open_world(&one, NULL);
	open_streams();
	stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
	start_client("one.example", TLS_VERIFY_NAME);
	run(3000);
	stream_free(&w.client.s);
	run(1000);
	assert_int_equal(w.server.ended, 0);
	assert_int_equal(w.server.lost, 1);
	assert_int_equal(w.server.why, STREAM_LOST_PEER);
	close_world();
}

static void
on_resume_server(void *arg)
{
	(void)arg;
	stream_resume(w.server.s);
	loop_timer_set(&w.step, 1);
}

/* More than one pump decrypts, an owner that takes a little at a time, and the end behind it.
 */
static void
held_bytes_under_tls(void **state)
{
	static char block[200000];
	(void)state;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)('a' + i % 26);
	open_world(&one, NULL);
	open_streams();
	stream_start_tls_server(w.server.s, w.server_ctx, DEADLINE_MS);
	start_client("one.example", TLS_VERIFY_NAME);
	run(3000);
	w.server.take_most = 9973;
	w.server.expected = sizeof(block) + 1;
	assert_int_equal(stream_write(w.client.s, (struct slice){block, sizeof(block)}), 0);
	stream_shutdown(w.client.s);
	loop_timer_init(&w.step, w.loop, on_resume_server, NULL);
	loop_timer_set(&w.step, 1);
	run(5000);
	assert_false(w.late);
	assert_int_equal(w.server.all, sizeof(block));
	assert_int_equal(w.server.ended, 1);
	assert_memory_equal(w.server.got, block, sizeof(w.server.got));
	close_world();
}

/* Both ends in memory, for what a stream does not show. */
static void
handshake_in_memory(SSL *c, SSL *s)
{
	BIO *a, *b;
	assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
	SSL_set_bio(c, a, a);
	SSL_set_bio(s, b, b);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(c);
		SSL_do_handshake(s);
	}
	char byte;
	(void)SSL_read(c, &byte, 1); /* takes the ticket */
	assert_true(SSL_is_init_finished(c) && SSL_is_init_finished(s));
}

static void
tickets_hold_between_processes_and_periods(void **state)
{
	static const struct {
		uint8_t now, before;
		bool resumed;
	} rows[] = {{1, 0, true}, {2, 1, true}, {3, 2, false}};
	struct err err;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t first[TLS_TICKET_KEY_BYTES], now[TLS_TICKET_KEY_BYTES],
			before[TLS_TICKET_KEY_BYTES];
		memset(first, 1, sizeof(first));
		memset(now, rows[i].now, sizeof(now));
		memset(before, rows[i].before, sizeof(before));
		struct tls_server *t1 = tls_server_new(&err), *t2 = tls_server_new(&err);
		tls_server_tickets(t1, first, NULL);
		add_pair(t1, &one);
		add_pair(t2, &one);
		tls_server_tickets(t2, now, rows[i].before != 0 ? before : NULL);
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		SSL *c = SSL_new(ctx), *s = tls_server_session(t1);
		SSL_set_connect_state(c);
		handshake_in_memory(c, s);
		SSL_SESSION *session = SSL_get1_session(c);
		SSL_set_shutdown(c, SSL_SENT_SHUTDOWN); /* or OpenSSL forgets the session */
		assert_int_equal(SSL_SESSION_is_resumable(session), 1);
		SSL_free(c);
		SSL_free(s);
		c = SSL_new(ctx);
		s = tls_server_session(t2);
		SSL_set_connect_state(c);
		SSL_set_session(c, session);
		handshake_in_memory(c, s);
		assert_int_equal(SSL_session_reused(s), rows[i].resumed);
		SSL_free(c);
		SSL_free(s);
		SSL_SESSION_free(session);
		SSL_CTX_free(ctx);
		tls_server_free(&t1);
		tls_server_free(&t2);
	}
}

static void
old_protocols_are_refused(void **state)
{
	struct err err;
	(void)state;
	struct tls_server *t = tls_server_new(&err);
	add_pair(t, &one);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	SSL *c = SSL_new(ctx), *s = tls_server_session(t);
	BIO *a, *b;
	SSL_set_connect_state(c);
	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(c, a, a);
	SSL_set_bio(s, b, b);
	SSL_do_handshake(c);
	assert_int_equal(SSL_get_error(s, SSL_do_handshake(s)), SSL_ERROR_SSL);
	tls_error(&err, "handshake");
	assert_non_null(strstr(err.text, "unsupported protocol"));
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(ctx);
	tls_server_free(&t);
}

static void
bad_files_are_named(void **state)
{
	const struct {
		struct slice cert, key;
		const char *words;
	} rows[] = {
		{SLICE("hello"), buf_slice(&one.key_pem), "c.pem: read the certificate"},
		{SLICE_NONE, buf_slice(&one.key_pem), "c.pem: read the certificate"},
		{buf_slice(&one.cert_pem), SLICE("-----BEGIN PRIVATE KEY-----\nAAAA\n"),
			"k.pem: read the private key"},
		{buf_slice(&one.cert_pem), buf_slice(&two.key_pem),
			"k.pem: the key does not belong to the certificate in c.pem"},
		{buf_slice(&one.cert_pem), buf_slice(&two_rsa.key_pem),
			"k.pem: the key does not belong"},
	};
	struct err err;
	(void)state;
	struct tls_server *t = tls_server_new(&err);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
			tls_server_add(t, rows[i].cert, "c.pem", rows[i].key, "k.pem", &err),
			-1);
		if (strstr(err.text, rows[i].words) == NULL)
			fail_msg("%s", err.text);
	}
	add_pair(t, &expired);
	add_pair(t, &one);
	assert_true(tls_server_expiry(t) > 0);
	tls_server_free(&t);
	assert_null(tls_client_new(SLICE("hello"), &err));
	assert_non_null(strstr(err.text, "trusted roots"));
}

static void
a_changed_file_is_noticed(void **state)
{
	char path[] = "/tmp/io_tls_test.XXXXXX";
	struct tls_file f = {.path = path};
	struct buf text;
	struct err err;
	(void)state;
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "first", 5), 5);
	buf_init(&text, 1);
	assert_int_equal(tls_file_read(&f, &text, &err), 0);
	assert_true(slice_eq(buf_slice(&text), SLICE("first")));
	assert_false(tls_file_changed(&f));
	assert_int_equal(pwrite(fd, "other!", 6, 0), 6);
	assert_true(tls_file_changed(&f));
	assert_int_equal(tls_file_read(&f, &text, &err), 0);
	assert_false(tls_file_changed(&f));
	unlink(path);
	assert_false(tls_file_changed(&f)); /* in the middle of being replaced */
	assert_int_equal(tls_file_read(&f, &text, &err), -1);
	assert_non_null(strstr(err.text, path));
	buf_fini(&text);
	close(fd);
}

static int
make_certs(void **state)
{
	(void)state;
	cert_make(&ca, "ca.example", CERT_EC, 30, NULL);
	cert_make(&one, "one.example,*.wild.example,192.0.2.1,2001:db8::1", CERT_EC, 30, &ca);
	cert_make(&two, "two.example", CERT_EC, 30, &ca);
	cert_make(&two_rsa, "two.example", CERT_RSA, 30, &ca);
	cert_make(&expired, "expired.example", CERT_EC, -1, &ca);
	cert_make(&stranger, "stranger.example", CERT_EC, 30, NULL);
	return 0;
}

static int
free_certs(void **state)
{
	struct cert *all[] = {&ca, &one, &two, &two_rsa, &expired, &stranger};
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		cert_free(all[i]);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_speak_tls),
		cmocka_unit_test(records_come_in_pieces),
		cmocka_unit_test(clear_bytes_behind_starttls_are_dropped),
		cmocka_unit_test(the_handshake_may_follow_a_proxy_header),
		cmocka_unit_test(names_and_chains_are_verified),
		cmocka_unit_test(a_verified_peer_needs_a_name),
		cmocka_unit_test(sni_chooses_the_certificate),
		cmocka_unit_test(two_key_types_for_one_name),
		cmocka_unit_test(a_handshake_has_a_deadline),
		cmocka_unit_test(what_is_no_handshake_is_refused),
		cmocka_unit_test(there_is_no_way_back_to_clear),
		cmocka_unit_test(the_end_of_tcp_alone_is_a_loss),
		cmocka_unit_test(held_bytes_under_tls),
		cmocka_unit_test(tickets_hold_between_processes_and_periods),
		cmocka_unit_test(old_protocols_are_refused),
		cmocka_unit_test(bad_files_are_named),
		cmocka_unit_test(a_changed_file_is_noticed),
	};
	return cmocka_run_group_tests(tests, make_certs, free_certs);
}
