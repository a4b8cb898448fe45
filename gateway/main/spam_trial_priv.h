/*
 * The trial of the spam filter in files: spam_trial.c judges, spam_trial_list.c finds the mails
 * and puts them in order. Nobody else includes it.
 */
#ifndef MAIN_SPAM_TRIAL_PRIV_H
#define MAIN_SPAM_TRIAL_PRIV_H

#include "main/corpus.h"
#include "main/spam_trial.h"

enum { TRIAL_SOURCES_MOST = 1000 };

struct trial_source {
	struct corpus *corpus;
	bool spam;
};

struct trial_mail {
	struct corpus_place place;
	int64_t ms, received_ms; /* when it came; -1: not known */
	uint16_t source;
	bool spam;
	bool early; /* of the first part of its kind */
};

struct trial_list {
	struct arena *arena;
	struct trial_source *sources;
	size_t n_sources;
	struct trial_mail *mails; /* as they came */
	size_t n, room;
	size_t passed_over, undated;
};

int trial_list_make(const struct trial_wanted *w, struct trial_list *l_out, struct err *err);
void trial_list_free(struct trial_list *l);
/* Tells of it; the name of a file may hold anything. */
void
trial_passed_over(const struct trial_wanted *w, const struct corpus_mail *m, const char *why);

#endif
