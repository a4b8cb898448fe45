/*
 * Answers of one table that are not asked for again for a while: found or not, kept by hash
 * with an end. Bounded; what is found has places of its own, so that somebody who guesses names
 * cannot push it out. Time is an argument.
 */
#ifndef DIRECTORY_CACHE_H
#define DIRECTORY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { DIRECTORY_CACHE_YES = 65536, DIRECTORY_CACHE_NO = 16384 };

struct directory_cache;

struct directory_cache *directory_cache_new(void);
void directory_cache_free(struct directory_cache **c); /* takes NULL, clears */
void directory_cache_put(
	struct directory_cache *c, struct slice value, bool found, uint64_t until_ms);
/* False: nothing is kept that holds at now_ms. */
bool directory_cache_get(
	const struct directory_cache *c, struct slice value, uint64_t now_ms, bool *found_out);

#endif
