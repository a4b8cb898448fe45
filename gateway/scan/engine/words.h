/*
 * Lists of words and phrases, found whole and without case, whatever stands between the words
 * of a phrase. Ten thousand of them cost a look-up for each word of a text.
 */
#ifndef ENGINE_WORDS_H
#define ENGINE_WORDS_H

#include "base/err.h"
#include "base/slice.h"

struct words;

/* One a line. NULL: there is none, or more than is taken. */
struct words *words_new(struct slice lines, struct err *err);
void words_free(struct words **w);
/* How many of them stand in the text, at most `most`. */
unsigned words_count(const struct words *w, struct slice utf8, unsigned most);

#endif
