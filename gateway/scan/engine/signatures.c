/*
 * The fingerprint of a set of signatures; see signatures.h. Read once, before the set is loaded
 * and the privileges go. The order of a folder's files does not matter, nor when they were
 * written: what counts is what would be found with them.
 */
#include "engine/signatures.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"

enum { HEADER_BYTES = 512, BLOCK_BYTES = 64 * 1024, PATH_BYTES = 4096 };

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static uint64_t
mix(uint64_t h, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * FNV_PRIME;
	return h;
}

/* ClamAV's own sets, of a hundred megabytes: the header says which they are. */
static bool
is_container(const char *name)
{
	struct slice s = slice_of(name);
	return slice_ends(s, SLICE(".cvd")) || slice_ends(s, SLICE(".cld")) ||
	       slice_ends(s, SLICE(".cud"));
}

/* 0: it cannot be read. */
static uint64_t
of_file(int folder, const char *name)
{
	static unsigned char block[BLOCK_BYTES];
	struct stat st;
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	const char *slash = strrchr(name, '/');
	const char *base = slash != NULL ? slash + 1 : name;
	uint64_t size = (uint64_t)st.st_size;
	uint64_t h = mix(mix(FNV_START, base, strlen(base) + 1), &size, sizeof(size));
	uint64_t most = is_container(name) ? HEADER_BYTES : UINT64_MAX;
	while (most > 0) {
		size_t want = most < sizeof(block) ? (size_t)most : sizeof(block);
		ssize_t n = read(fd, block, want);
		if (n <= 0)
			break;
		h = mix(h, block, (size_t)n);
		most -= (uint64_t)n;
	}
	close(fd);
	return h != 0 ? h : 1;
}

uint64_t
signatures_fingerprint(const char *database)
{
	uint64_t sum = 0;
	DIR *d = opendir(database);
	if (d == NULL)
		return of_file(AT_FDCWD, database);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			sum += of_file(dirfd(d), e->d_name);
	closedir(d);
	return sum;
}
