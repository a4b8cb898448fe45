/*
 * The channel between the parent and each of its processes, and the serving side of the
 * channels between processes. A child finds its control channel at a descriptor that the parent
 * tells it; when that closes, the parent is gone and the child ends.
 *
 * parent -> child: PEER (a kind, a number among them below 256, a descriptor: a channel to it;
 * for a process that serves, the kind of its new client), SETTINGS (a descriptor: for a process
 * that outlives a reload), STOP (end when the work in hand is done). child -> parent: READY
 * once, when it can do its work.
 */
#ifndef IO_CONTROL_H
#define IO_CONTROL_H

#include "io/ipc.h"
#include "io/loop.h"

enum process_kind {
	PROCESS_SESSION,
	PROCESS_DELIVERY,
	PROCESS_SCANNER,
	PROCESS_SIGNER,
	PROCESS_AUTH,
	PROCESS_ENGINE,
	PROCESS_MILTER,    /* one for each listener through libmilter */
	PROCESS_KEEPER,    /* one, where there is a spool */
	PROCESS_DIRECTORY, /* one, where a table has ldap or sql */
	PROCESS_KINDS
};
const char *process_kind_text(enum process_kind k); /* "session": as ps shows it */

enum control_type { CONTROL_PEER = 1, CONTROL_STOP, CONTROL_READY, CONTROL_SETTINGS };

struct control;

struct control_calls {
	void (*on_peer)(void *arg, enum process_kind kind, unsigned index,
		int fd); /* fd is the callee's */
	void (*on_stop)(void *arg);
	void (*on_settings)(void *arg, int fd); /* fd is the callee's; NULL: none come */
};

/* Owns fd. The loop is stopped when the parent is gone. */
struct control *
control_new(struct loop *l, int fd, const struct control_calls *calls, void *arg);
void control_free(struct control **c);
void control_ready(struct control *c);

/* The parent's side: sends a channel's end (which stays the parent's to close), or STOP. */
int control_send_peer(struct ipc *to, enum process_kind kind, unsigned index, int fd);
int control_send_settings(struct ipc *to, int fd);
int control_send_stop(struct ipc *to);

/*
 * A process that serves others: its loop, its control channel, its clients. fn is called for
 * each message of any client; answers go to `from` with the message's id. Clients come and go;
 * a message that a client sent and that is answered after the client has gone goes nowhere.
 */
struct service;
struct service_client;

typedef void service_fn(void *arg, struct service_client *from, struct ipc_msg *m);
/* A client is gone: drop what was done for it; the pointer is dead after this call. May be
 * NULL. */
typedef void service_gone_fn(void *arg, struct service_client *client);

struct service *
service_new(struct loop *l, int control_fd, service_fn *fn, service_gone_fn *gone, void *arg);
void service_free(struct service **s);
/* Asked first about each channel that comes: true: it was taken, and is no client. */
typedef bool service_peer_fn(void *arg, enum process_kind kind, unsigned index, int fd);
typedef void service_settings_fn(void *arg, int fd);
/* For a process that asks others too, and outlives reloads. Before its loop runs. */
void service_on_peer(struct service *s, service_peer_fn *fn);
void service_on_settings(struct service *s, service_settings_fn *fn);
void service_ready(struct service *s);
int service_answer(struct service_client *c, uint16_t type, uint32_t id, struct slice payload);

#endif
