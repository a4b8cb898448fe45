/*
 * Listening sockets: opened by the parent, accepted from by the sessions; see listen.h. A
 * reload hands the same ones to the next generation, so that no client is refused.
 */
#include "io/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/addr_priv.h"

struct listener {
	int fd;
	struct loop_watch *watch;
	struct loop_timer rest;
	struct loop_task task; /* frees, after a callback */
	const struct listen_calls *calls;
	void *arg;
	bool paused, dead;
};

/* Nobody listens at the path any more: the file of a process that was killed. */
static void
listen_remove_stale(const struct stream_addr *a)
{
	struct sockaddr_storage ss;
	struct stat st;
	if (lstat(a->path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t bytes = addr_to_sockaddr(a, &ss);
	if (connect(fd, (struct sockaddr *)&ss, bytes) < 0 && errno == ECONNREFUSED)
		unlink(a->path);
	close(fd);
}

static int
listen_bind(int fd, const struct stream_addr *a, int backlog, unsigned unix_mode)
{
	struct sockaddr_storage ss;
	int on = 1;
	socklen_t bytes = addr_to_sockaddr(a, &ss);
	if (a->ip.family == 0) {
		listen_remove_stale(a);
		if (bind(fd, (struct sockaddr *)&ss, bytes) < 0 ||
			chmod(a->path, unix_mode) < 0)
			return -1;
		return listen(fd, backlog);
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -1;
	if (a->ip.family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -1;
	/* Inherited by what is accepted: one call less for each client. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, bytes) < 0)
		return -1;
	return listen(fd, backlog);
}

int
listen_open(const struct stream_addr *a, int backlog, unsigned unix_mode, struct err *err)
{
	char text[STREAM_ADDR_TEXT_BYTES];
	int family = a->ip.family == 0 ? AF_UNIX : a->ip.family == 4 ? AF_INET : AF_INET6;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || listen_bind(fd, a, backlog, unix_mode) < 0) {
		err_sys(err, "listen on %s", stream_addr_text(a, text));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static void
listener_update(struct listener *ln)
{
	bool resting = loop_timer_is_set(&ln->rest);
	loop_watch_set(ln->watch, ln->paused || resting ? 0 : LOOP_READ);
}

static void
listener_on_rested(void *arg)
{
	listener_update(arg);
}

static void
listener_failed(struct listener *ln)
{
	struct err err;
	err_sys(&err, "accept");
	loop_timer_set(&ln->rest, LISTEN_REST_MS);
	listener_update(ln);
	ln->calls->on_error(ln->arg, &err);
}

static void
listener_on_ready(void *arg, unsigned ready)
{
	struct listener *ln = arg;
	(void)ready;
	for (int i = 0; i < LISTEN_ACCEPT_MOST && !ln->dead && !ln->paused; i++) {
		struct sockaddr_storage ss = {0};
		socklen_t bytes = sizeof(ss);
		int fd = accept4(
			ln->fd, (struct sockaddr *)&ss, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			struct stream_addr peer;
			addr_from_sockaddr(&ss, bytes, &peer);
			ln->calls->on_accept(ln->arg, fd, &peer);
			continue;
		}
		if (errno == EAGAIN)
			return;
		/* accept(2): errors of the network belong to the one connection that is gone.
		 */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			listener_failed(ln);
			return;
		}
	}
}

static void
listener_on_task(void *arg)
{
	mem_free(arg);
}

struct listener *
listener_new(struct loop *l, int fd, const struct listen_calls *calls, void *arg)
{
	struct listener *ln = MEM_NEW(struct listener);
	ln->fd = fd;
	ln->calls = calls;
	ln->arg = arg;
	ln->watch = loop_watch_new(l, fd, listener_on_ready, ln);
	loop_timer_init(&ln->rest, l, listener_on_rested, ln);
	loop_task_init(&ln->task, l, listener_on_task, ln);
	listener_update(ln);
	return ln;
}

void
listener_free(struct listener **lnp)
{
	struct listener *ln = *lnp;
	if (ln == NULL)
		return;
	*lnp = NULL;
	ln->dead = true;
	loop_watch_free(&ln->watch);
	loop_timer_clear(&ln->rest);
	loop_task_queue(&ln->task);
}

void
listener_pause(struct listener *ln)
{
	ln->paused = true;
	listener_update(ln);
}

void
listener_resume(struct listener *ln)
{
	ln->paused = false;
	listener_update(ln);
}
