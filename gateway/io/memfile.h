/*
 * A file in memory, by which more than a message holds goes to another process: its descriptor
 * is sent, or inherited by who is started. Sealed, so that nobody can change it any more.
 */
#ifndef IO_MEMFILE_H
#define IO_MEMFILE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* The descriptor, close-on-exec; -1 and err, which names `what` is in it. */
int memfile_new(const char *what, struct slice bytes, struct err *err);

/*
 * All bytes of a file that another process made, sealed or not: a copy, so that what the other
 * side may still do to it changes nothing here. False: it is no file, has no byte or more than
 * `most`, cannot be read, or the arena has no room. The descriptor stays the caller's.
 */
bool memfile_read(int fd, size_t most, struct arena *a, struct slice *bytes_out);

#endif
