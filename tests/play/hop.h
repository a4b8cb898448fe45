/*
 * The next hop of a play: a server that follows a script, line by line, and the client machine
 * of smtp/ that speaks to it, in memory. What it got is kept as lines, dots unstuffed, from
 * MAIL on.
 */
#ifndef PLAY_HOP_H
#define PLAY_HOP_H

#include "session/gate.h"

enum { HOP_REPLIES_MOST = 64, HOP_LINES_MOST = 10000 };

struct hop_reply {
	struct slice verb; /* GREETING, EHLO, MAIL, RCPT, DATA, DOT */
	struct slice text; /* "550 5.1.1 no", or "lost": the connection ends there */
	uint64_t after_ms;
	bool used;
};

struct hop {
	struct arena *arena;
	bool down;
	struct hop_reply replies[HOP_REPLIES_MOST]; /* each once, in order */
	size_t n_replies;
	struct slice got[HOP_LINES_MOST];
	size_t n_got;
	/* of the connection at hand */
	struct buf in, out;
	bool in_data, lost;
	uint64_t took_ms;
};

/* Carries the mail: fills in what became of it. Returns how long the hop took, in ms. */
uint64_t hop_carry(struct hop *h, struct slice hostname, struct gate_transfer *t);

#endif
