/*
 * The engine of the state on local files: an LMDB environment in a folder (data.mdb, lock.mdb),
 * in front of it a table in memory where everything is counted. One process has the folder, by
 * a lock on it; reading happens in the caller's thread, writing in one of its own, so that the
 * caller's loop never waits for the disk but for a read.
 *
 * What is changed is written within about a second after the flush that sees it, in one
 * transaction: a kill -9 loses no more than that. The environment is checked page by page when
 * it is opened; one that is damaged, or of another version, is set aside
 * (data.mdb.damaged-TIME, the last LOCAL_ASIDE_MOST of them are kept) with an event, and a
 * fresh one is begun with what is in memory. Without a disk that works the table counts on
 * alone, and the disk is tried again at the next flush, then ever more seldom.
 *
 * Bounds: at most entries_most entries and a quarter of map_bytes are kept on disk. Above that
 * the space that has most of them loses those that changed longest ago, of small samples;
 * tuples that nobody came back for go first. A space with a quarter of all or less loses none,
 * so that a flood of strangers cannot make anyone's quota forgotten.
 */
#ifndef STATE_LOCAL_H
#define STATE_LOCAL_H

#include "state/state.h"

enum { LOCAL_ASIDE_MOST = 3 };

struct local_config {
	int dir_fd;                    /* the folder; stays the caller's, who keeps it open */
	uint64_t map_bytes;            /* of address space; 0: 2 GiB */
	size_t entries_most;           /* on disk; 0: 2,000,000 */
	size_t hot_most;               /* in memory, about 150 bytes each; 0: 1,000,000 */
	int64_t (*wall_ms)(void *arg); /* NULL: clock_wall_ms */
	void *arg;
};

struct local_figures {
	size_t hot, changed;       /* in memory; of them not yet on disk */
	uint64_t disk;             /* entries there after the last write */
	uint64_t writes, failures; /* transactions */
	uint64_t evicted;          /* that were let go to keep the bounds */
	bool on_disk;              /* false: in memory alone for now */
};

/* NULL and err: the folder is not one, or another process has it. */
struct state *local_open(const struct local_config *config, struct err *err);
/* Waits until what flush has begun to write is written. 0, or -1 and err. */
int local_settle(struct state *s, struct err *err);
void local_figures(struct state *s, struct local_figures *figures_out);

#endif
