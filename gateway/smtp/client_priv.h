/* What the files of the client machine share: client.c, client_hello.c, client_mail.c. */
#ifndef SMTP_CLIENT_PRIV_H
#define SMTP_CLIENT_PRIV_H

#include "base/arena.h"
#include "base/buf.h"
#include "smtp/client.h"
#include "smtp/dot.h"

enum {
	CLIENT_OUT_BYTES = 64 * 1024,
	CLIENT_IN_BYTES = 2 * SMTP_REPLY_BYTES_MOST,
	CLIENT_COMMAND_BYTES = 2048, /* the longest command: RCPT with ORCPT, or AUTH PLAIN */
	CLIENT_TEXT_KEPT = 1024,     /* of a reply's words, in the mail's arena */
	CLIENT_AUTH_BYTES = 128,
	CLIENT_LEADS = 2, /* XFORWARD lines in front of MAIL */
};

enum client_auth {
	CLIENT_AUTH_PLAIN,
	CLIENT_AUTH_LOGIN,
	CLIENT_AUTH_USER,
	CLIENT_AUTH_PASSWORD
};

struct smtp_client {
	struct smtp_client_config config; /* its slices live in `own` */
	struct arena *own;
	struct arena *scratch; /* the reply being looked at, or the one that ended it */
	struct buf in, out;
	enum smtp_client_phase phase;
	struct smtp_offer offer;
	char mechanisms[CLIENT_AUTH_BYTES]; /* offer.auth points here */
	bool pipelining;
	bool helo; /* EHLO was refused, HELO tried */
	enum client_auth auth_step;

	bool failed;
	const char *why;
	struct smtp_reply ended_by;
	enum smtp_client_phase failed_in;
	struct slice greeting; /* its first line, in `own` */

	/*
	 * The mail under way. Its commands have positions: 0 is MAIL, 1 to n_rcpts are RCPT,
	 * then DATA. `asked` have been written, `answered` have their reply: the next reply
	 * belongs to position `answered`, whatever it says (SMG-08).
	 */
	struct smtp_client_mail *mail;
	size_t asked, answered;
	size_t accepted, refused; /* recipients, at RCPT */
	bool stopped;             /* MAIL was refused: ask nothing more */
	bool open;                /* MAIL was accepted and no final dot ended it: RSET */
	bool hollow;              /* 354 without a recipient: a dot alone */
	size_t dot_next;          /* LMTP: the recipient whose reply comes next */
	struct dot_writer writer;
	bool settled;

	size_t led, led_answered, n_leads; /* XFORWARD: written, answered, of */
	struct buf told;                   /* the last XCLIENT of this connection */
};

void
client_write(struct smtp_client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The connection is of no use; a mail under way is settled. r: the reply that says so, or NULL.
 */
void client_fail(struct smtp_client *c, const struct smtp_reply *r, const char *why);
/* A copy for the mail, its words cut to what its arena bears. */
struct smtp_reply client_keep(struct smtp_client *c, const struct smtp_reply *r);

void client_hello(struct smtp_client *c);
void client_ready(struct smtp_client *c);     /* a mail that waited for EHLO goes on */
void client_send_mail(struct smtp_client *c); /* MAIL, now that all was said before it */
void client_take_greeting(struct smtp_client *c, const struct smtp_reply *r);
void client_take_hello(struct smtp_client *c, const struct smtp_reply *r);
void client_take_starttls(struct smtp_client *c, const struct smtp_reply *r);
void client_take_auth(struct smtp_client *c, const struct smtp_reply *r);

bool client_introduce(struct smtp_client *c);
void client_take_xclient(struct smtp_client *c, const struct smtp_reply *r);
struct slice client_hello_name(const struct smtp_client *c);
void client_lead(struct smtp_client *c);
bool client_write_leads(struct smtp_client *c);
bool client_take_lead(struct smtp_client *c, const struct smtp_reply *r);

void client_ask(struct smtp_client *c); /* writes the commands that may go out now */
void client_take_mail(struct smtp_client *c, const struct smtp_reply *r);
void client_take_early(struct smtp_client *c, const struct smtp_reply *r); /* within the data */
void client_take_dot(struct smtp_client *c, const struct smtp_reply *r);
void client_settle_lost(struct smtp_client *c);

#endif
