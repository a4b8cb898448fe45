/*
 * One number out of all that is known: evidence, the model that is shipped (bounded, and fading
 * as the site teaches), the site's own model, a domain's own. The sum is a logit; one function
 * makes a probability of it that means what it says: of mails with 0.9, nine in ten are spam.
 * Pure: no clock, no file, no library.
 */
#ifndef FILTERS_SPAM_SCORE_H
#define FILTERS_SPAM_SCORE_H

#include "filters/spam_evidence.h"
#include "filters/spam_shared.h"

enum { SPAM_WHY_MOST = 10 };

struct spam_piece {
	const char *name; /* of the evidence; "model.site", "model.domain", "model.shipped" */
	double weight;    /* as it was counted */
	struct slice detail; /* may be empty */
};

struct spam_judgement {
	double probability;                   /* 0 to 1 */
	double sum;                           /* the logit behind it */
	struct spam_piece why[SPAM_WHY_MOST]; /* the strongest first, either way */
	size_t n_why;
};

struct spam_input {
	const struct spam_view *view;
	const struct spam_features *features;
	const struct spam_found *found;
	const double *weights;            /* SPAM_EVIDENCES; NULL: those of the table */
	const struct spam_shared *shared; /* or NULL */
	const struct spam_weights *own;   /* the site's model, of a process that has one of its
					     own; NULL: as shared has it */
	struct slice domain;              /* its model is heard too; empty: none */
};

void spam_judge(const struct spam_input *in, struct spam_judgement *out);

/*
 * Who teaches calls this before the features go to a model: the sum of the evidence becomes a
 * part of them. weights: SPAM_EVIDENCES, NULL: those of the table.
 */
void spam_features_know(
	struct spam_features *f, const struct spam_found *found, const double *weights);

/*
 * The model that is shipped, filters/spam.model (contrib/spam/README.md): its logit of a mail
 * in 1/SPAM_ONE, at most SPAM_SHIPPED_MOST either way. spam_features_of asks it, never of a
 * bounce.
 */
enum { SPAM_SHIPPED_MOST = 4 };
int32_t spam_shipped(const struct spam_features *f);
/*
 * Another one in its place, for measurements (`postern spam test --model`); before any thread
 * asks. The bytes are read now and not kept. Negative and err: damaged, cut, of another
 * version.
 */
int spam_shipped_load(struct slice file, struct err *err);

#endif
