/*
 * Channels without a loop: for workers that do one thing after another, and for threads that
 * are not the loop's. Nothing here is kept between calls, so that any thread may make them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/must.h"
#include "io/ipc_priv.h"

static int
ipc_make_blocking(int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 ||
		((flags & O_NONBLOCK) != 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0))
		return err_sys(err, "make a channel blocking");
	return 0;
}

int
ipc_read_blocking(int fd, struct buf *buf, struct ipc_msg *m, struct err *err)
{
	if (ipc_make_blocking(fd, err) < 0)
		return -1;
	buf_clear(buf);
	char *to = buf_reserve(buf, IPC_PAYLOAD_BYTES);
	must(to != NULL);
	int got = ipc_receive(fd, to, m);
	if (got < 0)
		return errno != 0 ? err_sys(err, "read from another process")
				  : err_set(err, "read from another process: not a message");
	if (got > 0)
		buf_commit(buf, m->payload.n);
	return got;
}

int
ipc_write_blocking(int fd, uint16_t type, uint32_t id, struct slice payload, struct err *err)
{
	must(payload.n <= IPC_PAYLOAD_BYTES);
	struct ipc_header header = {.type = type, .id = id};
	return ipc_sendmsg(fd, &header, payload, NULL, 0, 0) >= 0
		       ? 0
		       : err_sys(err, "write to another process");
}

int
ipc_write_fd(int fd, uint16_t type, int sent, struct err *err)
{
	struct ipc_header header = {.type = type};
	return ipc_sendmsg(fd, &header, SLICE_NONE, &sent, 1, MSG_DONTWAIT) >= 0
		       ? 0
		       : err_sys(err, "hand a descriptor to another process");
}

int
ipc_bound_waits(int fd, uint32_t ms, struct err *err)
{
	struct timeval most = {
		.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)) < 0)
		return err_sys(err, "bound the waits on a channel");
	return ipc_make_blocking(fd, err);
}
