/*
 * The engine on local files (STORE.md 4.1): append-only segments in a folder, one thread that
 * writes and syncs all that waits in one go, CRC32C over each record, recycled segments,
 * checksummed sidecar indexes, collection of old segments by copying, space held back for it.
 *
 * A write or sync that failed is never tried again on the same segment: all that was in it and
 * not yet answered is FAILED, the segment is sealed, and the next commit goes into a new one.
 * One process at a time: the folder is locked.
 */
#ifndef CUSTODY_SEGMENTS_H
#define CUSTODY_SEGMENTS_H

#include "custody/custody.h"

struct segments_config {
	struct loop *loop;
	int dir_fd;             /* the folder; borrowed. Everything is opened below it */
	uint64_t segment_bytes; /* 0: 64 MiB; tests take less */
	uint64_t kept_bytes; /* free space held back; 0: four segments. PUT is FULL below it */
};

/*
 * Recovers what is there (sidecars, and the records of segments without one), locks, starts the
 * thread. NULL and err: locked by another, unreadable folder, no room for a segment. Damaged
 * records are passed over and counted in the log (EV_SPOOL); they never end the start.
 */
struct custody *segments_open(const struct segments_config *config, struct err *err);

#endif
