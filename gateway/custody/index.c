/*
 * The index of the segment store; see index.h. Entries come in chunks, so that growing copies
 * none of them and wastes little; the table has open places found by stepping on.
 */
#include "custody/index.h"

#include <string.h>

#include "base/mem.h"
#include "base/must.h"

enum { CHUNK = 1024, SLOTS_FIRST = 1024 };

void
index_init(struct index *ix)
{
	*ix = (struct index){.n_slots = SLOTS_FIRST};
	ix->slots = mem_array(ix->n_slots, sizeof(*ix->slots));
}

void
index_fini(struct index *ix)
{
	for (uint32_t i = 0; i < ix->n_chunks; i++)
		mem_free(ix->chunks[i]);
	mem_free(ix->chunks);
	mem_free(ix->slots);
	*ix = (struct index){0};
}

static struct entry *
entry_of(const struct index *ix, uint32_t number)
{
	return &ix->chunks[number / CHUNK][number % CHUNK];
}

/* Ids are random, but whoever restores items by a migration chose them: a keyed hash. */
static uint32_t
home(const struct index *ix, const struct custody_id *id)
{
	struct slice s = {(const char *)id->bytes, sizeof(id->bytes)};
	return (uint32_t)slice_hash(s) & (ix->n_slots - 1);
}

/* The slot that holds it, or the empty one where it would go. */
static uint32_t
slot_of(const struct index *ix, const struct custody_id *id)
{
	uint32_t at = home(ix, id);
	while (ix->slots[at] != 0 && !custody_id_eq(&entry_of(ix, ix->slots[at] - 1)->id, id))
		at = (at + 1) & (ix->n_slots - 1);
	return at;
}

struct entry *
index_find(const struct index *ix, const struct custody_id *id)
{
	uint32_t n = ix->slots[slot_of(ix, id)];
	return n != 0 ? entry_of(ix, n - 1) : NULL;
}

static void
grow(struct index *ix)
{
	uint32_t *old = ix->slots, n_old = ix->n_slots;
	must(n_old < (uint32_t)1 << 31);
	ix->n_slots = n_old * 2;
	ix->slots = mem_array(ix->n_slots, sizeof(*ix->slots));
	for (uint32_t i = 0; i < n_old; i++)
		if (old[i] != 0)
			ix->slots[slot_of(ix, &entry_of(ix, old[i] - 1)->id)] = old[i];
	mem_free(old);
}

static uint32_t
number_new(struct index *ix)
{
	if (ix->vacant != 0) {
		uint32_t number = ix->vacant - 1;
		ix->vacant = entry_of(ix, number)->put_at;
		return number;
	}
	if (ix->top == ix->n_chunks * CHUNK) {
		ix->chunks =
			mem_resize(ix->chunks, (ix->n_chunks + 1) * sizeof(struct entry *));
		ix->chunks[ix->n_chunks++] = mem_array(CHUNK, sizeof(struct entry));
	}
	return ix->top++;
}

struct entry *
index_add(struct index *ix, const struct custody_id *id)
{
	if (ix->count >= ix->n_slots / 8 * 7)
		grow(ix);
	uint32_t at = slot_of(ix, id);
	must(ix->slots[at] == 0);
	uint32_t number = number_new(ix);
	struct entry *e = entry_of(ix, number);
	*e = (struct entry){.id = *id};
	ix->slots[at] = number + 1;
	ix->count++;
	return e;
}

void
index_remove(struct index *ix, struct entry *e)
{
	uint32_t mask = ix->n_slots - 1, hole = slot_of(ix, &e->id);
	uint32_t number = ix->slots[hole] - 1;
	must(entry_of(ix, number) == e);
	/* What stands behind and would no longer be found moves up. */
	for (uint32_t at = (hole + 1) & mask; ix->slots[at] != 0; at = (at + 1) & mask) {
		uint32_t from = home(ix, &entry_of(ix, ix->slots[at] - 1)->id);
		if (((at - from) & mask) >= ((at - hole) & mask)) {
			ix->slots[hole] = ix->slots[at];
			hole = at;
		}
	}
	ix->slots[hole] = 0;
	*e = (struct entry){.put_at = ix->vacant};
	ix->vacant = number + 1;
	ix->count--;
}

struct entry *
index_at(const struct index *ix, uint32_t number)
{
	struct entry *e = entry_of(ix, number);
	return e->put_in != 0 ? e : NULL;
}

uint64_t
index_memory(const struct index *ix)
{
	return (uint64_t)ix->n_chunks *
		       (CHUNK * sizeof(struct entry) + sizeof(struct entry *)) +
	       (uint64_t)ix->n_slots * sizeof(*ix->slots);
}
