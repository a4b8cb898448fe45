/*
 * The table of entries in memory: a hash with chains, and all entries in one array, over which
 * a hand goes to find one that was not used since it last passed (the "clock" of page
 * replacement). Only what is on disk, as it is, may be let go; what has changed waits for the
 * writer.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "state/local_priv.h"

enum { BUCKETS_LEAST = 1024, LOOKS_MOST = 256 }; /* entries looked at for one that may go */

void
hot_init(struct hot *h, size_t most)
{
	*h = (struct hot){.most = most, .n_buckets = BUCKETS_LEAST};
	must(most > 0 && most < UINT32_MAX);
	h->buckets = mem_array(h->n_buckets, sizeof(struct entry *));
}

static void
entry_free(struct entry *e)
{
	entry_clear(e);
	mem_free(e);
}

void
hot_fini(struct hot *h)
{
	for (size_t i = 0; i < h->n; i++)
		entry_free(h->slots[i]);
	mem_free(h->buckets);
	mem_free(h->slots);
	mem_free(h->changed);
}

static struct entry **
bucket_of(const struct hot *h, enum state_space space, struct slice key)
{
	return &h->buckets[(slice_hash(key) + space) & (h->n_buckets - 1)];
}

static void
grow(struct hot *h)
{
	mem_free(h->buckets);
	h->n_buckets *= 2;
	h->buckets = mem_array(h->n_buckets, sizeof(struct entry *));
	for (size_t i = 0; i < h->n; i++) {
		struct entry *e = h->slots[i];
		struct entry **b = bucket_of(h, (enum state_space)e->space, entry_key(e));
		e->next = *b;
		*b = e;
	}
}

struct entry *
hot_find(const struct hot *h, enum state_space space, struct slice key)
{
	struct entry *e = *bucket_of(h, space, key);
	while (e != NULL && (e->space != space || !slice_eq(entry_key(e), key)))
		e = e->next;
	if (e != NULL)
		e->used = true;
	return e;
}

void
hot_remove(struct hot *h, struct entry *e)
{
	struct entry **at = bucket_of(h, (enum state_space)e->space, entry_key(e));
	must(!e->changed && !e->writing);
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	struct entry *last = h->slots[--h->n];
	h->slots[e->slot] = last;
	last->slot = e->slot;
	entry_free(e);
}

/* False: within reach all wait for the writer. */
static bool
make_room(struct hot *h)
{
	for (size_t i = 0; i < LOOKS_MOST && i < 2 * h->n; i++) {
		h->hand = h->hand + 1 < h->n ? h->hand + 1 : 0;
		struct entry *e = h->slots[h->hand];
		if (!e->used && !e->changed && !e->writing && !e->pinned) {
			hot_remove(h, e);
			return true;
		}
		e->used = false;
	}
	return false;
}

struct entry *
hot_add(struct hot *h, enum state_space space, struct slice key)
{
	must(key.n <= KEY_MOST);
	if (h->n >= h->most && !make_room(h))
		return NULL;
	if (h->n == h->room) {
		h->room = h->room != 0 ? 2 * h->room : BUCKETS_LEAST;
		h->slots = mem_resize(h->slots, h->room * sizeof(struct entry *));
	}
	if (h->n >= h->n_buckets)
		grow(h);
	struct entry *e = mem_new(sizeof(*e) + key.n);
	struct entry **b = bucket_of(h, space, key);
	memcpy(e->key, key.p, key.n);
	e->key_n = (uint16_t)key.n;
	e->space = (uint8_t)space;
	e->used = true;
	e->next = *b;
	*b = e;
	e->slot = (uint32_t)h->n;
	h->slots[h->n++] = e;
	return e;
}

void
hot_changed(struct hot *h, struct entry *e)
{
	if (e->changed)
		return;
	if (h->n_changed == h->room_changed) {
		h->room_changed = h->room_changed != 0 ? 2 * h->room_changed : BUCKETS_LEAST;
		h->changed = mem_resize(h->changed, h->room_changed * sizeof(struct entry *));
	}
	h->changed[h->n_changed++] = e;
	e->changed = true;
}

void
hot_all_changed(struct hot *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->slots[i]->type != ENTRY_NONE)
			hot_changed(h, h->slots[i]);
}

void
hot_tidy(struct hot *h, size_t n, const struct moment *at)
{
	for (size_t i = 0; i < n && h->n != 0; i++) {
		h->hand = h->hand + 1 < h->n ? h->hand + 1 : 0;
		struct entry *e = h->slots[h->hand];
		if (!e->changed && !e->writing && entry_is_over(e, at))
			hot_remove(h, e);
	}
}
