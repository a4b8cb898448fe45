/*
 * `postern learn` and the keeper, over the same socket as hand_messages.h:
 *
 *   SPAM_LEARN    lessons, of the site or of one domain     SPAM_LEARNED  what each did
 *   SPAM_COMMIT   nothing                                   SPAM_DONE     is all of it on disk
 *   SPAM_STATUS   nothing                                   SPAM_MODELS   what has been learned
 *
 * or HAND_MSG_ERROR. The keeper never sees a mail: who teaches sends numbers
 * (filters/spam_features.h), 24 bits each, and what is known of the mail besides. Neither side
 * trusts what it unpacks.
 */
#ifndef QUEUE_HAND_SPAM_H
#define QUEUE_HAND_SPAM_H

#include "filters/spam_shared.h"
#include "io/ipc.h"

enum hand_spam_msg {
	HAND_MSG_SPAM_LEARN = 0x2201,
	HAND_MSG_SPAM_COMMIT,
	HAND_MSG_SPAM_STATUS,
	HAND_MSG_SPAM_LEARNED,
	HAND_MSG_SPAM_DONE,
	HAND_MSG_SPAM_MODELS,
};

enum {
	HAND_LESSONS_MOST = 32, /* of one message; one of any size fits */
	HAND_DOMAIN_MOST = 253,
	HAND_WHY_WORDS_MOST = 200,
	HAND_LOGIT_ONE = 1000,         /* a logit travels in thousandths, */
	HAND_LOGIT_MOST = 1000 * 1000, /* cut to so many */
	HAND_SPAM_MODELS_MOST = 1 + SPAM_DOMAINS_MOST,
};

enum hand_teach { HAND_TEACH_HAM, HAND_TEACH_SPAM, HAND_TEACH_UNLEARN, HAND_TEACHES };

struct hand_lesson {
	enum hand_teach teach;
	struct spam_features features;
};

struct hand_lessons {
	struct slice domain; /* an A-label; empty: the site's model */
	struct hand_lesson *list;
	size_t n;
};

/* The message while it is made: begin, lessons until one does not fit or there are
 * HAND_LESSONS_MOST, end. */
void hand_lessons_begin(struct slice domain, struct ipc_out *out);
/* False: not beside what is there; nothing was added. The first one fits always. */
bool hand_lessons_add(const struct hand_lesson *lesson, struct ipc_out *out);
void hand_lessons_end(struct ipc_out *out);
/* Features live in the arena: distinct and below SPAM_WEIGHTS, in any order. */
bool hand_lessons_unpack(struct slice payload, struct arena *a, struct hand_lessons *l_out);

struct hand_learned {
	enum spam_learn result;
	int32_t raw, text; /* logits before the lesson, in thousandths */
};
int32_t hand_logit(double logit);
void hand_learned_pack(const struct hand_learned *list, size_t n, struct ipc_out *out);
bool hand_learned_unpack(
	struct slice payload, struct hand_learned list_out[HAND_LESSONS_MOST], size_t *n_out);

struct hand_spam_done {
	bool stored;
	struct slice why; /* where it is not */
};
void hand_spam_done_pack(const struct hand_spam_done *d, struct ipc_out *out);
bool hand_spam_done_unpack(struct slice payload, struct hand_spam_done *d_out);

struct hand_spam_model {
	struct slice domain; /* empty: the site's, which comes first */
	uint32_t ham, spam;  /* mails that it has learned */
	uint64_t bytes;      /* of its file; 0: there is none */
	uint64_t taught_ms;  /* wall clock, the last time; 0: never */
	bool stored;         /* the file holds all of it */
};
void hand_spam_models_pack(const struct hand_spam_model *list, size_t n, struct ipc_out *out);
bool hand_spam_models_unpack(struct slice payload,
	struct hand_spam_model list_out[HAND_SPAM_MODELS_MOST], size_t *n_out);

#endif
