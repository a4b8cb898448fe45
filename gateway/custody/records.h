/*
 * What stands in a segment, as bytes (README.md, "On disk"): a head, then records, each on a
 * multiple of RECORD_ALIGN. A record is a header with a check of its own, the envelope, the
 * note, and the body in blocks that each end in their check. All numbers are little-endian.
 *
 * The generation is random and new each time that a file is used: neither the old records of a
 * recycled file nor a mail that looks like a record are ever taken for records.
 */
#ifndef CUSTODY_RECORDS_H
#define CUSTODY_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "custody/custody.h"

enum {
	RECORD_ALIGN = 64,
	RECORD_HEAD = 80,
	RECORD_BLOCK = 64 * 1024, /* of a body; what a read has to check at least */
	RECORD_CHECK = 4,         /* behind each block */
	SEGMENT_HEAD = 4096,      /* two copies of it stand in there */
};

enum record_op {
	RECORD_PUT = 1,
	RECORD_NOTE,
	RECORD_DROP,
	RECORD_COPY, /* by collection: the item as it is now, whatever was before */
	RECORD_MARK, /* nothing: a commit without changes */
};

enum { RECORD_FIRST = 1, RECORD_LAST = 2 }; /* of its commit */

struct record {
	enum record_op op;
	unsigned flags;
	struct custody_id id;
	uint32_t commit; /* counts the commits of the segment */
	uint32_t envelope_bytes, note_bytes;
	uint64_t body_bytes;
	uint32_t envelope_crc, note_crc;
	uint32_t until;  /* DROP: the segment it was first written to. No older PUT is needed */
	uint64_t synced; /* what stands before this offset was on stable storage already */
};

/* The body with the checks of its blocks. */
uint64_t record_body_stored(uint64_t body_bytes);
/* All of a record, with what fills it up. */
uint64_t record_bytes(uint32_t envelope_bytes, uint32_t note_bytes, uint64_t body_bytes);
uint64_t record_bytes_of(const struct record *r);
void record_pack(const struct record *r, uint64_t generation, char bytes[RECORD_HEAD]);
/* False: no record of this generation, or damaged. */
bool record_unpack(const char bytes[RECORD_HEAD], uint64_t generation, struct record *r_out);

struct segment_head {
	uint32_t sequence;
	uint64_t generation;
	uint32_t prior;     /* the segment before it; 0: none */
	uint64_t prior_end; /* its records end here, and all of them are on stable storage */
};

void segment_head_pack(const struct segment_head *h, char bytes[SEGMENT_HEAD]);
bool segment_head_unpack(const char bytes[SEGMENT_HEAD], struct segment_head *h_out);

/* A record and its place, in units of RECORD_ALIGN; what recovery and collection go by. */
struct placed {
	struct custody_id id;
	uint32_t at;
	uint32_t envelope_bytes, note_bytes;
	uint32_t until;
	uint64_t body_bytes;
	enum record_op op;
};

struct placed_list {
	struct placed *p;
	size_t n, room;
};

void placed_add(struct placed_list *l, const struct placed *p);
void placed_fini(struct placed_list *l);

#endif
