/*
 * The delivery process (DESIGN.md "Processes"): all connections to the outside. It takes mails from
 * the sessions (delivery/messages.h), finds the way (MX, smarthosts, address literals), speaks to the
 * remote through relay, and answers each mail once. It writes nothing and holds nothing that is not
 * still with a session: when it dies, a mail whose final dot was out is in doubt, the others are not.
 */
#ifndef DELIVERY_DELIVERY_H
#define DELIVERY_DELIVERY_H

#include "conf/conf.h"

enum { DELIVERY_CHANNELS_MOST = 256, DELIVERY_MAILS_MOST = 2000 };

struct delivery_start {
	const struct conf *conf;
	int                control;    /* io/ipc to the parent: more channels; -1: none */
	const int         *channels;   /* to the sessions that are there already; owned from here on */
	size_t             n_channels;
	const char        *user;       /* whom to become (child_drop_user); NULL: stay */
	const char        *empty_root; /* where to be locked in; NULL: not */
	bool               sandbox;    /* enter it after everything is open */
};

/*
 * Runs in the child until SIGTERM, or until the control channel and all sessions are gone; then no
 * new mail is taken, final dots that are out are waited for, and it ends. The exit status.
 */
int delivery_main(const struct delivery_start *s);

#endif
