/*
 * The sidecar of a sealed segment: where its records are and where they end, so that a start
 * reads 48 bytes a record rather than the mails. Checked as a whole; one that is missing or
 * doubtful costs a scan, nothing else.
 */
#ifndef CUSTODY_SIDECAR_H
#define CUSTODY_SIDECAR_H

#include "custody/records.h"

struct sidecar {
	uint32_t sequence;
	uint64_t generation;
	uint64_t end; /* of the segment's records */
	struct placed_list list;
};

/* Durable when it returns 0. */
int sidecar_write(int dir_fd, const struct sidecar *s, struct err *err);
/* False: there is none, or it is damaged. */
bool sidecar_read(int dir_fd, uint32_t sequence, struct sidecar *s_out);

#endif
