/*
 * TLS on a stream. OpenSSL never sees the socket: a BIO of ours reads from the bytes that one
 * recv brought and writes to the stream's out buffer, so that many records travel in one call
 * and an idle connection holds nothing but the session (SSL_MODE_RELEASE_BUFFERS is set in
 * tls.c).
 *
 * There is no way back to clear: once ssl is set, all that is read comes here, and after
 * close_notify it goes nowhere (EXT-03).
 */
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/must.h"
#include "io/stream_priv.h"
#include "io/tls_priv.h"

/* One for the process: what one pump decrypts, given to the owner at once. */
static char tls_plain_buf[STREAM_READ_BYTES];

static int
tls_bio_read(BIO *b, char *to, size_t n, size_t *read_out)
{
	struct stream *s = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (s->raw_now.n == 0) {
		BIO_set_retry_read(b);
		*read_out = 0;
		return 0;
	}
	struct slice got = slice_first(s->raw_now, n);
	memcpy(to, got.p, got.n);
	s->raw_now = slice_from(s->raw_now, got.n);
	*read_out = got.n;
	return 1;
}

/* Never blocks: stream_room was asked before, and out has room for what encryption adds. A peer
 * that asks for answers (key updates) without reading them fills it and fails. */
static int
tls_bio_write(BIO *b, const char *from, size_t n, size_t *written_out)
{
	struct stream *s = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	*written_out = 0;
	if (buf_add(&s->out, (struct slice){from, n}) < 0)
		return 0;
	*written_out = n;
	loop_task_queue(&s->task);
	return 1;
}

static long
tls_bio_ctrl(BIO *b, int command, long number, void *pointer)
{
	(void)b;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *
tls_bio_method(void)
{
	static BIO_METHOD *method;
	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
		must(method != NULL && BIO_meth_set_read_ex(method, tls_bio_read) == 1 &&
			BIO_meth_set_write_ex(method, tls_bio_write) == 1 &&
			BIO_meth_set_ctrl(method, tls_bio_ctrl) == 1);
	}
	return method;
}

static void
tls_begin(struct stream *s, SSL *ssl, uint32_t deadline_ms, bool keep_rest)
{
	must(s->ssl == NULL && !s->connecting && !s->shut_wanted);
	BIO *b = BIO_new(tls_bio_method());
	must(b != NULL);
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	s->ssl = ssl;
	s->handshaking = true;
	if (s->giving) {
		s->keep_rest = keep_rest;
		s->drop_rest = !keep_rest;
	} else if (keep_rest)
		must(buf_add(&s->raw, buf_slice(&s->in)) == 0);
	buf_clear(&s->in);
	s->paused = false;
	loop_timer_set(&s->timer, deadline_ms);
	s->tls_begun = true; /* a client speaks first; a server waits */
	loop_task_queue(&s->task);
}

void
stream_start_tls_server(struct stream *s, struct tls_server *ctx, uint32_t deadline_ms)
{
	tls_begin(s, tls_server_session(ctx), deadline_ms, false);
}

void
stream_start_tls_behind(struct stream *s, struct tls_server *ctx, uint32_t deadline_ms)
{
	tls_begin(s, tls_server_session(ctx), deadline_ms, true);
}

int
stream_start_tls_client(struct stream *s, const struct tls_client *ctx,
	const struct tls_peer *peer, uint32_t deadline_ms, struct err *err)
{
	SSL *ssl = tls_client_session(ctx, peer, err);
	if (ssl == NULL)
		return -1;
	tls_begin(s, ssl, deadline_ms, false);
	return 0;
}

static void
tls_failed(struct stream *s, const char *doing)
{
	struct err err;
	tls_error(&err, "%s", doing);
	stream_flush(s); /* the alert that tells the peer why */
	stream_lose(s, STREAM_LOST_TLS, &err);
}

/* True when the handshake is done and its end was told. */
static bool
tls_handshake(struct stream *s)
{
	ERR_clear_error();
	int result = SSL_do_handshake(s->ssl);
	if (result == 1) {
		s->handshaking = false;
		loop_timer_clear(&s->timer);
		s->calls->on_secure(s->arg);
		return !s->dead && !s->lost;
	}
	if (SSL_get_error(s->ssl, result) != SSL_ERROR_WANT_READ)
		tls_failed(s, "TLS handshake");
	return false;
}

/* Decrypts as much as there is and fits; false: the stream is over or lost. */
static bool
tls_fill(struct stream *s, size_t *filled_out)
{
	size_t filled = 0, n;
	bool good = true;
	while (filled < sizeof(tls_plain_buf)) {
		ERR_clear_error();
		int result = SSL_read_ex(
			s->ssl, tls_plain_buf + filled, sizeof(tls_plain_buf) - filled, &n);
		if (result == 1) {
			filled += n;
			continue;
		}
		int why = SSL_get_error(s->ssl, result);
		if (why == SSL_ERROR_ZERO_RETURN) {
			s->eof = true; /* what may follow in clear is never looked at */
			s->raw_now = SLICE_NONE;
		} else if (why != SSL_ERROR_WANT_READ) {
			good = false;
		}
		break;
	}
	*filled_out = filled;
	return good;
}

static void
tls_decrypt(struct stream *s)
{
	for (;;) {
		size_t filled;
		bool good = tls_fill(s, &filled);
		bool more = filled == sizeof(tls_plain_buf);
		if (filled != 0 && !stream_give(s, (struct slice){tls_plain_buf, filled})) {
			/* The failure, if any, comes again when the rest is read. */
			return;
		}
		if (!good)
			tls_failed(s, "TLS");
		if (!good || !more)
			return;
	}
}

static void
tls_run(struct stream *s)
{
	if (s->handshaking && !tls_handshake(s))
		return;
	if (stream_may_give(s) && !s->eof)
		tls_decrypt(s);
}

/* What was not decrypted is kept: the owner holds, or the session waits. */
static void
tls_keep(struct stream *s)
{
	struct slice left = s->raw_now;
	s->raw_now = SLICE_NONE;
	if (!s->dead && !s->lost && !s->finishing)
		must(buf_add(&s->raw, left) == 0);
}

void
stream_tls_input(struct stream *s, struct slice bytes)
{
	s->raw_now = bytes;
	tls_run(s);
	tls_keep(s);
}

void
stream_tls_pump(struct stream *s)
{
	struct buf raw = s->raw;
	s->tls_begun = false;
	buf_init(&s->raw, raw.max);
	s->raw_now = buf_slice(&raw);
	tls_run(s);
	tls_keep(s);
	buf_fini(&raw);
}

void
stream_tls_eof(struct stream *s)
{
	struct err err;
	if (s->handshaking)
		err_set(&err, "the peer closed the connection during the TLS handshake");
	else
		err_set(&err,
			"the peer closed the connection within TLS, without close_notify");
	stream_lose(s, s->handshaking ? STREAM_LOST_TLS : STREAM_LOST_PEER, &err);
}

int
stream_tls_write(struct stream *s, struct slice bytes)
{
	size_t n;
	if (bytes.n == 0)
		return 0;
	ERR_clear_error();
	return SSL_write_ex(s->ssl, bytes.p, bytes.n, &n) == 1 ? 0 : -1;
}

void
stream_tls_shutdown(struct stream *s)
{
	ERR_clear_error();
	if (!s->handshaking)
		SSL_shutdown(s->ssl);
	ERR_clear_error();
}

bool
stream_tls_info(const struct stream *s, struct tls_info *info_out)
{
	if (s->ssl == NULL || s->handshaking)
		return false;
	tls_session_info(s->ssl, info_out);
	return true;
}
