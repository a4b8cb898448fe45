/*
 * From weights to a logit, one way for all who weigh: every feature of a mail counts
 * 1/sqrt(n), so that long mails weigh no more than short ones.
 */
#ifndef FILTERS_SPAM_WEIGH_H
#define FILTERS_SPAM_WEIGH_H

#include <math.h>

#include "filters/spam_model.h"

/* The logit of a mail that nothing is known of: honest mail says little that speaks for it. */
static const double spam_bias = -1.2;

/*
 * How much the shipped model is heard by a site that has taught so much: all at first, half
 * once it has taught three thousand mails of either kind.
 */
enum { SPAM_FADE_MAILS = 3000 };

static inline double
spam_fade(uint32_t ham, uint32_t spam)
{
	return SPAM_FADE_MAILS / (SPAM_FADE_MAILS + (double)(ham < spam ? ham : spam));
}

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
