/* Shared by the files of the gate; nobody else includes it. */
#ifndef SESSION_GATE_PRIV_H
#define SESSION_GATE_PRIV_H

#include "session/gate.h"

/* What the gate waits for before it can answer the client. */
enum gate_wait { GATE_IDLE, GATE_FACTS, GATE_SIGN, GATE_TRANSFER, GATE_AUTH };
/* What is being decided. */
enum gate_about { ABOUT_RCPT, ABOUT_DATA, ABOUT_MAIL };

struct gate {
	const struct gate_config *config;
	struct arena *arena; /* of the session */
	struct log_context log;
	struct smtp_server *server;
	struct smtp_offer offer;
	struct flt_session session;
	struct pipeline *pipeline;
	struct slice refuse; /* the greeting says no */
	enum gate_wait wait;
	enum gate_about about;
	bool wait_told; /* gate_wants has said so */
	bool stopping, closed, gone;
	bool in_network; /* outbound: from a listed network */
	/* of the transaction */
	bool in_mail;
	const struct hop_list *hops; /* of its first recipient; NULL with site */
	struct slice site;
	struct smtp_rcpt_params *rcpt_params;
	size_t rcpt_room;
	size_t outside_bytes; /* that the recipients so far take in a message to delivery */
	struct address rcpt;  /* under decision */
	struct smtp_rcpt_params rcpt_param;
	const struct conf_domain *rcpt_domain;
	bool in_body;
	struct gate_transfer transfer;
	struct gate_auth_step auth;
	struct slice signatures; /* the fields that stand on top of the mail */
	unsigned auth_failures;
	bool auth_cancelled; /* the step under way is "*" */
	/* counts for the closing line */
	unsigned mails_taken, mails_refused, rcpts_refused;
};

/* gate.c */
void gate_run(struct gate *g); /* takes the machine's events */
void gate_reply(struct gate *g, struct smtp_reply r);

/* gate_mail.c */
void gate_on_mail(struct gate *g, const struct smtp_event *ev);
void gate_on_rcpt(struct gate *g, const struct smtp_event *ev);
void gate_on_data(struct gate *g);
void gate_on_body_end(struct gate *g);
void gate_on_step(struct gate *g, enum step s); /* the pipeline's pending step has a result */
void gate_reset(struct gate *g);                /* the transaction is gone */

/* gate_transfer.c */
void gate_begin_transfer(struct gate *g);
void gate_log_mail(struct gate *g, const char *decision, const struct smtp_reply *reply);

#endif
