/*
 * From answers of the DNS to the addresses of a domain's mail servers, as a pure function (RFC
 * 5321 5.1, RFC 7505; OUT-01, OUT-02). No question is asked here: relay/resolve.c asks, and
 * tests give answers by hand.
 */
#ifndef RELAY_MX_H
#define RELAY_MX_H

#include "base/arena.h"
#include "base/dns.h"
#include "smtp/reply.h"

enum { MX_HOSTS_MOST = 10, MX_HOST_ADDRESSES = 4 /* of each family */, MX_ADDRESSES_MOST = 20 };

enum mx_verdict {
	MX_GOOD,
	MX_LATER, /* the DNS does not answer: never "there is no MX" */
	MX_NULL,  /* takes no mail: "0 .", or nothing but localhost */
	MX_NO_DOMAIN,
	MX_UNUSABLE, /* no server with an address that could be tried */
	MX_LOOP,     /* we are the best one ourselves */
};

struct mx_host {
	struct slice name;
	uint16_t preference;
};

struct mx_list {
	struct mx_host hosts[MX_HOSTS_MOST];
	size_t n;
};

/*
 * The servers by preference, in random order (by seed) where equal. A name of ours (own_name)
 * drops itself and all that are not better. No MX record: the domain itself. Names live in the
 * arena.
 */
enum mx_verdict mx_hosts(struct slice domain, const struct dns_answer *mx,
	struct slice own_name, uint64_t seed, struct arena *a, struct mx_list *list_out);

/*
 * One number for the set of all names of an answer, in any order and case: who shares it shares
 * the servers. Equal in all processes and for ever (FNV-1a); never 0. No MX record: the domain
 * itself.
 */
uint64_t mx_set_hash(struct slice domain, const struct dns_answer *mx, struct arena *a);

struct mx_lookup { /* of one host; copied out of the callbacks */
	struct dns_answer v4, v6;
};

struct mx_address {
	struct ip ip;
	struct slice host;
};

struct mx_addresses {
	struct mx_address at[MX_ADDRESSES_MOST];
	size_t n;
};

/*
 * The addresses in the order to be tried, the families of a host in turn. A server with an
 * address in `own` drops itself and all that are not better (loop). lookups[i] belongs to
 * hosts[i].
 */
enum mx_verdict mx_addresses(const struct mx_list *list, const struct mx_lookup *lookups,
	const struct ip_net *own, size_t n_own, struct mx_addresses *out);

/* What a sender is told where no server could be found. */
struct smtp_reply mx_reply(enum mx_verdict v);

#endif
