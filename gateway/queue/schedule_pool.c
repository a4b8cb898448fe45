/*
 * The schedule's items, by number, in chunks that never move, and the tables that find them.
 * Both grow in small steps: with a million parts waiting, no mail waits until a table has been
 * made twice as large. What is given back is used again; chunks are kept.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/schedule_priv.h"

void
pool_init(struct pool *p, size_t item_bytes)
{
	*p = (struct pool){.item_bytes = item_bytes};
}

void
pool_fini(struct pool *p)
{
	for (size_t i = 0; i < p->n_chunks; i++)
		mem_free(p->chunks[i]);
	mem_free(p->chunks);
}

static void
pool_grow(struct pool *p)
{
	if (p->n_chunks == p->room) {
		p->bytes -= p->room * sizeof(*p->chunks);
		p->room = p->room != 0 ? p->room * 2 : 16;
		p->bytes += p->room * sizeof(*p->chunks);
		p->chunks = mem_resize(p->chunks, p->room * sizeof(*p->chunks));
	}
	p->chunks[p->n_chunks++] = mem_array(POOL_CHUNK, p->item_bytes);
	p->bytes += POOL_CHUNK * p->item_bytes;
}

uint32_t
pool_take(struct pool *p)
{
	uint32_t i = p->free;
	if (i != 0) {
		memcpy(&p->free, pool_at(p, i), sizeof(p->free));
	} else {
		must(p->used < UINT32_MAX);
		if (p->used == p->n_chunks * POOL_CHUNK)
			pool_grow(p);
		i = ++p->used;
	}
	memset(pool_at(p, i), 0, p->item_bytes);
	return i;
}

void
pool_give(struct pool *p, uint32_t i)
{
	memset(pool_at(p, i), 0, p->item_bytes);
	memcpy(pool_at(p, i), &p->free, sizeof(p->free));
	p->free = i;
}

void
table_init(struct table *t, struct pool *p, size_t link,
	uint64_t (*hash)(const struct schedule *s, const void *item))
{
	*t = (struct table){.pool = p, .link = link, .hash = hash};
}

void
table_fini(struct table *t)
{
	mem_free(t->buckets);
}

static uint32_t *
link_of(const struct table *t, uint32_t i)
{
	return (uint32_t *)(void *)((char *)pool_at(t->pool, i) + t->link);
}

/* The buckets up to the last power of two are addressed by one bit more once they are split. */
static size_t
bucket_of(const struct table *t, uint64_t hash)
{
	size_t mask = 1;
	while (mask < t->n_buckets)
		mask *= 2;
	size_t at = hash & (mask - 1);
	return at < t->n_buckets ? at : at & (mask / 2 - 1);
}

/* One bucket more; the items of its lower half that belong there go there. */
static void
table_split(struct schedule *s, struct table *t)
{
	if (t->n_buckets == t->room) {
		t->room = t->room < 64 ? 64 : t->room + t->room / 4;
		t->buckets = mem_resize(t->buckets, t->room * sizeof(*t->buckets));
	}
	size_t added = t->n_buckets++;
	t->buckets[added] = 0;
	if (added == 0)
		return;
	size_t half = 1;
	while (half * 2 <= added)
		half *= 2;
	uint32_t *from = &t->buckets[added - half];
	for (uint32_t i = *from; i != 0; i = *from) {
		s->steps++;
		if (bucket_of(t, t->hash(s, pool_at(t->pool, i))) == added) {
			*from = *link_of(t, i);
			*link_of(t, i) = t->buckets[added];
			t->buckets[added] = i;
		} else {
			from = link_of(t, i);
		}
	}
}

void
table_add(struct schedule *s, struct table *t, uint32_t i)
{
	if (++t->count > t->n_buckets)
		table_split(s, t);
	uint32_t *bucket = &t->buckets[bucket_of(t, t->hash(s, pool_at(t->pool, i)))];
	*link_of(t, i) = *bucket;
	*bucket = i;
}

void
table_drop(struct schedule *s, struct table *t, uint32_t i)
{
	uint32_t *at = &t->buckets[bucket_of(t, t->hash(s, pool_at(t->pool, i)))];
	for (; *at != i; at = link_of(t, *at)) {
		must(*at != 0);
		s->steps++;
	}
	*at = *link_of(t, i);
	t->count--;
}

uint32_t
table_first(const struct table *t, uint64_t hash)
{
	return t->n_buckets != 0 ? t->buckets[bucket_of(t, hash)] : 0;
}

uint32_t
table_next(struct schedule *s, const struct table *t, uint32_t i)
{
	s->steps++;
	return *link_of(t, i);
}
