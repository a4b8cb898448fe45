/*
 * See cache.h. A value has four places it may stand in; where all are taken, the one that ends
 * first goes. Values are known by their hash, which is keyed anew in each process: nobody
 * outside can choose two that collide.
 */
#include "directory/cache.h"

#include "base/mem.h"

enum { PLACES = 4 };

struct kept {
	uint64_t hash;
	uint64_t until_ms; /* 0: empty */
};

struct side {
	struct kept *places; /* NULL: nothing was kept yet */
	size_t n;
};

struct directory_cache {
	struct side yes, no;
};

struct directory_cache *
directory_cache_new(void)
{
	struct directory_cache *c = MEM_NEW(struct directory_cache);
	c->yes.n = DIRECTORY_CACHE_YES;
	c->no.n = DIRECTORY_CACHE_NO;
	return c;
}

void
directory_cache_free(struct directory_cache **c)
{
	if (*c == NULL)
		return;
	mem_free((*c)->yes.places);
	mem_free((*c)->no.places);
	mem_free(*c);
	*c = NULL;
}

static struct kept *
first_place(const struct side *s, uint64_t hash)
{
	return &s->places[hash % (s->n / PLACES) * PLACES];
}

static void
put(struct side *s, uint64_t hash, uint64_t until_ms)
{
	if (s->places == NULL)
		s->places = mem_array(s->n, sizeof(*s->places));
	struct kept *at = first_place(s, hash), *to = at;
	for (size_t i = 0; i < PLACES; i++) {
		if (at[i].hash == hash) {
			to = &at[i];
			break;
		}
		if (at[i].until_ms < to->until_ms)
			to = &at[i];
	}
	*to = (struct kept){hash, until_ms};
}

static void
drop(struct side *s, uint64_t hash)
{
	struct kept *at = s->places != NULL ? first_place(s, hash) : NULL;
	for (size_t i = 0; at != NULL && i < PLACES; i++)
		if (at[i].hash == hash)
			at[i] = (struct kept){0, 0};
}

static bool
has(const struct side *s, uint64_t hash, uint64_t now_ms)
{
	const struct kept *at = s->places != NULL ? first_place(s, hash) : NULL;
	for (size_t i = 0; at != NULL && i < PLACES; i++)
		if (at[i].hash == hash && at[i].until_ms > now_ms)
			return true;
	return false;
}

void
directory_cache_put(
	struct directory_cache *c, struct slice value, bool found, uint64_t until_ms)
{
	uint64_t hash = slice_hash(value);
	put(found ? &c->yes : &c->no, hash, until_ms);
	drop(found ? &c->no : &c->yes, hash);
}

bool
directory_cache_get(
	const struct directory_cache *c, struct slice value, uint64_t now_ms, bool *found_out)
{
	uint64_t hash = slice_hash(value);
	*found_out = has(&c->yes, hash, now_ms);
	return *found_out || has(&c->no, hash, now_ms);
}
