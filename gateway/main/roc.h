/*
 * How well numbers tell spam from ham, from judgements whose truth is known: the area above the
 * ROC curve, what is caught where a part of the other is given up, errors at a level, and
 * whether probabilities mean what they say. Pure. Equal numbers are no order: they count half
 * in the area, and no threshold is set between them.
 */
#ifndef MAIN_ROC_H
#define MAIN_ROC_H

#include <stdbool.h>
#include <stddef.h>

enum { ROC_LEVELS = 3, ROC_BINS = 10 };
extern const double roc_levels[ROC_LEVELS]; /* 0.5, 0.9, 0.99 */

struct roc_row {
	double sum, probability; /* rows are ordered by sum */
	bool spam;
};

struct roc_bin {
	size_t n;
	double expected, seen; /* mean of the probabilities; part of them that is spam */
};

/* Parts of 1; negative where there is nothing to be a part of. */
struct roc {
	size_t ham, spam;
	double above;     /* 1 - area below the ROC curve */
	double caught[2]; /* of spam, where 0.1 % and 1 % of ham may be lost */
	double lost[2];   /* of ham, where 0.1 % and 1 % of spam may be missed */
	double ham_over[ROC_LEVELS], spam_under[ROC_LEVELS]; /* wrong at that level */
	struct roc_bin bins[ROC_BINS];
};

/* Sorts the rows. What is more than a level is over it. */
void roc_of(struct roc_row *rows, size_t n, struct roc *out);
/* What a part is below, 19 times of 20, of which 0 of n were seen. */
double roc_bound_of_none(size_t n);

#endif
