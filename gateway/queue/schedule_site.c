/*
 * Where parts wait: a lane for each sender at a site, a site for each set of MX hosts, and the
 * domains that belong to it. Whatever changes ends in lane_place and site_place, which alone
 * decide whether something stands in a heap, with the time at which it may go on, or in the
 * ring of those that take turns.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/schedule_priv.h"

/* --- the tables' hashes */

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
	return x ^ x >> 32;
}

static uint64_t
lane_hash(uint32_t site, uint64_t sender)
{
	return mix(sender ^ (uint64_t)site << 40 ^ site);
}

static uint64_t
lane_hash_of(const struct schedule *s, const void *item)
{
	(void)s;
	const struct lane *l = item;
	return lane_hash(l->site, l->sender);
}

static uint64_t
domain_hash_of(const struct schedule *s, const void *item)
{
	(void)s;
	const struct domain *d = item;
	return slice_hash_nocase((struct slice){d->name, d->name_bytes});
}

static uint64_t
site_hash_of(const struct schedule *s, const void *item)
{
	(void)s;
	return mix(((const struct site *)item)->mx_set);
}

void
sites_init(struct schedule *s)
{
	pool_init(&s->lanes, sizeof(struct lane));
	pool_init(&s->domains, sizeof(struct domain));
	pool_init(&s->sites, sizeof(struct site));
	table_init(&s->by_lane, &s->lanes, offsetof(struct lane, link), lane_hash_of);
	table_init(&s->by_name, &s->domains, offsetof(struct domain, link), domain_hash_of);
	table_init(&s->by_set, &s->sites, offsetof(struct site, link), site_hash_of);
}

/* --- sites */

/* When something at the site may be tried, if nothing else happens. */
static uint64_t
site_ready_ms(const struct schedule *s, const struct site *t)
{
	uint64_t due_ms = UINT64_MAX;
	if (t->ring != 0)
		due_ms = 0;
	else if (t->heap != 0)
		due_ms = lane_at(s, t->heap)->node.key_ms;
	uint64_t held_ms = due_ms != UINT64_MAX ? site_held_ms(t) : UINT64_MAX;
	return due_ms > held_ms ? due_ms : held_ms;
}

static void
site_unplace(struct schedule *s, uint32_t site)
{
	struct node *n = &site_at(s, site)->node;
	if (n->place == PLACE_HEAP)
		heap_drop(s, &s->sites, &s->heap, site);
	else if (n->place == PLACE_RING)
		ring_drop(&s->sites, &s->ring, site);
}

void
site_place(struct schedule *s, uint32_t site)
{
	struct site *t = site_at(s, site);
	uint64_t ready_ms = site_ready_ms(s, t);
	s->steps++;
	if (ready_ms <= s->now_ms && t->node.place == PLACE_RING)
		return; /* and keeps its turn */
	if (ready_ms == t->node.key_ms && t->node.place == PLACE_HEAP && ready_ms > s->now_ms)
		return;
	site_unplace(s, site);
	t->node.key_ms = ready_ms;
	if (ready_ms <= s->now_ms)
		ring_add(&s->sites, &s->ring, site);
	else if (ready_ms != UINT64_MAX)
		heap_add(s, &s->sites, &s->heap, site);
}

static uint32_t
site_new(struct schedule *s)
{
	uint32_t site = pool_take(&s->sites);
	site_fresh(s, site_at(s, site));
	s->n_sites++;
	return site;
}

static uint32_t
site_find(struct schedule *s, uint64_t mx_set)
{
	uint32_t i = table_first(&s->by_set, mix(mx_set));
	while (i != 0 && site_at(s, i)->mx_set != mx_set)
		i = table_next(s, &s->by_set, i);
	return i;
}

static void
site_name(struct schedule *s, uint32_t site, uint64_t mx_set)
{
	struct site *t = site_at(s, site);
	if (t->mx_set != 0)
		table_drop(s, &s->by_set, site);
	t->mx_set = mx_set;
	if (mx_set != 0)
		table_add(s, &s->by_set, site);
}

static void
site_free(struct schedule *s, uint32_t site)
{
	must(site_at(s, site)->n_parts == 0 && site_at(s, site)->in_flight == 0);
	site_unplace(s, site);
	site_name(s, site, 0);
	pool_give(&s->sites, site);
	s->n_sites--;
}

/* --- lanes */

static uint32_t
lane_get(struct schedule *s, uint32_t site, uint64_t sender)
{
	uint32_t i = table_first(&s->by_lane, lane_hash(site, sender));
	for (; i != 0; i = table_next(s, &s->by_lane, i))
		if (lane_at(s, i)->site == site && lane_at(s, i)->sender == sender)
			return i;
	i = pool_take(&s->lanes);
	struct lane *l = lane_at(s, i);
	l->site = site;
	l->sender = sender;
	table_add(s, &s->by_lane, i);
	return i;
}

static void
lane_release(struct schedule *s, uint32_t lane)
{
	struct lane *l = lane_at(s, lane);
	if (--l->refs != 0)
		return;
	must(l->parts == 0 && l->node.place == PLACE_NONE);
	table_drop(s, &s->by_lane, lane);
	pool_give(&s->lanes, lane);
}

static void
lane_place(struct schedule *s, uint32_t lane)
{
	struct lane *l = lane_at(s, lane);
	struct site *t = site_at(s, l->site);
	uint64_t due_ms = l->parts != 0 ? part_at(s, l->parts)->node.key_ms : UINT64_MAX;
	s->steps++;
	if (l->node.place == PLACE_RING) {
		if (l->parts != 0 && due_ms <= s->now_ms)
			return;
		ring_drop(&s->lanes, &t->ring, lane);
	} else if (l->node.place == PLACE_HEAP) {
		if (due_ms == l->node.key_ms && due_ms > s->now_ms)
			return;
		heap_drop(s, &s->lanes, &t->heap, lane);
	}
	l->node.key_ms = due_ms;
	if (l->parts != 0 && due_ms <= s->now_ms)
		ring_add(&s->lanes, &t->ring, lane);
	else if (l->parts != 0)
		heap_add(s, &s->lanes, &t->heap, lane);
}

void
part_wait(struct schedule *s, uint32_t part)
{
	struct lane *l = lane_at(s, part_at(s, part)->lane);
	heap_add(s, &s->parts, &l->parts, part);
	lane_place(s, part_at(s, part)->lane);
	site_place(s, l->site);
}

void
part_unwait(struct schedule *s, uint32_t part)
{
	struct lane *l = lane_at(s, part_at(s, part)->lane);
	heap_drop(s, &s->parts, &l->parts, part);
	lane_place(s, part_at(s, part)->lane);
	site_place(s, l->site);
}

void
part_retime(struct schedule *s, uint32_t part, uint64_t due_ms)
{
	struct lane *l = lane_at(s, part_at(s, part)->lane);
	heap_drop(s, &s->parts, &l->parts, part);
	part_at(s, part)->node.key_ms = due_ms;
	heap_add(s, &s->parts, &l->parts, part);
	lane_place(s, part_at(s, part)->lane);
	site_place(s, l->site);
}

/* --- turns */

/* Those whose time has come, so many that no call is long; the others keep their time. */
static void
sites_promote(struct schedule *s)
{
	for (int n = 0; n < SCHEDULE_PROMOTE; n++) {
		uint32_t site = s->heap;
		if (site == 0 || site_at(s, site)->node.key_ms > s->now_ms)
			return;
		heap_drop(s, &s->sites, &s->heap, site);
		ring_add(&s->sites, &s->ring, site);
	}
}

static void
lanes_promote(struct schedule *s, struct site *t)
{
	for (int n = 0; n < SCHEDULE_PROMOTE; n++) {
		uint32_t lane = t->heap;
		if (lane == 0 || lane_at(s, lane)->node.key_ms > s->now_ms)
			return;
		heap_drop(s, &s->lanes, &t->heap, lane);
		ring_add(&s->lanes, &t->ring, lane);
	}
}

uint32_t
site_turn(struct schedule *s)
{
	sites_promote(s);
	uint32_t site = s->ring;
	if (site == 0)
		return 0;
	struct site *t = site_at(s, site);
	lanes_promote(s, t);
	uint32_t lane = t->ring;
	must(lane != 0);
	uint32_t part = lane_at(s, lane)->parts;
	ring_drop(&s->lanes, &t->ring, lane);
	ring_add(&s->lanes, &t->ring, lane);
	ring_drop(&s->sites, &s->ring, site);
	ring_add(&s->sites, &s->ring, site);
	return part;
}

struct walk {
	const struct schedule *s;
	uint64_t limit_ms;
	bool (*fn)(void *arg, uint32_t part);
	void *arg;
};

static bool
walk_lane(void *arg, uint32_t lane)
{
	const struct walk *w = arg;
	return heap_walk(&w->s->parts, lane_at(w->s, lane)->parts, w->limit_ms, w->fn, w->arg);
}

void
site_walk(const struct schedule *s, uint32_t site, uint64_t limit_ms,
	bool (*fn)(void *arg, uint32_t part), void *arg)
{
	const struct site *t = site_at(s, site);
	struct walk w = {s, limit_ms, fn, arg};
	if (!heap_walk(&s->lanes, t->heap, limit_ms, walk_lane, &w) || t->ring == 0)
		return;
	uint32_t lane = t->ring;
	do {
		if (!walk_lane(&w, lane))
			return;
		lane = lane_at(s, lane)->node.after;
	} while (lane != t->ring);
}

/* --- domains */

static void
idle_add(struct schedule *s, uint32_t domain)
{
	struct domain *d = domain_at(s, domain);
	d->idle_before = s->idle_last;
	d->idle_after = 0;
	if (s->idle_last != 0)
		domain_at(s, s->idle_last)->idle_after = domain;
	else
		s->idle = domain;
	s->idle_last = domain;
	s->n_idle++;
}

static void
idle_drop(struct schedule *s, uint32_t domain)
{
	struct domain *d = domain_at(s, domain);
	if (d->idle_before != 0)
		domain_at(s, d->idle_before)->idle_after = d->idle_after;
	else
		s->idle = d->idle_after;
	if (d->idle_after != 0)
		domain_at(s, d->idle_after)->idle_before = d->idle_before;
	else
		s->idle_last = d->idle_before;
	d->idle_before = d->idle_after = 0;
	s->n_idle--;
}

static void
domain_link(struct schedule *s, uint32_t domain, uint32_t site)
{
	struct domain *d = domain_at(s, domain);
	struct site *t = site_at(s, site);
	d->site = site;
	d->site_before = 0;
	d->site_after = t->domains;
	if (t->domains != 0)
		domain_at(s, t->domains)->site_before = domain;
	t->domains = domain;
	t->n_domains++;
	site_limit_domain(s, t, d);
}

/* Its site is gone with its last domain. */
static void
domain_unlink(struct schedule *s, uint32_t domain)
{
	struct domain *d = domain_at(s, domain);
	struct site *t = site_at(s, d->site);
	if (d->site_before != 0)
		domain_at(s, d->site_before)->site_after = d->site_after;
	else
		t->domains = d->site_after;
	if (d->site_after != 0)
		domain_at(s, d->site_after)->site_before = d->site_before;
	if (--t->n_domains == 0) {
		site_free(s, d->site);
	} else {
		if (d->limited) /* what was said of it no longer bounds the others */
			site_limits(s, t);
		site_place(s, d->site);
	}
}

uint32_t
domain_find(struct schedule *s, struct slice name)
{
	uint32_t i = table_first(&s->by_name, slice_hash_nocase(name));
	for (; i != 0; i = table_next(s, &s->by_name, i)) {
		const struct domain *d = domain_at(s, i);
		if (slice_eq_nocase((struct slice){d->name, d->name_bytes}, name))
			return i;
	}
	return 0;
}

static void
domain_free(struct schedule *s, uint32_t domain)
{
	struct domain *d = domain_at(s, domain);
	must(d->n_parts == 0);
	idle_drop(s, domain);
	table_drop(s, &s->by_name, domain);
	domain_unlink(s, domain);
	s->name_bytes -= d->name_bytes + sizeof(void *) * 2;
	mem_free(d->name);
	pool_give(&s->domains, domain);
}

uint32_t
domain_get(struct schedule *s, struct slice name)
{
	uint32_t domain = domain_find(s, name);
	if (domain != 0)
		return domain;
	if (s->n_idle >= SCHEDULE_IDLE_MOST)
		domain_free(s, s->idle);
	domain = pool_take(&s->domains);
	struct domain *d = domain_at(s, domain);
	d->name = mem_new(name.n);
	if (name.n != 0)
		memcpy(d->name, name.p, name.n);
	d->name_bytes = (uint32_t)name.n;
	s->name_bytes += name.n + sizeof(void *) * 2; /* and what the heap adds */
	table_add(s, &s->by_name, domain);
	idle_add(s, domain);
	domain_link(s, domain, site_new(s));
	return domain;
}

void
domain_join(struct schedule *s, uint32_t domain, uint32_t part, uint64_t sender)
{
	struct domain *d = domain_at(s, domain);
	struct part *p = part_at(s, part);
	p->domain = domain;
	p->lane = lane_get(s, d->site, sender);
	lane_at(s, p->lane)->refs++;
	site_at(s, d->site)->n_parts++;
	p->domain_before = 0;
	p->domain_after = d->first;
	if (d->first != 0)
		part_at(s, d->first)->domain_before = part;
	d->first = part;
	if (d->n_parts++ == 0)
		idle_drop(s, domain);
}

void
domain_leave(struct schedule *s, uint32_t part)
{
	struct part *p = part_at(s, part);
	struct domain *d = domain_at(s, p->domain);
	if (p->domain_before != 0)
		part_at(s, p->domain_before)->domain_after = p->domain_after;
	else
		d->first = p->domain_after;
	if (p->domain_after != 0)
		part_at(s, p->domain_after)->domain_before = p->domain_before;
	site_at(s, d->site)->n_parts--;
	lane_release(s, p->lane);
	if (--d->n_parts == 0)
		idle_add(s, p->domain);
	if (s->n_idle > SCHEDULE_IDLE_MOST)
		domain_free(s, s->idle);
}

/* --- domains of one set of MX hosts */

static void
part_move(struct schedule *s, uint32_t part, uint32_t to)
{
	struct part *p = part_at(s, part);
	uint32_t lane = p->lane;
	struct site *from = site_at(s, lane_at(s, lane)->site), *t = site_at(s, to);
	bool flies = (p->node.flags & PART_FLIES) != 0;
	if (flies) {
		p->epoch = p->epoch == from->epoch ? t->epoch : t->epoch - 1;
		from->in_flight--;
		t->in_flight++;
	} else {
		heap_drop(s, &s->parts, &lane_at(s, lane)->parts, part);
		lane_place(s, lane);
	}
	p->lane = lane_get(s, to, lane_at(s, lane)->sender);
	lane_at(s, p->lane)->refs++;
	from->n_parts--;
	t->n_parts++;
	if (!flies) {
		heap_add(s, &s->parts, &lane_at(s, p->lane)->parts, part);
		lane_place(s, p->lane);
	}
	lane_release(s, lane);
}

static void
domain_move(struct schedule *s, uint32_t domain, uint32_t to)
{
	struct domain *d = domain_at(s, domain);
	for (uint32_t i = d->first; i != 0; i = part_at(s, i)->domain_after)
		part_move(s, i, to);
	d->moved_ms = s->now_ms;
	domain_unlink(s, domain);
	domain_link(s, domain, to);
	site_place(s, to);
}

void
schedule_site_is(struct schedule *s, struct slice name, uint64_t mx_set)
{
	if (mx_set == 0)
		return;
	uint32_t domain = domain_get(s, name);
	struct domain *d = domain_at(s, domain);
	uint32_t from = d->site, to = site_find(s, mx_set);
	if (from == to)
		return;
	/* A name server that answers with other hosts each time must not keep us busy. */
	if (d->n_parts > SCHEDULE_MOVE_FREELY && site_at(s, from)->mx_set != 0 &&
		s->now_ms - d->moved_ms < SCHEDULE_MOVE_MS)
		return;
	bool alone = site_at(s, from)->n_domains == 1;
	if (to == 0 && alone) {
		d->moved_ms = s->now_ms;
		site_name(s, from, mx_set);
		return;
	}
	if (to == 0) {
		to = site_new(s);
		site_name(s, to, mx_set);
	} else if (alone && site_at(s, from)->n_parts > site_at(s, to)->n_parts) {
		/* The larger stays where it is: a part moves at most log2(n) times by this. */
		struct site known = *site_at(s, to);
		site_merge(s, &known, site_at(s, from));
		site_learn(site_at(s, from), &known);
		for (uint32_t n = site_at(s, to)->n_domains; n != 0; n--)
			domain_move(s, site_at(s, to)->domains, from);
		site_name(s, from, mx_set);
		return;
	} else if (alone) {
		site_merge(s, site_at(s, to), site_at(s, from));
	}
	domain_move(s, domain, to);
}
