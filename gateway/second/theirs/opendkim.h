/*
 * libopendkim behind filters/engine_opendkim.h: one mail with its keys, a result for each
 * signature. No DNS is asked here. What the library gets wrong, and what of it is put right
 * around it, says gateway/second/README.md.
 */
#ifndef THEIRS_OPENDKIM_H
#define THEIRS_OPENDKIM_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct opendkim;

struct opendkim *opendkim_new(struct err *err); /* before the sandbox: it reads files */
void opendkim_free(struct opendkim **o);
/* mail: header and body, as they came. Empty: not a request, or the library failed. */
struct slice
opendkim_run(struct opendkim *o, struct slice request, struct slice mail, struct arena *a);

#endif
