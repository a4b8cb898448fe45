/*
 * The texts that rules put under a mail (`append text`): one question for each set of edits
 * that has any, asked when all is decided, and its plan made into splices of the mail beside
 * the cuts of its header. Where a mail cannot carry a text it leaves without, and the event
 * says why; where nobody can tell, it is deferred.
 */
#ifndef SESSION_APPEND_H
#define SESSION_APPEND_H

#include "filters/dkim.h"
#include "session/pipeline.h"

/* Whether a rule of the block does: then the scanner is needed. */
bool append_is_used(const struct policy *p);

enum append_outcome {
	APPEND_WAITS, /* the question is asked */
	APPEND_MADE,  /* e has the splices, or *why_out says why not */
	APPEND_DEFERS
};

/*
 * The texts of a verdict's rules, one under the other, put into e. header_bytes: of the mail as
 * it came, with the blank line; most: the largest mail that may leave. why_out: empty where it
 * was done, or where no rule appends.
 */
enum append_outcome append_to(struct facts *facts, const struct verdict *v,
	const struct flt_mail *mail, uint64_t header_bytes, uint64_t most, struct arena *a,
	struct edits *e, struct slice *why_out);

/* Whether the body leaves otherwise than it came. */
bool append_is_of_body(const struct edits *e);
/* The body as it leaves, hashed for its signature. -1 and err: the mail cannot be read. */
int append_hash(struct spill *spill, const struct edits *e, struct arena *a,
	struct dkim_sign *s, struct err *err);

#endif
