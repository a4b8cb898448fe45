/*
 * The model of a site: two tables of weights (spam_features.h), logistic regression trained one
 * mail at a time, and what it was trained with. Weights are whole numbers of 1/SPAM_ONE, so
 * that what was learned can be taken back to the bit. One process holds a struct spam_model and
 * changes it (the keeper, or a tool that has one of its own); others see its weights in
 * spam_shared.h.
 *
 * A file of it is replaced as a whole (rename after sync): a reader sees the old or the new
 * one. Format: spam_model.c says it; all numbers little-endian, CRC-32C over all of it.
 */
#ifndef FILTERS_SPAM_MODEL_H
#define FILTERS_SPAM_MODEL_H

#include "base/err.h"
#include "filters/spam_features.h"

enum {
	SPAM_ONE = 1 << 20,
	SPAM_LEARNED_MOST =
		200000, /* mails remembered for once-only and unlearn; older ones go */
	SPAM_FILE_MOST = 24 * 1024 * 1024,
};

/* What scoring needs. */
struct spam_weights {
	uint32_t ham, spam; /* mails that it has learned */
	int32_t raw[SPAM_WEIGHTS], text[SPAM_WEIGHTS];
};

struct spam_model;

struct spam_model *spam_model_new(void); /* knows nothing */
void spam_model_free(struct spam_model **m);
const struct spam_weights *spam_model_weights(const struct spam_model *m);

enum spam_learn {
	SPAM_LEARNED,
	SPAM_KNOWN,   /* it had learned that mail so before: nothing changed */
	SPAM_CHANGED, /* it had learned it as the other: taken back, learned anew */
	SPAM_UNKNOWN, /* unlearn: it does not know that mail */
};
/*
 * Once for each id. After each, one mail of the other kind is learned again (spam_rehearsal.h):
 * in whatever order both kinds are taught, neither takes what all mails share. Unlearning takes
 * back every step of that mail, to the bit, and no step of another.
 */
enum spam_learn
spam_model_learn(struct spam_model *m, const struct spam_features *f, bool spam);
enum spam_learn spam_model_unlearn(struct spam_model *m, const struct spam_features *f);

/* The bytes of a file, for the caller to write: pack fills spam_model_file_bytes. */
size_t spam_model_file_bytes(const struct spam_model *m);
void spam_model_pack(const struct spam_model *m, uint8_t *bytes);
/* NULL and err: damaged, cut, of another version. */
struct spam_model *spam_model_unpack(struct slice file, struct err *err);

/* The logit of each view: what one mail weighs; 0 where nothing was learned. */
struct spam_logits {
	double raw, text;
};
struct spam_logits spam_weigh(const struct spam_weights *w, const struct spam_features *f);

#endif
