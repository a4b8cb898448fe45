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

#endif
