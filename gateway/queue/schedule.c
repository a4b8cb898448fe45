/*
 * What goes next: the interface of the schedule, see schedule.h. A part is in its lane's heap
 * or in flight, nowhere else; what a result, a person or a restart does to it is decided here,
 * what it means for the site in schedule_limit.c, and what follows for turns and times in
 * schedule_site.c.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/schedule_priv.h"

/* --- parts by mail and number */

/* Ids are random, and made by us: no key is needed. */
static uint64_t
id_hash(const struct custody_id *id)
{
	uint64_t halves[2];
	memcpy(halves, id->bytes, sizeof(halves));
	uint64_t hash = (halves[0] ^ halves[1] * 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93;
	return hash ^ hash >> 32;
}

static uint64_t
part_hash(const struct custody_id *id, uint32_t part)
{
	uint64_t hash = (id_hash(id) + part) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

static uint64_t
part_hash_of(const struct schedule *s, const void *item)
{
	(void)s;
	const struct part *p = item;
	return part_hash(&p->id, p->part);
}

static uint64_t
mail_hash_of(const struct schedule *s, const void *item)
{
	(void)s;
	return id_hash(&((const struct part *)item)->id);
}

static uint32_t
part_find(struct schedule *s, const struct custody_id *id, uint32_t number)
{
	uint32_t i = table_first(&s->by_part, part_hash(id, number));
	for (; i != 0; i = table_next(s, &s->by_part, i)) {
		const struct part *p = part_at(s, i);
		if (p->part == number && custody_id_eq(&p->id, id))
			return i;
	}
	return 0;
}

/* The first part of a mail; the others follow it. */
static uint32_t
mail_find(struct schedule *s, const struct custody_id *id)
{
	uint32_t i = table_first(&s->by_mail, id_hash(id));
	while (i != 0 && !custody_id_eq(&part_at(s, i)->id, id))
		i = table_next(s, &s->by_mail, i);
	return i;
}

static uint32_t
part_new(struct schedule *s, const struct schedule_part *from)
{
	uint32_t domain = domain_get(s, from->site);
	uint32_t i = pool_take(&s->parts);
	struct part *p = part_at(s, i);
	p->id = from->id;
	p->part = from->part;
	p->attempts = from->attempts;
	p->node.key_ms = from->due_ms != 0 ? from->due_ms : s->now_ms;
	table_add(s, &s->by_part, i);
	uint32_t first = mail_find(s, &p->id);
	if (first == 0) {
		table_add(s, &s->by_mail, i);
	} else {
		struct part *f = part_at(s, first);
		p->mail_before = first;
		p->mail_after = f->mail_after;
		if (p->mail_after != 0)
			part_at(s, p->mail_after)->mail_before = i;
		f->mail_after = i;
	}
	domain_join(s, domain, i, from->sender);
	s->n_parts++;
	return i;
}

/* It is in no heap any more. */
static void
part_free(struct schedule *s, uint32_t i)
{
	struct part *p = part_at(s, i);
	if (p->mail_before == 0) {
		table_drop(s, &s->by_mail, i);
		if (p->mail_after != 0) {
			part_at(s, p->mail_after)->mail_before = 0;
			table_add(s, &s->by_mail, p->mail_after);
		}
	} else {
		part_at(s, p->mail_before)->mail_after = p->mail_after;
		if (p->mail_after != 0)
			part_at(s, p->mail_after)->mail_before = p->mail_before;
	}
	table_drop(s, &s->by_part, i);
	domain_leave(s, i);
	pool_give(&s->parts, i);
	s->n_parts--;
}

/* --- from here on as schedule.h says */

static void
told(struct schedule *s, uint64_t now_ms)
{
	if (s->now_ms < now_ms)
		s->now_ms = now_ms;
}

static void
config_set(struct schedule *s, const struct schedule_config *config)
{
	must(config->retry_ms != 0 && config->retry_most_ms >= config->retry_ms);
	must(config->attempts_most != 0 && config->site_most != 0 && config->site_first != 0);
	s->config = *config;
}

struct schedule *
schedule_new(const struct schedule_config *config, schedule_limit_fn *limit, void *arg)
{
	struct schedule *s = MEM_NEW(struct schedule);
	config_set(s, config);
	s->random = config->seed;
	s->limit = limit;
	s->limit_arg = arg;
	pool_init(&s->parts, sizeof(struct part));
	table_init(&s->by_part, &s->parts, offsetof(struct part, part_link), part_hash_of);
	table_init(&s->by_mail, &s->parts, offsetof(struct part, mail_link), mail_hash_of);
	sites_init(s);
	return s;
}

void
schedule_free(struct schedule **s)
{
	struct schedule *old = *s;
	*s = NULL;
	if (old == NULL)
		return;
	for (uint32_t i = 1; i <= old->domains.used; i++)
		if (domain_at(old, i)->site != 0)
			mem_free(domain_at(old, i)->name);
	struct pool *pools[] = {&old->parts, &old->lanes, &old->domains, &old->sites};
	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
		pool_fini(pools[i]);
	struct table *tables[] = {
		&old->by_part, &old->by_mail, &old->by_lane, &old->by_name, &old->by_set};
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		table_fini(tables[i]);
	mem_free(old);
}

void
schedule_configure(struct schedule *s, const struct schedule_config *config)
{
	config_set(s, config);
	for (uint32_t i = 1; i <= s->sites.used; i++) {
		if (site_at(s, i)->n_domains == 0)
			continue;
		site_limits(s, site_at(s, i));
		site_place(s, i);
	}
}

int
schedule_add(struct schedule *s, const struct schedule_part *p, uint64_t now_ms)
{
	told(s, now_ms);
	uint32_t i = part_find(s, &p->id, p->part);
	if (i == 0) {
		part_wait(s, part_new(s, p));
		return 0;
	}
	/* What is tried while its client waits may be added meanwhile: it is stored now. */
	struct node *n = &part_at(s, i)->node;
	if ((n->flags & PART_UNQUEUED) == 0 || (n->flags & PART_REMOVED) != 0)
		return -1;
	n->flags &= (uint8_t)~PART_UNQUEUED;
	n->key_ms = p->due_ms != 0 ? p->due_ms : s->now_ms;
	return 0;
}

static void
part_begin(struct schedule *s, uint32_t i)
{
	struct part *p = part_at(s, i);
	uint32_t site = site_of(s, i);
	p->node.flags |= PART_FLIES;
	p->epoch = site_at(s, site)->epoch;
	site_begin(s, site_at(s, site));
	s->in_flight++;
	site_place(s, site);
}

bool
schedule_next(struct schedule *s, uint64_t now_ms, struct schedule_pick *pick_out)
{
	told(s, now_ms);
	if (s->in_flight >= s->config.attempts_most)
		return false;
	uint32_t i = site_turn(s);
	if (i == 0)
		return false;
	part_unwait(s, i);
	part_begin(s, i);
	const struct part *p = part_at(s, i);
	const struct domain *d = domain_at(s, p->domain);
	*pick_out = (struct schedule_pick){.id = p->id,
		.part = p->part,
		.attempts = p->attempts,
		.site = {d->name, d->name_bytes}};
	return true;
}

uint64_t
schedule_wake_ms(const struct schedule *s, uint64_t now_ms)
{
	if (s->in_flight >= s->config.attempts_most)
		return UINT64_MAX;
	if (s->ring != 0)
		return now_ms;
	if (s->heap == 0)
		return UINT64_MAX;
	uint64_t first_ms = site_at(s, s->heap)->node.key_ms;
	return first_ms > now_ms ? first_ms : now_ms;
}

bool
schedule_try_now(struct schedule *s, const struct schedule_part *p, uint64_t now_ms)
{
	told(s, now_ms);
	if (s->in_flight >= s->config.attempts_most)
		return false;
	uint32_t i = part_find(s, &p->id, p->part);
	if (i != 0 && (part_at(s, i)->node.flags & PART_FLIES) != 0)
		return false;
	uint32_t domain = domain_find(s, p->site);
	uint32_t site = i != 0 ? site_of(s, i) : domain != 0 ? domain_at(s, domain)->site : 0;
	if (site != 0) {
		const struct site *t = site_at(s, site);
		if (site_held_ms(t) > s->now_ms)
			return false;
		if (t->deferred >= SCHEDULE_DEFERS &&
			s->now_ms - t->deferred_ms < s->config.retry_ms)
			return false;
	}
	if (i != 0) {
		part_unwait(s, i);
	} else {
		i = part_new(s, p);
		part_at(s, i)->node.flags |= PART_UNQUEUED;
	}
	part_begin(s, i);
	return true;
}

uint64_t
schedule_retry_ms(struct schedule *s, uint32_t attempts, uint64_t now_ms)
{
	return now_ms + schedule_delay(s, attempts);
}

static void
site_result(struct schedule *s, struct site *t, uint32_t epoch, enum schedule_outcome outcome)
{
	switch (outcome) {
	case SCHEDULE_GONE: site_worked(s, t, false); break;
	case SCHEDULE_AGAIN: site_worked(s, t, true); break;
	case SCHEDULE_SITE_FAILS: site_failed(s, t, epoch); break;
	case SCHEDULE_BUSY: site_busy(s, t, epoch); break;
	case SCHEDULE_UNSENT: site_unsent(t); break;
	}
	t->in_flight--;
	s->in_flight--;
}

void
schedule_result(struct schedule *s, const struct custody_id *id, uint32_t part,
	enum schedule_outcome outcome, uint64_t due_ms, uint64_t now_ms)
{
	told(s, now_ms);
	uint32_t i = part_find(s, id, part);
	must(i != 0);
	struct part *p = part_at(s, i);
	uint8_t flags = p->node.flags;
	must((flags & PART_FLIES) != 0);
	uint32_t site = site_of(s, i);
	site_result(s, site_at(s, site), p->epoch, outcome);
	p->node.flags = 0;
	bool unsent = outcome == SCHEDULE_UNSENT;
	if (outcome == SCHEDULE_GONE || (flags & PART_REMOVED) != 0 ||
		(unsent && (flags & PART_UNQUEUED) != 0)) {
		site_place(s, site);
		part_free(s, i);
		return;
	}
	if (!unsent)
		p->attempts++;
	if ((flags & PART_BY_HAND) != 0)
		due_ms = p->node.key_ms;
	else if (due_ms == 0 && unsent)
		due_ms = p->node.key_ms;
	else if (due_ms == 0)
		due_ms = schedule_retry_ms(s, p->attempts, s->now_ms);
	p->node.key_ms = due_ms;
	part_wait(s, i);
}

static void
take_out(struct schedule *s, uint32_t i)
{
	if ((part_at(s, i)->node.flags & PART_FLIES) != 0) {
		part_at(s, i)->node.flags |= PART_REMOVED;
	} else {
		part_unwait(s, i);
		part_free(s, i);
	}
}

void
schedule_remove(struct schedule *s, const struct custody_id *id)
{
	for (uint32_t i = mail_find(s, id), after; i != 0; i = after) {
		after = part_at(s, i)->mail_after;
		take_out(s, i);
	}
}

void
schedule_remove_part(struct schedule *s, const struct custody_id *id, uint32_t part)
{
	uint32_t i = part_find(s, id, part);
	if (i != 0)
		take_out(s, i);
}

void
schedule_due(struct schedule *s, const struct custody_id *id, uint64_t due_ms, uint64_t now_ms)
{
	told(s, now_ms);
	for (uint32_t i = mail_find(s, id); i != 0; i = part_at(s, i)->mail_after) {
		struct part *p = part_at(s, i);
		uint64_t at_ms = due_ms != 0 ? due_ms : s->now_ms;
		if ((p->node.flags & PART_FLIES) == 0) {
			part_retime(s, i, at_ms);
		} else {
			p->node.key_ms = at_ms;
			p->node.flags |= PART_BY_HAND;
		}
	}
}

void
schedule_site_retry(struct schedule *s, struct slice site, uint64_t now_ms)
{
	told(s, now_ms);
	uint32_t domain = domain_find(s, site);
	if (domain == 0)
		return;
	uint32_t i = domain_at(s, domain)->site;
	struct site *t = site_at(s, i);
	t->failures = t->deferred = 0;
	t->until_ms = 0;
	site_place(s, i);
}

static bool
count_one(void *arg, uint32_t part)
{
	(void)part;
	++*(size_t *)arg;
	return true;
}

static bool
count_some(void *arg, uint32_t part)
{
	(void)part;
	return ++*(size_t *)arg < SCHEDULE_BEFORE_MOST;
}

void
schedule_why(struct schedule *s, const struct custody_id *id, uint32_t part, uint64_t now_ms,
	struct schedule_why *why_out)
{
	told(s, now_ms);
	*why_out = (struct schedule_why){.all_taken = s->in_flight >= s->config.attempts_most};
	uint32_t i = part_find(s, id, part);
	if (i == 0)
		return;
	const struct part *p = part_at(s, i);
	const struct site *t = site_at(s, site_of(s, i));
	uint64_t rate_ms = site_rate_ms(t);
	why_out->known = true;
	why_out->in_flight = (p->node.flags & PART_FLIES) != 0;
	why_out->due_ms = p->node.key_ms;
	why_out->site_until_ms = t->until_ms > s->now_ms ? t->until_ms : 0;
	why_out->site_in_flight = t->in_flight;
	why_out->site_window = site_window(t);
	why_out->site_failures = t->failures;
	why_out->rate_until_ms = rate_ms > s->now_ms ? rate_ms : 0;
	uint64_t limit_ms = p->node.key_ms - 1 < s->now_ms ? p->node.key_ms - 1 : s->now_ms;
	if (!why_out->in_flight && p->node.key_ms != 0)
		site_walk(s, site_of(s, i), limit_ms, count_some, &why_out->before);
}

void
schedule_counts(const struct schedule *s, struct schedule_counts *out)
{
	*out = (struct schedule_counts){.mails = s->by_mail.count,
		.parts = s->n_parts,
		.in_flight = s->in_flight,
		.sites = s->n_sites,
		.memory_bytes = sizeof(*s) + s->parts.bytes + s->lanes.bytes +
				s->domains.bytes + s->sites.bytes + s->name_bytes};
	const struct table *tables[] = {
		&s->by_part, &s->by_mail, &s->by_lane, &s->by_name, &s->by_set};
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		out->memory_bytes += tables[i]->room * sizeof(uint32_t);
	for (uint32_t i = 1; i <= s->sites.used; i++) {
		if (site_at(s, i)->n_domains == 0)
			continue;
		out->sites_backing_off += site_at(s, i)->until_ms > s->now_ms;
		site_walk(s, i, s->now_ms, count_one, &out->due);
	}
}
