/*
 * libspf2 behind filters/engine_spf2.h: one request with the DNS answers known so far, one
 * reply. No DNS is asked here. What the library gets wrong, and what of it is put right around
 * it, says gateway/second/README.md.
 */
#ifndef THEIRS_SPF2_H
#define THEIRS_SPF2_H

#include "base/arena.h"
#include "base/slice.h"

/* Empty: the request is not well formed, or the library failed. */
struct slice spf2_run(struct slice request, struct arena *a);

#endif
