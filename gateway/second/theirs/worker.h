/*
 * A worker of the second engines: one run of a library at a time, in a sandbox that has neither
 * network nor files. It is expendable: what kills libspf2 or libopendkim costs one mail's fact.
 */
#ifndef THEIRS_WORKER_H
#define THEIRS_WORKER_H

#include "io/pool.h"

struct opendkim;

struct worker_start {
	struct opendkim *opendkim;
	uint64_t memory_bytes; /* 0: no limit */
};

/* For io/pool.h; arg is a struct worker_start. */
int worker_main(int channel, void *arg);
/* The answer to a run that no worker answered: it failed. */
void worker_failed(enum pool_failure why, struct ipc_out *out);

#endif
