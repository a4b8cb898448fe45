/*
 * The messages between a session process and the scanner (io/ipc.h): one mail goes there, as it
 * came in, one report comes back under the same id. The scanner trusts neither; the session
 * takes what comes back as data of the sender.
 */
#ifndef SCAN_MESSAGES_H
#define SCAN_MESSAGES_H

#include "base/arena.h"
#include "base/scan_report.h"
#include "io/ipc.h"

enum { SCAN_MSG_SCAN = 0x0c01, SCAN_MSG_REPORT };
enum { SCAN_INLINE_BYTES = 64 * 1024 };

struct scan_job {
	unsigned want;  /* SCAN_WANT_... */
	unsigned set;   /* which direction's patterns: 0 inbound, 1 outbound */
	uint64_t bytes; /* of the mail */
	struct slice
		body; /* up to SCAN_INLINE_BYTES; else it is in descriptor 0, from offset 0 */
};

void scan_job_pack(const struct scan_job *j, struct ipc_out *out);
/* body borrows from the payload. False: not a job of ours. */
bool scan_job_unpack(struct slice payload, bool has_fd, struct scan_job *j_out);

/* Names, hashes and the count of attachments are cut to their bounds, so that it always fits; a
 * clean report that loses some by that is SCAN_UNSCANNABLE. */
void scan_report_pack(const struct scan_report *r, struct ipc_out *out);
/* Everything is copied into the arena. */
bool scan_report_unpack(struct slice payload, struct arena *a, struct scan_report *r_out);

#endif
