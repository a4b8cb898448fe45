/*
 * Records and heads of segments as bytes; see records.h. Written by the writer thread for each
 * commit, read by the reader for each answer and by recovery for each record.
 */
#include "custody/records.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"

static const uint32_t record_magic = 0x64724370;  /* pCrd */
static const uint32_t segment_magic = 0x67734370; /* pCsg */

enum { SEGMENT_VERSION = 1, SEGMENT_COPY = SEGMENT_HEAD / 2, SEGMENT_PACKED = 40 };

void
put_u32(char *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(n >> 8 * i & 255);
}

void
put_u64(char *p, uint64_t n)
{
	put_u32(p, (uint32_t)n);
	put_u32(p + 4, (uint32_t)(n >> 32));
}

uint32_t
get_u32(const char *p)
{
	uint32_t n = 0;
	for (int i = 0; i < 4; i++)
		n |= (uint32_t)(unsigned char)p[i] << 8 * i;
	return n;
}

uint64_t
get_u64(const char *p)
{
	return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

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
	put_u32(bytes, record_magic);
	put_u64(bytes + 8, generation);
	memcpy(bytes + 16, r->id.bytes, CUSTODY_ID_BYTES);
	bytes[32] = (char)r->op;
	bytes[33] = (char)r->flags;
	put_u32(bytes + 36, r->commit);
	put_u32(bytes + 40, r->envelope_bytes);
	put_u32(bytes + 44, r->note_bytes);
	put_u64(bytes + 48, r->body_bytes);
	put_u32(bytes + 56, r->envelope_crc);
	put_u32(bytes + 60, r->note_crc);
	put_u32(bytes + 64, r->until);
	put_u64(bytes + 72, r->synced);
	put_u32(bytes + 4, crc32c(0, bytes + 8, RECORD_HEAD - 8));
}

bool
record_unpack(const char bytes[RECORD_HEAD], uint64_t generation, struct record *r_out)
{
	if (get_u32(bytes) != record_magic || get_u64(bytes + 8) != generation ||
		get_u32(bytes + 4) != crc32c(0, bytes + 8, RECORD_HEAD - 8))
		return false;
	unsigned op = (unsigned char)bytes[32];
	if (op < RECORD_PUT || op > RECORD_MARK)
		return false;
	*r_out = (struct record){.op = (enum record_op)op,
		.flags = (unsigned char)bytes[33],
		.commit = get_u32(bytes + 36),
		.envelope_bytes = get_u32(bytes + 40),
		.note_bytes = get_u32(bytes + 44),
		.body_bytes = get_u64(bytes + 48),
		.envelope_crc = get_u32(bytes + 56),
		.note_crc = get_u32(bytes + 60),
		.until = get_u32(bytes + 64),
		.synced = get_u64(bytes + 72)};
	memcpy(r_out->id.bytes, bytes + 16, CUSTODY_ID_BYTES);
	/* No sum of them may go round. */
	return r_out->envelope_bytes <= CUSTODY_ENVELOPE_MOST &&
	       r_out->note_bytes <= CUSTODY_NOTE_MOST && r_out->body_bytes < (uint64_t)1 << 40;
}

void
segment_head_pack(const struct segment_head *h, char bytes[SEGMENT_HEAD])
{
	memset(bytes, 0, SEGMENT_HEAD);
	put_u32(bytes, segment_magic);
	put_u32(bytes + 8, SEGMENT_VERSION);
	put_u32(bytes + 12, h->sequence);
	put_u64(bytes + 16, h->generation);
	put_u32(bytes + 24, h->prior);
	put_u64(bytes + 32, h->prior_end);
	put_u32(bytes + 4, crc32c(0, bytes + 8, SEGMENT_PACKED - 8));
	memcpy(bytes + SEGMENT_COPY, bytes, SEGMENT_PACKED);
}

bool
segment_head_unpack(const char bytes[SEGMENT_HEAD], struct segment_head *h_out)
{
	for (int copy = 0; copy < 2; copy++) {
		const char *p = bytes + copy * SEGMENT_COPY;
		if (get_u32(p) != segment_magic || get_u32(p + 8) != SEGMENT_VERSION ||
			get_u32(p + 4) != crc32c(0, p + 8, SEGMENT_PACKED - 8))
			continue;
		*h_out = (struct segment_head){.sequence = get_u32(p + 12),
			.generation = get_u64(p + 16),
			.prior = get_u32(p + 24),
			.prior_end = get_u64(p + 32)};
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
