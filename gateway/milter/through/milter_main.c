/*
 * postern-milter: started by posternd for each `listen milter ... through libmilter`, never by
 * hand. A program of its own, since libmilter is threads, and one listener to a process.
 *
 *   postern-milter -c FD -l CONNECTION [-u USER] [-s]
 */
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/child.h"
#include "through/front.h"

struct options {
	struct front_start front;
	char *user; /* copies: the title is written over argv */
	bool syslog;
};

static int
parse_options(int argc, char **argv, struct options *o, struct err *err)
{
	uint64_t number = 0;
	int c;
	while ((c = getopt(argc, argv, "c:l:u:s")) != -1) {
		switch (c) {
		case 'c':
			if (!slice_u64(slice_of(optarg), &number) || number > INT32_MAX)
				return err_set(err, "-c wants a number");
			o->front.control_fd = (int)number;
			break;
		case 'l': o->front.connection = mem_text(optarg); break;
		case 'u': o->user = mem_text(optarg); break;
		case 's': o->syslog = true; break;
		default: return err_set(err, "unknown option");
		}
	}
	if (o->front.control_fd < 0 || o->front.connection == NULL)
		return err_set(err, "postern-milter is started by posternd, not by hand");
	o->front.user = o->user;
	return 0;
}

int
main(int argc, char **argv)
{
	struct err err;
	struct options o = {.front = {.control_fd = -1}};
	child_title_init(argc, argv);
	log_open(LOG_TO_STDERR, "milter");
	int result = parse_options(argc, argv, &o, &err);
	if (result == 0) {
		log_open(o.syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR, "milter");
		child_title("postern-milter");
		result = front_main(&o.front, &err);
	}
	if (result != 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	mem_free(o.user);
	mem_free(o.front.connection);
	return result != 0 ? 1 : 0;
}
