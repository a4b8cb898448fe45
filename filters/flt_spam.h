/* What flt_spam lets others see: the judgement of a mail, once it is there. */
#ifndef FILTERS_FLT_SPAM_H
#define FILTERS_FLT_SPAM_H

#include "filters/facts.h"
#include "filters/spam_score.h"

extern const struct filter flt_spam;

/*
 * What evidence weighs: as the table has it, then as `filter spam` says (f; NULL: nothing).
 * A name of no evidence is passed over; the first one comes back, or NULL.
 */
const struct conf_weight *
flt_spam_weights(const struct conf_filter *f, double weights_out[static SPAM_EVIDENCES]);

/* The fact `spam` of the current mail, with what it was made of; NULL: it was not gathered. */
const struct spam_judgement *flt_spam_judgement(struct facts *f);

#endif
