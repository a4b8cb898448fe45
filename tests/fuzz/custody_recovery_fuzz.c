/*
 * A segment as a crash, a bad disk or an attacker with a file could leave it: the input says
 * which records stand in it, with right checks or wrong ones, what they claim, and what is
 * torn.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/must.h"
#include "custody/sidecar.h"
#include "custody/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES = 64 * 1024, GENERATION = 77, STEP = 8 };

static char file[FILE_BYTES];

/* One record by eight bytes: op, flags, commit, lengths, synced, damage. Returns its end. */
static size_t
build(size_t at, const uint8_t *d)
{
	struct record r = {.op = (enum record_op)(1 + d[0] % 5),
		.flags = d[1] % 4,
		.commit = d[2] % 8,
		.envelope_bytes = d[3],
		.note_bytes = d[4] % 64,
		.body_bytes = (uint64_t)(d[5] % 8) * 300,
		.until = d[2],
		.synced = SEGMENT_HEAD + (uint64_t)d[6] * RECORD_ALIGN};
	memset(r.id.bytes, d[0] >> 4, sizeof(r.id.bytes));
	size_t bytes = (size_t)record_bytes_of(&r);
	if (at + bytes > FILE_BYTES)
		return at;
	char *p = file + at, *payload = p + RECORD_HEAD;
	memset(payload, d[7], bytes - RECORD_HEAD);
	r.envelope_crc = crc32c(0, payload, r.envelope_bytes);
	payload += r.envelope_bytes;
	r.note_crc = crc32c(0, payload, r.note_bytes);
	payload += r.note_bytes;
	if (r.body_bytes > 0)
		little_put_u32(
			payload + r.body_bytes, crc32c(0, payload, (size_t)r.body_bytes));
	record_pack(&r, d[1] < 250 ? GENERATION : GENERATION + 1, p);
	if (d[1] >= 128) /* somewhere in it */
		p[(size_t)d[7] * 13 % bytes] ^= (char)(1 << d[2] % 8);
	return at + bytes;
}

static void
same(const struct walk *a, const struct walk *b)
{
	must(a->end == b->end && a->list.n == b->list.n);
	for (size_t i = 0; i < a->list.n; i++)
		must(a->list.p[i].at == b->list.p[i].at && a->list.p[i].op == b->list.p[i].op);
}

static void
check(const struct walk *w, uint64_t limit)
{
	uint64_t end = SEGMENT_HEAD;
	must(w->end >= SEGMENT_HEAD && w->end <= limit);
	for (size_t i = 0; i < w->list.n; i++) {
		const struct placed *p = &w->list.p[i];
		must((uint64_t)p->at * RECORD_ALIGN >= end);
		end = (uint64_t)p->at * RECORD_ALIGN +
		      record_bytes(p->envelope_bytes, p->note_bytes, p->body_bytes);
	}
	must(end <= w->end);
}

static void
sidecars(const uint8_t *data, size_t size)
{
	char folder[] = "/tmp/custody-fuzz-XXXXXX";
	struct sidecar s;
	must(mkdtemp(folder) != NULL);
	int dir = open(folder, O_RDONLY | O_DIRECTORY);
	int fd = openat(dir, "sidecar-00000001", O_WRONLY | O_CREAT, 0600);
	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	/* Not by chance: it has a check over all of it. */
	must(!sidecar_read(dir, 1, &s) || s.list.n <= size / 48);
	placed_fini(&s.list);
	must(unlinkat(dir, "sidecar-00000001", 0) == 0);
	close(dir);
	must(rmdir(folder) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk first, second;
	struct err err;
	if (size < 2)
		return 0;
	if (data[0] == 'S') {
		sidecars(data + 1, size - 1);
		return 0;
	}
	memset(file, 0, sizeof(file));
	size_t at = SEGMENT_HEAD;
	for (size_t i = 2; i + STEP <= size; i += STEP)
		at = build(at, data + i);
	bool claimed = data[0] % 2 == 1;
	size_t limit = at - (size_t)data[1] % 128;
	if (limit < SEGMENT_HEAD)
		limit = SEGMENT_HEAD;
	int fd = memfd_create("segment", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, file, limit) == (ssize_t)limit);
	must(walk_segment(fd, GENERATION, limit, claimed, &first, &err) == 0);
	check(&first, limit);
	/* Once it is cut there, and that is known, it is found as it was. */
	must(ftruncate(fd, (off_t)first.end) == 0);
	must(walk_segment(fd, GENERATION, first.end, true, &second, &err) == 0);
	same(&first, &second);
	walk_fini(&first);
	walk_fini(&second);
	close(fd);
	return 0;
}
