/*
 * Models as files; see spam_files.h. Everything is done relative to the folder's descriptor,
 * which is all that the keeper has of the file system.
 */
#include "queue/spam_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/slice.h"

struct spam_files_calls spam_files_calls = {.write = write, .sync = fsync, .rename = renameat};

enum { READ_AT_ONCE = 256 * 1024, NAME_MOST = 200 };

static const char folder[] = "spam", domains[] = "domain", suffix[] = ".model",
		  aside_word[] = ".damaged-";

/* ---- names ---- */

/* What a configuration calls a domain, short enough for a file with all that is added to it
 * (255); no name that means another folder. */
static bool
is_name(struct slice domain)
{
	if (domain.n == 0 || domain.n > NAME_MOST || domain.p[0] == '.')
		return false;
	for (size_t i = 0; i < domain.n; i++) {
		char c = domain.p[i];
		if (!ascii_digit(c) && !(ascii_alpha(c) && ascii_lower(c) == c) && c != '-' &&
			c != '.' && c != '_')
			return false;
	}
	return true;
}

bool
spam_files_name(struct slice domain, char name_out[SPAM_NAME_BYTES])
{
	if (domain.n == 0)
		snprintf(name_out, SPAM_NAME_BYTES, "site%s", suffix);
	else if (!is_name(domain))
		return false;
	else
		snprintf(name_out, SPAM_NAME_BYTES, "%s/%.*s%s", domains, SLICE_ARG(domain),
			suffix);
	return true;
}

/* The folder of a name, open, and the name in it: the caller closes it. */
static int
open_parent(int dir, const char **name, struct err *err)
{
	const char *slash = strchr(*name, '/');
	const char *parent = slash != NULL ? domains : ".";
	int fd = openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(err, "open the folder of %s", *name);
	if (slash != NULL)
		*name = slash + 1;
	return fd;
}

/* ---- the folder ---- */

static int
make_folder(int at, const char *name, struct err *err)
{
	if (mkdirat(at, name, 0700) == 0)
		return spam_files_calls.sync(at) == 0 ? 0 : err_sys(err, "sync the spool");
	return errno == EEXIST ? 0 : err_sys(err, "make the folder %s", name);
}

int
spam_files_open(int spool, struct err *err)
{
	if (make_folder(spool, folder, err) < 0)
		return -1;
	int fd = openat(spool, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(err, "open the folder %s", folder);
	if (make_folder(fd, domains, err) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- reading ---- */

static int
read_all(int fd, const char *name, struct buf *out, struct err *err)
{
	for (;;) {
		size_t room = buf_left(out) < READ_AT_ONCE ? buf_left(out) : READ_AT_ONCE;
		if (room == 0)
			return err_set(err, "%s: it is longer than any model", name);
		char *to = buf_reserve(out, room);
		ssize_t n = read(fd, to, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "read %s", name);
		if (n == 0)
			return 1;
		buf_commit(out, (size_t)n);
	}
}

int
spam_files_read(int dir, const char *name, struct buf *out, int64_t *when_ms, struct err *err)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, "open %s", name);
	int result = -1;
	if (fstat(fd, &st) < 0)
		err_sys(err, "look at %s", name);
	else if (!S_ISREG(st.st_mode))
		err_set(err, "%s: it is no file", name);
	else
		result = read_all(fd, name, out, err);
	if (result == 1)
		*when_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	close(fd);
	return result;
}

/* ---- writing ---- */

static int
write_all(int fd, struct slice bytes)
{
	while (bytes.n != 0) {
		ssize_t n = spam_files_calls.write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		bytes = slice_from(bytes, (size_t)n);
	}
	return spam_files_calls.sync(fd);
}

static int
write_new(int dir, const char *name, const char *fresh, struct slice bytes, struct err *err)
{
	int fd = openat(dir, fresh,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return err_sys(err, "make %s", fresh);
	int result = write_all(fd, bytes) < 0 ? err_sys(err, "write %s", fresh) : 0;
	if (close(fd) < 0 && result == 0)
		result = err_sys(err, "write %s", fresh);
	if (result == 0 && spam_files_calls.rename(dir, fresh, dir, name) < 0)
		result = err_sys(err, "rename %s", fresh);
	if (result < 0) { /* a full disk needs its bytes more than we do */
		unlinkat(dir, fresh, 0);
		return -1;
	}
	return spam_files_calls.sync(dir) < 0 ? err_sys(err, "sync the folder of %s", name) : 0;
}

int
spam_files_write(int dir, const char *name, struct slice bytes, struct err *err)
{
	char fresh[SPAM_NAME_BYTES];
	int parent = open_parent(dir, &name, err);
	if (parent < 0)
		return -1;
	snprintf(fresh, sizeof(fresh), "%s.new", name);
	int result = write_new(parent, name, fresh, bytes, err);
	close(parent);
	return result;
}

/* ---- what is damaged ---- */

/* Names with a time in them: the oldest first. Whoever damages a file again and again fills no
 * disk by it. */
static void
forget_old(int dir, const char *name)
{
	struct dirent **names;
	int n = scandirat(dir, ".", &names, NULL, alphasort), seen = 0;
	for (int i = n - 1; i >= 0; i--) {
		struct slice word = slice_of(names[i]->d_name), of = slice_of(name);
		if (slice_starts(word, of) &&
			slice_starts(slice_from(word, of.n), slice_of(aside_word)) &&
			++seen > SPAM_ASIDE_MOST)
			unlinkat(dir, names[i]->d_name, 0);
		mem_free(names[i]);
	}
	if (n >= 0)
		mem_free(names);
}

int
spam_files_set_aside(int dir, const char *name, int64_t now_ms, char name_out[SPAM_NAME_BYTES],
	struct err *err)
{
	char stamp[24];
	struct tm tm;
	time_t now = (time_t)(now_ms / 1000);
	must(gmtime_r(&now, &tm) != NULL);
	must(strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm) > 0);
	int parent = open_parent(dir, &name, err);
	if (parent < 0)
		return -1;
	snprintf(name_out, SPAM_NAME_BYTES, "%.250s%s%s.%03uZ", name, aside_word, stamp,
		(unsigned)(now_ms % 1000));
	int result = spam_files_calls.rename(parent, name, parent, name_out) < 0
			     ? err_sys(err, "set %s aside", name)
			     : 0;
	if (result == 0)
		forget_old(parent, name);
	close(parent);
	return result;
}
