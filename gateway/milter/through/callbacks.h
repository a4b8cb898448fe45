/*
 * libmilter's side: its callbacks, each told to a session process (talk.h) and answered as that
 * one says. libmilter is one for the process, so this is too.
 */
#ifndef THROUGH_CALLBACKS_H
#define THROUGH_CALLBACKS_H

#include "base/err.h"
#include "through/channels.h"

/* Before any thread: connection is "inet:8891@127.0.0.1" or "unix:/PATH", which stays. */
int library_open(char *connection, struct channels *c, struct err *err);
void library_run(void); /* smfi_main: it returns after a fault alone */

#endif
