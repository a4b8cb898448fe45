/*
 * Byte strings to pointers: open addressing over entries in the order of insertion; see map.h.
 * The hash has a key of the process, so that nobody outside can choose collisions.
 */
#include "base/map.h"

#include <string.h>

#include "base/must.h"

struct entry {
	struct slice key;
	uint64_t hash;
	void *value;
};

struct map {
	struct arena *arena;
	bool nocase;
	struct entry *entries;
	uint32_t *slots; /* an entry's number + 1, or 0 */
	size_t count, room;
};

struct map *
map_new(struct arena *a, bool nocase)
{
	struct map *m = ARENA_NEW(a, struct map);
	m->arena = a;
	m->nocase = nocase;
	return m;
}

static size_t
slot_of(const struct map *m, struct slice key, uint64_t hash)
{
	size_t mask = m->room * 2 - 1;
	for (size_t at = hash & mask;; at = (at + 1) & mask) {
		uint32_t i = m->slots[at];
		if (i == 0)
			return at;
		const struct entry *e = &m->entries[i - 1];
		if (e->hash == hash &&
			(m->nocase ? slice_eq_nocase(e->key, key) : slice_eq(e->key, key)))
			return at;
	}
}

static void
grow(struct map *m)
{
	size_t room = m->room != 0 ? m->room * 2 : 8;
	must(room < UINT32_MAX);
	struct entry *entries = arena_array(m->arena, room, sizeof(*entries));
	if (m->count != 0)
		memcpy(entries, m->entries, m->count * sizeof(*entries));
	m->entries = entries;
	m->slots = arena_array(m->arena, room * 2, sizeof(*m->slots));
	m->room = room;
	for (size_t i = 0; i < m->count; i++)
		m->slots[slot_of(m, entries[i].key, entries[i].hash)] = (uint32_t)i + 1;
}

static uint64_t
hash_of(const struct map *m, struct slice key)
{
	return m->nocase ? slice_hash_nocase(key) : slice_hash(key);
}

void *
map_get(const struct map *m, struct slice key)
{
	if (m->room == 0)
		return NULL;
	uint32_t i = m->slots[slot_of(m, key, hash_of(m, key))];
	return i != 0 ? m->entries[i - 1].value : NULL;
}

void
map_put(struct map *m, struct slice key, void *value)
{
	must(value != NULL);
	if (m->count == m->room)
		grow(m);
	uint64_t hash = hash_of(m, key);
	size_t at = slot_of(m, key, hash);
	if (m->slots[at] != 0) {
		m->entries[m->slots[at] - 1].value = value;
		return;
	}
	m->entries[m->count] = (struct entry){arena_slice(m->arena, key), hash, value};
	m->slots[at] = (uint32_t)++m->count;
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

bool
map_at(const struct map *m, size_t i, struct slice *key_out, void **value_out)
{
	if (i >= m->count)
		return false;
	*key_out = m->entries[i].key;
	*value_out = m->entries[i].value;
	return true;
}
