/*
 * Questions to another process of the gateway and their answers, matched by id over one ipc
 * channel (ipc.h). The other process is expendable: when it dies every open question is
 * answered with NULL, and the parent attaches a new channel when it has started another.
 */
#ifndef IO_PEER_H
#define IO_PEER_H

#include "io/ipc.h"
#include "io/loop.h"

struct peer;

/* m: the answer, valid in the call; NULL: the process is gone, or never answered in time. */
typedef void peer_fn(void *arg, struct ipc_msg *m);

enum { PEER_QUEUE_BYTES = 4 * 1024 * 1024 };

/* name: for logs, kept. open_most: questions that may be open at once. */
struct peer *peer_new(struct loop *l, const char *name, unsigned open_most);
void peer_free(struct peer **p);          /* open questions get no answer */
void peer_attach(struct peer *p, int fd); /* owns fd; what was attached before is closed */
bool peer_is_up(const struct peer *p);
/*
 * The id of the question, or 0: it cannot be asked (no process, too many open, channel full)
 * and fn is never called. fn is called from the loop, once, within timeout_ms.
 */
uint32_t peer_ask(struct peer *p, uint16_t type, struct slice payload, const int *fds,
	size_t nfds, uint32_t timeout_ms, peer_fn *fn, void *arg);
void
peer_forget(struct peer *p, uint32_t id); /* its answer is not wanted any more; 0: nothing */
/* A word on the way without an answer, about a question that is open (id) or none (0). */
int peer_tell(struct peer *p, uint16_t type, uint32_t id, struct slice payload);

#endif
