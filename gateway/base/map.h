/*
 * A map from byte strings to pointers. Keys are copied into the arena, values belong to the
 * caller. There is no removal: a map lives as long as its arena (a snapshot, a session, a
 * mail).
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/arena.h"
#include "base/slice.h"

struct map;

struct map *map_new(struct arena *a, bool nocase);    /* nocase: ASCII letters compare equal */
void *map_get(const struct map *m, struct slice key); /* NULL: not there */
/* Sets, replacing what was there; value is not NULL. */
void map_put(struct map *m, struct slice key, void *value);
size_t map_count(const struct map *m);
/* In the order of insertion: for (i = 0; map_at(m, i, &key, &value); i++). */
bool map_at(const struct map *m, size_t i, struct slice *key_out, void **value_out);

#endif
