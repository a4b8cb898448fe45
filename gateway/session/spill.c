/*
 * Where a mail lies between its first byte and our answer: memory, then an unlinked file. It is
 * private to the session; other processes get a read-only descriptor of it.
 */
#include "session/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

struct spill {
	int dir_fd;
	int fd;     /* to write; -1: all is in memory */
	int reader; /* of the same file, for all others */
	struct buf memory;
	uint64_t bytes;
};

struct spill *
spill_new(int dir_fd)
{
	struct spill *s = MEM_NEW(struct spill);
	s->dir_fd = dir_fd;
	s->fd = s->reader = -1;
	buf_init(&s->memory, SPILL_MEMORY_MOST);
	return s;
}

static void
close_both(int fd, int reader)
{
	if (fd >= 0)
		close(fd);
	if (reader >= 0)
		close(reader);
}

void
spill_free(struct spill **s)
{
	if (*s == NULL)
		return;
	close_both((*s)->fd, (*s)->reader);
	buf_fini(&(*s)->memory);
	mem_free(*s);
	*s = NULL;
}

static int
write_all(int fd, struct slice bytes, struct err *err)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, "write to the spill file");
		bytes = slice_from(bytes, (size_t)n);
	}
	return 0;
}

/*
 * Opened twice by a name that is gone again at once: what another process gets can neither
 * change the mail that was judged nor move the place where we write on.
 */
static int
open_both(int dir_fd, int *reader_out, struct err *err)
{
	uint64_t number;
	char name[32];
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return err_sys(err, "name a spill file");
	snprintf(name, sizeof(name), "mail-%016" PRIx64, number);
	int fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, "make a spill file");
	*reader_out = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	int result = *reader_out < 0 ? err_sys(err, "open a spill file again") : 0;
	if (unlinkat(dir_fd, name, 0) < 0 && result == 0)
		result = err_sys(err, "unlink a spill file");
	if (result == 0)
		return fd;
	close_both(fd, *reader_out);
	return -1;
}

int
spill_file(struct spill *s, struct err *err)
{
	int reader = -1;
	if (s->fd >= 0)
		return s->reader;
	if (s->dir_fd < 0)
		return err_set(err, "no spill directory");
	int fd = open_both(s->dir_fd, &reader, err);
	if (fd < 0)
		return -1;
	if (write_all(fd, buf_slice(&s->memory), err) < 0) {
		close_both(fd, reader);
		return -1;
	}
	s->fd = fd;
	s->reader = reader;
	return reader;
}

int
spill_add(struct spill *s, struct slice bytes, struct err *err)
{
	if (s->fd < 0 && bytes.n > buf_left(&s->memory)) {
		if (spill_file(s, err) < 0)
			return -1;
		buf_fini(&s->memory); /* nobody reads it while it grows */
	}
	if (s->fd < 0)
		(void)buf_add(&s->memory, bytes); /* room was just asked for */
	else if (write_all(s->fd, bytes, err) < 0)
		return -1;
	s->bytes += bytes.n;
	return 0;
}

uint64_t
spill_bytes(const struct spill *s)
{
	return s->bytes;
}

bool
spill_memory(const struct spill *s, struct slice *bytes_out)
{
	*bytes_out = buf_slice(&s->memory);
	return s->bytes == bytes_out->n;
}
