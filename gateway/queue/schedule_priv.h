/*
 * What the files of the schedule share: schedule_pool.c (items by number, tables of them),
 * schedule_heap.c (order in time, turns), schedule_site.c (sites, domains, lanes),
 * schedule_limit.c (how much a site may get, and when), schedule.c (the interface).
 *
 *   site --has--> lanes (one for each sender) --have--> parts
 *        --has--> domains --name--> parts
 *
 * Nothing is done for a part when its time comes: a lane is as early as its first part, a site
 * as its first lane, so that a million parts of a site that backs off are one entry, with the
 * time at which it is over. Items are known by numbers of 32 bits: half the memory of pointers.
 */
#ifndef QUEUE_SCHEDULE_PRIV_H
#define QUEUE_SCHEDULE_PRIV_H

#include "queue/schedule.h"

enum {
	SCHEDULE_IDLE_MOST = 10000, /* domains without parts whose site is remembered */
	SCHEDULE_PROMOTE = 8, /* sites or lanes that get their turn by one call, at most */
	SCHEDULE_DEFERS = 3,  /* AGAIN so often in a row: nobody waits for this site */
	SCHEDULE_MOVE_FREELY = 1000, /* a domain of more parts changes its site only ... */
	SCHEDULE_MOVE_MS = 60 * 1000 /* ... so long after the last time */
};

/* --- schedule_pool.c: items of one size, numbered from 1; 0 is none */

struct pool {
	size_t item_bytes;
	char **chunks;
	size_t n_chunks, room;
	uint32_t used; /* numbers given out so far */
	uint32_t free; /* the first of those that came back */
	size_t bytes;
};

void pool_init(struct pool *p, size_t item_bytes);
void pool_fini(struct pool *p);
uint32_t pool_take(struct pool *p); /* zeroed */
void pool_give(struct pool *p, uint32_t i);

enum { POOL_CHUNK = 256 };

static inline void *
pool_at(const struct pool *p, uint32_t i)
{
	return p->chunks[(i - 1) / POOL_CHUNK] + (i - 1) % POOL_CHUNK * p->item_bytes;
}

/*
 * A hash table that grows by one bucket with each item (linear hashing): no operation has to
 * move all of them. `link` is where the items have their uint32_t for it.
 */
struct table {
	struct pool *pool;
	size_t link;
	uint64_t (*hash)(const struct schedule *s, const void *item);
	uint32_t *buckets;
	size_t n_buckets, room, count;
};

void table_init(struct table *t, struct pool *p, size_t link,
	uint64_t (*hash)(const struct schedule *s, const void *item));
void table_fini(struct table *t);
void table_add(struct schedule *s, struct table *t, uint32_t i);
void table_drop(struct schedule *s, struct table *t, uint32_t i);
/* All items that may have this hash: for (i = table_first(); i != 0; i = table_next()). */
uint32_t table_first(const struct table *t, uint64_t hash);
uint32_t table_next(struct schedule *s, const struct table *t, uint32_t i);

/* --- schedule_heap.c */

/* The first member of what stands in a heap or takes turns in a ring, never in both. */
struct node {
	uint64_t key_ms;
	union {
		uint32_t left, before;
	};
	union {
		uint32_t right, after;
	};
	uint32_t up;
	uint8_t rank;
	uint8_t place; /* enum place */
	uint8_t flags; /* of a part */
};

enum place { PLACE_NONE, PLACE_HEAP, PLACE_RING };

void heap_add(struct schedule *s, struct pool *p, uint32_t *root, uint32_t i);
void heap_drop(struct schedule *s, struct pool *p, uint32_t *root, uint32_t i);
/* Calls fn for all up to limit_ms, in no order, until it returns false; then it does so too. */
bool heap_walk(const struct pool *p, uint32_t root, uint64_t limit_ms,
	bool (*fn)(void *arg, uint32_t i), void *arg);
void ring_add(struct pool *p, uint32_t *first, uint32_t i); /* as the last */
void ring_drop(struct pool *p, uint32_t *first, uint32_t i);

/* --- what there is */

enum part_flag {
	PART_FLIES = 1,    /* in flight; else in its lane's heap */
	PART_REMOVED = 2,  /* by hand, in flight: gone with its result */
	PART_BY_HAND = 4,  /* its time was set by hand, in flight: the result does not */
	PART_UNQUEUED = 8, /* in flight by schedule_try_now, and never added */
};

struct part {
	struct node node; /* in its lane; key: when it is due */
	struct custody_id id;
	uint32_t part, attempts;
	uint32_t lane, domain;
	uint32_t part_link, mail_link;    /* tables: by id and part; first of a mail by id */
	uint32_t mail_before, mail_after; /* the parts of one mail */
	uint32_t domain_before, domain_after; /* the parts of one domain */
	uint32_t epoch;                       /* in flight: its site's when it began */
};

struct lane {             /* what one sender has at one site */
	struct node node; /* in its site; key: of its first part */
	uint64_t sender;
	uint32_t site;
	uint32_t link;  /* table */
	uint32_t parts; /* heap */
	uint32_t refs;  /* parts, in flight too */
};

struct domain {
	char *name;
	uint64_t moved_ms;
	uint32_t name_bytes;
	uint32_t site;
	uint32_t link;
	uint32_t first; /* part */
	uint32_t n_parts;
	uint32_t site_before, site_after; /* the domains of one site */
	uint32_t idle_before, idle_after; /* those without parts, the oldest first */
	bool limited;                     /* the configuration says something of it */
};

struct site {
	struct node node; /* in the schedule; key: when something may be tried */
	uint64_t mx_set;  /* 0: not known */
	uint32_t link;    /* table, if mx_set is known */
	uint32_t domains; /* the first */
	uint32_t n_domains;
	uint32_t ring, heap; /* lanes: whose time has come and who take turns; the others */
	uint32_t n_parts;    /* in flight too */
	uint32_t in_flight;
	uint32_t window, threshold, passed; /* at once; slow start up to; successes since +1 */
	uint32_t most, connections; /* of the window; what the configuration says, or 0 */
	uint32_t failures;          /* in a row, as a whole */
	uint32_t deferred;          /* AGAIN in a row */
	uint32_t epoch; /* moves with each failure: what began before it counts no more */
	uint64_t until_ms, deferred_ms;
	uint64_t next_us;           /* by the rate: when the next would be on time */
	uint64_t step_us, burst_us; /* 0: no rate */
};

struct schedule {
	struct schedule_config config;
	schedule_limit_fn *limit;
	void *limit_arg;
	uint64_t now_ms; /* the latest told */
	uint64_t random;
	struct pool parts, lanes, domains, sites;
	struct table by_part, by_mail, by_lane, by_name, by_set;
	uint32_t ring, heap; /* sites: that may be tried and take turns; with a time */
	uint32_t idle, idle_last;
	size_t n_idle, n_parts, n_sites, in_flight, name_bytes;
	uint64_t steps; /* what all operations have cost so far: for tests */
};

static inline struct part *
part_at(const struct schedule *s, uint32_t i)
{
	return pool_at(&s->parts, i);
}

static inline struct lane *
lane_at(const struct schedule *s, uint32_t i)
{
	return pool_at(&s->lanes, i);
}

static inline struct domain *
domain_at(const struct schedule *s, uint32_t i)
{
	return pool_at(&s->domains, i);
}

static inline struct site *
site_at(const struct schedule *s, uint32_t i)
{
	return pool_at(&s->sites, i);
}

static inline uint32_t
site_of(const struct schedule *s, uint32_t part)
{
	return lane_at(s, part_at(s, part)->lane)->site;
}

/* --- schedule_site.c */

void sites_init(struct schedule *s);
uint32_t domain_find(struct schedule *s, struct slice name); /* 0: not known */
uint32_t domain_get(struct schedule *s, struct slice name);  /* made where it is not known */
/* A part that is new or has gone; in both it is in no lane's heap. */
void domain_join(struct schedule *s, uint32_t domain, uint32_t part, uint64_t sender);
void domain_leave(struct schedule *s, uint32_t part);
/* In and out of its lane's heap; its site is placed anew by it. */
void part_wait(struct schedule *s, uint32_t part);
void part_unwait(struct schedule *s, uint32_t part);
void part_retime(struct schedule *s, uint32_t part, uint64_t due_ms); /* keeps the turn */
/* Where the site stands, after anything that changes when it may be tried. */
void site_place(struct schedule *s, uint32_t site);
/* The part whose turn it is at the first site; that site and lane are last after it. 0: none.
 */
uint32_t site_turn(struct schedule *s);
/* fn for each part at the site that is due at limit_ms, those in flight not; as heap_walk. */
void site_walk(const struct schedule *s, uint32_t site, uint64_t limit_ms,
	bool (*fn)(void *arg, uint32_t part), void *arg);

/* --- schedule_limit.c: of one site, who else has to be told is the caller's to know */

void site_fresh(const struct schedule *s, struct site *t);
void site_limits(struct schedule *s, struct site *t); /* asks the configuration anew */
/* Another domain of the site: what the configuration says of it is added. */
void site_limit_domain(struct schedule *s, struct site *t, struct domain *d);
uint32_t site_window(const struct site *t);  /* as it is now: 1 for a probe */
uint64_t site_rate_ms(const struct site *t); /* the rate is used up until; 0: not */
uint64_t site_held_ms(const struct site *t); /* UINT64_MAX: until a result comes */
void site_begin(struct schedule *s, struct site *t);
void site_unsent(struct site *t);
void site_worked(struct schedule *s, struct site *t, bool again);
void site_busy(struct schedule *s, struct site *t, uint32_t epoch);
void site_failed(struct schedule *s, struct site *t, uint32_t epoch);
/* `to` is known better: of `from` only a back-off that still lasts and the rate used count. */
void site_merge(const struct schedule *s, struct site *to, const struct site *from);
void site_learn(struct site *t, const struct site *from); /* all that was learnt, but epochs */
uint64_t schedule_delay(struct schedule *s, uint32_t attempts);

#endif
