/*
 * The messages between a client (a session process, the keeper) and a delivery process
 * (io/ipc.h): one mail with its recipients of one destination site goes there, one result comes
 * back under the same id.
 *
 *   client  --DELIVERY_MSG_MAIL-->    delivery     [the mail; its spill file as descriptor 0]
 *   client  --DELIVERY_MSG_CANCEL-->  delivery     [empty: nothing waits for it any more]
 *   client  <--DELIVERY_MSG_RESULT--  delivery     exactly once for each mail, cancelled or not
 *   client  --DELIVERY_MSG_RCPT-->    delivery     [`answer at rcpt`: one recipient; CANCEL
 * too] client  <--DELIVERY_MSG_RCPT_SAYS-- delivery   [the remote's reply to it]
 *
 * After CANCEL, or when the channel closes, no final dot is started; one that is out is not
 * cut, and the result tells what became of it. Delivery does not trust what it unpacks, nor
 * does the session.
 */
#ifndef DELIVERY_MESSAGES_H
#define DELIVERY_MESSAGES_H

#include "base/arena.h"
#include "delivery/failure.h"
#include "io/ipc.h"
#include "relay/relay.h"

enum delivery_msg {
	DELIVERY_MSG_MAIL = 0x0d01,
	DELIVERY_MSG_CANCEL,
	DELIVERY_MSG_RESULT,
	DELIVERY_MSG_RCPT,
	DELIVERY_MSG_RCPT_SAYS,
};

/* Which way a mail leaves. */
enum delivery_way {
	DELIVERY_BY_SEND,      /* what `send` says first: MX, or the smarthosts */
	DELIVERY_BY_SMARTHOST, /* the smarthosts of `send direct then smarthost` */
	DELIVERY_BY_DOMAIN,    /* `deliver to` of the declared domain `site` */
	DELIVERY_BY_ROUTE,     /* `route to` of a rule with the text `route` */
	DELIVERY_WAYS
};

enum {
	DELIVERY_INLINE_BYTES = 64 * 1024, /* of the mail itself, in memory parts of the body */
	DELIVERY_RCPTS_MOST = 1000,
	DELIVERY_ROUTE_MOST = 512,
	DELIVERY_LOG_BYTES = 24,
	DELIVERY_BANNER_BYTES = 128,
};

struct delivery_mail {
	struct slice site; /* the recipients' domain (A-label) or "[192.0.2.1]" */
	struct slice log;  /* the mail's id in the session's log */
	enum delivery_way way;
	struct slice route; /* BY_ROUTE: NEXTHOP as its rule writes it */
	struct ip prefer;   /* this address first, where the site has it (greylisting); or 0 */
	bool all_or_none;   /* a refused recipient ends it: one reply serves all */
	uint32_t budget_ms; /* no final dot starts later than this after arrival; 0: none */
	struct address sender; /* raw, domain, utf8, is_null travel; text is raw */
	struct smtp_mail_params params;
	struct relay_rcpt *rcpts; /* address and params */
	size_t n_rcpts;
	struct relay_body body; /* all file parts of one descriptor */
};
/*
 * Without a spool one reply serves all recipients: all_or_none. A route or domain that the
 * configuration of this delivery process does not have any more goes BY_SEND, with an event.
 */

/*
 * Packs m. -1: it does not fit (recipients, or more memory than the payload holds:
 * DELIVERY_INLINE_BYTES of memory parts do): nothing to send. *fd_out: the descriptor to send
 * along, or -1.
 */
int delivery_mail_pack(const struct delivery_mail *m, struct ipc_out *out, int *fd_out);
/*
 * fd: what came along (-1: none), borrowed by the body's parts. The parts borrow from the
 * payload: keep a copy of it in the arena (slices of m_out then live as long as the arena).
 * False: not a mail of ours; wrong parts, ranges beyond 2^62, no recipient.
 */
bool delivery_mail_unpack(
	struct slice payload, int fd, struct arena *a, struct delivery_mail *m_out);
struct delivery_result {
	struct smtp_reply reply; /* for all recipients together, as in struct relay_result */
	enum smtp_client_phase phase;
	bool from_hop;                   /* the remote's own words */
	struct slice hop, host, address; /* "192.0.2.25:25"; empty: none was reached */
	bool tls, tls_verified;
	bool dsn; /* what took the mail has DSN on offer: reports of success are its own */
	uint32_t attempts;
	enum failure_phase
		at; /* where it failed, if it did: of `reply`; of a recipient see phase */
	/* For the egress state (queue/egress.h): of the last connection; empty, 0: none was
	 * made */
	struct slice banner;  /* the text of the greeting's first line, cut to 128 bytes */
	bool starttls;        /* it was on offer */
	uint64_t certificate; /* the first 8 bytes of the SHA-256 of the leaf; 0: none seen */
	uint64_t mx_set; /* hash of the names of all MX hosts; 0: not by MX, or not known */
	struct relay_rcpt *rcpts; /* fate, reply, phase, in the order of the mail; no address */
	size_t n_rcpts;
};

/* Where that recipient failed: by its own reply, else as all. */
enum failure_phase delivery_rcpt_at(const struct delivery_result *r, size_t rcpt);

/* Words of replies are cut so that it always fits. */
void delivery_result_pack(const struct delivery_result *r, struct ipc_out *out);
bool
delivery_result_unpack(struct slice payload, struct arena *a, struct delivery_result *r_out);

/* `answer at rcpt`: asked over a connection that is then kept for the mail itself. */
struct delivery_rcpt_question {
	struct slice site, log;
	struct address sender;
	struct smtp_mail_params params;
	struct address rcpt;
	struct smtp_rcpt_params rcpt_params;
	uint32_t budget_ms;
};
void delivery_rcpt_question_pack(const struct delivery_rcpt_question *q, struct ipc_out *out);
bool delivery_rcpt_question_unpack(
	struct slice payload, struct arena *a, struct delivery_rcpt_question *q_out);
/*
 * The remote's reply to the recipient, or its refusal of the sender; or 5yz of ours where the
 * DNS says that the domain takes no mail. code 0: nobody was reached in time: nothing is known.
 * Exactly one for each question, cancelled or not.
 */
void delivery_rcpt_answer_pack(const struct smtp_reply *r, struct ipc_out *out);
bool
delivery_rcpt_answer_unpack(struct slice payload, struct arena *a, struct smtp_reply *r_out);

/* Which of n delivery processes has the connections to that site: the same in all processes. */
size_t delivery_index(struct slice site, size_t n);

#endif
