/*
 * The messages between a session process and the process of the second engines (io/ipc.h): one
 * run of one library goes there, its output comes back under the same id. What input and output
 * are is the filters' and the library's business (filters/engine_spf2.h,
 * filters/engine_opendkim.h). Neither side trusts the other.
 */
#ifndef SECOND_MESSAGES_H
#define SECOND_MESSAGES_H

#include "io/ipc.h"

enum { SECOND_MSG_RUN = 0x0e01, SECOND_MSG_OUTPUT };
enum { SECOND_INLINE_BYTES = 64 * 1024 }; /* of a mail */

enum second_engine { SECOND_SPF2, SECOND_OPENDKIM, SECOND_ENGINES };

struct second_job {
	enum second_engine engine;
	struct slice input;
	/* SECOND_OPENDKIM: the mail, as it came in */
	uint64_t bytes;
	struct slice body; /* up to SECOND_INLINE_BYTES; else it is in descriptor 0, from 0 */
};

/* True: one of ours, by the name that configuration and questions have for it. */
bool second_engine_find(struct slice name, enum second_engine *engine_out);
void second_job_pack(const struct second_job *j, struct ipc_out *out);
/* Slices borrow from the payload. False: not a job of ours. */
bool second_job_unpack(struct slice payload, bool has_fd, struct second_job *j_out);
/* Empty: the engine failed. */
void second_output_pack(struct slice output, struct ipc_out *out);
bool second_output_unpack(struct slice payload, struct slice *output_out);

#endif
