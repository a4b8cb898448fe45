/*
 * Messages between the processes of the gateway, over pairs of SOCK_SEQPACKET unix sockets: a
 * type, an id by which an answer finds its question, up to 128 KiB of payload and up to 4
 * descriptors. Order is kept, nothing is cut or joined. The other process is not trusted:
 * lengths are checked, descriptors that nobody takes are closed.
 *
 * The payload is packed with ipc_put_... and unpacked with ipc_get_...; integers are
 * little-endian and of fixed size. Errors stick: get everything, then ask ipc_in_done once.
 */
#ifndef IO_IPC_H
#define IO_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/slice.h"
#include "io/loop.h"

enum { IPC_PAYLOAD_BYTES = 128 * 1024, IPC_FDS_MOST = 4 };

struct ipc;

struct ipc_msg {
	uint16_t type;
	uint32_t id;
	struct slice payload;  /* valid during on_message */
	size_t nfds;           /* 0, whatever was sent, where this process may open no more */
	int fds[IPC_FDS_MOST]; /* take one with ipc_take_fd; the rest is closed afterwards */
};

struct ipc_calls {
	void (*on_message)(void *arg, struct ipc_msg *m);
	/* The other end is closed or broken; comes once, nothing after it. Free the endpoint.
	 */
	void (*on_gone)(void *arg, const struct err *err);
	void (*on_drained)(
		void *arg); /* the queue is empty again after a refusal; may be NULL */
};

int ipc_pair(int fds_out[2], struct err *err); /* close-on-exec, non-blocking */
/*
 * By a path, for programs that are not our children. ipc_listen: a descriptor for listener_new
 * (listen.h); a dead socket at the path is replaced. ipc_connect: blocking; err->code is ENOENT
 * or ECONNREFUSED where nobody listens. ipc_peer_uid: whose process the other end was opened
 * by, as the kernel says.
 */
int ipc_listen(const char *path, unsigned mode, struct err *err);
int ipc_connect(const char *path, struct err *err);
int ipc_peer_uid(int fd, uint32_t *uid_out, struct err *err);
/* Owns fd. queue_max: bytes of payload that may wait for a slow reader. */
struct ipc *
ipc_new(struct loop *l, int fd, size_t queue_max, const struct ipc_calls *calls, void *arg);
void ipc_free(struct ipc **i); /* closes; allowed in callbacks; queued messages are lost */
/*
 * 0: sent or queued; -1: the queue is full, or no descriptor is left for a copy, and nothing
 * was taken (wait for on_drained, or refuse the work). After on_gone messages are taken and go
 * nowhere. Descriptors stay the caller's (copies travel). A payload above the maximum is a bug
 * of ours.
 */
int ipc_send(struct ipc *i, uint16_t type, uint32_t id, struct slice payload);
int ipc_send_fds(struct ipc *i, uint16_t type, uint32_t id, struct slice payload,
	const int *fds, size_t nfds);
size_t ipc_queued(const struct ipc *i);
int ipc_take_fd(struct ipc_msg *m, size_t at); /* now the caller's; -1: there is none */

/*
 * Without a loop, blocking, by any thread. Read: 1 a message, 0 the end, -1 err; buf holds the
 * payload. Write: 0, or -1 and err.
 */
int ipc_read_blocking(int fd, struct buf *buf, struct ipc_msg *m, struct err *err);
int
ipc_write_blocking(int fd, uint16_t type, uint32_t id, struct slice payload, struct err *err);
/* A message that is a descriptor (which stays the caller's); it never waits. */
int ipc_write_fd(int fd, uint16_t type, int sent, struct err *err);
/* From now on the calls above wait on fd for at most so long: then -1, err->code is EAGAIN. */
int ipc_bound_waits(int fd, uint32_t ms, struct err *err);

struct ipc_out {
	struct buf buf;
	bool full; /* something did not fit: ipc_out_ok */
};

void ipc_out_init(struct ipc_out *o); /* at most IPC_PAYLOAD_BYTES */
/* Another bound: for what is packed in this way and kept, not sent. */
void ipc_out_init_most(struct ipc_out *o, size_t most);
void ipc_out_fini(struct ipc_out *o);
bool ipc_out_ok(const struct ipc_out *o, struct slice *payload_out); /* false: did not fit */
void ipc_put_u8(struct ipc_out *o, uint8_t v);
void ipc_put_u16(struct ipc_out *o, uint16_t v);
void ipc_put_u32(struct ipc_out *o, uint32_t v);
void ipc_put_u64(struct ipc_out *o, uint64_t v);
void ipc_put_bool(struct ipc_out *o, bool v);
void ipc_put_slice(struct ipc_out *o, struct slice s);  /* u32 length, bytes */
void ipc_put_text(struct ipc_out *o, const char *text); /* as a slice; NULL as empty */
void ipc_put_ip(struct ipc_out *o, const struct ip *ip);

struct ipc_in {
	struct slice rest;
	bool bad; /* sticks: every get after it gives 0 or empty */
};

void ipc_in_init(struct ipc_in *in, struct slice payload);
uint8_t ipc_get_u8(struct ipc_in *in);
uint16_t ipc_get_u16(struct ipc_in *in);
uint32_t ipc_get_u32(struct ipc_in *in);
uint64_t ipc_get_u64(struct ipc_in *in);
bool ipc_get_bool(struct ipc_in *in);          /* anything but 0 and 1 is bad */
struct slice ipc_get_slice(struct ipc_in *in); /* borrows from the payload */
void ipc_get_ip(struct ipc_in *in, struct ip *ip_out);
/* A u8 that must be below `end`, for enums. */
unsigned ipc_get_enum(struct ipc_in *in, unsigned end);
/* A u32 count of items of at least item_bytes each: bad where the rest cannot hold them, or >
 * most. */
uint32_t ipc_get_count(struct ipc_in *in, uint32_t most, size_t item_bytes);
bool ipc_in_done(const struct ipc_in *in); /* all was well and nothing is left */

#endif
