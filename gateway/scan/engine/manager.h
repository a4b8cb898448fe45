/*
 * The scanner's front: it has loaded the signatures, takes jobs from the sessions into a
 * bounded queue and hands them to workers that it forks. It never looks into a mail. A scan's
 * clock starts when a worker takes it; a worker that is over its time is killed. A mail whose
 * worker died gets one more; when that dies too the mail is unscannable (DESIGN.md,
 * "Processes").
 */
#ifndef ENGINE_MANAGER_H
#define ENGINE_MANAGER_H

#include "engine/worker.h"

enum { MANAGER_WORKERS_MOST = 16, MANAGER_QUEUE_MOST = 1000 };

struct manager_start {
	int control_fd;
	unsigned workers;
	uint32_t time_ms;           /* for one scan */
	struct worker_start worker; /* channel is the manager's to fill in */
};

int manager_main(const struct manager_start *s);

#endif
