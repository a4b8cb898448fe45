/*
 * The messages between a session process and a delivery process (io/ipc.h): one outbound mail
 * with its recipients of one destination site goes there, one result comes back under the same
 * id.
 *
 *   session  --DELIVERY_MSG_MAIL-->    delivery     [the mail; its spill file as descriptor 0]
 *   session  --DELIVERY_MSG_CANCEL-->  delivery     [empty: the client is gone]
 *   session  <--DELIVERY_MSG_RESULT--  delivery     exactly once for each mail, cancelled or
 * not
 *
 * After CANCEL, or when the channel closes, no final dot is started; one that is out is not
 * cut, and the result tells what became of it. Delivery does not trust what it unpacks, nor
 * does the session.
 */
#ifndef DELIVERY_MESSAGES_H
#define DELIVERY_MESSAGES_H

#include "base/arena.h"
#include "io/ipc.h"
#include "relay/relay.h"

enum delivery_msg {
	DELIVERY_MSG_MAIL = 0x0d01,
	DELIVERY_MSG_CANCEL,
	DELIVERY_MSG_RESULT,
};

enum {
	DELIVERY_INLINE_BYTES = 64 * 1024, /* of the mail itself, in memory parts of the body */
	DELIVERY_RCPTS_MOST = 1000,
	DELIVERY_LOG_BYTES = 24,
};

struct delivery_mail {
	struct slice site;     /* the recipients' domain (A-label) or "[192.0.2.1]" */
	struct slice log;      /* the mail's id in the session's log */
	uint32_t budget_ms;    /* no final dot starts later than this after arrival; 0: none */
	struct address sender; /* raw, domain, utf8, is_null travel; text is raw */
	struct smtp_mail_params params;
	struct relay_rcpt *rcpts; /* address and params */
	size_t n_rcpts;
	struct relay_body body; /* all file parts of one descriptor */
};
/* Without a spool one reply serves all recipients: where one is refused, none gets the mail. */

/*
 * Packs m. -1: it does not fit (recipients, or more memory than the payload holds; see
 * delivery_body_to_file): nothing to send. *fd_out: the descriptor to send along, or -1.
 */
int delivery_mail_pack(const struct delivery_mail *m, struct ipc_out *out, int *fd_out);
/*
 * fd: what came along (-1: none), borrowed by the body's parts. The parts borrow from the
 * payload: keep a copy of it in the arena (slices of m_out then live as long as the arena).
 * False: not a mail of ours; wrong parts, ranges beyond 2^62, no recipient.
 */
bool delivery_mail_unpack(
	struct slice payload, int fd, struct arena *a, struct delivery_mail *m_out);
/*
 * Where the memory parts of a body are too much for a message: writes all parts longer than 4
 * KiB to fd from offset `at` on, and lets the body point there. 0, or -1 and err (full disk).
 * File parts that are there must be of the same fd.
 */
int delivery_body_to_file(struct relay_body *b, int fd, uint64_t at, struct err *err);

struct delivery_result {
	struct smtp_reply reply; /* for all recipients together, as in struct relay_result */
	enum smtp_client_phase phase;
	bool from_hop;                   /* the remote's own words */
	struct slice hop, host, address; /* "192.0.2.25:25"; empty: none was reached */
	bool tls, tls_verified;
	uint32_t attempts;
	struct relay_rcpt *rcpts; /* fate, reply, phase, in the order of the mail; no address */
	size_t n_rcpts;
};

/* Words of replies are cut so that it always fits. */
void delivery_result_pack(const struct delivery_result *r, struct ipc_out *out);
bool
delivery_result_unpack(struct slice payload, struct arena *a, struct delivery_result *r_out);

/* Which of n delivery processes has the connections to that site: the same in all processes. */
size_t delivery_index(struct slice site, size_t n);

#endif
