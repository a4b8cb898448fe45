/*
 * Numbers by chance that are the same everywhere and at any time: a test that has failed names
 * the seed, and fails again by it.
 */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>

/* The next 64 bits of that seed's sequence. */
uint64_t random_draw(uint64_t *seed);
/* The next one of 0 to n - 1. */
uint64_t random_below(uint64_t *seed, uint64_t n);

#endif
