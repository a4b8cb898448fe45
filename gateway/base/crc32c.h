/*
 * CRC32C (Castagnoli): the check over what is kept on disk (custody, models of spam). By the
 * processor's own instruction where it has one (SSE4.2), else by tables; both give the same.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of what has the check `crc` (0: nothing yet) followed by these bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);
uint32_t crc32c_table(uint32_t crc, const void *bytes, size_t n); /* without the instruction */

#endif
