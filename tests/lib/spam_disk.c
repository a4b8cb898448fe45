/*
 * The calls of a disk that does what a test says; see spam_disk.h. They come from the thread
 * that writes, one at a time.
 */
#include "spam_disk.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "queue/spam_files.h"

struct spam_disk spam_disk;
static struct spam_files_calls real;

static int
disk_call(void)
{
	int n = atomic_fetch_add(&spam_disk.seen, 1) + 1;
	if (n == spam_disk.die_at)
		_exit(99);
	if (spam_disk.fail_at == -1 || n == spam_disk.fail_at) {
		errno = spam_disk.fail_errno;
		return -1;
	}
	return 0;
}

static ssize_t
disk_write(int fd, const void *bytes, size_t n)
{
	if (disk_call() < 0)
		return -1;
	return real.write(fd, bytes,
		spam_disk.write_most != 0 && n > spam_disk.write_most ? spam_disk.write_most
								      : n);
}

static int
disk_sync(int fd)
{
	if (disk_call() < 0)
		return -1;
	atomic_fetch_add(&spam_disk.syncs, 1);
	if (spam_disk.slow_ms != 0)
		nanosleep(&(struct timespec){0, spam_disk.slow_ms * 1000000L}, NULL);
	return real.sync(fd);
}

static int
disk_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	return disk_call() < 0 ? -1 : real.rename(from_dir, from, to_dir, to);
}

void
spam_disk_begin(void)
{
	real = spam_files_calls;
	memset(&spam_disk, 0, sizeof(spam_disk));
	spam_files_calls = (struct spam_files_calls){disk_write, disk_sync, disk_rename};
}

void
spam_disk_end(void)
{
	spam_files_calls = real;
}
