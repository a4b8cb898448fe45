/*
 * One SMTP session as a machine without I/O: the protocol (smtp/server.h) over the pipeline,
 * the guard against relaying, and the replies. Its driver moves the bytes, asks the questions,
 * carries mails on, checks passwords and shakes hands; tests/play drives it with a table and no
 * clock.
 *
 *   gate_feed -> gate_wants, gate_question, gate_output -> ... -> gate_feed
 *
 * After each call the driver takes everything the gate wants and all questions; each want
 * stands until its answer (gate_transferred, gate_authenticated, ...) is given.
 */
#ifndef SESSION_GATE_H
#define SESSION_GATE_H

#include "queue/messages.h"
#include "relay/relay.h"
#include "session/pipeline.h"
#include "session/sign.h"
#include "smtp/server.h"

struct gate;

struct gate_client {
	struct ip ip, local;
	uint16_t port;
	struct slice refuse; /* "421 4.7.0 ..." or "554 ...": the greeting; empty: 220 */
};

enum gate_want {
	GATE_WANT_NOTHING,
	GATE_WANT_TRANSFER, /* carry the mail on: gate_transfer, then gate_transferred */
	GATE_WANT_RCPT,     /* ask a recipient's server: gate_rcpt, then gate_rcpt_answered */
	GATE_WANT_AUTH,     /* one step of AUTH: gate_auth, then gate_auth_... */
	GATE_WANT_SIGN,     /* have the digests signed: gate_signs, then gate_signed */
	GATE_WANT_TLS,      /* the output is written: shake hands, then gate_tls_started */
	GATE_WANT_CLOSE,    /* write the output, then close */
};

/*
 * A mail to be carried on: to one next hop, or in parcels to the keeper. Everything is borrowed
 * from the gate until gate_transferred.
 */
struct gate_transfer {
	struct queue_parcel *parcels; /* with a spool, n_parcels != 0: to the keeper */
	size_t n_parcels;
	uint32_t budget_ms;   /* how long the client may wait for the remotes */
	bool give_back, hold; /* see struct queue_take */
	/* else: */
	const struct hop_list *hops; /* a declared domain's servers; NULL: to the outside */
	struct slice
		site; /* outside: the domain (A-label) or address literal of all recipients */
	struct relay_mail mail; /* the driver, or relay_send, fills in what became of it */
	struct relay_body body;
	/* filled by the driver, in mail.arena */
	struct smtp_reply reply; /* for all: to the dot, or what decided before it; of parcels:
				    our own reply */
	bool from_hop;           /* the hop's words, not ours */
	struct slice hop;        /* the next hop that was tried last */
	const struct queue_result *result; /* of the keeper; NULL: it gave none */
};

/* `answer at rcpt`: the recipient's server is asked before its RCPT is answered. */
struct gate_rcpt {
	struct slice site; /* its domain (A-label) or address literal */
	struct address sender, rcpt;
	struct smtp_mail_params params;
	struct smtp_rcpt_params rcpt_params;
	const struct log_context *log;
	uint32_t budget_ms;
};

struct gate_auth_step {
	bool first; /* a new exchange: the mechanism's name and maybe an initial response */
	struct slice mechanism;
	bool has_data;
	struct slice data; /* base64 as it came; "*" cancels */
};

/* A peer that may name its client: such a one is an MTA, and no client of one address. */
bool gate_is_peer(const struct conf_listener *l, const struct ip *ip);
/* id: of the session, up to 16 characters, copied. now_ms: wall clock, for dates and x=. */
struct gate *gate_new(const struct gate_config *config, const struct gate_client *client,
	const char *id, int64_t now_ms);
void gate_free(struct gate **g);

size_t gate_feed(struct gate *g, struct slice in);
struct slice gate_output(const struct gate *g);
void gate_written(struct gate *g, size_t n);
/* The clock, as often as the driver likes; only for dates. */
void gate_clock(struct gate *g, int64_t now_ms);

enum gate_want gate_wants(struct gate *g);
struct question *gate_question(struct gate *g, struct questions **scope_out);
/* After one or more answers were put in. */
void gate_answered(struct gate *g);

struct gate_transfer *gate_transfer(struct gate *g);
/* The bytes of the mail under way, as they came; NULL between mails. */
struct spill *gate_spill(struct gate *g);
/* The transfer's body again, now with the mail in its spill file. -1, err: a full disk. */
int gate_body_to_file(struct gate *g, struct err *err);
void gate_transferred(struct gate *g);
/*
 * No server of the next hop could be reached, nothing was said or sent. True: its domain holds
 * its mail then, and the transfer is one to the keeper now. False: as it is.
 */
bool gate_unreachable(struct gate *g);
/* Time that the client has waited for remotes: it is bounded for each connection. */
void gate_waited(struct gate *g, uint64_t ms);

const struct gate_rcpt *gate_rcpt(const struct gate *g);
/* r: the server's reply; NULL: nobody was reached in time. */
void gate_rcpt_answered(struct gate *g, const struct smtp_reply *r);

/* One set of them at a time, as often as it is wanted. In their order; NULL: nobody could sign.
 * The mail then waits at its sender, never unsigned.
 */
const struct sign_request *gate_signs(const struct gate *g, size_t *n_out);
void gate_signed(struct gate *g, const struct slice *signatures);

const struct gate_auth_step *gate_auth(const struct gate *g);
void gate_auth_challenge(struct gate *g, struct slice base64);   /* 334 */
void gate_auth_done(struct gate *g, bool ok, struct slice user); /* 235, 535 */
void gate_auth_failed(struct gate *g);                           /* 454: nobody could check */

void gate_tls_started(struct gate *g, struct slice version, struct slice cipher);
/* Implicit TLS: before the first feed. */
void gate_tls_from_start(struct gate *g, struct slice version, struct slice cipher);

/* The deadline that holds now has passed: 421 and close; in the data too (SRV-11, SRV-12). */
void gate_expired(struct gate *g);
/* How long the client may take for what is due from it now; 0: nothing is due from it. */
uint64_t gate_allowed_ms(const struct gate *g);
/* The gateway ends: 421 as soon as no transaction is open (SRV-12). */
void gate_stop(struct gate *g);
/* The client is gone: what is under way is dropped. A transfer under way is still awaited. */
void gate_gone(struct gate *g);
bool gate_in_transfer(const struct gate *g);
/* Whose doing it is what happens now: the client, or whom the peer has named. */
const struct ip *gate_client_ip(const struct gate *g);

#endif
