/*
 * A pool of workers behind a service (control.h): a process that forks workers, takes jobs from
 * its clients into a bounded queue and hands them out, one at a time to each worker. It never
 * looks into a job. A job's clock starts when a worker takes it; a worker that is over its time
 * is killed. What kills a worker costs that job and nothing else (DESIGN.md, "Processes").
 */
#ifndef IO_POOL_H
#define IO_POOL_H

#include <stdint.h>

#include "io/ipc.h"

enum { POOL_WORKERS_MOST = 16, POOL_QUEUE_MOST = 1000 };

enum pool_failure {
	POOL_FULL, /* too many jobs wait */
	POOL_DIED, /* its workers died of it */
	POOL_LATE, /* its worker was over the time */
};

struct pool_start {
	int control_fd;
	unsigned workers;
	uint32_t time_ms;     /* for one job */
	unsigned deaths_most; /* a job that has killed so many workers has failed; at least 1 */
	const char *worker;   /* "scan-worker": in ps and in the log */
	uint16_t job, answer; /* types of messages; one descriptor may go with a job */
	/* Packs the answer to a job that got none from a worker. */
	void (*failed)(enum pool_failure why, struct ipc_out *out);
	/* A second sort of jobs, for the same workers; other.job 0: there is none. */
	struct pool_sort {
		uint16_t job, answer;
		void (*failed)(enum pool_failure why, struct ipc_out *out);
	} other;
	/* Runs in the worker until its channel closes (ipc_read_blocking gives 0): its status.
	 */
	int (*run)(int channel, void *arg);
	void *arg;
};

/* The whole life of the process, until the parent says stop or is gone: the exit status. */
int pool_main(const struct pool_start *s);

#endif
