/*
 * Words that were meant: the nearest known one by edit distance, and facts that POLICY.md names
 * but that are not there yet. For the parser and for policy/.
 */
#ifndef CONF_WORDS_H
#define CONF_WORDS_H

#include "base/arena.h"
#include "base/slice.h"

/* Insertions, deletions, replacements and neighbours swapped; without case. Over 40 bytes: far.
 */
unsigned words_distance(struct slice a, struct slice b);
/* The nearest of n words, near enough to be meant; NULL: none. */
const char *words_nearest(struct slice word, const char *const *words, size_t n);
/* " (did you mean \"known\"?)", or empty where no word is near. */
struct slice words_hint(struct slice word, const char *const *words, size_t n, struct arena *a);
/* Why a fact that POLICY.md names is refused: "... is not there yet: it needs ..."; NULL:
 * unknown. */
const char *words_later_fact(struct slice fact);

#endif
