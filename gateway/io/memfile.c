/*
 * Sealed files in memory for what no message holds: the keeper's settings, the scanner's
 * patterns, large transactions; see memfile.h.
 */
#include "io/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

static int
write_sealed(int fd, const char *what, struct slice bytes, struct err *err)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, "write %s to a file in memory", what);
		bytes = slice_from(bytes, (size_t)n);
	}
	return fcntl(fd, F_ADD_SEALS, SEALS) == 0
		       ? 0
		       : err_sys(err, "seal the file in memory of %s", what);
}

int
memfile_new(const char *what, struct slice bytes, struct err *err)
{
	int fd = memfd_create("postern", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(err, "make a file in memory for %s", what);
	if (write_sealed(fd, what, bytes, err) == 0)
		return fd;
	close(fd);
	return -1;
}

bool
memfile_read(int fd, size_t most, struct arena *a, struct slice *bytes_out)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
		(uint64_t)st.st_size > most)
		return false;
	size_t size = (size_t)st.st_size, done = 0;
	char *bytes = arena_try(a, size);
	while (bytes != NULL && done < size) {
		ssize_t n = pread(fd, bytes + done, size - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	*bytes_out = (struct slice){bytes, done};
	return bytes != NULL;
}
