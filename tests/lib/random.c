/*
 * SplitMix64: a counter whose bits are mixed, so that any seed will do; see random.h.
 */
#include "random.h"

uint64_t
random_draw(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t
random_below(uint64_t *seed, uint64_t n)
{
	return random_draw(seed) % n;
}
