/*
 * Files of certificates and keys: read whole, and known again when they have changed, by the
 * stamp and place of the file. The parent looks; sessions get what it read.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/tls.h"

static void
tls_stamp(struct tls_file *f, const struct stat *st)
{
	f->mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
	f->ctime_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec;
	f->inode = st->st_ino;
	f->size = (uint64_t)st->st_size;
}

static int
tls_read_all(int fd, struct buf *out)
{
	for (;;) {
		char *to = buf_reserve(out, 4096);
		if (to == NULL) {
			errno = EFBIG;
			return -1;
		}
		ssize_t n = read(fd, to, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		buf_commit(out, (size_t)n);
	}
}

int
tls_file_read(struct tls_file *f, struct buf *out, struct err *err)
{
	struct stat st;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, "open %s", f->path);
	buf_fini(out);
	buf_init(out, TLS_FILE_BYTES);
	int result = fstat(fd, &st);
	if (result == 0 && !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, "%s: not a file", f->path);
	}
	if (result == 0)
		result = tls_read_all(fd, out);
	if (result < 0)
		err_sys(err, "read %s", f->path);
	else
		tls_stamp(f, &st);
	close(fd);
	return result;
}

void
tls_file_stamp(struct tls_file *f)
{
	struct stat st;
	if (stat(f->path, &st) == 0)
		tls_stamp(f, &st);
}

bool
tls_file_changed(const struct tls_file *f)
{
	struct stat st;
	struct tls_file now = {.path = f->path};
	if (stat(f->path, &st) < 0 || access(f->path, R_OK) < 0)
		return false;
	tls_stamp(&now, &st);
	return now.mtime_ns != f->mtime_ns || now.ctime_ns != f->ctime_ns ||
	       now.inode != f->inode || now.size != f->size;
}
