/* Which kinds of process a generation needs, how many, and how each is forked. */
#ifndef MAIN_KINDS_H
#define MAIN_KINDS_H

#include <sys/types.h>

#include "io/control.h"
#include "main/generation.h"

struct spam_shared;

struct kind_start {
	const struct generation *generation;
	const struct generation
		*all; /* the newest: the parent's memory holds the keys of all */
	unsigned index, number;
	int control_fd;
	struct account *account;
	struct refusals *refusals;
	struct notices *notices;
	struct spam_shared *spam;
	const char *programs;
};

unsigned kind_count(enum process_kind k, const struct generation *g); /* 0: not needed */
/* The listener of the PROCESS_MILTER of that index; NULL: there are not so many. */
const struct conf_listener *kind_listener(const struct generation *g, unsigned index);
/* `filter virus { database PATH }`, or where freshclam puts it. */
struct slice virus_database(const struct conf *conf);
/* What the keeper is to know of a generation: a memfd, the caller's. -1 and err. */
int kind_settings(const struct generation *g, struct err *err);
pid_t kind_fork(enum process_kind k, const struct kind_start *start, struct err *err);

#endif
