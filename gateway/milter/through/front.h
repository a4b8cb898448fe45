/*
 * The process of libmilter from its start to its end: the library in threads of its own, and
 * the parent's word (io/control.h) in the first one, which is the loop's.
 */
#ifndef THROUGH_FRONT_H
#define THROUGH_FRONT_H

#include <stdbool.h>

#include "base/err.h"

struct front_start {
	int control_fd;
	char *connection; /* "inet:8891@127.0.0.1", "unix:/PATH" */
	const char *user; /* NULL: stay who we are */
};

/* The exit status; err for the log where it is not 0. */
int front_main(const struct front_start *s, struct err *err);

#endif
