/*
 * How features are collected: a set of places in a table of weights, each once, in the order
 * they were met, and never more than SPAM_FEATURES_MOST. A token is hashed with its kind, so
 * that a word of the subject and the same word of the text are two features.
 */
#ifndef FILTERS_SPAM_FEATURES_PRIV_H
#define FILTERS_SPAM_FEATURES_PRIV_H

#include "filters/spam_features.h"

struct feature_set {
	uint32_t *places;
	size_t n, room;
	uint64_t *seen; /* a bit for each weight there could be */
};

/* room: how many there may be; no more than SPAM_FEATURES_MOST. */
void feature_set_init(struct feature_set *s, size_t room, struct arena *a);

static inline void
feature_add(struct feature_set *s, uint32_t place)
{
	uint64_t bit = (uint64_t)1 << (place & 63), *word = &s->seen[place >> 6];
	if ((*word & bit) != 0 || s->n == s->room)
		return;
	*word |= bit;
	s->places[s->n++] = place;
}

/* The uppermost SPAM_BITS bits of a hash are its place. */
static inline uint32_t
feature_place(uint64_t hash)
{
	return (uint32_t)(hash >> (64 - SPAM_BITS));
}

uint64_t feature_hash(uint64_t seed, struct slice bytes);
/* kind: "subject"; what it says: a word. */
void feature_token(struct feature_set *s, const char *kind, struct slice token);

/* spam_features_header.c: tokens of the header, the parts, the links, the HTML. */
void spam_features_header(const struct spam_view *v, struct arena *a, struct feature_set *s);
/* Words of a text; false: no more. Letters, digits, bytes above ASCII and $ make a word. */
bool feature_word(struct slice *rest, struct slice *word_out);

#endif
