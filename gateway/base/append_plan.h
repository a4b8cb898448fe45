/*
 * How a text is put under a mail, as a value: made in a scanner process, carried by a message,
 * carried out by a session. The mail stays what it was but for these splices of its bytes.
 */
#ifndef BASE_APPEND_PLAN_H
#define BASE_APPEND_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
	APPEND_TEXT_MOST = 20 * 1024,   /* of one kind, all rules together */
	APPEND_INSERT_MOST = 96 * 1024, /* that a plan puts in, all splices together */
	APPEND_SPLICES_MOST = 16,
	APPEND_WHY_MOST = 200,
};

enum append_status {
	APPEND_DONE,   /* as the splices say: one at least */
	APPEND_NOT,    /* it cannot stand under this mail, or stands there already: `why` */
	APPEND_FAILED, /* the world: no scanner, time over; the mail is deferred */
	APPEND_STATUSES
};

/* At `at` of the original, `cut` bytes go and `insert` comes. */
struct append_splice {
	uint64_t at, cut;
	struct slice insert;
};

/*
 * Splices ascend and do not touch; in the header each is of whole fields, or stands where the
 * blank line begins.
 */
struct append_plan {
	enum append_status status;
	struct slice why;
	struct append_splice *splices;
	size_t n;
};

#endif
