/*
 * Teaching the running gateway (queue/hand_spam.h), for `postern learn` and `postern
 * quarantine`: lessons are sent several at a time, and while the keeper learns some the caller
 * makes the next. Nothing is sure to last before teacher_commit.
 */
#ifndef MAIN_TEACHER_H
#define MAIN_TEACHER_H

#include "main/hand_client.h"
#include "queue/hand_spam.h"

struct teacher;

/* What a lesson did, in the order of teaching; may come a call later. */
typedef void teacher_fn(void *arg, const struct hand_learned *learned);

/* client: the caller's, who asks it nothing else between a lesson and teacher_flush or _commit.
 * domain: an A-label, or empty; borrowed. fn: NULL, nobody wants to know. */
struct teacher *
teacher_new(struct hand_client *client, struct slice domain, teacher_fn *fn, void *arg);
void teacher_free(struct teacher **t);

/* Each: 0, or -1 and err; then it is over. */
int teacher_teach(struct teacher *t, enum hand_teach teach, const struct spam_features *f,
	struct err *err);
/* All lessons are taken; the client may be asked something else until the next one. */
int teacher_flush(struct teacher *t, struct err *err);
/* All lessons are taken, published, and on disk, or done_out says why not; words live until the
 * next question to the keeper. */
int teacher_commit(struct teacher *t, struct hand_spam_done *done_out, struct err *err);

struct teacher_counts {
	uint64_t taught[HAND_TEACHES]; /* that were new to the keeper, or taken back */
	uint64_t known, changed, unknown;
};
const struct teacher_counts *teacher_counts(const struct teacher *t);

/* list_out: see hand_spam_models_unpack. */
int teacher_status(struct hand_client *client,
	struct hand_spam_model list_out[HAND_SPAM_MODELS_MOST], size_t *n_out, struct err *err);

#endif
