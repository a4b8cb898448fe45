/* Within the folder: the parts of the resolver. dns.c owns questions; the others move packets.
 */
#ifndef IO_DNS_PRIV_H
#define IO_DNS_PRIV_H

#include "base/arena.h"
#include "io/dns.h"
#include "io/stream.h"

struct ub_ctx;

enum {
	DNS_EDNS_BYTES = 1232, /* what passes everywhere unfragmented (DNS Flag Day 2020) */
	DNS_PACKET_MOST = 65535,
	DNS_SOCKETS = 8,       /* per server: each is a port of its own */
	DNS_SOCKET_USES = 500, /* questions until a socket gives way to another port */
	DNS_BUCKETS = 64,
	DNS_QUERY_BYTES = 12 + DNS_WIRE_BYTES + 4 + 11
};

/* A connected UDP socket; only its server can answer on it. */
struct dns_socket {
	struct dns *dns;
	unsigned server;
	int fd; /* -1: not open */
	unsigned uses, waiting;
	struct loop_watch *watch;
	struct dns_query *bucket[DNS_BUCKETS]; /* by id */
};

struct dns_health {
	unsigned losses;        /* in a row */
	uint64_t down_until_ms; /* passed over while another is up */
};

enum dns_way { DNS_WAY_NONE, DNS_WAY_UDP, DNS_WAY_TCP, DNS_WAY_SECURE };

struct dns_query {
	struct dns *dns;
	struct dns_query *next, **prev; /* all questions of the resolver */
	struct dns_query *next_in_bucket;
	dns_fn *fn;
	void *arg;
	struct loop_task task;   /* answers that are there at once */
	struct loop_timer timer; /* this try */
	uint64_t deadline_ms;
	enum dns_type type;
	enum dns_way way;
	unsigned flags, tries, server;
	struct dns_socket *socket;
	uint16_t id;
	struct dns_wire name; /* lower case */
	struct dns_wire sent; /* with the case of this try (0x20) */
	struct stream *tcp;
	struct buf tcp_in;
	int ub_id;
	bool bogus, secure;
	struct buf packet; /* libunbound's, until the task gives it */
};

struct dns_cache;

struct dns {
	struct loop *loop;
	struct dns_config config;
	struct dns_query *queries;
	struct dns_socket sockets[DNS_SERVERS_MOST][DNS_SOCKETS];
	struct dns_health health[DNS_SERVERS_MOST];
	struct dns_cache *cache;
	struct arena *arena; /* of one answer */
	struct dns_counts counts;
	struct buf anchors; /* text of the trust anchors */
	struct ub_ctx *ub;  /* made when first needed */
	uint8_t random[1024];
	size_t random_left;
};

/* dns.c */
/* The packet answers q: decoded, kept where it may be, told; q is gone. */
void dns_answered(struct dns_query *q, struct slice packet, bool secure);
void dns_failed(struct dns_query *q, enum dns_status status);
/* This try came to nothing: the next server, or the end. */
void dns_try_next(struct dns_query *q);
unsigned dns_random(struct dns *d, unsigned end); /* 0 to end - 1 */
/* The question as a packet. */
size_t dns_make_query(const struct dns_query *q, uint8_t packet[DNS_QUERY_BYTES]);
/* Does the packet answer exactly what was asked (RFC 5452 9.1)? */
bool dns_matches(const struct dns_query *q, struct slice packet);

/* dns_udp.c */
int dns_udp_send(struct dns_query *q); /* 0, or -1: no socket, no route */
void dns_udp_forget(struct dns_query *q);
void dns_udp_close(struct dns *d);

/* dns_tcp.c */
int dns_tcp_send(struct dns_query *q);
void dns_tcp_forget(struct dns_query *q);

/* dns_cache.c: packets by name and type */
struct dns_cache *dns_cache_new(size_t most);
void dns_cache_free(struct dns_cache **c);
/* True: the packet and its age in seconds, valid until the next call. */
bool dns_cache_get(struct dns_cache *c, const struct dns_wire *name, enum dns_type type,
	uint64_t now_ms, struct slice *packet_out, bool *secure_out, uint32_t *age_s_out);
void dns_cache_put(struct dns_cache *c, const struct dns_wire *name, enum dns_type type,
	uint64_t now_ms, struct slice packet, bool secure, uint32_t ttl_s);

/* dns_secure.c */
int dns_secure_ask(struct dns_query *q);
void dns_secure_forget(struct dns_query *q);
void dns_secure_close(struct dns *d);

/* dns_conf.c */
int dns_conf_system(struct dns_config *config, struct err *err);
void dns_conf_parse(struct slice text, struct dns_config *config); /* of resolv.conf */
int dns_conf_anchors(const struct dns_config *config, struct buf *out, struct err *err);

#endif
