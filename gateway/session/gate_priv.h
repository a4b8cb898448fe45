/* Shared by the files of the gate; nobody else includes it. */
#ifndef SESSION_GATE_PRIV_H
#define SESSION_GATE_PRIV_H

#include "session/gate.h"
#include "session/told.h"

/* What the gate waits for before it can answer the client. */
enum gate_wait { GATE_IDLE, GATE_FACTS, GATE_SIGN, GATE_TRANSFER, GATE_AUTH, GATE_RCPT };
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
	/* Another MTA in front (gate_client.c); NULL: this client is no listed peer. */
	struct named *named;
	/* of the transaction */
	bool in_mail;
	struct address sender;       /* as next hops and the spool have it: tagged */
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
	size_t transfer_set; /* what is done to it, where it is for one next hop */
	struct gate_auth_step auth;
	struct gate_rcpt asked;
	struct slice
		*signatures; /* by set of edits: the fields that stand on top of the mail */
	size_t sign_set;     /* the one that is being signed */
	unsigned auth_failures;
	bool auth_cancelled; /* the step under way is "*" */
	uint64_t waited_ms;  /* that this client has spent waiting for remotes */
	/* counts for the closing line */
	unsigned mails_taken, mails_refused, rcpts_refused;
};

/* gate.c */
void gate_run(struct gate *g); /* takes the machine's events */
void gate_reply(struct gate *g, struct smtp_reply r);
void gate_set_offer(struct gate *g); /* what EHLO may offer has changed */

/* gate_client.c */
void gate_peer_begin(struct gate *g); /* the client is known: may it name others? */
void gate_on_xclient(struct gate *g, const struct smtp_event *ev);
/* What was told in clear is forgotten: the client is the peer (RFC 3207 4.2). */
void gate_peer_again(struct gate *g);
void gate_on_xforward(struct gate *g, const struct smtp_event *ev);
/* MAIL: it comes from whom XFORWARD has named. False: that one is not served, and was told. */
bool gate_forward_begin(struct gate *g);
void gate_forward_end(struct gate *g); /* the mail is over: the peer is itself again */
/* The id that the MTA in front gave this mail; empty: it told none. */
struct slice gate_ident(const struct gate *g);
/* What HELO and EHLO say of the client, unless XCLIENT has said it. */
void gate_helo(struct gate *g, const struct smtp_event *ev);
/* For next hops that are told whose mail they get; NULL: this one is not. */
const struct xclient *gate_client_of_mail(struct gate *g, const struct hop_list *hops);

/* gate_mail.c */
void gate_on_mail(struct gate *g, const struct smtp_event *ev);
void gate_on_rcpt(struct gate *g, const struct smtp_event *ev);
void gate_on_data(struct gate *g);
void gate_on_body_end(struct gate *g);
void gate_on_step(struct gate *g, enum step s); /* the pipeline's pending step has a result */
void gate_reset(struct gate *g);                /* the transaction is gone */

void gate_refuse_rcpt(struct gate *g, struct smtp_reply r, const char *builtin);
void gate_take_rcpt(struct gate *g);

/* gate_rcpt.c: `answer at rcpt` */
bool gate_may_ask(struct gate *g); /* the last recipient's own server; prepares the question */
/* How long the client may still wait for remotes: most_ms, or what is left of its connection's.
 */
uint32_t gate_patience_ms(const struct gate *g, uint64_t most_ms);

/* gate_sign.c */
void gate_sign_next(struct gate *g); /* signs what is not yet signed, then goes on */

/* gate_custody.c */
uint32_t gate_budget_ms(const struct gate *g); /* of a mail for the keeper */
void gate_log_decisions(struct gate *g);
struct smtp_reply gate_reply_of_keeper(struct gate *g);

/* gate_transfer.c */
struct told gate_told(struct gate *g); /* of the mail under way */
void gate_begin_transfer(struct gate *g);
/* The mail under way is not taken: told, and over. */
void gate_refuse_mail(struct gate *g, const char *decision, struct smtp_reply r);
/* The remote's words behind ours, so that the sender's postmaster can read both. */
struct smtp_reply gate_quote(struct gate *g, const char *ours, const struct smtp_reply *theirs);
void gate_log_mail(struct gate *g, const char *decision, const struct smtp_reply *reply);

#endif
