/*
 * What is counted over all session processes of the gateway: connections, connections of a
 * client (IPv6 by /64), bytes of bodies. One fixed block of shared memory, made by the parent;
 * each process writes its own part only and reads all, so that the counts of one that died are
 * cleared whole.
 *
 * Clients are counted in a sketch (two counters each, the smaller one counts): a number may be
 * too large where many clients meet, never too small.
 */
#ifndef SESSION_ACCOUNT_H
#define SESSION_ACCOUNT_H

#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"

enum { ACCOUNT_PROCESSES_MOST = 64 };

struct account;

struct account *account_new(struct err *err);         /* in the parent, before the first fork */
void account_clear(struct account *a, unsigned self); /* the process is gone or begins */
/* The number that the client has with this one. */
unsigned account_enter(struct account *a, unsigned self, const struct ip *client);
void account_leave(struct account *a, unsigned self, const struct ip *client);
unsigned account_connections(const struct account *a);
void account_bytes(struct account *a, unsigned self, int64_t change);
uint64_t account_bytes_all(const struct account *a);

/*
 * Whose input a process works on. Where it is killed in that work, the client is marked; three
 * times within an hour, and it is sent away for an hour (DESIGN.md, "Processes").
 */
void
account_working(struct account *a, unsigned self, const struct ip *client); /* NULL: nobody's */
void account_blame(struct account *a, unsigned self, uint64_t now_ms); /* by the parent alone */
bool account_is_marked(const struct account *a, const struct ip *client, uint64_t now_ms);

#endif
