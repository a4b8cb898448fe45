/*
 * What a client, the next hop and the log were told in one run of a play, so that runs can be
 * held against each other: by lines and byte by byte, at the gate and through the milter. What
 * is each program's own is left out: the words of a 2yz or 3yz, the Received field of whoever
 * took the mail, the log's times and ids.
 */
#ifndef PLAY_RECORD_H
#define PLAY_RECORD_H

#include "base/arena.h"

struct record_entry {
	size_t line; /* of the script, from 0; events: where the log was read */
	struct slice text;
};

struct record_list {
	struct record_entry *entries;
	size_t n, room;
};

struct record {
	struct arena *arena;
	struct record_list told;   /* the client and the next hop */
	struct record_list events; /* decisions */
	bool in_received;
	bool had_received; /* in the mail at hand */
};

void record_reply(struct record *r, size_t line, struct slice reply);
/* One line of what the next hop got; keep: false where it is for one driver alone. */
void record_hop(struct record *r, size_t line, struct slice text, bool keep);
/* A line of the log: `mail`, `reject`, `defer`, `rule` and `try` are kept. */
void record_event(struct record *r, size_t line, struct slice text);
/* NULL: equal; else the difference in words, and the line of the script. */
const char *record_differ(
	const struct record *a, const struct record *b, struct arena *arena, size_t *line_out);

#endif
