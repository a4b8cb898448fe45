/* Shared by the files of the pipeline; nobody else includes it. */
#ifndef SESSION_PIPELINE_PRIV_H
#define SESSION_PIPELINE_PRIV_H

#include "base/buf.h"
#include "session/pipeline.h"
#include "session/sign.h"

/* One evaluation; grows with the rules, not with the mail. */
enum { PIPELINE_EVAL_MOST = 16 * 1024 * 1024 };

enum pending { PENDING_NONE, PENDING_RCPT, PENDING_DATA, PENDING_END };

struct pipeline {
	const struct gate_config *config;
	const struct flt_session *session;
	const struct log_context *session_log;
	struct facts *facts;
	struct arena *eval; /* of one evaluation */
	bool signs;         /* a rule of the block signs */
	unsigned mails;
	enum pending pending;
	struct outcome outcome;
	bool splits; /* each recipient has a decision of its own */
	/* of the mail */
	struct arena *arena;
	struct arena *judged; /* of the last judgement: decisions and edits */
	struct log_context log;
	struct flt_mail mail;
	size_t recipients_room;
	struct flt_recipient candidate;
	bool untagged;  /* its tag holds */
	size_t waiting; /* the last recipient whose evaluation waits, from 1; 0: none */
	bool has_first;
	struct verdict first; /* of the first recipient that is not only observed, as it stood
				 at RCPT */
	bool rcpt_accepted;   /* the last one: decided, and nothing can change it */
	struct decisions decisions;
	struct spill *spill;
	bool spill_failed;
	struct buf header;     /* until the blank line */
	uint64_t header_bytes; /* with it */
	bool header_done, header_too_large;
	struct message message;
	struct dkim_sign *sign; /* where a rule signs: the body's hash */
};

/* pipeline_judge.c */
/* Verdict for recipient i (from 0; the one behind the last: the candidate). */
void pipeline_evaluate(struct pipeline *p, size_t i, struct arena *a, struct verdict *v_out);
/* What no rule of the block decides, by its name. */
enum step pipeline_refuse(
	struct pipeline *p, enum action action, const char *name, struct smtp_reply reply);
enum step pipeline_judge_rcpt(struct pipeline *p);
enum step pipeline_judge_data(struct pipeline *p);
enum step pipeline_judge_end(struct pipeline *p);

#endif
