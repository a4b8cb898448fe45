/* IP addresses and networks, as values. IPv4-mapped IPv6 addresses are turned into IPv4. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/slice.h"

enum { IP_TEXT_BYTES = 48 };

struct ip {
	uint8_t family;    /* 4, 6, or 0: none (a unix socket) */
	uint8_t bytes[16]; /* 4 or 16 of them, network order */
};

struct ip_net {
	struct ip ip;
	uint8_t prefix; /* bits */
};

bool ip_parse(struct slice text, struct ip *ip_out);
bool ip_net_parse(struct slice text, struct ip_net *net_out); /* host bits must be 0 */
bool ip_in_net(const struct ip *ip, const struct ip_net *net);
bool ip_in_nets(const struct ip *ip, const struct ip_net *nets, size_t n); /* in any */
bool ip_eq(const struct ip *a, const struct ip *b);
bool ip_is_loopback(const struct ip *ip);
struct slice ip_text(const struct ip *ip, char buf[IP_TEXT_BYTES]);
/* RFC 5321 4.1.3: "[192.0.2.1]" or "[IPv6:2001:db8::1]". */
struct slice ip_literal(const struct ip *ip, struct arena *a);
/* "1.2.0.192.in-addr.arpa" or nibbles with "ip6.arpa"; with another suffix for DNSBLs. */
struct slice ip_reverse(const struct ip *ip, struct slice suffix, struct arena *a);
struct slice ip_arpa(const struct ip *ip, struct arena *a);
void ip_from_sockaddr(const struct sockaddr *sa, struct ip *ip_out, uint16_t *port_out);
socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *out);

#endif
