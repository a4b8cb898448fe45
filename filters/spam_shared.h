/*
 * The models of a site in memory that all processes share: the site's own, and one for each
 * domain that has one. The keeper writes, everyone reads, nobody waits: each model has two
 * places and a number; the keeper fills the place that is not in use and turns the number over.
 * A keeper that is killed while it writes leaves the place in use as it was.
 */
#ifndef FILTERS_SPAM_SHARED_H
#define FILTERS_SPAM_SHARED_H

#include "filters/spam_model.h"

enum { SPAM_DOMAINS_MOST = 32 };

struct spam_shared;

/* How much memory (zeros, shared or the process's own) it takes; pages come when written. */
size_t spam_shared_bytes(void);

/* domain: an A-label; empty: the site's own. False: no place for another domain. */
bool
spam_shared_publish(struct spam_shared *s, struct slice domain, const struct spam_weights *w);

/*
 * What the model says of a mail. False: it has learned nothing, or there is none for that
 * domain. s may be NULL. A write that comes twice in between is noticed, and weighed again.
 */
struct spam_opinion {
	struct spam_logits logits;
	uint32_t ham, spam;
};
bool spam_shared_ask(const struct spam_shared *s, struct slice domain,
	const struct spam_features *f, struct spam_opinion *out);

#endif
