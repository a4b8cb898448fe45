/*
 * The likely meaning of a word that is not known; see words.h. An edit distance over the words
 * that could stand there; a guess only where one is clearly nearest.
 */
#include "conf/words.h"

enum { WORD_MOST = 40 };

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
words_distance(struct slice a, struct slice b)
{
	if (a.n > WORD_MOST || b.n > WORD_MOST)
		return WORD_MOST;
	unsigned rows[3][WORD_MOST + 1] = {{0}};
	unsigned *older = rows[0], *old = rows[1], *now = rows[2];
	for (unsigned j = 0; j <= b.n; j++)
		old[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		now[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			char x = ascii_lower(a.p[i - 1]), y = ascii_lower(b.p[j - 1]);
			now[j] = least(least(now[j - 1], old[j]) + 1, old[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == ascii_lower(b.p[j - 2]) &&
				y == ascii_lower(a.p[i - 2]))
				now[j] = least(now[j], older[j - 2] + 1);
		}
		unsigned *spare = older;
		older = old;
		old = now;
		now = spare;
	}
	return old[b.n];
}

const char *
words_nearest(struct slice word, const char *const *words, size_t n)
{
	const char *nearest = NULL;
	/* One slip in a short word, two in a longer one: more is guessing. */
	unsigned best = word.n < 3 ? 0 : word.n < 6 ? 1 : 2;
	for (size_t i = 0; i < n; i++) {
		unsigned distance = words_distance(word, slice_of(words[i]));
		/* The word itself, in a place where it cannot stand, is no hint. */
		if (!slice_eq(word, slice_of(words[i])) && distance <= best &&
			(nearest == NULL || distance < best)) {
			nearest = words[i];
			best = distance;
		}
	}
	return nearest;
}

struct slice
words_hint(struct slice word, const char *const *words, size_t n, struct arena *a)
{
	const char *nearest = words_nearest(word, words, n);
	if (nearest == NULL)
		return SLICE("");
	return arena_printf(a, " (did you mean \"%s\"?)", nearest);
}

const char *
words_later_fact(struct slice fact)
{
	static const struct {
		const char *name, *why;
	} later[] = {
		{"arc", "is not there yet: it comes with ARC"},
		{"mime.ambiguous", "is not there yet: it comes with the MIME filter"},
	};
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (slice_eq(fact, slice_of(later[i].name)))
			return later[i].why;
	return NULL;
}
