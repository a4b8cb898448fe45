/*
 * What is done to the header of an accepted mail: Received, one Authentication-Results of ours,
 * the rules' tags, and beside a tag that the spam filter decides its evidence; fields that go:
 * those of a `tag` or `remove header`, forged Authentication-Results and evidence (HDR-04),
 * under `hide received` Received of others. Nothing else changes a byte (MIM-09).
 */
#ifndef SESSION_EDITS_H
#define SESSION_EDITS_H

#include "relay/body.h"
#include "session/pipeline.h"

struct edits_input {
	const struct gate_config *config;
	const struct flt_session *session;
	const struct flt_mail *mail;
	const char *id;
	const struct verdict *verdict;
	const struct decisions
		*decisions; /* what was observed for its recipients; NULL: nothing */
	size_t set;         /* of these edits, among theirs */
};

/* False: the facts that the header tells of are still open; their cheap questions are asked. */
bool edits_make(const struct edits_input *in, struct facts *facts, struct arena *a,
	struct edits *edits_out);
/* Cuts and splices from `from` on, on the mail as it came. -1: it has too many pieces then. */
int edits_carry_out(const struct edits *e, uint64_t from, struct relay_body *body);
/* The effects `log` and `try`, a line each. */
void edits_log(const struct verdict *v, const struct log_context *log);

#endif
