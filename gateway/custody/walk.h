/*
 * Reads a segment record by record, with every check, where no sidecar tells what is in it. It
 * tells damage from a torn end: what was on stable storage before later records were written
 * and no longer fits its check is damaged, passed over and counted; commits behind that are
 * taken as far as they are whole, since a later one is never there without an earlier one.
 */
#ifndef CUSTODY_WALK_H
#define CUSTODY_WALK_H

#include "custody/records.h"

struct walk {
	struct placed_list list; /* of the commits that are there, in order */
	uint64_t end;            /* behind the last of them */
	uint64_t damaged;        /* records passed over; a gap without a header counts as one */
	uint64_t torn_bytes;     /* behind the end, of commits that were never answered */
};

/*
 * limit: no record reaches beyond it (the file's size, or where the next segment says that it
 * ended). all_synced: everything below limit was on stable storage. -1 and err: a part of it
 * cannot be read; what was found around that is in there.
 */
int walk_segment(int fd, uint64_t generation, uint64_t limit, bool all_synced,
	struct walk *walk_out, struct err *err);
void walk_fini(struct walk *w);

#endif
