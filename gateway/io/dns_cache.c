/*
 * Answers that were given, by name and type, as the packets they came in (a few hundred bytes
 * each; decoding one again costs a microsecond). Bounded in entries and bytes; the one that was
 * not used for longest goes first. Time is an argument.
 */
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "io/dns_priv.h"

enum { CACHED_PACKET_MOST = 4096, CACHED_BYTES_EACH = 1024, CACHED_TTL_MOST = 24 * 3600 };

struct dns_entry {
	struct dns_entry *next; /* in its bucket */
	TAILQ_ENTRY(dns_entry) used;
	uint64_t stored_ms, until_ms;
	enum dns_type type;
	bool secure;
	struct dns_wire name;
	size_t bytes;
	char packet[];
};

struct dns_cache {
	size_t n, most, bytes, nbuckets;
	struct dns_entry **bucket;
	TAILQ_HEAD(, dns_entry) used; /* the first was not used for longest */
};

struct dns_cache *
dns_cache_new(size_t most)
{
	struct dns_cache *c = MEM_NEW(struct dns_cache);
	c->most = most;
	for (c->nbuckets = 64; c->nbuckets < most; c->nbuckets *= 2)
		;
	c->bucket = mem_array(c->nbuckets, sizeof(struct dns_entry *));
	TAILQ_INIT(&c->used);
	return c;
}

/* Where the entry's pointer stands, or would. */
static struct dns_entry **
cache_find(struct dns_cache *c, const struct dns_wire *name, enum dns_type type)
{
	struct slice bytes = {(const char *)name->bytes, name->n};
	struct dns_entry **at =
		&c->bucket[(slice_hash(bytes) ^ (unsigned)type) & (c->nbuckets - 1)];
	for (; *at != NULL; at = &(*at)->next)
		if ((*at)->type == type && dns_wire_eq(&(*at)->name, name))
			break;
	return at;
}

static void
cache_drop(struct dns_cache *c, struct dns_entry **at)
{
	struct dns_entry *e = *at;
	*at = e->next;
	TAILQ_REMOVE(&c->used, e, used);
	c->n--;
	c->bytes -= e->bytes;
	mem_free(e);
}

static void
cache_drop_oldest(struct dns_cache *c)
{
	struct dns_entry *e = TAILQ_FIRST(&c->used);
	cache_drop(c, cache_find(c, &e->name, e->type));
}

void
dns_cache_free(struct dns_cache **cp)
{
	struct dns_cache *c = *cp;
	if (c == NULL)
		return;
	*cp = NULL;
	while (c->n != 0)
		cache_drop_oldest(c);
	mem_free(c->bucket);
	mem_free(c);
}

bool
dns_cache_get(struct dns_cache *c, const struct dns_wire *name, enum dns_type type,
	uint64_t now_ms, struct slice *packet_out, bool *secure_out, uint32_t *age_s_out)
{
	struct dns_entry **at = cache_find(c, name, type), *e = *at;
	if (e == NULL)
		return false;
	if (now_ms >= e->until_ms) {
		cache_drop(c, at);
		return false;
	}
	TAILQ_REMOVE(&c->used, e, used);
	TAILQ_INSERT_TAIL(&c->used, e, used);
	*packet_out = (struct slice){e->packet, e->bytes};
	*secure_out = e->secure;
	*age_s_out = (uint32_t)((now_ms - e->stored_ms) / 1000);
	return true;
}

void
dns_cache_put(struct dns_cache *c, const struct dns_wire *name, enum dns_type type,
	uint64_t now_ms, struct slice packet, bool secure, uint32_t ttl_s)
{
	if (ttl_s == 0 || packet.n > CACHED_PACKET_MOST || c->most == 0)
		return;
	struct dns_entry **at = cache_find(c, name, type);
	if (*at != NULL)
		cache_drop(c, at);
	while (c->n >= c->most ||
		(c->n != 0 && c->bytes + packet.n > c->most * CACHED_BYTES_EACH))
		cache_drop_oldest(c);
	struct dns_entry *e = mem_new(sizeof(*e) + packet.n);
	uint64_t kept_s = ttl_s < CACHED_TTL_MOST ? ttl_s : CACHED_TTL_MOST;
	e->stored_ms = now_ms;
	e->until_ms = now_ms + kept_s * 1000;
	e->type = type;
	e->secure = secure;
	e->name = *name;
	e->bytes = packet.n;
	memcpy(e->packet, packet.p, packet.n);
	at = cache_find(c, name, type);
	e->next = *at;
	*at = e;
	TAILQ_INSERT_TAIL(&c->used, e, used);
	c->n++;
	c->bytes += e->bytes;
}
