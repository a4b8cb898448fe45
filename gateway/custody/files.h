/*
 * The files of a store, all below its folder: segment-SEQUENCE, sidecar-SEQUENCE,
 * free-SEQUENCE (to be used again), lock. Sequences are never used twice. What writes goes
 * through a table of calls, where tests let the disk fail.
 */
#ifndef CUSTODY_FILES_H
#define CUSTODY_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "custody/records.h"

enum file_kind { FILE_SEGMENT, FILE_SIDECAR, FILE_SIDECAR_NEW, FILE_FREE, FILE_KINDS };

struct files_calls {
	ssize_t (*write)(int fd, const void *bytes, size_t n, off_t at);
	int (*sync)(int fd);
	int (*sync_folder)(int fd); /* names, too: fdatasync need not keep them */
	int (*truncate)(int fd, off_t bytes);
	int (*reserve)(int fd, int mode, off_t at, off_t bytes);
};
extern struct files_calls files_calls; /* the system's own; set before threads start */

struct file_list { /* ascending */
	uint32_t *sequences;
	size_t n, room;
};

/* Reads the folder; a sidecar that was not finished is removed. */
int files_list(int dir_fd, struct file_list lists_out[FILE_KINDS], struct err *err);
void file_list_fini(struct file_list *l);
/* The lock's descriptor, kept open; -1: another process has it. */
int files_lock(int dir_fd, struct err *err);

int files_open(int dir_fd, enum file_kind kind, uint32_t sequence, int flags, struct err *err);
/* All n bytes, or -1. */
int files_read(int fd, void *bytes, size_t n, uint64_t at, struct err *err);
int files_write(int fd, const void *bytes, size_t n, uint64_t at, struct err *err);
int files_sync(int fd, struct err *err);
int files_size(int fd, uint64_t *bytes_out, struct err *err);
/* The file ends here from now on, durably. */
int files_cut(int fd, uint64_t end, struct err *err);
/*
 * A segment of so many bytes with its head, all on stable storage: of free-RECYCLED, or a new
 * file where that is 0. -1 leaves nothing of it, but free-RECYCLED may be gone. err->code
 * ENOSPC: no room.
 */
int files_segment_new(int dir_fd, uint32_t recycled, const struct segment_head *head,
	uint64_t bytes, struct err *err);
void files_remove(int dir_fd, enum file_kind kind, uint32_t sequence);
/* segment- becomes free-; its sidecar goes first. False: it was removed instead. */
bool files_recycle(int dir_fd, uint32_t sequence);

#endif
