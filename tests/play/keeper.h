/*
 * The keeper of a play, and the outside servers that `answer at rcpt` asks: what they answer is
 * the script's, what came to the keeper is kept as lines, parcel by parcel.
 */
#ifndef PLAY_KEEPER_H
#define PLAY_KEEPER_H

#include "session/gate.h"

enum { KEEPER_ANSWERS_MOST = 64, KEEPER_LINES_MOST = 10000, KEEPER_MAILS_MOST = 100 };

struct keeper_answer {
	struct slice address; /* of one recipient; empty: of the transaction */
	bool gone;            /* the keeper dies, or the server is silent */
	enum queue_end end;
	struct smtp_reply reply;
	uint64_t after_ms;
	bool used;
};

struct keeper {
	struct arena *arena;
	struct keeper_answer answers[KEEPER_ANSWERS_MOST]; /* each once, in order */
	size_t n_answers;
	struct slice took[KEEPER_LINES_MOST];
	size_t n_took;
	struct slice mails[KEEPER_MAILS_MOST]; /* the bytes of each parcel */
	size_t n_mails;
};

/* words: what stands behind `keeper` or, remote, behind `remote`. False: not understood. */
bool keeper_add(struct keeper *k, bool remote, struct slice words);
/* Takes the transfer's parcels; fills in what became of them. Returns how long it took, in ms.
 */
uint64_t keeper_carry(struct keeper *k, struct gate_transfer *t);
/* The client is gone while the keeper waits. */
void keeper_cancel(struct keeper *k, struct gate_transfer *t);
/* NULL: nobody is reached. */
const struct smtp_reply *
keeper_ask(struct keeper *k, const struct gate_rcpt *q, uint64_t *took_ms_out);
/* An answer that was never given; NULL: all were. */
const struct keeper_answer *keeper_unused(const struct keeper *k);

#endif
