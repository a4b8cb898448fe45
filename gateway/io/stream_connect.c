/*
 * How a stream begins by connecting, and the addresses of its two ends. From the address that
 * relay chose to the first byte of a greeting.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/addr_priv.h"
#include "io/stream_priv.h"

socklen_t
addr_to_sockaddr(const struct stream_addr *a, struct sockaddr_storage *out)
{
	if (a->ip.family != 0)
		return ip_to_sockaddr(&a->ip, a->port, out);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	_Static_assert(sizeof(un.sun_path) == sizeof(a->path), "a path fits");
	memcpy(un.sun_path, a->path, sizeof(un.sun_path) - 1);
	memcpy(out, &un, sizeof(un));
	return sizeof(un);
}

void
addr_from_sockaddr(
	const struct sockaddr_storage *ss, socklen_t bytes, struct stream_addr *a_out)
{
	*a_out = (struct stream_addr){0};
	if (ss->ss_family == AF_INET || ss->ss_family == AF_INET6)
		ip_from_sockaddr((const struct sockaddr *)ss, &a_out->ip, &a_out->port);
	else if (ss->ss_family == AF_UNIX && bytes > offsetof(struct sockaddr_un, sun_path)) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)ss;
		size_t n = bytes - offsetof(struct sockaddr_un, sun_path);
		memcpy(a_out->path, un->sun_path,
			n < sizeof(a_out->path) ? n : sizeof(a_out->path) - 1);
	}
}

static int
connect_bind(int fd, const struct ip *from, struct err *err)
{
	struct sockaddr_storage ss;
	char text[IP_TEXT_BYTES];
	int on = 1;
	if (from == NULL)
		return 0;
	/* The port is chosen at connect, by both ends' addresses: many more connections fit. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	socklen_t bytes = ip_to_sockaddr(from, 0, &ss);
	if (bind(fd, (struct sockaddr *)&ss, bytes) < 0)
		return err_sys(err, "bind to %.*s", SLICE_ARG(ip_text(from, text)));
	return 0;
}

int
stream_pair(int fds_out[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_out) < 0)
		return err_sys(err, "make a pair of sockets");
	return 0;
}

struct stream *
stream_connect(struct loop *l, const struct stream_addr *to, const struct ip *from,
	uint32_t deadline_ms, size_t out_max, const struct stream_calls *calls, void *arg,
	struct err *err)
{
	struct sockaddr_storage ss;
	char text[STREAM_ADDR_TEXT_BYTES];
	int on = 1;
	socklen_t bytes = addr_to_sockaddr(to, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err_sys(err, "open a socket for %s", stream_addr_text(to, text));
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect_bind(fd, from, err) < 0) {
		close(fd);
		return NULL;
	}
	if (connect(fd, (struct sockaddr *)&ss, bytes) < 0 && errno != EINPROGRESS) {
		err_sys(err, "connect to %s", stream_addr_text(to, text));
		close(fd);
		return NULL;
	}
	struct stream *s = stream_make(l, fd, out_max, calls, arg);
	s->peer_ip = to->ip;
	s->peer_port = to->port;
	s->connecting = true;
	loop_timer_set(&s->timer, deadline_ms);
	stream_update_watch(s);
	return s;
}

void
stream_connect_ready(struct stream *s)
{
	int code = 0;
	socklen_t n = sizeof(code);
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0)
		code = errno;
	s->connecting = false;
	loop_timer_clear(&s->timer);
	if (code != 0) {
		struct stream_addr peer;
		char text[STREAM_ADDR_TEXT_BYTES], doing[STREAM_ADDR_TEXT_BYTES + 16];
		stream_peer(s, &peer);
		snprintf(doing, sizeof(doing), "connect to %s", stream_addr_text(&peer, text));
		stream_lose_errno(s, STREAM_LOST_CONNECT, code, doing);
		return;
	}
	s->calls->on_connected(s->arg);
}

void
stream_peer(const struct stream *s, struct stream_addr *addr_out)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	*addr_out = (struct stream_addr){.ip = s->peer_ip, .port = s->peer_port};
	if (s->peer_ip.family == 0 && getpeername(s->fd, (struct sockaddr *)&ss, &n) == 0)
		addr_from_sockaddr(&ss, n, addr_out);
}

void
stream_local(const struct stream *s, struct stream_addr *addr_out)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	*addr_out = (struct stream_addr){0};
	if (getsockname(s->fd, (struct sockaddr *)&ss, &n) == 0)
		addr_from_sockaddr(&ss, n, addr_out);
}

const char *
stream_addr_text(const struct stream_addr *a, char buf[STREAM_ADDR_TEXT_BYTES])
{
	char ip[IP_TEXT_BYTES];
	if (a->ip.family == 0) {
		snprintf(buf, STREAM_ADDR_TEXT_BYTES, "%s",
			a->path[0] != '\0' ? a->path : "unix socket");
		return buf;
	}
	struct slice text = ip_text(&a->ip, ip);
	bool six = a->ip.family == 6;
	snprintf(buf, STREAM_ADDR_TEXT_BYTES, "%s%.*s%s:%u", six ? "[" : "", SLICE_ARG(text),
		six ? "]" : "", a->port);
	return buf;
}
