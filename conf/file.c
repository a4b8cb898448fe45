/*
 * The files behind the configuration's names; see file.h. They are read once, by the parent, as
 * the user that started it. Never blocks on a pipe or a device.
 */
#include "conf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
open_regular(const char *path, struct stat *st, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, "cannot read %s", path);
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		close(fd);
		return err_set(err, "%s is no regular file", path);
	}
	return fd;
}

int
file_is_readable(const char *path, struct err *err)
{
	struct stat st;
	int fd = open_regular(path, &st, err);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

int
file_read(
	const char *path, size_t most, struct arena *a, struct slice *text_out, struct err *err)
{
	struct stat st;
	int fd = open_regular(path, &st, err);
	if (fd < 0)
		return -1;
	if ((uint64_t)st.st_size > most || (uint64_t)st.st_size + 1 > arena_room(a)) {
		close(fd);
		return err_set(err, "%s is larger than %zu bytes", path, most);
	}
	size_t size = (size_t)st.st_size, have = 0;
	char *text = arena_alloc(a, size + 1);
	/* A file that grows meanwhile is read as large as it was. */
	while (have < size) {
		ssize_t n = read(fd, text + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(err, "read %s", path);
			close(fd);
			return -1;
		}
		if (n == 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	*text_out = (struct slice){text, have};
	return 0;
}

struct slice
file_cwd(struct arena *a)
{
	char cwd[PATH_MAX];
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return SLICE("./");
	return arena_printf(a, "%s%s", cwd, strcmp(cwd, "/") == 0 ? "" : "/");
}

struct slice
file_folder(const char *path, struct arena *a)
{
	struct slice s = slice_of(path);
	size_t slash = slice_find_last(s, '/');
	struct slice folder = slash < s.n ? slice_first(s, slash + 1) : SLICE("");
	return file_absolute(folder, file_cwd(a), a);
}

struct slice
file_absolute(struct slice path, struct slice folder, struct arena *a)
{
	if (path.n != 0 && path.p[0] == '/')
		return arena_slice(a, path);
	return arena_printf(a, "%.*s%.*s", SLICE_ARG(folder), SLICE_ARG(path));
}
