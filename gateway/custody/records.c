/*
 * Records and heads of segments as bytes; see records.h. Written by the writer thread for each
 * commit, read by the reader for each answer and by recovery for each record.
 */
#include "custody/records.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/mem.h"

static const uint32_t record_magic = 0x64724370;  /* pCrd */
static const uint32_t segment_magic = 0x67734370; /* pCsg */

enum { SEGMENT_VERSION = 1, SEGMENT_COPY = SEGMENT_HEAD / 2, SEGMENT_PACKED = 40 };

uint64_t
record_body_stored(uint64_t body_bytes)
{
	return body_bytes + (body_bytes + RECORD_BLOCK - 1) / RECORD_BLOCK * RECORD_CHECK;
}

uint64_t
record_bytes(uint32_t envelope_bytes, uint32_t note_bytes, uint64_t body_bytes)
{
	uint64_t n = RECORD_HEAD + (uint64_t)envelope_bytes + note_bytes +
		     record_body_stored(body_bytes);
	return (n + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

uint64_t
record_bytes_of(const struct record *r)
{
	return record_bytes(r->envelope_bytes, r->note_bytes, r->body_bytes);
}

void
record_pack(const struct record *r, uint64_t generation, char bytes[RECORD_HEAD])
{
	memset(bytes, 0, RECORD_HEAD);
	little_put_u32(bytes, record_magic);
	little_put_u64(bytes + 8, generation);
	memcpy(bytes + 16, r->id.bytes, CUSTODY_ID_BYTES);
	bytes[32] = (char)r->op;
	bytes[33] = (char)r->flags;
	little_put_u32(bytes + 36, r->commit);
	little_put_u32(bytes + 40, r->envelope_bytes);
	little_put_u32(bytes + 44, r->note_bytes);
	little_put_u64(bytes + 48, r->body_bytes);
	little_put_u32(bytes + 56, r->envelope_crc);
	little_put_u32(bytes + 60, r->note_crc);
	little_put_u32(bytes + 64, r->until);
	little_put_u64(bytes + 72, r->synced);
	little_put_u32(bytes + 4, crc32c(0, bytes + 8, RECORD_HEAD - 8));
}

bool
record_unpack(const char bytes[RECORD_HEAD], uint64_t generation, struct record *r_out)
{
	if (little_get_u32(bytes) != record_magic || little_get_u64(bytes + 8) != generation ||
		little_get_u32(bytes + 4) != crc32c(0, bytes + 8, RECORD_HEAD - 8))
		return false;
	unsigned op = (unsigned char)bytes[32];
	if (op < RECORD_PUT || op > RECORD_MARK)
		return false;
	*r_out = (struct record){.op = (enum record_op)op,
		.flags = (unsigned char)bytes[33],
		.commit = little_get_u32(bytes + 36),
		.envelope_bytes = little_get_u32(bytes + 40),
		.note_bytes = little_get_u32(bytes + 44),
		.body_bytes = little_get_u64(bytes + 48),
		.envelope_crc = little_get_u32(bytes + 56),
		.note_crc = little_get_u32(bytes + 60),
		.until = little_get_u32(bytes + 64),
		.synced = little_get_u64(bytes + 72)};
	memcpy(r_out->id.bytes, bytes + 16, CUSTODY_ID_BYTES);
	/* No sum of them may go round. */
	return r_out->envelope_bytes <= CUSTODY_ENVELOPE_MOST &&
	       r_out->note_bytes <= CUSTODY_NOTE_MOST && r_out->body_bytes < (uint64_t)1 << 40;
}

void
segment_head_pack(const struct segment_head *h, char bytes[SEGMENT_HEAD])
{
	memset(bytes, 0, SEGMENT_HEAD);
	little_put_u32(bytes, segment_magic);
	little_put_u32(bytes + 8, SEGMENT_VERSION);
	little_put_u32(bytes + 12, h->sequence);
	little_put_u64(bytes + 16, h->generation);
	little_put_u32(bytes + 24, h->prior);
	little_put_u64(bytes + 32, h->prior_end);
	little_put_u32(bytes + 4, crc32c(0, bytes + 8, SEGMENT_PACKED - 8));
	memcpy(bytes + SEGMENT_COPY, bytes, SEGMENT_PACKED);
}

bool
segment_head_unpack(const char bytes[SEGMENT_HEAD], struct segment_head *h_out)
{
	for (int copy = 0; copy < 2; copy++) {
		const char *p = bytes + copy * SEGMENT_COPY;
		if (little_get_u32(p) != segment_magic ||
			little_get_u32(p + 8) != SEGMENT_VERSION ||
			little_get_u32(p + 4) != crc32c(0, p + 8, SEGMENT_PACKED - 8))
			continue;
		*h_out = (struct segment_head){.sequence = little_get_u32(p + 12),
			.generation = little_get_u64(p + 16),
			.prior = little_get_u32(p + 24),
			.prior_end = little_get_u64(p + 32)};
		return true;
	}
	return false;
}

void
placed_add(struct placed_list *l, const struct placed *p)
{
	if (l->n == l->room) {
		l->room = l->room != 0 ? l->room * 2 : 64;
		l->p = mem_resize(l->p, l->room * sizeof(*l->p));
	}
	l->p[l->n++] = *p;
}

void
placed_fini(struct placed_list *l)
{
	mem_free(l->p);
	*l = (struct placed_list){0};
}
