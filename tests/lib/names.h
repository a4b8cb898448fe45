/*
 * A name server for tests, in the test's own loop on a UDP port of 127.0.0.1. It knows the rows
 * that the test gives it: one record a row, rows of one name and type are one answer; a row
 * with an rcode is that answer to every type. What it does not know is NODATA.
 */
#ifndef TEST_NAMES_H
#define TEST_NAMES_H

#include <stdint.h>

#include "base/dns.h"
#include "io/loop.h"

struct name {
	const char *name; /* as on the wire, compared without case */
	uint8_t rcode;
	uint16_t type;
	const char *data; /* NULL: none of that type */
	size_t n;
};

struct names {
	const struct name *rows;
	size_t n;
	int fd;
	struct loop_watch *watch;
	uint16_t port;
	unsigned asked;
};

void names_start(struct names *s, struct loop *l, const struct name *rows, size_t n);
void names_stop(struct names *s);

#endif
