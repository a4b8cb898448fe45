/*
 * Little-endian numbers in the bytes of files of ours, at any address: segments of the store,
 * models of the spam filter.
 */
#ifndef BASE_LITTLE_H
#define BASE_LITTLE_H

#include <stdint.h>

static inline void
little_put_u32(void *to, uint32_t n)
{
	uint8_t *p = to;
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> 8 * i);
}

static inline void
little_put_u64(void *to, uint64_t n)
{
	little_put_u32(to, (uint32_t)n);
	little_put_u32((uint8_t *)to + 4, (uint32_t)(n >> 32));
}

static inline uint32_t
little_get_u32(const void *from)
{
	const uint8_t *p = from;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t
little_get_u64(const void *from)
{
	return little_get_u32(from) | (uint64_t)little_get_u32((const uint8_t *)from + 4) << 32;
}

#endif
