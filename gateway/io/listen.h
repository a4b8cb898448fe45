/*
 * Listening sockets. The parent opens them (ports below 1024 need root), the sessions inherit
 * the descriptor and accept. Several processes may accept on one descriptor.
 *
 * At most LISTEN_ACCEPT_MOST connections are taken in a turn, so that a flood of new clients
 * does not starve those that are served. Where the process or the system is out of descriptors
 * or memory, accepting rests for LISTEN_REST_MS and on_error is told once each rest.
 */
#ifndef IO_LISTEN_H
#define IO_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"
#include "io/stream.h"

enum { LISTEN_ACCEPT_MOST = 16, LISTEN_REST_MS = 200 };

struct listener;

struct listen_calls {
	/* fd is the callee's: stream_new or close. Non-blocking, close-on-exec, TCP_NODELAY. */
	void (*on_accept)(void *arg, int fd, const struct stream_addr *peer);
	void (*on_error)(void *arg, const struct err *err);
};

/* A bound, listening descriptor, or -1 and err. A dead unix socket at the path is replaced; a
 * living one is an error. unix_mode: permissions of the unix socket. IPv6 sockets are IPv6
 * only. */
int listen_open(const struct stream_addr *a, int backlog, unsigned unix_mode, struct err *err);

/* fd stays the caller's. */
struct listener *
listener_new(struct loop *l, int fd, const struct listen_calls *calls, void *arg);
void listener_free(struct listener **ln);
void listener_pause(struct listener *ln); /* at a limit on sessions: leave them queued */
void listener_resume(struct listener *ln);

#endif
