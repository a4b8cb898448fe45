/*
 * Streams: reading, holding, writing and ending. All bytes of all connections of the process
 * pass through here: in by stream_on_ready, out by stream_flush at the end of the turn.
 * stream_tls.c puts TLS in between, stream_connect.c begins connections and knows addresses.
 */
#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "io/loop_priv.h"
#include "io/stream_priv.h"

/* A write of this size is worth a system call of its own, and not worth a copy. */
enum { STREAM_DIRECT_BYTES = 16 * 1024 };
enum { STREAM_DISCARD_BYTES = 1024 * 1024 };

/* One for the process: an idle stream holds no read buffer. */
static char stream_read_buf[STREAM_READ_BYTES];

static size_t stream_finishing_count;

static void stream_on_ready(void *arg, unsigned ready);
static void stream_on_task(void *arg);
static void stream_on_timer(void *arg);

struct stream *
stream_make(struct loop *l, int fd, size_t out_max, const struct stream_calls *calls, void *arg)
{
	struct stream *s = MEM_NEW(struct stream);
	s->fd = fd;
	s->loop = l;
	s->calls = calls;
	s->arg = arg;
	s->out_max = out_max;
	s->mark = out_max / 4;
	buf_init(&s->out, out_max + STREAM_TLS_EXTRA + out_max / 16);
	/* Decrypted at one go: all that was read, and one record that waited for its end. */
	buf_init(&s->in, 2 * STREAM_READ_BYTES);
	buf_init(&s->raw, 2 * STREAM_READ_BYTES);
	loop_task_init(&s->task, l, stream_on_task, s);
	loop_task_init(&s->orphan, l, stream_on_timer, s);
	loop_timer_init(&s->timer, l, stream_on_timer, s);
	s->watch = loop_watch_new(l, fd, stream_on_ready, s);
	return s;
}

struct stream *
stream_new(struct loop *l, int fd, size_t out_max, const struct stream_calls *calls, void *arg)
{
	int flags = fcntl(fd, F_GETFL), on = 1;
	must(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a unix socket refuses */
	struct stream *s = stream_make(l, fd, out_max, calls, arg);
	struct stream_addr peer;
	stream_peer(s, &peer);
	s->peer_ip = peer.ip;
	s->peer_port = peer.port;
	stream_update_watch(s);
	return s;
}

bool
stream_may_give(const struct stream *s)
{
	return !s->paused && s->in.used == 0 && !s->lost && !s->dead && !s->finishing;
}

static bool
stream_may_read(const struct stream *s)
{
	return !s->eof && (s->finishing || s->handshaking || stream_may_give(s));
}

void
stream_update_watch(struct stream *s)
{
	unsigned wanted = 0;
	if (s->dead)
		return;
	if (s->connecting)
		wanted = LOOP_WRITE;
	else if (!s->lost) {
		if (stream_may_read(s))
			wanted |= LOOP_READ;
		if (s->out.used != 0)
			wanted |= LOOP_WRITE;
	}
	loop_watch_set(s->watch, wanted);
}

void
stream_lose(struct stream *s, enum stream_lost why, const struct err *err)
{
	if (s->lost || s->dead)
		return;
	s->lost = true;
	loop_timer_clear(&s->timer);
	loop_watch_set(s->watch, 0);
	if (s->finishing)
		stream_free(&s);
	else
		s->calls->on_lost(s->arg, why, err);
}

void
stream_lose_errno(struct stream *s, enum stream_lost why, int code, const char *doing)
{
	struct err err;
	errno = code;
	err_sys(&err, "%s", doing);
	stream_lose(s, why, &err);
}

bool
stream_give(struct stream *s, struct slice bytes)
{
	s->giving = true;
	size_t taken = s->calls->on_bytes(s->arg, bytes);
	s->giving = false;
	must(taken <= bytes.n);
	struct slice rest = slice_from(bytes, taken);
	bool drop = s->drop_rest, keep = s->keep_rest;
	s->drop_rest = s->keep_rest = false;
	if (s->dead || s->lost)
		return false;
	if (keep)
		must(buf_add(&s->raw, rest) == 0);
	else if (!drop && !s->finishing)
		must(buf_add(&s->in, rest) == 0);
	if (drop || keep)
		loop_task_queue(&s->task);
	return !drop && !keep && stream_may_give(s);
}

/* Held bytes again, after stream_resume. They move out of the way first: on_bytes may hold
 * more. */
static void
stream_give_held(struct stream *s)
{
	struct buf held = s->in;
	buf_init(&s->in, held.max);
	stream_give(s, buf_slice(&held));
	buf_fini(&held);
}

/* The peer sends no more, and all that it sent was taken. */
static void
stream_tell_end(struct stream *s)
{
	if (!s->eof || s->ended || s->handshaking || !stream_may_give(s) || s->raw.used != 0)
		return;
	s->ended = true;
	s->calls->on_end(s->arg);
}

static void
stream_finish_step(struct stream *s)
{
	if (s->finishing && !s->dead && s->eof && s->out.used == 0)
		stream_free(&s);
}

/* What was to be sent is sent as far as the kernel takes it; errors wait in send_errno. */
static void
stream_send(struct stream *s)
{
	while (s->out.used != 0 && s->send_errno == 0) {
		struct slice bytes = buf_slice(&s->out);
		ssize_t n = send(s->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (n >= 0)
			buf_consume(&s->out, (size_t)n);
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			s->send_errno = errno;
	}
}

void
stream_flush(struct stream *s)
{
	if (s->connecting || s->lost || s->dead)
		return;
	stream_send(s);
	if (s->send_errno != 0) {
		stream_lose_errno(s, STREAM_LOST_PEER, s->send_errno, "send");
		return;
	}
	if (s->shut_wanted && !s->shut_done && s->out.used == 0) {
		s->shut_done = true;
		shutdown(s->fd, SHUT_WR);
	}
	if (s->want_drained && s->out.used <= s->mark && !s->finishing && !s->handshaking) {
		s->want_drained = false;
		if (s->calls->on_drained != NULL)
			s->calls->on_drained(s->arg);
	}
}

static void
stream_readable(struct stream *s)
{
	if (s->ssl != NULL && s->raw.used != 0 && !s->finishing) {
		stream_tls_pump(s); /* in order: first what was read before */
		return;
	}
	ssize_t n = recv(s->fd, stream_read_buf, sizeof(stream_read_buf), 0);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			stream_lose_errno(s, STREAM_LOST_PEER, errno, "receive");
		return;
	}
	struct slice bytes = {stream_read_buf, (size_t)n};
	s->eof = n == 0;
	if (s->finishing) {
		s->discarded += bytes.n;
		if (s->discarded > STREAM_DISCARD_BYTES)
			stream_free(&s);
	} else if (s->ssl != NULL && n == 0)
		stream_tls_eof(s);
	else if (s->ssl != NULL)
		stream_tls_input(s, bytes);
	else if (n != 0)
		stream_give(s, bytes);
}

static void
stream_on_ready(void *arg, unsigned ready)
{
	struct stream *s = arg;
	if (s->connecting)
		stream_connect_ready(s);
	else if ((ready & LOOP_WRITE) != 0)
		stream_flush(s);
	else if (stream_may_read(
			 s)) /* a pause in this turn comes before what was ready in it */
		stream_readable(s);
	if (s->dead)
		return;
	stream_tell_end(s);
	stream_finish_step(s);
	/* What the owner wrote meanwhile goes out at the end of the turn, which sets the watch
	 * too. */
	if (!s->dead)
		loop_task_queue(&s->task);
}

static void
stream_reap(struct stream *s)
{
	SSL_free(s->ssl);
	buf_fini(&s->out);
	buf_fini(&s->in);
	buf_fini(&s->raw);
	mem_free(s);
}

static void
stream_on_task(void *arg)
{
	struct stream *s = arg;
	if (s->dead) {
		stream_reap(s);
		return;
	}
	if (s->connecting || s->lost)
		return;
	stream_flush(s);
	if (s->resumed && !s->paused && !s->dead && !s->lost && !s->finishing) {
		s->resumed = false;
		if (s->in.used != 0)
			stream_give_held(s);
	}
	if (!s->dead && s->ssl != NULL && (s->raw.used != 0 || s->tls_begun))
		stream_tls_pump(s);
	if (!s->dead)
		stream_tell_end(s);
	if (!s->dead)
		stream_finish_step(s);
	stream_update_watch(s);
}

static void
stream_on_timer(void *arg)
{
	struct stream *s = arg;
	struct err err;
	if (s->finishing) {
		stream_free(&s);
		return;
	}
	err_set(&err, "%s took too long", s->connecting ? "connecting" : "the TLS handshake");
	err.code = ETIMEDOUT;
	s->connecting = false;
	stream_lose(s, STREAM_LOST_TIME, &err);
}

void
stream_free(struct stream **sp)
{
	struct stream *s = *sp;
	if (s == NULL)
		return;
	*sp = NULL;
	must(!s->dead);
	s->dead = true;
	stream_finishing_count -= s->finishing;
	loop_task_clear(&s->orphan);
	loop_timer_clear(&s->timer);
	loop_watch_free(&s->watch);
	close(s->fd);
	s->fd = -1;
	loop_task_queue(&s->task); /* the memory goes when no call of ours is above us */
}

void
stream_finish(struct stream **sp, uint32_t linger_ms)
{
	struct stream *s = *sp;
	if (s == NULL)
		return;
	if (s->connecting || s->handshaking || s->lost) {
		stream_free(sp);
		return;
	}
	*sp = NULL;
	stream_shutdown(s);
	s->finishing = true;
	stream_finishing_count++;
	loop_orphan(&s->orphan);
	s->paused = false;
	buf_clear(&s->raw);
	buf_clear(&s->in);
	loop_timer_set(&s->timer, linger_ms);
	loop_task_queue(&s->task);
}

int
stream_write(struct stream *s, struct slice bytes)
{
	if (s->lost)
		return 0; /* on_lost is or was told; nobody reads it */
	if (s->handshaking || s->shut_wanted || bytes.n > stream_room(s)) {
		s->want_drained = true;
		return -1;
	}
	loop_task_queue(&s->task);
	if (s->ssl != NULL) {
		if (stream_tls_write(s, bytes) < 0)
			return -1;
	} else if (bytes.n >= STREAM_DIRECT_BYTES && !s->connecting && s->send_errno == 0) {
		struct slice out = buf_slice(&s->out);
		struct iovec iov[2] = {
			{(void *)(uintptr_t)out.p, out.n},
			{(void *)(uintptr_t)bytes.p, bytes.n},
		};
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t n = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
		size_t sent = n > 0 ? (size_t)n : 0; /* an error comes again in stream_send */
		size_t of_out = sent < out.n ? sent : out.n;
		buf_consume(&s->out, of_out);
		bytes = slice_from(bytes, sent - of_out);
		must(buf_add(&s->out, bytes) == 0);
	} else
		must(buf_add(&s->out, bytes) == 0);
	if (s->out.used > s->mark)
		s->want_drained = true;
	return 0;
}

size_t
stream_unsent(const struct stream *s)
{
	return s->out.used;
}

size_t
stream_room(const struct stream *s)
{
	return s->out.used < s->out_max ? s->out_max - s->out.used : 0;
}

void
stream_set_mark(struct stream *s, size_t unsent_bytes)
{
	s->mark = unsent_bytes;
}

void
stream_shutdown(struct stream *s)
{
	if (s->shut_wanted || s->lost)
		return;
	if (s->ssl != NULL)
		stream_tls_shutdown(s);
	s->shut_wanted = true;
	loop_task_queue(&s->task);
}

void
stream_pause(struct stream *s)
{
	s->paused = true;
	s->resumed = false;
	loop_task_queue(&s->task);
}

void
stream_resume(struct stream *s)
{
	s->paused = false;
	s->resumed = true;
	loop_task_queue(&s->task);
}

bool
stream_peer_gone(const struct stream *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLRDHUP};
	if (s->lost || s->eof)
		return true;
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

size_t
stream_finishing(void)
{
	return stream_finishing_count;
}

bool
stream_is_tls(const struct stream *s)
{
	return s->ssl != NULL;
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}
