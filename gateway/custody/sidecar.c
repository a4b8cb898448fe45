/*
 * Sidecars; see sidecar.h. Written beside and renamed, so that there is always a whole one or
 * none. It is the segment's own word about itself: the generation must be the same.
 */
#include "custody/sidecar.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/mem.h"
#include "custody/files.h"

static const uint32_t magic = 0x78694370; /* pCix */

enum { VERSION = 1, HEAD = 48, ENTRY = 48 };

static void
entry_pack(const struct placed *p, char *to)
{
	memcpy(to, p->id.bytes, CUSTODY_ID_BYTES);
	little_put_u32(to + 16, p->at);
	little_put_u32(to + 20, p->envelope_bytes);
	little_put_u32(to + 24, p->note_bytes);
	little_put_u32(to + 28, p->until);
	little_put_u64(to + 32, p->body_bytes);
	little_put_u64(to + 40, p->op);
}

static void
entry_unpack(const char *from, struct placed *p)
{
	memcpy(p->id.bytes, from, CUSTODY_ID_BYTES);
	p->at = little_get_u32(from + 16);
	p->envelope_bytes = little_get_u32(from + 20);
	p->note_bytes = little_get_u32(from + 24);
	p->until = little_get_u32(from + 28);
	p->body_bytes = little_get_u64(from + 32);
	p->op = (enum record_op)little_get_u64(from + 40);
}

int
sidecar_write(int dir_fd, const struct sidecar *s, struct err *err)
{
	size_t n = HEAD + s->list.n * ENTRY;
	char *bytes = mem_new(n), from[32], to[32];
	for (size_t i = 0; i < s->list.n; i++)
		entry_pack(&s->list.p[i], bytes + HEAD + i * ENTRY);
	little_put_u32(bytes, magic);
	little_put_u32(bytes + 8, VERSION);
	little_put_u32(bytes + 12, s->sequence);
	little_put_u64(bytes + 16, s->generation);
	little_put_u64(bytes + 24, s->end);
	little_put_u64(bytes + 32, s->list.n);
	little_put_u32(bytes + 4, crc32c(0, bytes + 8, n - 8));
	int fd = files_open(
		dir_fd, FILE_SIDECAR_NEW, s->sequence, O_WRONLY | O_CREAT | O_TRUNC, err);
	int result = fd < 0 ? -1 : files_write(fd, bytes, n, 0, err);
	if (result == 0)
		result = files_sync(fd, err);
	if (fd >= 0)
		close(fd);
	mem_free(bytes);
	snprintf(from, sizeof(from), "new-sidecar-%08x", s->sequence);
	snprintf(to, sizeof(to), "sidecar-%08x", s->sequence);
	if (result == 0 && renameat(dir_fd, from, dir_fd, to) < 0)
		result = err_sys(err, "name %s", to);
	if (result < 0)
		files_remove(dir_fd, FILE_SIDECAR_NEW, s->sequence);
	return result;
}

static bool
parse(const char *bytes, uint64_t n, struct sidecar *s)
{
	if (n < HEAD || little_get_u32(bytes) != magic ||
		little_get_u32(bytes + 8) != VERSION ||
		little_get_u32(bytes + 12) != s->sequence || (n - HEAD) % ENTRY != 0 ||
		little_get_u64(bytes + 32) != (n - HEAD) / ENTRY ||
		little_get_u32(bytes + 4) != crc32c(0, bytes + 8, (size_t)n - 8))
		return false;
	s->generation = little_get_u64(bytes + 16);
	s->end = little_get_u64(bytes + 24);
	s->list.n = s->list.room = (size_t)(n - HEAD) / ENTRY;
	s->list.p = mem_array(s->list.n, sizeof(*s->list.p));
	for (size_t i = 0; i < s->list.n; i++)
		entry_unpack(bytes + HEAD + i * ENTRY, &s->list.p[i]);
	return true;
}

bool
sidecar_read(int dir_fd, uint32_t sequence, struct sidecar *s_out)
{
	struct err err;
	uint64_t n;
	*s_out = (struct sidecar){.sequence = sequence};
	int fd = files_open(dir_fd, FILE_SIDECAR, sequence, O_RDONLY, &err);
	if (fd < 0)
		return false;
	bool good = false;
	if (files_size(fd, &n, &err) == 0 && n >= HEAD && n < (uint64_t)1 << 32) {
		char *bytes = mem_new((size_t)n);
		good = files_read(fd, bytes, (size_t)n, 0, &err) == 0 && parse(bytes, n, s_out);
		mem_free(bytes);
	}
	close(fd);
	return good;
}
