/*
 * What people mean who write as another system has it (Postfix, OpenSMTPD, pf, rspamd, C): for
 * errors, so that each tells what to write instead. Nothing here is ever accepted.
 */
#ifndef CONF_HABITS_H
#define CONF_HABITS_H

#include "base/arena.h"
#include "base/slice.h"

/* ": write \"reject\"" and the like for a word in an action's or a statement's place; empty:
 * it is no word of theirs that we know. */
struct slice habit_of_word(struct slice word, struct arena *a);
/* The same for a word where a fact stands: " (write recipient)". */
struct slice habit_of_fact(struct slice word, struct arena *a);
/* " (write 25M)" for 25MB, 5min, 200/h; empty: it is like nothing. */
struct slice habit_of_number(struct slice s, struct arena *a);
/* Whether it looks like a network, and what is wrong with it: "the network is 10.0.0.0/24". */
bool habit_is_net(struct slice s);
struct slice habit_of_net(struct slice s, struct arena *a);
/* " (write `and`)" for a sign that means nothing; its length in bytes, which may be 2. */
const char *habit_of_sign(struct slice at, size_t *n_out);

#endif
