/* Which of the machine's addresses its way to the Internet leaves from. Nothing is sent. */
#ifndef IO_ROUTE_H
#define IO_ROUTE_H

#include "base/err.h"
#include "base/ip.h"

/* family 4 or 6. -1 and err: there is no route. */
int route_source(unsigned family, struct ip *ip_out, struct err *err);
/* Not to be reached from the Internet: RFC 1918, 6598, 3927, 4193, 4291, loopback. */
bool route_is_private(const struct ip *ip);

#endif
