/*
 * Where a mail lies between its first byte and our answer: memory, then an unlinked file. It is
 * private to the session; other processes get a read-only descriptor of it.
 */
#include "session/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

struct spill {
	int dir_fd;
	int fd; /* -1: all is in memory */
	struct buf memory;
	uint64_t bytes;
};

struct spill *
spill_new(int dir_fd)
{
	struct spill *s = MEM_NEW(struct spill);
	s->dir_fd = dir_fd;
	s->fd = -1;
	buf_init(&s->memory, SPILL_MEMORY_MOST);
	return s;
}

void
spill_free(struct spill **s)
{
	if (*s == NULL)
		return;
	if ((*s)->fd >= 0)
		close((*s)->fd);
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

int
spill_file(struct spill *s, struct err *err)
{
	if (s->fd >= 0)
		return s->fd;
	if (s->dir_fd < 0)
		return err_set(err, "no spill directory");
	int fd = openat(s->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, "make a spill file");
	if (write_all(fd, buf_slice(&s->memory), err) < 0) {
		close(fd);
		return -1;
	}
	s->fd = fd;
	return fd;
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
