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

/* What is asked of a scan. No more is done than that. */
enum {
	SCAN_WANT_VIRUS = 1,
	SCAN_WANT_ATTACHMENTS = 2, /* and whether something is encrypted */
	SCAN_WANT_PATTERNS = 4,    /* and whether some text could not be read */
	SCAN_WANT_HASHES = 8,      /* of attachments, which are then looked at */
	SCAN_WANT_ALL = 15
};

enum scan_status {
	SCAN_CLEAN,
	SCAN_INFECTED,
	SCAN_FAILED,      /* the world: no scanner, time over; the mail is deferred */
	SCAN_UNSCANNABLE, /* the mail: over a bound, broken, or it killed two scanners */
};

/* Why something of a mail could not be looked into, as the fact `unscannable.reason`. */
enum scan_reason {
	SCAN_REASON_NONE,
	SCAN_REASON_DEPTH, /* of parts or archives */
	SCAN_REASON_PARTS, /* too many parts, or members of archives */
	SCAN_REASON_BYTES, /* too much, packed or unpacked */
	SCAN_REASON_TIME,
	SCAN_REASON_BROKEN,  /* a part or archive that cannot be read */
	SCAN_REASON_CRASHED, /* it killed two scanners */
	SCAN_REASON_PATTERN, /* an expression reached its match limit */
	SCAN_REASONS
};

struct scan_attachment {
	struct slice
		name; /* UTF-8, as plausible as can be; one entry for each reading of a name */
	struct slice type; /* "application/zip": as found in the content, else as declared */
	uint64_t bytes;
	unsigned depth; /* 0: a part of the mail; 1 and more: inside an archive */
	bool encrypted; /* it, or a member of it, cannot be read without a key */
	bool hashed;
	uint8_t sha256[32]; /* of the decoded bytes; only where asked for */
};

struct scan_report {
	enum scan_status status;
	struct slice virus;      /* the signature's name */
	struct slice why;        /* FAILED, UNSCANNABLE: in words */
	enum scan_reason reason; /* UNSCANNABLE; of an infected one: what was in the way too */
	/*
	 * Text that a pattern should have seen and could not: encrypted, broken, of a kind that
	 * is not read, over a bound. `body contains` is then no proof that nothing is there.
	 */
	bool text_unread;
	struct slice unread_why; /* in words, of the first; may be empty */
	bool encrypted;          /* some part or member is */
	/* The signatures that it was scanned with: differs where they do. 0: none were asked.
	 */
	uint64_t signatures;
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
