/*
 * What a test is told by its environment: how many cases a property is tried on, from which
 * seed on. POSTERN_SEED, with the number that a failure has printed, does it again.
 */
#ifndef TEST_SETTING_H
#define TEST_SETTING_H

#include <stdint.h>

/* The number in the variable of that name; `otherwise` where there is none. */
uint64_t setting(const char *name, uint64_t otherwise);

#endif
