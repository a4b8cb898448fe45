/*
 * The server side of SMTP as a machine without I/O (RFC 5321; SRV-01 to SRV-13, SMG-01,
 * SMG-02).
 *
 *   feed bytes -> take events, one by one -> answer those that want it -> write the output
 *
 * While an event has not been taken or a reply is owed, feed takes no bytes: that is the
 * back-pressure. The machine keeps the order of the protocol, the limits, and answers by itself
 * what needs no decision (NOOP, RSET, VRFY, HELP, bad syntax, wrong order, bare CR or LF). It
 * has no clock: the driver holds the deadlines and calls smtp_server_close with a 421.
 *
 * Slices in an event: what a HELO, AUTH or AUTH_DATA says lives until the reply; MAIL's and
 * RCPT's until RESET is dealt with; `data` of BODY and REFUSED points into the bytes fed: take
 * the event before you let go of them.
 *
 * Early talkers (SRV-03): give feed what was read even when a reply is owed. It takes nothing
 * then, but so the machine learns that input was there behind a command that may not be
 * pipelined (or before the greeting), until its reply is written: the driver's reply is
 * replaced by 554 and CLOSE follows. After HELO no command may be pipelined. So call
 * smtp_server_written as soon as bytes are handed on, before the next read. Clients that have
 * authenticated are spared, except around STARTTLS.
 *
 * To coalesce the replies to pipelined commands, write when feed has taken all there is, or
 * when an event waits for something slow.
 *
 * Bare CR, bare LF and NUL have no lenient path: in a command 500 5.5.2, once, where it is met,
 * and the rest up to CRLF is passed over; in the data the mail is read to its true end, refused
 * with 550 5.6.0 and never handed on whole (SMTP_EV_BODY_BAD).
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "smtp/address.h"
#include "smtp/param.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

enum smtp_event_type {
	SMTP_EV_NONE,
	/* these owe a reply */
	SMTP_EV_CONNECT, /* first of all: 220 (the hostname is put in front where it is
			    missing), 4yz: the end, 5yz: only QUIT is taken */
	SMTP_EV_HELO, /* name, esmtp; a 250 is completed: "hostname words", extensions. Another
			 reply forgets an earlier EHLO too */
	SMTP_EV_STARTTLS, /* 220 or 454; after 220 see smtp_server_tls_wanted */
	SMTP_EV_AUTH, /* mechanism in upper case, initial response in `data` (has_data), base64,
			 "=" made empty; 235, 334 and base64, or a refusal */
	SMTP_EV_AUTH_DATA, /* the client's answer to our 334, base64 still; "*": cancelled */
	SMTP_EV_XCLIENT,   /* `named`; 220 as for CONNECT: EHLO is due again; or a refusal */
	SMTP_EV_XFORWARD,  /* `named`; 250, or a refusal */
	SMTP_EV_MAIL,
	SMTP_EV_RCPT,
	SMTP_EV_DATA,     /* 354, or a refusal */
	SMTP_EV_BODY_END, /* the data is complete and clean: the reply to the mail */
	/* these owe none */
	SMTP_EV_BODY,     /* `data`: bytes of the mail, dots unstuffed, in order */
	SMTP_EV_BODY_BAD, /* at the end of the data: refused by the machine (`reply`): drop it
			   */
	/*
	 * The transaction is gone: drop all of it. Once for each MAIL event, last: after RSET,
	 * HELO, a refusal, the reply to BODY_END, before CLOSE.
	 */
	SMTP_EV_RESET,
	SMTP_EV_REFUSED, /* the machine refused a command by itself: `reply`, `data` the line */
	SMTP_EV_CLOSE,   /* flush the output, then close; `reply` what was last said */
};

struct smtp_event {
	enum smtp_event_type type;
	struct slice name;      /* HELO: as sent; AUTH: the mechanism */
	bool esmtp;             /* EHLO, not HELO */
	struct address address; /* MAIL, RCPT: in the transaction's arena */
	struct smtp_mail_params mail;
	struct smtp_rcpt_params rcpt;
	struct slice data;
	bool has_data;
	struct smtp_reply reply;
	const struct xclient
		*named; /* XCLIENT, XFORWARD: this command alone; until the reply */
};

struct smtp_server_limits {
	size_t command_bytes;   /* 512 with CRLF (RFC 5321 4.5.3.1.4); MAIL and RCPT get more by
				   the   extensions on offer, AUTH and its answers, XCLIENT
				   and XFORWARD 12288 */
	size_t recipients;      /* at least 100; beyond 452 4.5.3 */
	uint64_t mail_bytes;    /* 552 5.3.4 */
	size_t text_line_bytes; /* 998 and CRLF; longer lines refuse the mail (SRV-05) */
	unsigned commands;      /* in a session; the next gets 421 4.7.0 (QUIT never does) */
	unsigned errors;       /* 5yz replies in a session, and refused RCPTs of one mail beyond
				  1,000, temporary ones too; the next command gets 421 4.7.0 */
	unsigned transactions; /* in a session; the next MAIL gets 421 4.7.0 */
};
extern const struct smtp_server_limits smtp_server_limits_default;

struct smtp_server;

/* hostname and limits are kept, not copied. offer may change through smtp_server_offer. */
struct smtp_server *smtp_server_new(struct slice hostname,
	const struct smtp_server_limits *limits, const struct smtp_offer *offer);
void smtp_server_free(struct smtp_server **s);
size_t smtp_server_feed(struct smtp_server *s, struct slice in); /* bytes taken */
bool smtp_server_event(struct smtp_server *s, struct smtp_event *ev_out);
/*
 * r's text is copied; a missing enhanced code becomes X.0.0. Wrong to call when none is owed,
 * or the event was not taken (must). 421 and 521 close.
 */
void smtp_server_reply(struct smtp_server *s, const struct smtp_reply *r);
struct slice smtp_server_output(const struct smtp_server *s);
void smtp_server_written(struct smtp_server *s, size_t n);
/* What may be offered now: after authentication, after TLS. */
void smtp_server_offer(struct smtp_server *s, const struct smtp_offer *offer);
/*
 * After 220 to STARTTLS: true once the output is written; the driver throws away what it has
 * read and not fed (SMG-07), makes the handshake, and calls smtp_server_tls_started: all that
 * was learnt in clear is forgotten, EHLO is due again (RFC 3207 4.2).
 */
bool smtp_server_tls_wanted(const struct smtp_server *s);
void smtp_server_tls_started(struct smtp_server *s);
/* From outside: deadline, overload, shutdown. Says r (4yz) once, then SMTP_EV_CLOSE. */
void smtp_server_close(struct smtp_server *s, const struct smtp_reply *r);
bool smtp_server_is_idle(const struct smtp_server *s); /* between commands, no transaction */
bool smtp_server_in_data(const struct smtp_server *s);
/* What is said to a path that does not parse. */
struct smtp_reply smtp_server_address_refusal(enum address_error e, bool reverse);
/* Owed and not yet given. */
bool smtp_server_owes(const struct smtp_server *s);

#endif
