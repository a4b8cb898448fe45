/*
 * Mails on their way to Rspamd and spamd: the driver of filters/neighbour.h with a loop and
 * sockets. One connection for one mail; the mail is read from its spill in pieces, as fast as
 * the server takes them. At most so many mails at once are with the servers of one neighbour,
 * the others wait in their order; the time of all that, and of every server that is tried,
 * counts as one.
 */
#ifndef SESSION_NEIGHBOUR_H
#define SESSION_NEIGHBOUR_H

#include "conf/conf.h"
#include "filters/neighbour.h"
#include "io/loop.h"
#include "session/spill.h"

struct neighbours;
struct neighbour_ask;

enum {
	NEIGHBOUR_DOWN_MS = 30 * 1000, /* so long a server that does not answer comes last */
	NEIGHBOUR_OUT_BYTES = 128 * 1024,
};

/* v lives for the call. */
typedef void neighbour_fn(void *arg, const struct neighbour_verdict *v);

/* quiet: no event in the log; a tool says itself what it has found. */
struct neighbours *neighbours_new(struct loop *l, const struct conf *conf, bool quiet);
void neighbours_free(struct neighbours **n); /* no ask may be left; takes NULL */
/*
 * fn is called once, from the loop, never from inside; then the ask is gone. envelope and mail
 * are borrowed until then, and the mail does not grow.
 */
struct neighbour_ask *neighbours_ask(struct neighbours *n, enum neighbour which,
	struct slice envelope, struct spill *mail, neighbour_fn *fn, void *arg);
/* Nobody waits any more: the connection is closed. Takes NULL, clears. */
void neighbours_cancel(struct neighbour_ask **a);

#endif
