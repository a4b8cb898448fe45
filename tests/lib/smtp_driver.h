/*
 * A driver of the server machine that answers at once: takes events, gives the usual replies or
 * those that were set, and keeps what was written, the data of mails, and how often each event
 * came.
 */
#ifndef TEST_SMTP_DRIVER_H
#define TEST_SMTP_DRIVER_H

#include "base/buf.h"
#include "smtp/server.h"

struct driver {
	struct smtp_server *s;
	const char *replies[SMTP_EV_BODY_END + 1]; /* NULL: the usual one */
	struct buf out;                            /* all that was written */
	struct buf body;
	unsigned seen[SMTP_EV_CLOSE + 1];
	struct buf heard; /* name and data of HELO and AUTH, "|" behind each */
};

/* Everything on offer, SIZE 1000, hostname mx.example. */
void driver_init(struct driver *d, const struct smtp_server_limits *limits);
void driver_greet(struct driver *d); /* answers CONNECT and writes the greeting */
/* Both with the default limits, the greeting forgotten. */
void driver_start(struct driver *d);
void driver_fini(struct driver *d);
void take_events(struct driver *d);
/* Writes all output; makes the handshake where STARTTLS was answered. */
void write_all(struct driver *d);
/* Feeds as a driver does: what is not taken stays, and is given again after the output is
 * written. */
void give(struct driver *d, struct slice in);
/* The codes of all replies written since the last call are `want`, as "250 503 ". */
void expect_codes(struct driver *d, const char *want);
void exchange(struct driver *d, const char *in, const char *want); /* give and expect_codes */

#endif
