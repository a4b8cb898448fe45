/*
 * The keeper: the one process that writes the spool, and what decides about every mail in it:
 * when, where and why it goes next, and how it ends (DESIGN.md, "Processes", "Outbound"). It
 * has no connection to the outside: sessions give it mails (messages.h), delivery processes
 * carry them (delivery/messages.h), the signer signs what it writes itself. There is one,
 * whatever generations of the configuration are about: it lives through reloads.
 *
 * When it dies, nothing that was answered is lost; the next one reads the spool and goes on.
 */
#ifndef QUEUE_KEEPER_H
#define QUEUE_KEEPER_H

#include "custody/segments.h"
#include "filters/spam_shared.h"
#include "queue/settings.h"

struct keeper_start {
	const struct queue_settings *settings; /* as they are when it is forked; copied */
	/* The engine: segments_open, or another store with the same contract. */
	struct custody *(*open)(const struct segments_config *config, struct err *err);
	int spool;                /* the folder; owned */
	struct spam_shared *spam; /* what all processes read of the models; NULL: nobody does */
	int hand;                 /* the listening socket of `postern queue`; owned */
	int control_fd;           /* to the parent; owned */
	const char *user; /* whom it runs as, for who did what by hand; NULL: not known */
};

/*
 * Runs in the child: the exit status. arg is a struct keeper_start. It is ready when all that
 * is in the spool stands in the schedule again.
 */
int keeper_main(void *arg);

#endif
