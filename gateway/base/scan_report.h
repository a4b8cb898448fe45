/*
 * What a scan found in one mail, as a value: made in a scanner process, carried by a message,
 * read by filters. Names are data of the sender (MIM-05): bytes, bounded, never a path.
 */
#ifndef BASE_SCAN_REPORT_H
#define BASE_SCAN_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { SCAN_ATTACHMENTS_MOST = 1000, SCAN_NAME_MOST = 255, SCAN_PATTERNS_MOST = 64 };

enum scan_status {
	SCAN_CLEAN,
	SCAN_INFECTED,
	SCAN_FAILED,      /* the world: no scanner, time over; the mail is deferred */
	SCAN_UNSCANNABLE, /* the mail: over a bound, encrypted, or it killed two scanners */
};

struct scan_attachment {
	struct slice
		name; /* UTF-8, as plausible as can be; one entry for each reading of a name */
	struct slice type; /* "application/zip": as found in the content, else as declared */
	uint64_t bytes;
	unsigned depth; /* 0: a part of the mail; 1 and more: inside an archive */
};

struct scan_report {
	enum scan_status status;
	struct slice virus; /* the signature's name */
	struct slice why;   /* FAILED, UNSCANNABLE: in words */
	struct scan_attachment *attachments;
	size_t n_attachments;
	unsigned patterns[SCAN_PATTERNS_MOST]; /* matches of each pattern asked for */
};

/* A name within its bound. Its end stays: that is what a system opens it by. */
static inline struct slice
scan_name(struct slice s)
{
	return slice_from(s, s.n > SCAN_NAME_MOST ? s.n - SCAN_NAME_MOST : 0);
}

#endif
