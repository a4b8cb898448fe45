/* What the files of the server machine share; nobody else includes it. */
#ifndef SMTP_SERVER_PRIV_H
#define SMTP_SERVER_PRIV_H

#include "base/arena.h"
#include "base/buf.h"
#include "smtp/dot.h"
#include "smtp/line.h"
#include "smtp/server.h"

/* States in which a command is taken come first: they are the columns of the table. */
enum smtp_state {
	SMTP_ST_START,   /* greeted; EHLO is due */
	SMTP_ST_REFUSED, /* greeted with 554: only QUIT is taken */
	SMTP_ST_READY,   /* no transaction */
	SMTP_ST_MAIL,    /* MAIL accepted */
	SMTP_ST_RCPT,    /* and at least one RCPT */
	SMTP_ST_COMMAND_STATES,
	SMTP_ST_AUTH = SMTP_ST_COMMAND_STATES, /* the next line answers our 334 */
	SMTP_ST_DATA,
	SMTP_ST_TLS, /* 220 to STARTTLS given */
	SMTP_ST_CLOSED,
};

enum {
	SERVER_EVENTS_MOST = 4,
	SERVER_OUT_HIGH = 16 * 1024, /* beyond it no command is taken until some is written */
	SERVER_OUT_MOST = 128 * 1024,
	SERVER_OVERSHOOT = 1000,          /* refused RCPTs of one mail */
	TRANSACTION_COMMAND_BYTES = 4096, /* room that MAIL or RCPT can need in the arena */
};

/* One mail's envelope and the reading of its data; destroyed on every way out (SRV-04). */
struct transaction {
	struct arena *arena; /* holds this too */
	bool announced;      /* its MAIL event was taken: RESET is owed to the driver */
	size_t recipients;   /* accepted */
	size_t refused;      /* for too many, or by the driver */
	struct address address;
	struct smtp_mail_params mail;
	struct smtp_rcpt_params rcpt;
	struct dot_reader dot;
};

struct waiting_event {
	enum smtp_event_type type;
	bool esmtp, has_data;
	struct slice name, data;
	struct smtp_reply reply;
};

struct smtp_server {
	struct slice hostname;
	const struct smtp_server_limits *limits;
	struct smtp_offer offer;
	struct line_reader line;
	struct buf out;
	struct buf words; /* what an event that owes a reply points into */
	struct waiting_event events[SERVER_EVENTS_MOST];
	uint8_t n_events;
	enum smtp_state state;
	enum smtp_event_type owed;
	bool stuffed; /* input came when none was to come (SRV-03) */
	bool sync;    /* a reply that the client must await is not written */
	bool esmtp, tls, authenticated;
	unsigned commands, errors, transactions;
	struct transaction *t;
	struct arena *past;    /* of the last one, until its RESET is dealt with */
	bool past_told;        /* that RESET was taken */
	struct xclient *named; /* by the last XCLIENT or XFORWARD; NULL: there was none */
};

/* server.c */
void server_push(struct smtp_server *s, struct waiting_event ev);
void server_owe(struct smtp_server *s, struct waiting_event ev); /* push, and a reply is owed */
void server_say(struct smtp_server *s, struct smtp_reply r);     /* completes enhanced codes */
/* A refusal by the machine: said, counted, and told to the driver with the line. */
void server_refuse(struct smtp_server *s, const char *reply, struct slice line);
void server_refuse_with(struct smtp_server *s, struct smtp_reply r, struct slice line);
/* The same, and the end: nothing that follows is to be read as commands. */
void server_refuse_and_close(struct smtp_server *s, const char *reply, struct slice line);
void server_close_with(struct smtp_server *s, struct smtp_reply r); /* its text is copied */
void server_end_transaction(struct smtp_server *s);
/* A RCPT was refused: beyond SERVER_OVERSHOOT each is an error, temporary ones too. */
void server_count_refused(struct smtp_server *s);
/* A copy of the line that lasts until the reply to the event that points into it. */
struct slice server_keep(struct smtp_server *s, struct slice line);

/* server_verbs.c */
void server_command(struct smtp_server *s, struct slice line);

/* server_named.c */
void server_xclient(struct smtp_server *s, struct slice args, struct slice line);
void server_xforward(struct smtp_server *s, struct slice args, struct slice line);

/* server_auth.c */
void server_auth(struct smtp_server *s, struct slice args, struct slice line);
void server_auth_line(struct smtp_server *s, struct slice line);
void server_auth_replied(struct smtp_server *s, const struct smtp_reply *r);

/* server_reply.c */
bool
server_awaits_silence(const struct smtp_server *s); /* nothing may be sent before our reply */
void server_violated(struct smtp_server *s);

#endif
