/*
 * Many networks, and whether an address is in one of them: in log n steps, so that a table of
 * 100,000 networks costs a look-up what one of ten does. Immutable once made.
 */
#ifndef BASE_IP_SET_H
#define BASE_IP_SET_H

#include "base/arena.h"
#include "base/ip.h"

struct ip_set;

/* Copies the networks; which of them contain others does not matter. */
struct ip_set *ip_set_new(const struct ip_net *nets, size_t n, struct arena *a);
/* steps_out: how many networks were looked at; may be NULL. s may be NULL: no network. */
bool ip_set_has(const struct ip_set *s, const struct ip *ip, unsigned *steps_out);

#endif
