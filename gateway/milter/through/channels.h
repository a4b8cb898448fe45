/*
 * The session processes that MTA sessions are given to, by turns. The only thing that the
 * threads of libmilter share: every call is safe from any of them, and none waits.
 */
#ifndef THROUGH_CHANNELS_H
#define THROUGH_CHANNELS_H

#include <stdbool.h>

enum { CHANNELS_MOST = 256 };

struct channels;

struct channels *channels_new(void);
/* fd is a channel to session process `index` (below CHANNELS_MOST), in place of the one before.
 */
void channels_set(struct channels *c, unsigned index, int fd);
/*
 * Hands a copy of fd to the next session process, which serves the session at its other end.
 * One that is gone, or takes no more, is passed over. False: there is none.
 */
bool channels_hand(struct channels *c, int fd);
void channels_close(struct channels *c); /* no session is handed on any more */

#endif
