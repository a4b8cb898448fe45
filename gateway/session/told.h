/*
 * What the log is told of a mail and of a refused recipient, the same for every protocol: one
 * line each, with the rule as file and line (POLICY.md, "Seeing why").
 */
#ifndef SESSION_TOLD_H
#define SESSION_TOLD_H

#include "queue/messages.h"
#include "session/pipeline.h"

struct told {
	const struct gate_config *config;
	const struct flt_session *session;
	struct pipeline *pipeline;
	const struct log_context *log; /* the mail's, or where there is none the session's */
	struct slice queue; /* the id that the MTA in front of us gave the mail; empty: none */
	struct slice hop;   /* that was tried last; empty: none */
	const struct smtp_reply *words; /* the hop's own, or NULL */
	const char *kept_by; /* a mail in quarantine that is not in ours; NULL: ours, or none */
	const struct queue_result *custody; /* what the keeper has said; NULL: nothing */
};

/* decision: "accept", "reject", ...; reply: what the client hears, in the mail's arena. */
void told_mail(const struct told *t, const char *decision, const struct smtp_reply *reply);
/* Of some recipients of a mail: another decision than accept. d->list[at] is whose. */
void told_decision(const struct told *t, const struct decisions *d, size_t at);
/* rcpt: NULL: the sender is refused. o: who decided, or NULL. words for the line go into a. */
void
told_refused(const struct told *t, const struct address *sender, const struct address *rcpt,
	const struct smtp_reply *reply, const struct outcome *o, struct arena *a);

#endif
