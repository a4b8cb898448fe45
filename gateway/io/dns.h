/*
 * The resolver of the process, asynchronous. Plain questions go as UDP to the resolvers
 * configured, tried in turn (random id and port, the question compared, TCP where the answer
 * was cut), and are kept in a cache as long as their TTL says. Questions that need DNSSEC
 * (DANE) are validated by libunbound in this process. Answers are values of base/dns.h.
 *
 * fn is called once for each question, from the loop, never from inside dns_ask, unless the
 * question is cancelled before. The answer and all in it live for the time of the call.
 */
#ifndef IO_DNS_H
#define IO_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/slice.h"
#include "io/loop.h"

enum { DNS_SERVERS_MOST = 8, DNS_TIMEOUT_MS = 10000 };

struct dns;
struct dns_query;

struct dns_server {
	struct ip ip;
	uint16_t port;
};

struct dns_config {
	struct dns_server servers[DNS_SERVERS_MOST];
	size_t n;      /* 0: dns_open reads the system's, /etc/resolv.conf */
	bool insecure; /* no validation: `secure` is false in all answers */
	const char
		*trust_file; /* anchors (DS or DNSKEY lines); NULL: the root's built in here */
	size_t cache_max;    /* answers kept; 0: 10,000 */
};

/* Opens before the sandbox; NULL and err: no server known, anchors not to be read. */
struct dns *dns_open(struct loop *l, const struct dns_config *config, struct err *err);
void dns_close(struct dns **d); /* not inside fn; what is in flight gets no callback */

typedef void dns_fn(void *arg, const struct dns_answer *answer);

enum {
	DNS_SECURE =
		1, /* validate: answer.secure says DNSSEC held, DNS_BOGUS that it is forged */
};

/*
 * Asks. A name that may not be asked (dns_name_ok) is answered DNS_NXDOMAIN, no time left
 * DNS_FAIL. Without DNS_SECURE answer.secure tells the resolver's AD bit, believed only from
 * loopback. timeout_ms: over all servers and retries; 0: DNS_TIMEOUT_MS.
 */
struct dns_query *dns_ask(struct dns *d, struct slice name, enum dns_type type, unsigned flags,
	uint32_t timeout_ms, dns_fn *fn, void *arg);
void dns_cancel(struct dns_query **q); /* takes NULL, clears; not after fn was called */

struct dns_counts {
	uint64_t asked, cached, sent, retried, tcp, failed, validated,
		wrong; /* wrong: answers thrown away */
};
void dns_counts(const struct dns *d, struct dns_counts *counts_out);

#endif
