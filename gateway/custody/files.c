/*
 * The files of a store; see files.h. Everything is done relative to the folder's descriptor, so
 * that a process that has nothing but it can work.
 */
#include "custody/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"

struct files_calls files_calls = {.write = pwrite,
	.sync = fdatasync,
	.sync_folder = fsync,
	.truncate = ftruncate,
	.reserve = fallocate};

enum { NAME_BYTES = 32, DIGITS = 8 };

static const char *const prefixes[FILE_KINDS] = {
	[FILE_SEGMENT] = "segment-",
	[FILE_SIDECAR] = "sidecar-",
	[FILE_SIDECAR_NEW] = "new-sidecar-",
	[FILE_FREE] = "free-",
};

static const char *
name_of(enum file_kind kind, uint32_t sequence, char buf[NAME_BYTES])
{
	snprintf(buf, NAME_BYTES, "%s%08x", prefixes[kind], sequence);
	return buf;
}

static bool
name_parse(struct slice name, enum file_kind *kind_out, uint32_t *sequence_out)
{
	for (int kind = 0; kind < FILE_KINDS; kind++) {
		struct slice prefix = slice_of(prefixes[kind]);
		if (!slice_starts(name, prefix) || name.n != prefix.n + DIGITS)
			continue;
		uint32_t n = 0;
		for (size_t i = prefix.n; i < name.n; i++) {
			int digit = ascii_hex(name.p[i]);
			if (digit < 0 || (name.p[i] >= 'A' && name.p[i] <= 'F'))
				return false;
			n = n << 4 | (uint32_t)digit;
		}
		*kind_out = (enum file_kind)kind;
		*sequence_out = n;
		return n != 0;
	}
	return false;
}

static void
list_add(struct file_list *l, uint32_t sequence)
{
	if (l->n == l->room) {
		l->room = l->room != 0 ? l->room * 2 : 16;
		l->sequences = mem_resize(l->sequences, l->room * sizeof(*l->sequences));
	}
	l->sequences[l->n++] = sequence;
}

static int
ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

int
files_list(int dir_fd, struct file_list lists_out[FILE_KINDS], struct err *err)
{
	for (int kind = 0; kind < FILE_KINDS; kind++)
		lists_out[kind] = (struct file_list){0};
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		err_sys(err, "read the spool's folder");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	enum file_kind kind;
	uint32_t sequence;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (name_parse(slice_of(e->d_name), &kind, &sequence))
			list_add(&lists_out[kind], sequence);
	closedir(d);
	for (int i = 0; i < FILE_KINDS; i++)
		if (lists_out[i].n > 0)
			qsort(lists_out[i].sequences, lists_out[i].n, sizeof(uint32_t),
				ascending);
	struct file_list *unfinished = &lists_out[FILE_SIDECAR_NEW];
	for (size_t i = 0; i < unfinished->n; i++)
		files_remove(dir_fd, FILE_SIDECAR_NEW, unfinished->sequences[i]);
	return 0;
}

void
file_list_fini(struct file_list *l)
{
	mem_free(l->sequences);
	*l = (struct file_list){0};
}

int
files_lock(int dir_fd, struct err *err)
{
	int fd = openat(dir_fd, "lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, "open the spool's lock");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err_sys(err, "another process has the spool's lock");
		close(fd);
		return -1;
	}
	return fd;
}

int
files_open(int dir_fd, enum file_kind kind, uint32_t sequence, int flags, struct err *err)
{
	char name[NAME_BYTES];
	name_of(kind, sequence, name);
	int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd >= 0 ? fd : err_sys(err, "open %s", name);
}

int
files_read(int fd, void *bytes, size_t n, uint64_t at, struct err *err)
{
	char *p = bytes;
	while (n > 0) {
		ssize_t got = pread(fd, p, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(err, "read the spool");
		if (got == 0)
			return err_set(err, "a file of the spool is shorter than it was");
		p += got;
		n -= (size_t)got;
		at += (uint64_t)got;
	}
	return 0;
}

int
files_write(int fd, const void *bytes, size_t n, uint64_t at, struct err *err)
{
	const char *p = bytes;
	while (n > 0) {
		ssize_t put = files_calls.write(fd, p, n, (off_t)at);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return err_sys(err, "write the spool");
		p += put;
		n -= (size_t)put;
		at += (uint64_t)put;
	}
	return 0;
}

int
files_sync(int fd, struct err *err)
{
	return files_calls.sync(fd) == 0 ? 0 : err_sys(err, "sync the spool");
}

int
files_size(int fd, uint64_t *bytes_out, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "look at a file of the spool");
	*bytes_out = (uint64_t)st.st_size;
	return 0;
}

int
files_cut(int fd, uint64_t end, struct err *err)
{
	if (files_calls.truncate(fd, (off_t)end) < 0)
		return err_sys(err, "cut a segment of the spool");
	return files_sync(fd, err);
}

/* File systems that cannot reserve (ENOSPC is then met when writing) get the size alone. */
static int
reserve(int fd, uint64_t bytes, struct err *err)
{
	if (files_calls.reserve(fd, 0, 0, (off_t)bytes) == 0)
		return 0;
	if ((errno == EOPNOTSUPP || errno == ENOSYS) &&
		files_calls.truncate(fd, (off_t)bytes) == 0)
		return 0;
	return err_sys(err, "reserve %llu bytes for a segment of the spool",
		(unsigned long long)bytes);
}

int
files_segment_new(int dir_fd, uint32_t recycled, const struct segment_head *head,
	uint64_t bytes, struct err *err)
{
	char name[NAME_BYTES], old[NAME_BYTES], packed[SEGMENT_HEAD];
	name_of(FILE_SEGMENT, head->sequence, name);
	if (recycled != 0 &&
		renameat(dir_fd, name_of(FILE_FREE, recycled, old), dir_fd, name) < 0)
		return err_sys(err, "recycle %s", old);
	int flags = recycled != 0 ? O_RDWR : O_RDWR | O_CREAT | O_EXCL;
	int fd = files_open(dir_fd, FILE_SEGMENT, head->sequence, flags, err);
	if (fd < 0)
		return -1;
	segment_head_pack(head, packed);
	if (reserve(fd, bytes, err) == 0 &&
		files_write(fd, packed, sizeof(packed), 0, err) == 0 &&
		files_sync(fd, err) == 0) {
		if (files_calls.sync_folder(dir_fd) == 0)
			return fd;
		err_sys(err, "sync the spool's folder");
	}
	close(fd);
	files_remove(dir_fd, FILE_SEGMENT, head->sequence);
	return -1;
}

void
files_remove(int dir_fd, enum file_kind kind, uint32_t sequence)
{
	char name[NAME_BYTES];
	/* What cannot be removed is met again at the next start, and does no harm till then. */
	(void)unlinkat(dir_fd, name_of(kind, sequence, name), 0);
}

bool
files_recycle(int dir_fd, uint32_t sequence)
{
	char name[NAME_BYTES], to[NAME_BYTES];
	files_remove(dir_fd, FILE_SIDECAR, sequence);
	name_of(FILE_SEGMENT, sequence, name);
	if (renameat(dir_fd, name, dir_fd, name_of(FILE_FREE, sequence, to)) == 0)
		return true;
	files_remove(dir_fd, FILE_SEGMENT, sequence);
	return false;
}
