/*
 * The messages by which a session asks the scanner how a text is put under a mail
 * (base/append_plan.h); beside those of scans (messages.h), over the same channel and under the
 * same rules.
 */
#ifndef SCAN_APPEND_MESSAGES_H
#define SCAN_APPEND_MESSAGES_H

#include "base/append_plan.h"
#include "base/arena.h"
#include "io/ipc.h"

enum { SCAN_MSG_APPEND = 0x0c11, SCAN_MSG_PLAN };

struct append_job {
	struct slice text, html; /* UTF-8, lines with LF, APPEND_TEXT_MOST each */
	uint64_t bytes;          /* of the mail */
	struct slice body;       /* up to SCAN_INLINE_BYTES; else it is in descriptor 0 */
};

void append_job_pack(const struct append_job *j, struct ipc_out *out);
/* What is read borrows from the payload. False: not a job of ours. */
bool append_job_unpack(struct slice payload, bool has_fd, struct append_job *j_out);

/* A plan of more than its bounds is a must. */
void append_plan_pack(const struct append_plan *p, struct ipc_out *out);
/* bytes: of the mail. False: not a plan for it: out of order, or beyond its end. In the arena.
 */
bool append_plan_unpack(
	struct slice payload, uint64_t bytes, struct arena *a, struct append_plan *p_out);

#endif
