/*
 * Where every item is, in memory: a hash by id over entries of 48 bytes that keep their number
 * and their address as long as they are there. The loop's thread alone uses it.
 */
#ifndef CUSTODY_INDEX_H
#define CUSTODY_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "custody/custody.h"

enum { INDEX_BUSY_MOST = (1 << 24) - 1 };

struct entry {
	struct custody_id id;
	uint32_t put_in,
		put_at; /* segment, place in it / RECORD_ALIGN; in 0: not (yet) there */
	uint32_t note_in,
		note_at; /* the record with the newest note: NOTE, or the item's own */
	uint32_t envelope_bytes, note_bytes;
	uint32_t body_low;
	uint32_t body_high : 8;
	uint32_t busy : 24; /* changes on their way: collection leaves it alone */
};

struct index {
	struct entry **chunks;
	uint32_t n_chunks;
	uint32_t top;     /* entries ever used: numbers are below it */
	uint32_t vacant;  /* a list of those unused, through put_at; number + 1, 0: none */
	uint32_t *slots;  /* number + 1; 0: empty */
	uint32_t n_slots; /* a power of two */
	uint32_t count;
};

void index_init(struct index *ix);
void index_fini(struct index *ix);
struct entry *index_find(const struct index *ix, const struct custody_id *id);
struct entry *index_add(struct index *ix, const struct custody_id *id); /* it is not there */
void index_remove(struct index *ix, struct entry *e);
/* By number; NULL: vacant. number < top. */
struct entry *index_at(const struct index *ix, uint32_t number);
uint64_t index_memory(const struct index *ix);

static inline uint64_t
entry_body_bytes(const struct entry *e)
{
	return (uint64_t)e->body_high << 32 | e->body_low;
}

#endif
