/*
 * Messages between processes in tests: what was packed, and that nothing shorter or longer is
 * taken for it.
 */
#ifndef TEST_PAYLOAD_H
#define TEST_PAYLOAD_H

#include "base/arena.h"
#include "io/ipc.h"

/* A copy of what is in out, which is freed; the arena puts a NUL behind it. */
struct slice payload_taken(struct ipc_out *out, struct arena *a);

typedef bool payload_unpack_fn(struct slice payload);
/* payload_taken's: whole it is taken; cut anywhere, or with the byte behind it, it is not. */
void payload_check_cuts(struct slice payload, payload_unpack_fn *unpack);

#endif
