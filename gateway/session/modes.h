/*
 * `mode observe` and `mode soft` (POLICY.md, "For the first weeks"). A verdict is decided as if
 * the rules held, by the same facts, and changed afterwards: observed, a refusal and what keeps
 * or drops a mail become `accept` with a header field and an event; softened, a refusal for
 * good becomes one for now. What is built in is never observed: it guards the gateway itself.
 */
#ifndef SESSION_MODES_H
#define SESSION_MODES_H

#include "base/buf.h"
#include "session/decisions.h"
#include "session/pipeline.h"

#define MODES_FIELD "X-Postern-Observe"

/* v: as the policy has decided; effects that are missing in a refusal are made in the arena. */
void modes_apply(
	enum conf_mode mode, const struct policy *policy, struct arena *a, struct verdict *v);
/* "550 5.7.1 x" to "450 4.7.1 x" under `mode soft`; all else is left as it is. */
struct smtp_reply modes_reply(enum conf_mode mode, struct smtp_reply r);

/* What a verdict is, or was before it was changed. */
enum action modes_action(const struct verdict *v);
/* "FILE:LINE" of a rule as the world may know it: without folders, printable. */
void modes_place(const struct rule *r, struct buf *out);
/* The header fields of a set of edits, one for each different verdict that was observed. */
void modes_fields(const struct decisions *d, size_t set, struct buf *out);
/* An event for each decision that was observed, with its recipients. */
void modes_log(
	const struct decisions *d, const struct flt_mail *mail, const struct log_context *log);

#endif
