/*
 * From weights to a logit, one way for all who weigh: every feature of a mail counts
 * 1/sqrt(n), so that long mails weigh no more than short ones.
 */
#ifndef FILTERS_SPAM_WEIGH_H
#define FILTERS_SPAM_WEIGH_H

#include <math.h>

#include "filters/spam_model.h"

/* No mail counts as having fewer features than this: a handful of them shall not say much. */
enum { SPAM_UNIT_LEAST = 64 };

static inline double
spam_unit(size_t n)
{
	return 1 / sqrt((double)(n > SPAM_UNIT_LEAST ? n : SPAM_UNIT_LEAST));
}

static inline double
spam_logit(int64_t sum, size_t n)
{
	return (double)sum * spam_unit(n) / SPAM_ONE;
}

#endif
