/*
 * What a play's script knows of the world, and when: answers to questions, with the time that
 * each takes on the virtual clock. Nothing here reads a real clock.
 */
#ifndef PLAY_WORLD_H
#define PLAY_WORLD_H

#include "filters/question.h"

enum {
	WORLD_ANSWERS_MOST = 200,
	WORLD_DUE_MOST = 1000, /* questions in one play */
	WORLD_TOLD_MOST = 200
};

/* One line of the script: `dns after 300 TXT example.net "v=spf1 -all"`. */
struct world_answer {
	enum question_kind kind;
	struct slice name; /* DNS: the name; KNOWN: the address; STATE: the key; LOOKUP: the
			      table; NEIGHBOUR: which */
	struct slice value, why;
	enum lookup_answer lookup;
	enum dns_type type;
	struct dns_answer dns;
	enum known_answer known;
	struct scan_report scan;
	struct state_answer state;
	enum append_status append;
	struct slice words; /* APPEND: the text, or why not */
	struct neighbour_verdict neighbour;
	uint64_t after_ms;
};

struct world_due {
	struct world *world;
	bool used;
	uint64_t at_ms;
	struct questions *scope;
	struct question *question;
	const struct world_answer *answer;
};

struct world {
	struct arena *arena;
	struct world_answer answers[WORLD_ANSWERS_MOST];
	size_t n_answers;
	struct world_due due[WORLD_DUE_MOST];
	size_t n_due;
	uint64_t now_ms;
	uint64_t mail_bytes; /* of the mail under way, as it came */
	struct slice wrong;  /* a question that the script has no answer to */
	/* the state was told since the last `told`: "give KEY", "pass KEY" */
	struct slice told[WORLD_TOLD_MOST];
	size_t n_told;
};

/* words: what stands behind `dns`, `known`, `scan`, `state`, `append`, `lookup`, `neighbour`.
 * False: not understood. */
bool world_add(struct world *w, struct slice kind, struct slice words);
void world_ask(struct world *w, struct question *q, struct questions *scope);
/* When the next answer is due; UINT64_MAX: none is under way. */
uint64_t world_next(const struct world *w);
/* Puts in the answers that are due now; false: none was. */
bool world_deliver(struct world *w);

#endif
