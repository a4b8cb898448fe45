/*
 * An engine around another with faults put in, for tests and for nothing else: what a store can
 * do to its users. It passes the same conformance suite when no fault is set.
 */
#ifndef CUSTODY_FAULT_H
#define CUSTODY_FAULT_H

#include "custody/custody.h"

enum fault_kind {
	FAULT_NONE,
	FAULT_FULL,           /* commits with a PUT are FULL */
	FAULT_SYNC,           /* commits are FAILED, nothing is stored */
	FAULT_UNKNOWN_STORED, /* UNKNOWN, and it is stored */
	FAULT_UNKNOWN_LOST,   /* UNKNOWN, and it is not */
	FAULT_READ,           /* body_read and get are FAILED */
};

struct fault_plan {
	enum fault_kind kind;
	unsigned every;    /* each so many-th call of its sort; 0, 1: all */
	unsigned times;    /* then it is over; 0: never */
	uint32_t delay_ms; /* before each answer, of all kinds */
};

/* Owns `below`. */
struct custody *fault_new(struct loop *l, struct custody *below);
void fault_set(struct custody *fault, const struct fault_plan *plan);

#endif
