/*
 * postern-engine: started by posternd where the configuration asks for libspf2 or libopendkim,
 * never by hand. A program of its own, so that nothing else of the gateway is linked with
 * libraries that can be made to crash from outside.
 *
 *   postern-engine -c FD [-u USER] [-w WORKERS] [-s]
 */
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/child.h"
#include "second/messages.h"
#include "theirs/opendkim.h"
#include "theirs/worker.h"

enum { WORKER_MEMORY_MB = 512, TIME_MS = 10 * 1000 };

struct options {
	int control_fd;
	char *user; /* a copy: the title is written over argv */
	unsigned workers;
	bool syslog;
};

static int
parse_options(int argc, char **argv, struct options *o, struct err *err)
{
	uint64_t number = 0;
	int c;
	while ((c = getopt(argc, argv, "c:u:w:s")) != -1) {
		if ((c == 'c' || c == 'w') &&
			(!slice_u64(slice_of(optarg), &number) || number > INT32_MAX))
			return err_set(err, "-%c wants a number", c);
		switch (c) {
		case 'c': o->control_fd = (int)number; break;
		case 'u': o->user = mem_text(optarg); break;
		case 'w': o->workers = (unsigned)number; break;
		case 's': o->syslog = true; break;
		default: return err_set(err, "unknown option");
		}
	}
	if (o->control_fd < 0 || o->workers < 1 || o->workers > POOL_WORKERS_MOST)
		return err_set(err, "postern-engine is started by posternd, not by hand");
	return 0;
}

static int
run(const struct options *o, struct err *err)
{
	struct worker_start worker = {.memory_bytes = (uint64_t)WORKER_MEMORY_MB << 20};
	struct pool_start start = {.control_fd = o->control_fd,
		.workers = o->workers,
		.time_ms = TIME_MS,
		.deaths_most = 1, /* what crashed a library once is not shown to it again */
		.worker = "engine-worker",
		.job = SECOND_MSG_RUN,
		.answer = SECOND_MSG_OUTPUT,
		.failed = worker_failed,
		.run = worker_main,
		.arg = &worker};
	if (child_drop_user(o->user, NULL, err) < 0 || child_harden(err) < 0)
		return -1;
	worker.opendkim = opendkim_new(err);
	if (worker.opendkim == NULL)
		return -1;
	int result = pool_main(&start);
	opendkim_free(&worker.opendkim);
	return result == 0 ? 0 : err_set(err, "the pool of engines ended by a fault");
}

int
main(int argc, char **argv)
{
	struct err err;
	struct options o = {.control_fd = -1, .workers = 1};
	child_title_init(argc, argv);
	log_open(LOG_TO_STDERR, "engine");
	int result = parse_options(argc, argv, &o, &err);
	if (result == 0) {
		log_open(o.syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR, "engine");
		child_title("postern-engine");
		result = run(&o, &err);
	}
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	mem_free(o.user);
	return result < 0 ? 1 : 0;
}
