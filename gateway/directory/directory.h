/*
 * The directory process: it alone speaks to the directories and databases behind tables with
 * `ldap` or `sql`, and holds their passwords, which the parent has read. Sessions ask it by
 * messages.h. It has the network, and of files the certificates and the SQLite files; a
 * takeover of it, or of one of its three libraries, says who is known, and no more.
 */
#ifndef DIRECTORY_DIRECTORY_H
#define DIRECTORY_DIRECTORY_H

#include "conf/conf.h"

struct directory_start {
	const struct conf *conf;
	int control_fd;
};

enum {
	DIRECTORY_TIMEOUT_MS = 5000,
	DIRECTORY_CACHE_MS = 5 * 60 * 1000,
	DIRECTORY_CONNECTIONS = 4
};

/* `filter directory { timeout ... }`, or its default. */
uint32_t directory_timeout_ms(const struct conf *conf);
/* Whether a table of the configuration has a directory or database behind it. */
bool directory_is_needed(const struct conf *conf);
/* Runs in the child: the exit status. arg is a struct directory_start. */
int directory_main(void *arg);

#endif
