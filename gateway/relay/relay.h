/*
 * One mail to its next hop, over connections that are kept (DESIGN.md "Inbound", "Outbound";
 * EXT-05, EXT-14, OUT-01 to OUT-05). A process has one pool. Everything is asynchronous:
 * callbacks come from the loop, never from inside a call of this module, once for each call
 * that was not cancelled.
 *
 * A way is `A then B`: hops in order, each a host (name or address), an LMTP socket, `mx
 * "NAME"` or balanced { ... }. A hop that does not answer is marked down (10 s, doubling to 5
 * min) and passed over while another is up; a failure before the final dot goes on to the next
 * address and hop, and so does a 4yz to MAIL, to one more server of the hop. What a hop *says*
 * about the mail or a recipient (5yz to MAIL; 4yz, 5yz to RCPT, DATA, dot) is the answer.
 *
 * After the final dot nothing is tried again: a connection lost there leaves its recipients in
 * doubt (RELAY_DOUBT, RFC 1047). A kept connection that dies before it is replaced by a fresh
 * one to the same hop. So no mail is ever sent twice.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/log.h"
#include "conf/conf.h"
#include "io/dns.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"
#include "relay/body.h"
#include "relay/tls_policy.h"
#include "smtp/client.h"

struct relay_pool;
struct relay_transfer;
struct relay_probe;

/* How long each phase may take, in ms (RFC 5321 4.5.3.2 bounds what a sender must bear). */
struct relay_times {
	uint32_t connect;
	uint32_t greeting;
	uint32_t command; /* EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET */
	uint32_t data;    /* the 354 */
	uint32_t body;    /* without progress */
	uint32_t dot;
};
/* Hops near by, a client waits in front: 5 s, 15 s, 30 s, 30 s, 60 s, 10 min. */
extern const struct relay_times relay_times_inbound;
/* To the outside: 20 s, 60 s, 60 s, 120 s, 180 s, 10 min. */
extern const struct relay_times relay_times_outbound;

struct relay_config {
	struct loop *loop;
	struct dns *dns;              /* NULL: hops are addresses and paths only */
	struct slice hostname;        /* for EHLO; a next hop of this name is a loop */
	const struct tls_client *tls; /* NULL: no TLS to be had; where it is demanded, 451 */
	const struct ip_net *own;     /* an MX that resolves to these is ourselves (OUT-01) */
	size_t n_own;
	size_t idle_hop;  /* idle connections kept for one hop; 0: 8 */
	size_t idle_all;  /* ... and in all; 0: 64 */
	uint32_t idle_ms; /* 0: 30 s, shorter than what servers bear */
	unsigned mails;   /* over one connection; 0: 100 */
};

/* hostname is copied; loop, dns, tls, own are borrowed. */
struct relay_pool *relay_pool_new(const struct relay_config *c);
/* Transfers and probes must be gone or cancelled. Idle connections get QUIT. Takes NULL. */
void relay_pool_free(struct relay_pool **p);

struct relay_way {
	const struct hop_list *hops; /* tls_required makes OPPORTUNISTIC to VERIFIED */
	struct tls_policy tls;       /* its names live as long as the transfer */
	unsigned connections; /* to one hop at once; 0: no limit. Others wait their turn */
	unsigned mails;       /* over one connection; 0: the pool's */
	bool direct;          /* hops are the domain itself: MX rules with their replies */
};

enum relay_fate {
	RELAY_TAKEN,    /* 2yz to the dot */
	RELAY_REFUSED,  /* 5yz */
	RELAY_DEFERRED, /* 4yz, or no hop could be reached; nothing was delivered */
	RELAY_DOUBT,    /* the dot went out and no reply came: 451, may have been delivered */
};

struct relay_rcpt {
	struct address address;
	struct smtp_rcpt_params params;
	/* filled */
	enum relay_fate fate;
	struct smtp_reply reply;      /* the hop's, or our own words: always a code */
	enum smtp_client_phase phase; /* what it was the reply to */
};

struct relay_mail {
	struct address sender;
	struct smtp_mail_params params; /* size is set from the body by relay_send */
	struct relay_rcpt *rcpts;
	size_t n_rcpts;   /* LMTP and SMTP alike: all in one transaction */
	bool all_or_none; /* a refused RCPT ends it before DATA: the others are
			     then RELAY_DEFERRED with phase SMTP_CL_RCPT */
	const struct relay_body *body;
	uint64_t deadline_ms; /* loop_now: no final dot starts later; 0: none */
	struct ip prefer;     /* this address first, where a hop has it; family 0: any */
	const struct relay_times *times;
	struct arena *arena; /* replies and words are put here */
	/* Who has brought it, for hops that are told (`client by`); NULL: nobody to tell of.
	 * A hop that lacks what is demanded gets the mail without it, and one warning. */
	const struct xclient *client;
	const struct log_context *log; /* EV_ATTEMPT lines; may be NULL */
};

enum relay_stage { /* where a transfer ended */
	RELAY_AT_DNS,
	RELAY_AT_CONNECT,  /* also while it waited for its turn */
	RELAY_AT_GREETING, /* and EHLO */
	RELAY_AT_TLS,
	RELAY_AT_AUTH,
	RELAY_AT_MAIL,
	RELAY_AT_RCPT,
	RELAY_AT_DATA, /* and the body */
	RELAY_AT_DOT,
	RELAY_STAGES
};

/*
 * Where several were tried without an answer, it is of the last one that had words for us: a
 * 4yz to MAIL (which is then the reply), or a refusal before MAIL (`said`); else of the last.
 */
struct relay_result {
	struct smtp_reply reply; /* for all: that of the dot, or what decided before it */
	enum relay_stage stage;
	struct smtp_reply
		said; /* by a session that did not come about (to the connection, EHLO,
			 STARTTLS, AUTH) or was ended (421); code 0: nothing was */
	enum smtp_client_phase phase;
	bool from_hop;              /* the hop's words; false: ours (unreachable, TLS, DNS) */
	struct slice why;           /* what failed, in words for the log; empty: nothing did */
	struct slice hop;           /* the last one tried, as configured: "10.0.0.5:25" */
	struct slice host;          /* its host name where it has one (MX), else as hop */
	struct stream_addr address; /* family 0 and no path: none was reached */
	struct smtp_offer offer;    /* what it has on offer (auth is NULL) */
	bool tls, tls_verified;
	unsigned attempts; /* connections tried, kept ones too */
	/* Of the last connection: who has answered there */
	struct slice banner;  /* the greeting's first line, cut to SMTP_GREETING_MOST */
	bool starttls;        /* was on offer */
	uint64_t certificate; /* see struct tls_info; 0: none seen */
	uint64_t mx_set;      /* mx_set_hash; 0: not by MX, or not known */
};

typedef void relay_fn(void *arg, const struct relay_result *r);

/* m, its body, w->hops are borrowed until fn or a cancel that returns true; w itself is copied.
 */
struct relay_transfer *relay_send(struct relay_pool *p, const struct relay_way *w,
	struct relay_mail *m, relay_fn *fn, void *arg);
/*
 * What the hop says of m's first recipient, as with the mail itself: MAIL with its sender and
 * parameters, RCPT, RSET, over a connection as mails have them, which is kept for the mail. m
 * has no body; the answer is in its recipient and in the result, with phase SMTP_CL_RCPT (or
 * MAIL, where that was refused).
 */
struct relay_transfer *relay_ask(struct relay_pool *p, const struct relay_way *w,
	struct relay_mail *m, relay_fn *fn, void *arg);
/*
 * The client is gone. True: ended, nothing was delivered, fn is not called; *t is cleared.
 * False: the final dot is out, which is never cut: fn still comes, keep the mail until then.
 */
bool relay_cancel(struct relay_transfer **t);
/* The process ends: dropped as it is, behind a final dot too; fn is not called. Takes NULL. */
void relay_abandon(struct relay_transfer **t);
/* The final dot is out (or the transfer done): from here on it cannot be cancelled. */
bool relay_is_final(const struct relay_transfer *t);

/*
 * What every hop of the way that is known has on offer: flags that all have, the smallest SIZE
 * (0: none says one). False: none is known yet. Learnt from every EHLO; what is not known or
 * older than RELAY_OFFER_MS is asked for in the background by this call. Hops `mx` are not
 * asked.
 */
enum { RELAY_OFFER_MS = 10 * 60 * 1000 };
bool relay_offer(struct relay_pool *p, const struct relay_way *w, struct smtp_offer *offer_out);
/* Every hop of the way is marked down. */
bool relay_is_down(struct relay_pool *p, const struct relay_way *w);

/*
 * The call-out (POLICY.md "recipient known by call-out"): MAIL FROM:<>, RCPT, RSET, on
 * connections of its own. 2yz known; 550, 551, 553 with 5.1.x or no enhanced code unknown;
 * other 5yz known; 4yz or no answer failed. Equal probes at once are one. Known is kept an
 * hour, unknown ten minutes, with separate bounds (RELAY_VERIFY_MOST each), failed not at all.
 * Local parts compare without case.
 */
enum relay_known { RELAY_KNOWN, RELAY_UNKNOWN, RELAY_FAILED };
enum { RELAY_VERIFY_MOST = 50000, RELAY_KNOWN_MS = 3600 * 1000, RELAY_UNKNOWN_MS = 600 * 1000 };

/* r: the hop's words, valid in the call; code 0: no answer came. */
typedef void relay_verify_fn(void *arg, enum relay_known known, const struct smtp_reply *r);
struct relay_probe *
relay_verify(struct relay_pool *p, const struct relay_way *w, const struct address *rcpt,
	const struct relay_times *times, relay_verify_fn *fn, void *arg);
void relay_verify_cancel(struct relay_probe **probe); /* takes NULL, clears; not after fn */
/* Judges a reply to a real RCPT in the same way and keeps it: the next probe knows. */
void
relay_verify_note(struct relay_pool *p, const struct address *rcpt, const struct smtp_reply *r);

#endif
