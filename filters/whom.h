/*
 * Who is counted and remembered: keys of the gateway's state (base/state_op.h) for limits and
 * for the greylist, made of what the session and the envelope say. Equal by what is the same to
 * a mail system: addresses without case and, in our own domains, without +detail; domains as
 * A-labels; clients by IPv4 address or IPv6 /64, which is what one customer has.
 */
#ifndef FILTERS_WHOM_H
#define FILTERS_WHOM_H

#include "conf/limit.h"
#include "filters/filter.h"

/* A key without what is counted: room is left for "> N recipients/SPAN". */
enum { WHOM_MOST = STATE_KEY_MOST - 60 };

/*
 * "user alice", "client 192.0.2.1". Empty: there is nobody to count for, since no account is
 * logged in. For <> the sender is counted by client.
 */
struct slice whom_counted(struct flt_call *c, enum limit_key key);
/* "192.0.2.0/24", "2001:db8::/64"; "local" for a program of this machine. */
struct slice whom_network(const struct ip *client, unsigned prefix4, struct arena *a);
/* "in 12 minutes": when it is worth to come again, rounded up. */
struct slice whom_again(uint64_t wait_ms, struct arena *a);

#endif
