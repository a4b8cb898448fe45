/*
 * What the files of relay share. A transfer (transfer.c) walks hops, asks resolve.c for
 * addresses, and drives one connection (conn.c) at a time; pool.c knows the hops and keeps idle
 * connections.
 *
 * Calls go one way: conn.c calls relay_transfer_..., which may free the connection and the
 * transfer; conn.c touches neither afterwards. User callbacks are called at the end of such a
 * chain only.
 */
#ifndef RELAY_PRIV_H
#define RELAY_PRIV_H

#include <sys/queue.h>

#include "relay/mx.h"
#include "relay/relay.h"
#include "smtp/proxy.h"

enum {
	RELAY_OUT_BYTES =
		256 * 1024, /* unsent bytes of a connection: the body waits for the rest */
	RELAY_PIECE_BYTES = 64 * 1024,
	RELAY_ATTEMPTS_MOST = 16, /* connections for one mail */
	RELAY_PUT_OFFS_MOST = 2,  /* servers of a hop that are asked to take MAIL, after 4yz */
	RELAY_PROBES_MOST = 4,    /* connections for probes to one hop */
	RELAY_HOPS_KEPT = 4096,   /* beyond, hops that nothing is known of are forgotten */
	RELAY_DOWN_FIRST_MS = 10 * 1000,
	RELAY_DOWN_MOST_MS = 5 * 60 * 1000,
	RELAY_LINGER_MS = 2000,
	RELAY_WHY_BYTES = 256,
};

struct relay_conn;
struct relay_hop;
struct relay_verify;

struct relay_address {
	struct stream_addr to;
	struct slice host;     /* for SNI and the log */
	struct tls_policy tls; /* lives as long as the transfer */
};

TAILQ_HEAD(relay_conn_list, relay_conn);
TAILQ_HEAD(relay_transfer_list, relay_transfer);

/* A next hop, by its text and user: what was learnt of it. */
struct relay_hop {
	struct relay_hop *next; /* in its bucket */
	char *key;
	struct relay_conn_list idle; /* the youngest first */
	size_t n_idle;
	struct relay_transfer_list waiting;
	size_t conns, probes;   /* open ones, idle ones too */
	size_t transfers;       /* that are at this hop */
	uint64_t down_until_ms; /* 0: up */
	uint64_t down_ms;       /* how long it was down for, last time */
	bool learning;
	bool warned;       /* that it cannot be told the client */
	uint64_t offer_ms; /* 0: not known */
	struct smtp_offer offer;
};

enum { RELAY_BUCKETS = 1024 };

struct relay_pool {
	struct relay_config config;
	char *hostname;
	struct relay_hop *buckets[RELAY_BUCKETS];
	size_t n_hops;
	struct relay_conn_list idle; /* of all hops, the oldest first */
	size_t n_idle;
	struct relay_conn_list conns;
	struct relay_transfer_list transfers;
	uint64_t turn; /* balanced hops take turns; the seed of random orders */
	struct relay_verify *verify;
};

struct relay_conn {
	TAILQ_ENTRY(relay_conn) of_pool, of_hop_idle, of_idle;
	struct relay_pool *pool;
	struct relay_hop *hop;
	struct relay_transfer *transfer; /* NULL: idle, or still ending the last one */
	struct stream *stream;
	struct smtp_client *client;
	struct loop_timer timer;
	const struct relay_times *times;
	struct stream_addr to;
	char *host;
	struct tls_policy tls; /* its names only until the session has come about */
	char *policy;          /* tls as text, to be compared */
	bool probe, was_ready, is_idle, lost, tls_failed, connected;
	bool secure, verified, starttls;
	uint64_t certificate, mx_set;
	enum hop_client named; /* how it is told the client */
	struct slice header;   /* PROXY: what is said first */
	char proxy[PROXY_WRITTEN_MOST];
	unsigned mails, mails_most;
	char why[RELAY_WHY_BYTES]; /* what the world did to it, in words */
};

struct relay_resolve {
	struct relay_transfer *transfer;
	bool direct;
	uint16_t port;
	struct dns_query *mx;
	struct mx_list list;
	struct mx_lookup lookups[MX_HOSTS_MOST];
	struct relay_lookup {
		struct relay_resolve *resolve;
		struct dns_answer *answer;
		struct dns_query *query;
	} asked[2 * MX_HOSTS_MOST];
	size_t open; /* questions without an answer */
};

enum relay_kind {
	RELAY_MAIL,
	RELAY_ASK,   /* RCPT without a mail, where mails go */
	RELAY_PROBE, /* the call-out, on connections of its own */
	RELAY_LEARN
};

struct relay_transfer {
	TAILQ_ENTRY(relay_transfer) of_pool, of_waiting;
	enum relay_kind kind;
	struct relay_pool *pool;
	struct relay_way way;
	struct relay_mail *mail; /* NULL: RELAY_LEARN */
	relay_fn *fn;
	void *arg;
	struct arena *arena;
	struct loop_task task;
	struct loop_timer deadline;
	const struct next_hop **order; /* the hops to be tried */
	size_t n_order, at;
	const struct next_hop *next_hop;
	struct relay_hop *hop;
	struct relay_resolve resolve;
	struct relay_address addresses[MX_ADDRESSES_MOST];
	size_t n_addresses, address_at;
	uint64_t mx_set; /* of the hop; 0: not known */
	struct relay_conn *conn;
	bool waiting;  /* for its turn at the hop */
	bool waited;   /* it was woken once, and stays the first */
	bool met;      /* a session with this hop came about */
	bool kept;     /* conn was an idle one */
	bool fresh;    /* at this hop no idle one again */
	bool in_clear; /* the handshake failed at this address, TLS may be missing */
	bool final;    /* the dot is out */
	bool started;
	unsigned put_offs; /* servers of this hop that had 4yz to MAIL; the last: */
	struct stream_addr declined;
	struct slice declined_host;
	struct smtp_client_mail send;
	struct relay_reader reader;
	struct buf scratch;
	struct relay_result result;
	bool spoken;               /* somebody had words for us, without an answer */
	struct relay_result words; /* as it was then */
};

/* pool.c */
struct relay_hop *relay_hop_find(struct relay_pool *p, const struct next_hop *h);
bool relay_hop_is_down(const struct relay_pool *p, const struct relay_hop *h);
void relay_hop_down(struct relay_pool *p, struct relay_hop *h, const struct next_hop *n,
	struct slice why, const struct log_context *log);
void relay_hop_up(struct relay_pool *p, struct relay_hop *h, const struct next_hop *n,
	const struct log_context *log);
/* Its hop was told the client of a mail, or could not be: one warning until that changes. */
void relay_hop_unnamed(struct relay_transfer *t, bool unnamed);
void relay_hop_wake(struct relay_hop *h); /* a waiting transfer may try again */
struct tls_policy relay_way_tls(const struct relay_way *w, const struct next_hop *n);

/* conn.c */
/* NULL and err: failed at once. */
struct relay_conn *
relay_conn_open(struct relay_transfer *t, const struct relay_address *a, struct err *err);
/* An idle one that is alive, now the transfer's; NULL: none. */
struct relay_conn *relay_conn_take(struct relay_transfer *t, const struct tls_policy *tls);
/* Where it is, or where it failed. */
enum relay_stage relay_conn_stage(const struct relay_conn *c);
void relay_conn_send(struct relay_conn *c, struct smtp_client_mail *m);
void relay_conn_run(struct relay_conn *c); /* after the client machine was given something */
void relay_conn_release(struct relay_conn *c); /* the transfer has done with it */
void relay_conn_drop(struct relay_conn *c);    /* at once */
void relay_conn_quit(struct relay_conn *c);    /* an idle one */

/* resolve.c: false: relay_transfer_resolved comes later. */
bool relay_resolve_start(struct relay_transfer *t, enum mx_verdict *verdict_out);
void relay_resolve_cancel(struct relay_transfer *t);

/* transfer.c */
struct relay_transfer *relay_transfer_new(struct relay_pool *p, enum relay_kind kind,
	const struct relay_way *w, struct relay_mail *m, relay_fn *fn, void *arg);
void relay_transfer_free(struct relay_transfer *t); /* without a word to anybody */
void relay_transfer_resolved(struct relay_transfer *t, enum mx_verdict verdict);
void relay_transfer_ready(struct relay_transfer *t);
void relay_transfer_settled(struct relay_transfer *t);
/* The connection ended before it was ready. */
void relay_transfer_failed(struct relay_transfer *t);
/* Gives the machine what it wants of the body; false: it cannot be read, the transfer is over.
 */
bool relay_transfer_fill(struct relay_transfer *t);

/* result.c */
struct slice relay_keep_words(struct relay_transfer *t, struct slice words);
void relay_note_why(struct relay_transfer *t, struct slice why); /* for the log */
void relay_log_attempt(struct relay_transfer *t);
enum relay_stage relay_stage_of(enum smtp_client_phase phase);
/* Who has answered at this connection, whatever it was. */
void relay_note_conn(struct relay_transfer *t, const struct relay_conn *c);
/* What this attempt came to is told in the end, if none of the others has an answer. */
void relay_note_words(struct relay_transfer *t);
/* All three end the transfer and call the caller's fn. For all: nobody was delivered to, by our
 * words. */
void relay_finish_for_all(struct relay_transfer *t, struct smtp_reply reply);
/* The same, by the words that somebody had for us, if there are any. */
void relay_finish_unanswered(struct relay_transfer *t, struct smtp_reply reply);
void
relay_finish_answered(struct relay_transfer *t); /* or the dot went out without an answer */

/* verify.c */
struct relay_verify *relay_verify_new(struct relay_pool *p);
void relay_verify_free(struct relay_verify **v);

#endif
