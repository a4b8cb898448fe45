/*
 * The way of a mail through facts and policy, whatever protocol brought it: SMTP here, the
 * milter protocol beside it. Each step gives an answer or says WAIT: then the driver takes the
 * questions (pipeline_question), asks the world, puts the answers in and calls pipeline_again.
 *
 * No I/O but the spill file; time is told (session->wall_ms). One object per session; all that
 * belongs to a mail is gone at pipeline_mail_end, so that nothing of one reaches the next
 * (SRV-04).
 */
#ifndef SESSION_PIPELINE_H
#define SESSION_PIPELINE_H

#include "base/log.h"
#include "conf/conf.h"
#include "filters/facts.h"
#include "session/account.h"
#include "session/decisions.h"
#include "session/spill.h"

struct gate_config { /* of one listener in one generation; shared, not owned */
	const struct conf *conf;
	const struct conf_listener *listener;
	const struct policy *policy; /* of the listener's block */
	enum direction direction;
	int spill_dir;
	const struct smtp_offer *behind; /* what all servers behind take; NULL: not known */
	const struct sign_key *keys;     /* by the order of conf->signs */
	struct account *account;         /* shared by all processes; NULL: nothing is counted */
	unsigned self;                   /* this process in it */
	struct refusals *refusals;       /* shared by all processes; NULL: none are kept */
	struct notices *notices;         /* the same; NULL: every notice is written */
	const struct spam_shared *spam;  /* the same; NULL: nothing was learned */
};

struct sign_key;
struct sign_request;

enum step { STEP_WAIT, STEP_GO, STEP_REFUSE };

/* Bytes of the mail as it came that are left out, and what comes in their place. */
struct cut {
	uint64_t at, bytes;
	struct slice insert; /* `append text` alone: in the header whole fields */
};

/* What is done to the header of a mail that goes on. */
struct edits {
	struct slice prefix; /* whole lines with CRLF, to stand before the first field */
	struct cut *cuts;    /* ascending; in the header whole fields */
	size_t n_cuts;
	uint64_t body_at;   /* where the body begins in what came; 0: nothing is inserted */
	struct slice *sign; /* domains to sign as */
	size_t n_sign;
};

/* What leaves for the recipients of some decisions. */
struct edit_set {
	struct edits edits;
	struct sign_request *signs; /* to be signed before it goes on */
	size_t n_signs;
	struct slice not_appended; /* why it has no text of `append`; empty: it has, or needs
				      none */
};

struct outcome {
	/* Of the mail: reject, defer, discard (of all of it), or accept: it goes on, or is
	 * kept, for some recipients at least, as `decisions` says. */
	enum action action;
	struct smtp_reply reply; /* reject, defer: what to say */
	const struct rule *rule; /* NULL: a rule that is built in, or failed facts */
	const char *builtin;     /* its name, where rule is NULL */
	enum verdict_mode mode;  /* of its verdict, and what that would have been (modes.h) */
	enum action would;
	/* accept, after the data: */
	const struct decisions *decisions; /* one where the pipeline does not split */
	struct edit_set *sets;             /* one at least */
	size_t n_sets;
	/* where only milters use the block: */
	struct slice redirect; /* "a@b.example" in place of all recipients; empty: none */
	struct slice *copies;
	size_t n_copies;
};

struct pipeline;

/* session is borrowed; it changes as the protocol goes on. log: the session's context. */
struct pipeline *pipeline_new(const struct gate_config *config,
	const struct flt_session *session, const struct log_context *log);
void pipeline_free(struct pipeline **p);
/*
 * Mails are numbered within the session's id. Where a session has several pipelines, one after
 * the other, the next one goes on from the last.
 */
unsigned pipeline_mails(const struct pipeline *p);
void pipeline_mails_before(struct pipeline *p, unsigned mails);
void pipeline_helo(struct pipeline *p); /* HELO, EHLO, or TLS started */
/*
 * Between mails: the session is another client's (XCLIENT, XFORWARD). All that was found out of
 * the last one is forgotten; ahead: what the connection's rules need is asked for at once.
 */
void pipeline_client(struct pipeline *p, bool ahead);
void pipeline_mail(struct pipeline *p, const struct address *sender,
	const struct smtp_mail_params *params);
/* <postmaster> without a domain is that of the first declared one (RFC 5321 4.5.1). */
void pipeline_postmaster(struct pipeline *p, struct address *rcpt);
/* A tag of ours is taken off the recipient that comes next (session/bounces.h). */
void pipeline_untag(struct pipeline *p, struct address *rcpt);
/*
 * One recipient. domain: its declaration, or NULL (outbound, to elsewhere). Once a step has not
 * said WAIT, pipeline_outcome tells its reply, rule and action.
 */
enum step
pipeline_rcpt(struct pipeline *p, const struct address *rcpt, const struct conf_domain *domain);
/* The last recipient is not taken after all (another reason than policy). */
void pipeline_rcpt_drop(struct pipeline *p);
enum step pipeline_data(struct pipeline *p);
/* Each recipient has a decision of its own: there is a spool, and we carry the mail. */
bool pipeline_splits(const struct pipeline *p);
/* The last recipient is accepted by its rules, whatever the data will be. */
bool pipeline_rcpt_is_accepted(const struct pipeline *p);
/* A piece of the mail; header and body are told apart here. */
void pipeline_body(struct pipeline *p, struct slice piece);
/* The mail is complete. GO: accept or discard, as the outcome says. */
enum step pipeline_end(struct pipeline *p);
/* The step that said WAIT, tried again. */
enum step pipeline_again(struct pipeline *p);
const struct outcome *pipeline_outcome(const struct pipeline *p);
/* The mail was taken, 2xx: what was reserved for it, and for whom it was taken, stays so. */
void pipeline_keep(struct pipeline *p);
/* The transaction is over, however it ended; what was reserved and not kept is given back. */
void pipeline_mail_end(struct pipeline *p);

struct question *pipeline_question(struct pipeline *p, struct questions **scope_out);

/* What a driver needs to carry a mail on and to tell of it. */
struct facts *pipeline_facts(struct pipeline *p);
struct spill *pipeline_spill(struct pipeline *p);
const struct flt_mail *pipeline_the_mail(const struct pipeline *p);
struct arena *pipeline_arena(struct pipeline *p);  /* of the mail */
const char *pipeline_id(const struct pipeline *p); /* of the mail: in Received and logs */
const struct log_context *pipeline_log(const struct pipeline *p);

#endif
