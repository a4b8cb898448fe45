/*
 * CRC32C; see crc32c.h. Eight bytes a step both ways. Words are loaded by memcpy: a cast would
 * let the compiler assume what is not so, and recovery would refuse every record.
 */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { POLYNOMIAL = (int)0x82f63b78 }; /* reversed */

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void
table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int bit = 0; bit < 8; bit++)
			c = (c & 1) != 0 ? c >> 1 ^ (uint32_t)POLYNOMIAL : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
}

static uint32_t
load32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

uint32_t
crc32c_table(uint32_t crc, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	pthread_once(&table_once, table_make);
	crc = ~crc;
	for (; n >= 8; p += 8, n -= 8) {
		uint32_t low = load32(p) ^ crc, high = load32(p + 4);
		crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^
		      table[5][low >> 16 & 255] ^ table[4][low >> 24] ^ table[3][high & 255] ^
		      table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^
		      table[0][high >> 24];
	}
	for (; n > 0; p++, n--)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
	return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint64_t c = ~crc;
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t word;
		memcpy(&word, p, sizeof(word));
		c = __builtin_ia32_crc32di(c, word);
	}
	crc = (uint32_t)c;
	for (; n > 0; p++, n--)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return ~crc;
}
#endif

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(crc, bytes, n);
#endif
	return crc32c_table(crc, bytes, n);
}
