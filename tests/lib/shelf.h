/*
 * A store in memory that only reads (custody.h): it answers in the next turn of the loop, or
 * when the test says so, and may fail. For what looks at mails and changes none.
 */
#ifndef TESTS_SHELF_H
#define TESTS_SHELF_H

#include "custody/custody.h"

enum { SHELF_MOST = 1000 };

struct shelf_call;

struct shelf {
	struct custody custody;
	struct loop_task task;
	struct shelf_call *first, **last;
	bool wait;                             /* calls are answered by shelf_answer alone */
	bool fails;                            /* all are FAILED */
	struct custody_item items[SHELF_MOST]; /* the test's */
	size_t n;
	struct slice body; /* of every item */
	size_t scans, largest;
};

void shelf_init(struct shelf *s, struct loop *l);
void shelf_answer(struct shelf *s); /* all calls that are open, now */

#endif
