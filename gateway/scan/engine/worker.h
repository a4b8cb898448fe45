/*
 * A scanner worker: one mail at a time, in a sandbox without network. It is forked from the
 * process that has loaded the signatures, shares them, and is expendable: a mail that kills it
 * costs the worker, nothing else.
 */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "engine/patterns.h"
#include "engine/virus.h"
#include "io/pool.h"

struct worker_start {
	struct virus_engine *engine;
	const struct pattern_set *patterns[2]; /* by set */
	const char *tmp_dir;
	uint64_t memory_bytes; /* 0: no limit */
	unsigned look_ms;      /* for what is not libclamav's, of one mail */
};

/*
 * Runs in the child until its channel closes (scan/messages.h: jobs in, reports out): the exit
 * status. arg is a struct worker_start. Both for io/pool.h.
 */
int worker_main(int channel, void *arg);
/* The report on a mail that no worker reported on. */
void worker_failed(enum pool_failure why, struct ipc_out *out);
/* The plan for a mail that no worker made one for. */
void worker_append_failed(enum pool_failure why, struct ipc_out *out);

#endif
