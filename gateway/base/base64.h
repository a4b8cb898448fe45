/* Base64 (RFC 4648 4): strict for AUTH, tolerant of white space for DKIM tags. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/arena.h"
#include "base/slice.h"

struct slice base64_encode(struct slice in, struct arena *a);
/* False: a byte outside the alphabet, wrong length or padding, bits left over after the
 * padding. */
bool base64_decode(struct slice in, struct arena *a, struct slice *out);
/* As above, passing over SP, HTAB, CR and LF (FWS in RFC 6376 3.2). */
bool base64_decode_fws(struct slice in, struct arena *a, struct slice *out);

#endif
