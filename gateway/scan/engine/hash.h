/* SHA-256 of attachments, by OpenSSL. */
#ifndef ENGINE_HASH_H
#define ENGINE_HASH_H

#include <stdint.h>

#include "base/slice.h"

void
hash_init(void); /* once in a process, before its sandbox: the library reads its settings */
void hash_sha256(struct slice bytes, uint8_t out[32]);

#endif
