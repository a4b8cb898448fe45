/*
 * Delivery status notifications (RFC 3464 in a multipart/report of RFC 6522, RFC 3461, RFC 6533
 * for addresses that need UTF-8; OUT-09): the bytes of one, to be stored and sent as any mail,
 * from `<>`. Whether one is due is asked here too, so that NOTIFY is read in one place. Pure.
 */
#ifndef QUEUE_DSN_H
#define QUEUE_DSN_H

#include "base/arena.h"
#include "queue/stored.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_RELAYED, DSN_DELIVERED, DSN_ACTIONS };
enum {
	DSN_RETURN_MOST = 64 * 1024 /* bytes of the original that go back, header lines first */
};

struct dsn_rcpt {
	const struct stored_rcpt *rcpt;
	const struct stored_rcpt_note *note;
	enum dsn_action action;
};

struct dsn_input {
	struct slice hostname; /* Reporting-MTA */
	struct slice domain;   /* From: MAILER-DAEMON at it, and of Message-ID */
	const struct stored_mail *mail;
	struct slice id;     /* unique, for Message-ID and boundaries: hexadecimal */
	int64_t now_ms;      /* wall clock */
	uint64_t give_up_ms; /* DELAYED: until when it is tried, wall clock */
	struct dsn_rcpt *rcpts;
	size_t n_rcpts;
	struct slice original; /* its first bytes: at least the header, up to DSN_RETURN_MOST */
	bool original_whole;   /* that is all of it */
};

struct dsn {
	struct slice bytes; /* header and body, CRLF lines of at most 998 bytes, in the arena */
	size_t header_bytes;     /* up to and with the empty line */
	bool eightbit, smtputf8; /* what the next hop must take */
};

/* All that dsn_make takes of its arena for so many recipients, and all that it makes. */
#define DSN_ROOM(n_rcpts) ((size_t)(n_rcpts)*2560 + (size_t)4 * 1024 * 1024)

/*
 * Whether this recipient's sender is told of that, by NOTIFY: a failure unless he wants none, a
 * delay and a success where he asks for them. Never where the sender is <> or not ours: the
 * gateway sends no backscatter.
 */
bool dsn_is_due(const struct stored_mail *m, const struct stored_rcpt *r, enum dsn_action a);
void dsn_make(const struct dsn_input *in, struct arena *a, struct dsn *dsn_out);

#endif
