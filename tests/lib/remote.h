/*
 * A remote SMTP or LMTP server for tests, in the test's own loop on a port of 127.0.0.1. It
 * follows the protocol and says yes, but where the test wants otherwise:
 *
 *  - a recipient whose local part begins with three digits gets that code
 * ("550.x@example.org");
 *  - `fault` happens at one verb ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "DOT",
 * "RSET"), on the connections whose bit is set in `on` (bit 0: the first).
 */
#ifndef TEST_REMOTE_H
#define TEST_REMOTE_H

#include "base/buf.h"
#include "io/listen.h"
#include "io/loop.h"
#include "io/stream.h"

enum { REMOTE_CONNS_MOST = 32 };
enum remote_fault {
	REMOTE_FINE,
	REMOTE_CLOSE /* instead of a reply */,
	REMOTE_SILENT /* for good */,
	REMOTE_SAY
};

struct remote;

struct remote_conn {
	struct remote *remote;
	struct stream *stream;
	struct buf in;
	unsigned number; /* from 0 */
	bool in_data, in_mail, broken, mute, headed;
	size_t accepted; /* recipients */
};

struct remote {
	struct loop *loop;
	struct listener *listener;
	int fd;
	uint16_t port;
	/* set by the test */
	const char *address; /* before remote_start, with `port`; NULL: 127.0.0.1, any port */
	const char *path;    /* before remote_start: a unix socket there instead of a port */
	const char *extensions; /* lines of EHLO: "PIPELINING\nSIZE 1000"; NULL: none */
	bool lmtp;
	struct tls_server *tls;
	const char *auth; /* what AUTH must say: "PLAIN AGE..."; NULL: always refused */
	bool bad_tls;     /* says 220 to STARTTLS and then nonsense */
	bool proxied;     /* a PROXY header comes first: in `commands` "PROXY ADDRESS PORT" */
	const char *fault_at;
	enum remote_fault fault;
	const char *say;      /* REMOTE_SAY: "421 going" */
	const char *greeting; /* NULL: "remote.example ESMTP" */
	unsigned on;
	/* what came about */
	struct remote_conn conns[REMOTE_CONNS_MOST];
	unsigned n_conns, open, open_most;
	unsigned mails;      /* dots answered or not */
	unsigned probes;     /* RCPT without DATA behind */
	struct buf commands; /* all lines that came, with '\n' */
	struct buf data;     /* all data, as it came, with the dots */
	unsigned reads;      /* pieces that came while a mail's data was open */
};

void remote_start(struct remote *r, struct loop *l);
void remote_stop(struct remote *r);

#endif
