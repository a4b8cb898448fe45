/*
 * Endpoints of the channels between our processes. SOCK_SEQPACKET keeps messages whole, so that
 * a message costs one sendmsg and one recvmsg and there is nothing to frame. What a slow reader
 * does not take waits in a bounded queue; see ipc.h, and ipc_pack.c for what is inside a
 * message.
 */
#include "io/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "io/ipc_priv.h"

enum { IPC_READS_A_TURN = 64, IPC_LOOKS_FOR_MORE = 8 };

/* A message that waits; its payload follows. */
struct ipc_wait {
	struct ipc_wait *next;
	struct ipc_header header;
	size_t bytes, nfds;
	int fds[IPC_FDS_MOST];
	char payload[];
};

struct ipc {
	int fd;
	struct loop_watch *watch;
	struct loop_task
		task; /* frees, or tells on_gone or on_drained outside the calls of the owner */
	const struct ipc_calls *calls;
	void *arg;
	struct ipc_wait *first, **last;
	size_t queued, queue_max;
	bool refused, gone, told, dead;
	bool many;       /* the last turn found more than one message */
	unsigned single; /* turns that looked for one only */
	struct err err;
};

union ipc_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MOST)];
};

/* One for the process: messages are handled one after the other. */
static char ipc_read_buf[IPC_PAYLOAD_BYTES];

int
ipc_pair(int fds_out[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_out) < 0)
		return err_sys(err, "make a channel between processes");
	/* A message needs twice its bytes of room, by the kernel's accounting. */
	int bytes = 4 * IPC_PAYLOAD_BYTES;
	for (int i = 0; i < 2; i++)
		setsockopt(fds_out[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}

static void
ipc_close_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void
ipc_drop_first(struct ipc *i)
{
	struct ipc_wait *w = i->first;
	i->first = w->next;
	if (i->first == NULL)
		i->last = &i->first;
	i->queued -= sizeof(*w) + w->bytes;
	ipc_close_fds(w->fds, w->nfds);
	mem_free(w);
}

static void
ipc_set_gone(struct ipc *i, const char *what)
{
	if (i->gone)
		return;
	i->gone = true;
	if (errno != 0)
		err_sys(&i->err, "%s", what);
	else
		err_set(&i->err, "%s", what);
	loop_watch_set(i->watch, 0);
	while (i->first != NULL)
		ipc_drop_first(i);
	loop_task_queue(&i->task);
}

ssize_t
ipc_sendmsg(int fd, const struct ipc_header *h, struct slice payload, const int *fds,
	size_t nfds, int flags)
{
	struct ipc_header header = *h;
	char none = 0;
	struct iovec iov[2] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = payload.n != 0 ? (void *)(uintptr_t)payload.p : &none,
			.iov_len = payload.n},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	union ipc_control control;
	if (nfds != 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	return n;
}

/* 1 sent, 0 later, -1 the peer is gone. */
static int
ipc_send_now(struct ipc *i, const struct ipc_header *h, struct slice payload, const int *fds,
	size_t nfds)
{
	if (ipc_sendmsg(i->fd, h, payload, fds, nfds, MSG_DONTWAIT) >= 0)
		return 1;
	/* ETOOMANYREFS: descriptors in flight are bounded by the kernel; they drain. */
	return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS ? 0 : -1;
}

/* False: this process has no descriptor left for a copy. */
static bool
ipc_enqueue(struct ipc *i, const struct ipc_header *h, struct slice payload, const int *fds,
	size_t nfds)
{
	struct ipc_wait *w = mem_new(sizeof(*w) + payload.n);
	w->header = *h;
	w->bytes = payload.n;
	if (payload.n != 0)
		memcpy(w->payload, payload.p, payload.n);
	for (; w->nfds < nfds; w->nfds++) {
		w->fds[w->nfds] = fcntl(fds[w->nfds], F_DUPFD_CLOEXEC, 0);
		if (w->fds[w->nfds] < 0)
			break;
	}
	if (w->nfds < nfds) {
		ipc_close_fds(w->fds, w->nfds);
		mem_free(w);
		return false;
	}
	*i->last = w;
	i->last = &w->next;
	i->queued += sizeof(*w) + payload.n;
	loop_watch_set(i->watch, LOOP_READ | LOOP_WRITE);
	return true;
}

int
ipc_send_fds(struct ipc *i, uint16_t type, uint32_t id, struct slice payload, const int *fds,
	size_t nfds)
{
	must(payload.n <= IPC_PAYLOAD_BYTES && nfds <= IPC_FDS_MOST);
	struct ipc_header header = {.type = type, .id = id};
	if (i->gone)
		return 0;
	int sent = i->first == NULL ? ipc_send_now(i, &header, payload, fds, nfds) : 0;
	if (sent > 0)
		return 0;
	if (sent < 0) {
		ipc_set_gone(i, "send to another process");
		return 0;
	}
	/* An empty queue takes any one message, so that a small maximum cannot block for ever.
	 */
	if (i->first != NULL && i->queued + payload.n > i->queue_max) {
		i->refused = true;
		return -1;
	}
	return ipc_enqueue(i, &header, payload, fds, nfds) ? 0 : -1;
}

int
ipc_send(struct ipc *i, uint16_t type, uint32_t id, struct slice payload)
{
	return ipc_send_fds(i, type, id, payload, NULL, 0);
}

size_t
ipc_queued(const struct ipc *i)
{
	return i->queued;
}

static void
ipc_flush(struct ipc *i)
{
	while (i->first != NULL) {
		struct ipc_wait *w = i->first;
		struct slice payload = {w->payload, w->bytes};
		int sent = ipc_send_now(i, &w->header, payload, w->fds, w->nfds);
		if (sent == 0)
			return;
		if (sent < 0) {
			ipc_set_gone(i, "send to another process");
			return;
		}
		ipc_drop_first(i);
	}
	loop_watch_set(i->watch, LOOP_READ);
	if (i->refused)
		loop_task_queue(&i->task);
}

/*
 * The descriptors that came, all or none: where this process may open no more (MSG_CTRUNC), the
 * message comes without, and its receiver refuses that work alone. False: not a message.
 */
static bool
ipc_take_control(struct msghdr *msg, struct ipc_msg *m)
{
	bool good = (msg->msg_flags & MSG_TRUNC) == 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t at = 0; at < n; at++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + at * sizeof(int), sizeof(int));
			if (m->nfds < IPC_FDS_MOST)
				m->fds[m->nfds++] = fd;
			else {
				close(fd);
				good = false;
			}
		}
	}
	if ((msg->msg_flags & MSG_CTRUNC) != 0) {
		ipc_close_fds(m->fds, m->nfds);
		m->nfds = 0;
	}
	return good;
}

int
ipc_receive(int fd, char *buf, struct ipc_msg *m)
{
	struct ipc_header header;
	struct iovec iov[2] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = buf, .iov_len = IPC_PAYLOAD_BYTES},
	};
	union ipc_control control;
	struct msghdr msg = {.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	*m = (struct ipc_msg){0};
	ssize_t n;
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return (int)n;
	if (!ipc_take_control(&msg, m) || (size_t)n < sizeof(header) || header.zero != 0) {
		ipc_close_fds(m->fds, m->nfds);
		errno = 0;
		return -1;
	}
	m->type = header.type;
	m->id = header.id;
	m->payload = (struct slice){buf, (size_t)n - sizeof(header)};
	return 1;
}

/*
 * Messages mostly come alone, and to find no other one costs as much as to read one: more is
 * looked for in every eighth turn, and as long as there is more.
 */
static int
ipc_reads_now(struct ipc *i)
{
	if (!i->many && ++i->single % IPC_LOOKS_FOR_MORE != 0)
		return 1;
	i->many = false;
	return IPC_READS_A_TURN;
}

static void
ipc_read(struct ipc *i)
{
	int most = ipc_reads_now(i);
	for (int turn = 0; turn < most && !i->gone && !i->dead; turn++) {
		struct ipc_msg m;
		int got = ipc_receive(i->fd, ipc_read_buf, &m);
		if (got > 0) {
			i->many = turn > 0;
			i->calls->on_message(i->arg, &m);
			ipc_close_fds(m.fds, m.nfds);
			continue;
		}
		if (got < 0 && errno == EAGAIN)
			return;
		if (got == 0)
			errno = 0;
		ipc_set_gone(i, got == 0 ? "the other process closed the channel"
					 : "read from another process");
	}
}

static void
ipc_on_ready(void *arg, unsigned ready)
{
	struct ipc *i = arg;
	if ((ready & LOOP_WRITE) != 0)
		ipc_flush(i);
	else
		ipc_read(i);
}

static void
ipc_on_task(void *arg)
{
	struct ipc *i = arg;
	if (i->dead) {
		mem_free(i);
		return;
	}
	if (i->gone) {
		if (!i->told) {
			i->told = true;
			i->calls->on_gone(i->arg, &i->err);
		}
		return;
	}
	if (i->refused && i->first == NULL) {
		i->refused = false;
		if (i->calls->on_drained != NULL)
			i->calls->on_drained(i->arg);
	}
}

struct ipc *
ipc_new(struct loop *l, int fd, size_t queue_max, const struct ipc_calls *calls, void *arg)
{
	struct ipc *i = MEM_NEW(struct ipc);
	int flags = fcntl(fd, F_GETFL);
	must(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	i->fd = fd;
	i->calls = calls;
	i->arg = arg;
	i->queue_max = queue_max;
	i->last = &i->first;
	i->watch = loop_watch_new(l, fd, ipc_on_ready, i);
	loop_task_init(&i->task, l, ipc_on_task, i);
	loop_watch_set(i->watch, LOOP_READ);
	return i;
}

void
ipc_free(struct ipc **ip)
{
	struct ipc *i = *ip;
	if (i == NULL)
		return;
	*ip = NULL;
	loop_watch_free(&i->watch);
	close(i->fd);
	while (i->first != NULL)
		ipc_drop_first(i);
	i->dead = true;
	loop_task_queue(&i->task);
}

int
ipc_take_fd(struct ipc_msg *m, size_t at)
{
	if (at >= m->nfds)
		return -1;
	int fd = m->fds[at];
	m->fds[at] = -1;
	return fd;
}
