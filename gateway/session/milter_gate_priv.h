/* Shared by the files of the milter's gate; nobody else includes it. */
#ifndef SESSION_MILTER_GATE_PRIV_H
#define SESSION_MILTER_GATE_PRIV_H

#include "session/milter_gate.h"
#include "smtp/dot.h"

enum milter_about {
	MILTER_ABOUT_NOTHING,
	MILTER_ABOUT_RCPT,
	MILTER_ABOUT_DATA,
	MILTER_ABOUT_END
};

struct milter_gate {
	const struct milter_gate_config *config;
	uint32_t agreed; /* steps */
	bool mta_keeps;  /* it takes QUARANTINE */
	bool macros_chosen;
	/* of the MTA's client: a connection may bring several, one after the other */
	struct log_context log;
	unsigned mails; /* of all clients and both directions: ids of mails are told once */
	struct flt_session session; /* its slices point into these */
	char helo[256], user[256], tls_version[32], tls_cipher[64];
	bool heard_macros;     /* any at all */
	bool outbound_network; /* the client is in `outbound from` */
	bool marked;           /* its sessions have killed processes */
	enum direction direction;
	struct pipeline *pipeline; /* NULL: no client yet */
	unsigned taken, refused, rcpts_refused;
	/* of the mail */
	bool in_mail, in_data, in_text, over;
	struct arena *sender; /* its address and parameters */
	struct slice *paths;  /* of its recipients, as they came: to be removed again by */
	size_t paths_room;
	struct slice path; /* of the recipient under decision */
	struct address rcpt;
	struct slice queue;        /* the MTA's id of the mail */
	struct smtp_reply refusal; /* decided where no answer is awaited: given at the next that
				      is; code 0: none */
	const char *refusal_rule;
	struct buf header;      /* of it, what was not yet handed on */
	struct dot_reader text; /* what may be in a mail, as by SMTP */
	bool text_lost;         /* no more of it reaches the pipeline: it is refused */
	/* the event under way */
	enum milter_about about;
	bool kept; /* in quarantine, by the MTA */
	bool waiting, signing, signing_told;
	bool ready;
	struct milter_answer answer;
};

/* milter_gate.c */
void milter_gate_say(struct milter_gate *g, enum milter_verdict v);
void milter_gate_refuse(struct milter_gate *g, struct smtp_reply r);

/* milter_gate_mail.c: a mail from MAIL to its last byte */
void milter_gate_mail(struct milter_gate *g, const struct milter_event *ev);
void milter_gate_rcpt(struct milter_gate *g, const struct milter_event *ev);
void milter_gate_data(struct milter_gate *g);
void milter_gate_header(struct milter_gate *g, const struct milter_event *ev);
void milter_gate_text(struct milter_gate *g, struct slice bytes);
void milter_gate_step(struct milter_gate *g, enum step s);
void milter_gate_mail_end(struct milter_gate *g);

/* milter_gate_end.c: what becomes of it */
void milter_gate_end(struct milter_gate *g);
void milter_gate_decided(struct milter_gate *g, enum step s);
void milter_gate_finish(struct milter_gate *g, struct slice signatures);
void milter_gate_log(struct milter_gate *g, const char *decision, const struct smtp_reply *r);

#endif
