/*
 * A mail as numbers: two sets of features, each a place in a table of weights. `raw`: the
 * distinct byte 4-grams of spam_view's raw, what ranks best where a site teaches. `text`: the
 * distinct 4-grams and word pairs of the decoded text with tokens of the header that mean the
 * same everywhere, what can be carried from site to site. Hashed; equal on every machine.
 */
#ifndef FILTERS_SPAM_FEATURES_H
#define FILTERS_SPAM_FEATURES_H

#include "filters/spam_view.h"

enum {
	SPAM_BITS = 18,
	SPAM_WEIGHTS = 1 << SPAM_BITS,
	SPAM_FEATURES_MOST = 8192, /* of each set */
	SPAM_ID_BYTES = 16,
	SPAM_FEATURES_VERSION =
		1, /* of what a place means: models of another one say nothing */
};

struct spam_features {
	const uint32_t *raw, *text; /* distinct, below SPAM_WEIGHTS */
	size_t n_raw, n_text;
	/* of what the features were made of: two mails with one id are one to the model */
	uint8_t id[SPAM_ID_BYTES];
	/*
	 * What is known of the mail without the site's model: logits in 1/SPAM_ONE
	 * (spam_model.h). A model that learns learns what they do not say, so that the sum of
	 * all is right. shipped: of the model that is shipped, bounded; 0 of a bounce.
	 * evidence: 0 until spam_features_know (spam_score.h) has put it here.
	 */
	int32_t shipped, evidence;
};

void spam_features_of(const struct spam_view *v, struct arena *a, struct spam_features *f_out);

#endif
