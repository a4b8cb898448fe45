/* Within the folder: one message in or out of a channel's socket, with or without a loop. */
#ifndef IO_IPC_PRIV_H
#define IO_IPC_PRIV_H

#include <sys/types.h>

#include "io/ipc.h"

struct ipc_header {
	uint16_t type;
	uint16_t zero;
	uint32_t id;
};

/* As sendmsg, with descriptors, not ended by a signal. flags: MSG_DONTWAIT or 0. */
ssize_t ipc_sendmsg(int fd, const struct ipc_header *h, struct slice payload, const int *fds,
	size_t nfds, int flags);
/* 1 a message, 0 the end, -1 error in errno (0: not a message of ours). */
int ipc_receive(int fd, char *buf, struct ipc_msg *m);

#endif
