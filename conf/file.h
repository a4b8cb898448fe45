/* Files that the configuration names: read with a bound, relative to the file that names them.
 */
#ifndef CONF_FILE_H
#define CONF_FILE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* The whole of a regular file of at most `most` bytes, in the arena. */
int file_read(const char *path, size_t most, struct arena *a, struct slice *text_out,
	struct err *err);
/* 0 where path is a regular file that can be opened for reading. */
int file_is_readable(const char *path, struct err *err);
/* Where the process stands, with a last '/'. */
struct slice file_cwd(struct arena *a);
/* The absolute folder of a file, with its last '/'. */
struct slice file_folder(const char *path, struct arena *a);
/* path itself where it is absolute, else below the folder. */
struct slice file_absolute(struct slice path, struct slice folder, struct arena *a);

#endif
