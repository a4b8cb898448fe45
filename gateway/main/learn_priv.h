/*
 * `postern learn` and `postern unlearn` in files: tool_learn.c the words and the order of
 * things, learn_mails.c the ways over the mails, learn_text.c what is told. Nobody else
 * includes it.
 */
#ifndef MAIN_LEARN_PRIV_H
#define MAIN_LEARN_PRIV_H

#include "main/corpus.h"
#include "main/mail_look.h"
#include "main/teacher.h"
#include "main/tool.h"

enum { LEARN_SKIPS_MOST = 16 }; /* reasons that are told apart */

struct learn_skip {
	const char *why;
	struct slice first; /* the path of the first one */
	uint64_t mails;
};

struct learn_shares { /* of mails judged */
	uint64_t n, above_90, above_99;
};

struct learn {
	const struct tool *tool;
	struct arena *arena;
	enum hand_teach teach;
	bool json;
	struct slice domain, spool, hostname;
	char *const *paths;
	size_t n_paths;
	bool has_stdin; /* one of them is "-" */
	struct hand_client *client;
	struct teacher *teacher;
	struct mail_look *look;
	/* what came about */
	uint64_t mails, ms;
	struct learn_skip skips[LEARN_SKIPS_MOST];
	size_t n_skips;
	uint64_t skipped, unopened;
	bool stopped;                     /* by a person */
	struct hand_spam_model totals[2]; /* before and after; domain is not set */
	struct hand_spam_done done;
	/* before: `judged`; each just before it was learned: `came`; after: `again` */
	bool has_judged, has_again;
	struct learn_shares judged, came, again;
	struct err why_not; /* there are no figures, or it is not on disk */
};

/* learn_mails.c. Each: 0, or -1 and err. A person stops both by ^C: then `stopped`. */
int learn_teach_all(struct learn *l, struct err *err);
int learn_judge_again(struct learn *l, struct err *err);
void learn_count(struct learn_shares *s, double probability);
teacher_fn learn_on_learned;

/* learn_text.c */
void learn_tell(const struct learn *l);
void learn_tell_status(struct learn *l, const struct hand_spam_model *models, size_t n);

#endif
