/*
 * The delivery process (DESIGN.md "Processes"): all connections to the outside. It serves the
 * sessions (io/control.h, delivery/messages.h): takes their mails, finds the way (MX,
 * smarthosts, address literals), speaks to the remote through relay, and answers each mail
 * once. It writes nothing and holds nothing that is not still with a session: when it dies, a
 * mail whose final dot was out is in doubt, the others are not.
 */
#ifndef DELIVERY_DELIVERY_H
#define DELIVERY_DELIVERY_H

#include "conf/conf.h"

enum { DELIVERY_MAILS_MOST = 2000 }; /* at once; beyond 451 */

struct delivery_start {
	const struct conf *conf;
	struct slice failure_rules; /* text of the file of that name, or empty */
	int control_fd;             /* to the parent; owned from here on */
};

/*
 * Runs in the child, after it went down from root, until the parent says STOP or is gone; final
 * dots that are out are waited for. The exit status. arg is a struct delivery_start.
 */
int delivery_main(void *arg);

#endif
