/*
 * The second engines for `postern explain`: starts postern-engine from this program's folder
 * when it is first needed, asks it, and waits. Its sandbox is the same as under posternd.
 */
#ifndef MAIN_RUNNER_H
#define MAIN_RUNNER_H

#include "base/arena.h"
#include "base/slice.h"

struct runner;

struct runner *runner_new(void);
void runner_free(struct runner **r);
/* The output of one run, in the arena; empty: it failed, or the process does not start. */
struct slice runner_run(struct runner *r, struct slice engine, struct slice input,
	struct slice mail, struct arena *a);

#endif
