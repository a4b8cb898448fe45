/*
 * The files of the spam filter's models, below the folder "spam" of the spool: site.model, and
 * domain/NAME.model. A new one is written beside the old one, synced, and takes its name; then
 * the folder is synced: whoever is killed at any point leaves the old one or the new one. All
 * calls block. What writes goes through a table of calls, where tests let the disk fail.
 */
#ifndef QUEUE_SPAM_FILES_H
#define QUEUE_SPAM_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct spam_files_calls {
	ssize_t (*write)(int fd, const void *bytes, size_t n);
	int (*sync)(int fd);
	int (*rename)(int from_dir, const char *from, int to_dir, const char *to);
};
extern struct spam_files_calls
	spam_files_calls; /* the system's own; set before threads start */

enum { SPAM_NAME_BYTES = 320, SPAM_ASIDE_MOST = 4 /* damaged files kept, of each model */ };

/* "site.model", "domain/NAME.model". False: such a name is no domain. */
bool spam_files_name(struct slice domain, char name_out[SPAM_NAME_BYTES]);

/* The folder in the spool, made where it is missing: a descriptor, or -1 and err. */
int spam_files_open(int spool, struct err *err);
/* 1 read, 0 there is none, -1 err. when_ms: when it was written. */
int spam_files_read(
	int dir, const char *name, struct buf *out, int64_t *when_ms_out, struct err *err);
/* 0: on stable storage under its name; -1: the old one is there, or the new one. */
int spam_files_write(int dir, const char *name, struct slice bytes, struct err *err);
/* Renames it, so that it is kept for a person: its new name. -1 and err: it still is there. */
int spam_files_set_aside(int dir, const char *name, int64_t now_ms,
	char name_out[SPAM_NAME_BYTES], struct err *err);

#endif
