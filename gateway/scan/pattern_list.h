/*
 * The declared patterns, as posternd hands them to postern-scanner: in a sealed file without a
 * name, since lists of words are longer than arguments may be, and what a company looks for is
 * nothing that `ps` should show.
 */
#ifndef SCAN_PATTERN_LIST_H
#define SCAN_PATTERN_LIST_H

#include "base/arena.h"
#include "base/err.h"

enum { SCAN_PATTERN_LIST_MOST = 64 * 1024 * 1024 };

struct scan_pattern {
	unsigned
		set; /* which direction's: 0 inbound, 1 outbound; their order is their number */
	enum scan_pattern_kind {
		SCAN_PATTERN_PLAIN,
		SCAN_PATTERN_LUHN,
		SCAN_PATTERN_IBAN,
		SCAN_PATTERN_WORDS,
		SCAN_PATTERN_KINDS
	} kind;
	bool nocase;
	struct slice text; /* an expression, or words, one a line */
};

/* A descriptor, close-on-exec, the caller's. -1: err. */
int scan_pattern_list_send(const struct scan_pattern *p, size_t n, struct err *err);
/* Reads it and closes fd. The patterns and their texts (with a NUL behind) are in the arena. */
int scan_pattern_list_receive(
	int fd, struct arena *a, struct scan_pattern **p_out, size_t *n_out, struct err *err);

#endif
