/*
 * The client side of SMTP and LMTP as a machine without I/O: one connection to a next hop, many
 * mails over it (RFC 5321, 2033, 2920, 3207, 4954; EXT-14, SMG-03, SMG-07, SMG-08).
 *
 *   smtp_client_new -> [connected: feed/output] -> READY -> smtp_client_send -> ... -> DONE ->
 * READY
 *
 * The driver moves bytes both ways, holds the deadlines (smtp_client_phase tells which), and
 * gives the body through smtp_client_body in pieces, as fast as smtp_client_wants_body says.
 * The machine is the only code that writes DATA (smtp/dot.h): it stuffs dots and must() never
 * emit bare CR or LF. Replies are matched by position; one that is no reply ends the connection
 * (smtp_client_failed).
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "smtp/address.h"
#include "smtp/param.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

enum smtp_client_phase {
	SMTP_CL_GREETING,
	SMTP_CL_EHLO,
	SMTP_CL_STARTTLS,
	SMTP_CL_TLS /* the driver's turn */,
	SMTP_CL_AUTH,
	SMTP_CL_READY,
	SMTP_CL_XCLIENT,
	SMTP_CL_MAIL /* and XFORWARD in front of it */,
	SMTP_CL_RCPT,
	SMTP_CL_DATA,
	SMTP_CL_BODY,
	SMTP_CL_DOT /* the final dot is out: never cut */,
	SMTP_CL_RSET,
	SMTP_CL_QUIT,
	SMTP_CL_CLOSED,
};

enum smtp_client_tls { SMTP_TLS_NEVER, SMTP_TLS_MAY, SMTP_TLS_MUST, SMTP_TLS_ALREADY };

struct smtp_client_config {
	struct slice hostname; /* for EHLO/LHLO */
	bool lmtp;
	enum smtp_client_tls tls;
	struct slice user, password; /* AUTH PLAIN or LOGIN; only under TLS; empty: none */
};

struct smtp_client_rcpt {
	struct address address;
	struct smtp_rcpt_params params;
	/* filled by the machine */
	struct smtp_reply
		reply; /* to RCPT, or (LMTP, or all) to the dot; in the mail's arena */
	bool sent;     /* the final dot went out with this recipient accepted */
};

struct smtp_client_mail {
	struct address sender;
	struct smtp_mail_params params;
	struct smtp_client_rcpt *rcpts;
	size_t n_rcpts;
	bool all_or_none;    /* a refused RCPT ends the transaction before DATA */
	bool probe;          /* MAIL, RCPT, RSET: no DATA, `reply` is that to RCPT */
	struct arena *arena; /* for replies */
	/* Who has brought the mail, told by XCLIENT or XFORWARD where the remote has them;
	 * NULL: not told. The machine remembers what it has told by XCLIENT, over many mails.
	 */
	const struct xclient *xclient, *xforward;
	/* filled by the machine */
	struct smtp_reply reply;      /* that decided: to MAIL, DATA or the dot; code 0: lost */
	enum smtp_client_phase phase; /* where it was decided or lost */
	bool asked;                   /* false: refused by us, for what the remote lacks */
	bool unnamed; /* the remote was not told the client: it lacks the extension, or refused
			 XFORWARD */
};

struct smtp_client;

enum { SMTP_GREETING_MOST = 128 };

struct smtp_client *smtp_client_new(const struct smtp_client_config *c); /* copied */
void smtp_client_free(struct smtp_client **c);
size_t smtp_client_feed(struct smtp_client *c, struct slice in);
struct slice smtp_client_output(const struct smtp_client *c);
void smtp_client_written(struct smtp_client *c, size_t n);
enum smtp_client_phase smtp_client_phase(const struct smtp_client *c);
/* In SMTP_CL_TLS with the output written: the driver shakes hands, then calls this. Clear text
 * that was read with the 220 must be thrown away by the driver (SMG-07). */
void smtp_client_tls_started(struct smtp_client *c);
/* What the remote has on offer, since the last EHLO. */
const struct smtp_offer *smtp_client_offer(const struct smtp_client *c);
/* The words of the greeting's first line, cut; empty: none came yet. Live with the machine. */
struct slice smtp_client_greeting(const struct smtp_client *c);
/* Only in READY. The mail is borrowed until smtp_client_done. */
void smtp_client_send(struct smtp_client *c, struct smtp_client_mail *m);
/* In BODY: how many bytes may be given now (its output buffer is bounded); 0: write first. */
size_t smtp_client_wants_body(const struct smtp_client *c);
void smtp_client_body(struct smtp_client *c, struct slice data);
void
smtp_client_body_end(struct smtp_client *c); /* the dot; completes a last line without CRLF */
/* The mail is settled: READY again or CLOSED. True once a mail. */
bool smtp_client_done(struct smtp_client *c);
void smtp_client_quit(struct smtp_client *c);
/* The connection is of no use: the reply that ended it (greeting, EHLO, STARTTLS, AUTH
 * refused), or code 0 and *why_out in words. A mail under way is settled with what is known. */
bool
smtp_client_failed(const struct smtp_client *c, struct smtp_reply *r_out, const char **why_out);
/* Where it failed: the phase that it was in, or that it could not enter (no TLS on offer). */
enum smtp_client_phase smtp_client_failed_in(const struct smtp_client *c);
/* The peer closed or the driver's deadline passed: settles as lost. */
void smtp_client_lost(struct smtp_client *c, const char *why);

#endif
