/*
 * The bytes of one mail while a session owns them: in memory, past 256 KiB in an unlinked file
 * of the spill directory. A full disk is an answer (452 4.3.1), never a crash (SRV-06).
 */
#ifndef SESSION_SPILL_H
#define SESSION_SPILL_H

#include "base/err.h"
#include "base/slice.h"

enum { SPILL_MEMORY_MOST = 256 * 1024 };

struct spill;

/* dir_fd: where files are made; borrowed. -1: no files, past the bound the mail is refused. */
struct spill *spill_new(int dir_fd);
void spill_free(struct spill **s);
int spill_add(struct spill *s, struct slice bytes, struct err *err);
uint64_t spill_bytes(const struct spill *s);
/* All of it, where it is in memory (a file of it may be there too); else false. */
bool spill_memory(const struct spill *s, struct slice *bytes_out);
/* The file, from offset 0, open for reading alone; what is in memory is written to it first.
 * Borrowed. -1: err says why. */
int spill_file(struct spill *s, struct err *err);

#endif
