/*
 * The schedule against a model that knows no heap, no ring and no table: after each of many
 * random operations everything is counted again from all parts. What may be picked, whose turn
 * it is at most so many picks later, when the caller must wake up (neither earlier, which would
 * be a busy loop, nor later), and what schedule_why and schedule_counts say must agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/schedule_priv.h"

enum { MAILS = 40, PARTS = 3, DOMAINS = 8, SETS = 3, SENDERS = 4, STEPS = 30000 };
enum { SITES = DOMAINS + SETS }; /* a site of each domain alone, and of each set */

struct m_part {
	bool there, flies, removed, by_hand, unqueued, stale;
	unsigned domain, sender, attempts;
	uint64_t due_ms;
};

struct m_site {
	uint64_t until_ms, next_us, step_us, burst_us, deferred_ms;
	unsigned failures, window, threshold, passed, most, deferred, in_flight;
	unsigned skipped, lane_skipped[SENDERS];
	bool known;
};

struct model {
	struct schedule *s;
	struct schedule_config config;
	struct m_part parts[MAILS][PARTS];
	struct m_site sites[SITES];
	unsigned site[DOMAINS]; /* where it belongs */
	bool domain_known[DOMAINS];
	unsigned in_flight;
	uint64_t now_ms;
	uint64_t random;
	unsigned long picks, refused, tried, wakes, moves;
};

static unsigned
chance(struct model *m, unsigned n)
{
	uint64_t x = m->random += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (unsigned)((x ^ x >> 31) % n);
}

static const char *names[DOMAINS] = {"a.example", "b.example", "c.example", "d.example",
	"limited.example", "rated.example", "[192.0.2.1]", "route:10.0.0.1"};

static bool
limit(void *arg, struct slice site, struct schedule_limit *out)
{
	(void)arg;
	if (slice_eq(site, SLICE("limited.example")))
		*out = (struct schedule_limit){.connections = 3};
	else if (slice_eq(site, SLICE("rated.example")))
		*out = (struct schedule_limit){.rate = 30, .rate_ms = 20000};
	else
		return false;
	return true;
}

static struct custody_id
id_of(unsigned mail)
{
	struct custody_id id;
	uint64_t x = (mail + 1) * 0x9e3779b97f4a7c15;
	memcpy(id.bytes, &x, 8);
	memcpy(id.bytes + 8, &mail, 4);
	memset(id.bytes + 12, 7, 4);
	return id;
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* --- the model's own rules */

static void
m_bounds(struct model *m, unsigned site)
{
	struct m_site *t = &m->sites[site];
	t->most = m->config.site_most;
	t->step_us = t->burst_us = 0;
	for (unsigned d = 0; d < DOMAINS; d++) {
		if (m->site[d] != site || !m->domain_known[d])
			continue;
		if (d == 4)
			t->most = 3;
		if (d == 5) {
			t->step_us = 20000u * 1000 / 30;
			t->burst_us = 2 * t->step_us;
		}
	}
	t->window = least(t->window, t->most);
	uint64_t last_us = m->now_ms * 1000 + t->burst_us + t->step_us;
	if (t->step_us != 0 && t->next_us > last_us)
		t->next_us = last_us;
}

static struct m_site *
m_know(struct model *m, unsigned domain)
{
	struct m_site *t = &m->sites[m->site[domain]];
	if (!m->domain_known[domain]) {
		m->domain_known[domain] = true;
		*t = (struct m_site){.known = true,
			.threshold = UINT32_MAX,
			.window = least(m->config.site_first, m->config.site_most)};
		m_bounds(m, m->site[domain]);
	}
	return t;
}

static unsigned
m_window(const struct m_site *t)
{
	return t->failures != 0 ? 1 : t->window;
}

static uint64_t
m_held_ms(const struct m_site *t)
{
	if (t->in_flight >= m_window(t))
		return UINT64_MAX;
	uint64_t rate_ms = 0;
	if (t->step_us != 0 && t->next_us > t->burst_us)
		rate_ms = (t->next_us - t->burst_us + 999) / 1000;
	return rate_ms > t->until_ms ? rate_ms : t->until_ms;
}

static bool
waits(const struct m_part *p)
{
	return p->there && !p->flies;
}

#define EACH_PART(m, p) \
	for (struct m_part *p = &(m)->parts[0][0]; p < &(m)->parts[0][0] + MAILS * PARTS; p++)

/* When something of this site may be tried, by its earliest part. */
static uint64_t
m_site_ms(struct model *m, unsigned site)
{
	uint64_t due_ms = UINT64_MAX;
	EACH_PART(m, p)
	if (waits(p) && m->site[p->domain] == site && p->due_ms < due_ms)
		due_ms = p->due_ms;
	uint64_t held_ms = m_held_ms(&m->sites[site]);
	return due_ms > held_ms ? due_ms : held_ms;
}

static uint64_t
m_wake_ms(struct model *m)
{
	uint64_t wake_ms = UINT64_MAX;
	if (m->in_flight >= m->config.attempts_most)
		return wake_ms;
	for (unsigned i = 0; i < SITES; i++) {
		uint64_t site_ms = m->sites[i].known ? m_site_ms(m, i) : UINT64_MAX;
		wake_ms = site_ms < wake_ms ? site_ms : wake_ms;
	}
	return wake_ms < m->now_ms ? m->now_ms : wake_ms;
}

static void
m_begin(struct model *m, struct m_part *p)
{
	struct m_site *t = &m->sites[m->site[p->domain]];
	p->flies = true;
	p->stale = false;
	t->in_flight++;
	m->in_flight++;
	uint64_t now_us = m->now_ms * 1000;
	t->next_us = (t->next_us > now_us ? t->next_us : now_us) + t->step_us;
}

static void
m_fail(struct model *m, struct m_part *from, bool back_off)
{
	unsigned site = m->site[from->domain];
	struct m_site *t = &m->sites[site];
	t->window = t->window > 1 ? t->window / 2 : 1;
	t->threshold = t->window;
	t->passed = 0;
	EACH_PART(m, p)
	if (p->there && p->flies && m->site[p->domain] == site)
		p->stale = true;
	if (back_off) {
		t->failures++;
		t->until_ms = UINT64_MAX; /* the schedule says how long: see check_delay */
	}
}

static uint64_t
m_delay(const struct model *m, unsigned attempts)
{
	uint64_t d = m->config.retry_ms;
	for (unsigned i = 1; i < attempts && d < m->config.retry_most_ms; i++)
		d *= 2;
	return d < m->config.retry_most_ms ? d : m->config.retry_most_ms;
}

static void
check_delay(const struct model *m, uint64_t at_ms, unsigned attempts)
{
	uint64_t d = m_delay(m, attempts);
	assert_true(at_ms >= m->now_ms + d);
	assert_true(at_ms <= m->now_ms + d + d / 8);
}

/* --- the operations, on both */

static void
do_add(struct model *m, bool try_now)
{
	unsigned mail = chance(m, MAILS), part = chance(m, PARTS);
	struct m_part *p = &m->parts[mail][part];
	unsigned domain = p->there ? p->domain : chance(m, DOMAINS);
	unsigned sender = p->there ? p->sender : chance(m, SENDERS);
	uint64_t due_ms = chance(m, 3) == 0 ? 0 : m->now_ms + chance(m, 3000);
	if (due_ms > 1000 && chance(m, 3) == 0)
		due_ms -= chance(m, 1000);
	struct schedule_part in = {.id = id_of(mail),
		.part = part,
		.site = slice_of(names[domain]),
		.sender = sender,
		.attempts = chance(m, 3),
		.due_ms = due_ms};
	if (!try_now) {
		bool takes = !p->there || (p->unqueued && !p->removed);
		assert_int_equal(schedule_add(m->s, &in, m->now_ms), takes ? 0 : -1);
		if (!takes)
			return;
		if (!p->there)
			*p = (struct m_part){.there = true,
				.domain = domain,
				.sender = sender,
				.attempts = in.attempts};
		p->due_ms = due_ms != 0 ? due_ms : m->now_ms;
		p->unqueued = false;
		m_know(m, domain);
		return;
	}
	const struct m_site *t = &m->sites[m->site[domain]];
	bool may = m->in_flight < m->config.attempts_most && !p->flies;
	if (may && m->domain_known[domain])
		may = m_held_ms(t) <= m->now_ms &&
		      !(t->deferred >= 3 && m->now_ms - t->deferred_ms < m->config.retry_ms);
	assert_int_equal(schedule_try_now(m->s, &in, m->now_ms), may);
	m->refused += !may;
	m->tried += may;
	if (!may)
		return;
	if (!p->there)
		*p = (struct m_part){.there = true,
			.unqueued = true,
			.domain = domain,
			.sender = sender,
			.attempts = in.attempts,
			.due_ms = due_ms != 0 ? due_ms : m->now_ms};
	m_know(m, domain);
	m_begin(m, p);
}

/* Whether this sender has something due at the site. */
static bool
m_lane_could(struct model *m, unsigned site, unsigned sender)
{
	EACH_PART(m, p)
	if (waits(p) && m->site[p->domain] == site && p->sender == sender &&
		p->due_ms <= m->now_ms)
		return true;
	return false;
}

/*
 * Those who could have been picked and were not wait for their turn, for one round at most.
 * Without a pick: who cannot be picked has no turn to lose.
 */
static void
check_turns(struct model *m, const struct m_part *picked)
{
	for (unsigned i = 0; i < SITES; i++) {
		struct m_site *t = &m->sites[i];
		bool could = t->known && m_site_ms(m, i) <= m->now_ms;
		bool here = picked != NULL && m->site[picked->domain] == i;
		t->skipped = could && !here ? t->skipped + (picked != NULL) : 0;
		assert_true(t->skipped < SITES);
		for (unsigned j = 0; j < SENDERS; j++) {
			bool has = t->known && m_lane_could(m, i, j);
			bool it = here && picked->sender == j;
			t->lane_skipped[j] = has && !it ? t->lane_skipped[j] + here : 0;
			assert_true(t->lane_skipped[j] < SENDERS);
		}
	}
}

static bool
do_next(struct model *m)
{
	struct schedule_pick pick;
	bool may = m_wake_ms(m) <= m->now_ms;
	assert_int_equal(schedule_next(m->s, m->now_ms, &pick), may);
	if (!may)
		return false;
	unsigned mail = 0;
	for (struct custody_id id = id_of(0); !custody_id_eq(&id, &pick.id); id = id_of(mail))
		assert_true(++mail < MAILS);
	assert_true(pick.part < PARTS);
	struct m_part *p = &m->parts[mail][pick.part];
	assert_true(waits(p) && p->due_ms <= m->now_ms);
	assert_true(m_held_ms(&m->sites[m->site[p->domain]]) <= m->now_ms);
	assert_int_equal(p->attempts, pick.attempts);
	assert_true(slice_eq(pick.site, slice_of(names[p->domain])));
	EACH_PART(m, other)
	if (waits(other) && other->sender == p->sender &&
		m->site[other->domain] == m->site[p->domain])
		assert_true(other->due_ms >= p->due_ms);
	check_turns(m, p);
	m_begin(m, p);
	m->picks++;
	return true;
}

static void
m_site_result(struct model *m, struct m_part *p, enum schedule_outcome outcome)
{
	struct m_site *t = &m->sites[m->site[p->domain]];
	bool full = t->in_flight >= t->window;
	switch (outcome) {
	case SCHEDULE_GONE:
	case SCHEDULE_AGAIN:
		t->failures = 0;
		t->until_ms = 0;
		t->deferred = outcome == SCHEDULE_AGAIN ? t->deferred + 1 : 0;
		t->deferred_ms = m->now_ms;
		if (full && t->window < t->most &&
			(t->window < t->threshold || ++t->passed >= t->window)) {
			t->window++;
			t->passed = 0;
		}
		break;
	case SCHEDULE_SITE_FAILS:
		if (!p->stale)
			m_fail(m, p, true);
		break;
	case SCHEDULE_BUSY:
		if (!p->stale) {
			bool one = m_window(t) == 1;
			t->failures = 0;
			t->until_ms = 0;
			m_fail(m, p, one);
		}
		break;
	case SCHEDULE_UNSENT:
		t->next_us -= t->next_us > t->step_us ? t->step_us : t->next_us;
		break;
	}
	t->in_flight--;
	m->in_flight--;
}

static void
do_result(struct model *m)
{
	unsigned mail = chance(m, MAILS), part = chance(m, PARTS);
	for (unsigned i = 0; i < MAILS * PARTS; i++) {
		if (m->parts[mail][part].there && m->parts[mail][part].flies)
			break;
		part = (part + 1) % PARTS;
		mail = part == 0 ? (mail + 1) % MAILS : mail;
	}
	struct m_part *p = &m->parts[mail][part];
	if (!p->there || !p->flies)
		return;
	static const enum schedule_outcome outcomes[] = {SCHEDULE_GONE, SCHEDULE_GONE,
		SCHEDULE_GONE, SCHEDULE_GONE, SCHEDULE_AGAIN, SCHEDULE_AGAIN,
		SCHEDULE_SITE_FAILS, SCHEDULE_BUSY, SCHEDULE_UNSENT};
	enum schedule_outcome outcome = outcomes[chance(m, 9)];
	uint64_t due_ms = chance(m, 2) == 0 ? 0 : m->now_ms + chance(m, 5000);
	struct custody_id id = id_of(mail);
	m_site_result(m, p, outcome);
	schedule_result(m->s, &id, part, outcome, due_ms, m->now_ms);

	bool unsent = outcome == SCHEDULE_UNSENT;
	struct m_site *t = &m->sites[m->site[p->domain]];
	if (t->until_ms == UINT64_MAX) {
		uint32_t d = domain_find(m->s, slice_of(names[p->domain]));
		t->until_ms = site_at(m->s, domain_at(m->s, d)->site)->until_ms;
		check_delay(m, t->until_ms, t->failures);
	}
	if (outcome == SCHEDULE_GONE || p->removed || (unsent && p->unqueued)) {
		*p = (struct m_part){0};
		return;
	}
	p->flies = false;
	p->attempts += !unsent;
	if (due_ms != 0 && !p->by_hand)
		p->due_ms = due_ms;
	else if (!unsent && !p->by_hand) {
		struct schedule_why why;
		schedule_why(m->s, &id, part, m->now_ms, &why);
		check_delay(m, why.due_ms, p->attempts);
		p->due_ms = why.due_ms;
	}
	p->by_hand = p->unqueued = false;
}

static void
do_by_hand(struct model *m)
{
	unsigned mail = chance(m, MAILS), what = chance(m, 4), domain = chance(m, DOMAINS);
	unsigned one = what == 3 ? chance(m, PARTS) : PARTS;
	struct custody_id id = id_of(mail);
	uint64_t due_ms = chance(m, 2) == 0 ? 0 : m->now_ms + chance(m, 3000);
	if (what == 0) {
		schedule_remove(m->s, &id);
	} else if (what == 3) {
		schedule_remove_part(m->s, &id, one);
	} else if (what == 1) {
		schedule_due(m->s, &id, due_ms, m->now_ms);
	} else {
		schedule_site_retry(m->s, slice_of(names[domain]), m->now_ms);
		struct m_site *t = &m->sites[m->site[domain]];
		if (m->domain_known[domain]) {
			t->failures = t->deferred = 0;
			t->until_ms = 0;
		}
	}
	for (unsigned i = 0; what != 2 && i < PARTS; i++) {
		struct m_part *p = &m->parts[mail][i];
		bool remove = what == 0 || (what == 3 && i == one);
		if (remove && p->flies)
			p->removed = true;
		else if (remove)
			*p = (struct m_part){0};
		else if (what == 1 && p->there) {
			p->due_ms = due_ms != 0 ? due_ms : m->now_ms;
			p->by_hand = p->flies;
		}
	}
}

static void
do_site_is(struct model *m)
{
	unsigned domain = chance(m, DOMAINS), set = chance(m, SETS + 1);
	schedule_site_is(m->s, slice_of(names[domain]), set);
	if (set == 0)
		return;
	struct m_site *to = &m->sites[DOMAINS + set - 1], *from = m_know(m, domain);
	unsigned old = m->site[domain], others = 0, flying = 0;
	if (from == to)
		return;
	for (unsigned i = 0; i < DOMAINS; i++)
		others += i != domain && m->domain_known[i] && m->site[i] == old;
	EACH_PART(m, p)
	flying += p->there && p->flies && p->domain == domain;
	if (!to->known && others == 0) { /* it is the site of this set from now on */
		*to = *from;
		from->known = false;
	} else {
		if (!to->known)
			*to = (struct m_site){.known = true,
				.threshold = UINT32_MAX,
				.window = least(m->config.site_first, m->config.site_most)};
		if (others == 0 && from->until_ms > m->now_ms &&
			from->until_ms > to->until_ms) {
			to->until_ms = from->until_ms;
			to->failures =
				from->failures > to->failures ? from->failures : to->failures;
		}
		if (others == 0 && from->next_us > to->next_us)
			to->next_us = from->next_us;
		from->known = others != 0;
		from->in_flight -= flying;
		to->in_flight += flying;
	}
	m->site[domain] = DOMAINS + set - 1;
	m_bounds(m, old);
	m_bounds(m, DOMAINS + set - 1);
	for (unsigned i = 0; i < SITES; i++) {
		m->sites[i].skipped = 0;
		memset(m->sites[i].lane_skipped, 0, sizeof(m->sites[i].lane_skipped));
	}
	m->moves++;
}

static void
do_time(struct model *m)
{
	uint64_t wake_ms = schedule_wake_ms(m->s, m->now_ms);
	if (chance(m, 2) == 0 || wake_ms == UINT64_MAX || wake_ms <= m->now_ms) {
		m->now_ms += chance(m, chance(m, 8) == 0 ? 20000 : 200);
		return;
	}
	m->now_ms = wake_ms - 1; /* nothing yet, and then at once */
	assert_false(do_next(m));
	m->now_ms = wake_ms;
	assert_true(do_next(m));
	m->wakes++;
}

/* --- what both say */

static void
check_why(struct model *m)
{
	unsigned mail = chance(m, MAILS), part = chance(m, PARTS);
	const struct m_part *p = &m->parts[mail][part];
	struct custody_id id = id_of(mail);
	struct schedule_why why;
	schedule_why(m->s, &id, part, m->now_ms, &why);
	assert_int_equal(why.known, p->there);
	assert_int_equal(why.all_taken, m->in_flight >= m->config.attempts_most);
	if (!p->there)
		return;
	const struct m_site *t = &m->sites[m->site[p->domain]];
	assert_int_equal(why.in_flight, p->flies);
	assert_int_equal(why.due_ms, p->due_ms);
	assert_int_equal(why.site_until_ms, t->until_ms > m->now_ms ? t->until_ms : 0);
	assert_int_equal(why.site_in_flight, t->in_flight);
	assert_int_equal(why.site_window, m_window(t));
	assert_int_equal(why.site_failures, t->failures);
	struct m_site free = *t;
	free.in_flight = 0;
	free.until_ms = 0;
	uint64_t rate_ms = m_held_ms(&free);
	assert_int_equal(why.rate_until_ms, rate_ms > m->now_ms ? rate_ms : 0);
	size_t before = 0;
	EACH_PART(m, other)
	before += !p->flies && waits(other) && m->site[other->domain] == m->site[p->domain] &&
		  other->due_ms < p->due_ms && other->due_ms <= m->now_ms;
	assert_int_equal(why.before, before);
}

static void
check_counts(struct model *m)
{
	struct schedule_counts is, want = {.in_flight = m->in_flight};
	for (unsigned i = 0; i < MAILS; i++) {
		size_t parts = 0;
		for (unsigned j = 0; j < PARTS; j++) {
			const struct m_part *p = &m->parts[i][j];
			parts += p->there;
			want.due += waits(p) && p->due_ms <= m->now_ms;
		}
		want.parts += parts;
		want.mails += parts != 0;
	}
	for (unsigned i = 0; i < SITES; i++) {
		want.sites += m->sites[i].known;
		want.sites_backing_off += m->sites[i].known && m->sites[i].until_ms > m->now_ms;
	}
	m->s->now_ms = m->now_ms;
	schedule_counts(m->s, &is);
	want.memory_bytes = is.memory_bytes;
	assert_memory_equal(&is, &want, sizeof(is));
}

static void
do_configure(struct model *m)
{
	m->config.site_most = 2 + chance(m, 6);
	m->config.attempts_most = 4 + chance(m, 12);
	m->s->now_ms = m->now_ms;
	schedule_configure(m->s, &m->config);
	for (unsigned i = 0; i < SITES; i++)
		if (m->sites[i].known)
			m_bounds(m, i);
}

static void
run(uint64_t seed, struct model *total)
{
	struct model *m = calloc(1, sizeof(*m));
	m->config = (struct schedule_config){.retry_ms = 500,
		.retry_most_ms = 8000,
		.attempts_most = 10,
		.site_most = 6,
		.site_first = 2,
		.seed = seed};
	m->random = seed;
	m->now_ms = 1000 + chance(m, 100000);
	m->s = schedule_new(&m->config, limit, NULL);
	for (unsigned i = 0; i < DOMAINS; i++)
		m->site[i] = i;
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned what = chance(m, 100);
		m->s->now_ms = m->now_ms;
		if (what < 20)
			do_add(m, false);
		else if (what < 28)
			do_add(m, true);
		else if (what < 55)
			do_next(m);
		else if (what < 80)
			do_result(m);
		else if (what < 88)
			do_time(m);
		else if (what < 93)
			do_by_hand(m);
		else if (what < 96)
			do_site_is(m);
		else if (what < 97)
			do_configure(m);
		assert_int_equal(schedule_wake_ms(m->s, m->now_ms), m_wake_ms(m));
		check_why(m);
		check_counts(m);
		check_turns(m, NULL);
	}
	total->picks += m->picks;
	total->refused += m->refused;
	total->tried += m->tried;
	total->wakes += m->wakes;
	total->moves += m->moves;
	schedule_free(&m->s);
	free(m);
}

static void
test_model(void **state)
{
	(void)state;
	static struct model total;
	for (uint64_t seed = 1; seed <= 12; seed++)
		run(seed, &total);
	print_message("%lu picks, %lu tried at once, %lu not, %lu wakes to the ms, %lu moves\n",
		total.picks, total.tried, total.refused, total.wakes, total.moves);
	/* It has not looked away. */
	assert_true(total.picks > 10000 && total.tried > 1000 && total.refused > 1000);
	assert_true(total.wakes > 1000 && total.moves > 500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
