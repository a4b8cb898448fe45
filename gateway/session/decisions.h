/*
 * What the recipients of one mail get (POLICY.md, "Many recipients, one reply"): each is judged
 * alone, and equal verdicts are kept once, so that a mail to 10,000 recipients costs no more
 * than the rules that it meets. What is done to the header is made once for all decisions whose
 * rules edit alike.
 */
#ifndef SESSION_DECISIONS_H
#define SESSION_DECISIONS_H

#include "base/arena.h"
#include "policy/policy.h"
#include "smtp/reply.h"

enum { DECISIONS_MOST = 1000, EDITS_MOST = 256 };

struct decision {
	struct verdict verdict;  /* decided; effects, tries as those of its first recipient */
	const char *builtin;     /* where it has no rule: who decided */
	struct smtp_reply reply; /* reject, defer: what to say, observed: what it would have
				    been; filled by the pipeline */
	size_t set;              /* its edits, among those of the mail; SIZE_MAX: dropped */
	size_t n;                /* recipients */
};

struct decisions {
	struct arena *arena;
	struct decision *list;
	size_t n, room;
	uint16_t *of; /* of each recipient, in the order of the mail */
	size_t n_of;
};

void decisions_init(struct decisions *d, size_t recipients, struct arena *a);
/* The next recipient's verdict. False: more than DECISIONS_MOST, or no room: nothing changed.
 */
bool decisions_add(struct decisions *d, const struct verdict *v);
/* Numbers the sets of edits; returns how many there are. */
size_t decisions_sets(struct decisions *d);
/* All of them have the same effects: one set, whatever was observed for whom (modes.h). */
size_t decisions_one_set(struct decisions *d);
/* The first one with this action, or NULL. */
const struct decision *decisions_find(const struct decisions *d, enum action action);

/* The `route to` that counts, the last one; NULL: none. */
const struct rule *decision_route(const struct decision *d);
/* The same of `redirect to`. */
const struct rule *decision_redirect(const struct decision *d);
bool decision_has(const struct decision *d, enum action effect);
bool decision_has_rule(const struct decision *d, const struct rule *effect);
/* Whether its recipients' mail goes on or is kept: accept, quarantine, hold. */
bool decision_serves(const struct decision *d);
/* Whether their mail is taken: all but reject and defer. */
bool decision_takes(const struct decision *d);

#endif
