/*
 * How much one site may get and when: the window of its concurrency, the back-off of a site
 * that fails as a whole, the rate that the configuration asks for. Attempts that began before a
 * failure tell the same failure once more: twenty connections that break together are one step
 * of the back-off and halve the window once.
 */
#include "base/must.h"
#include "queue/schedule_priv.h"

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void
site_fresh(const struct schedule *s, struct site *t)
{
	t->most = s->config.site_most;
	t->threshold = UINT32_MAX; /* no failure has shown where it ends */
	t->window = least(s->config.site_first, t->most);
}

static void
site_limit(struct schedule *s, struct site *t, const struct schedule_limit *l)
{
	if (l->connections != 0)
		t->most = l->connections;
	if (l->rate == 0 || l->rate_ms == 0)
		return;
	/* A tenth of the rate at once, the rest evenly: never more than 1.1 times the rate in
	 * any such time, and a large mailing does not use up an hour's share in a minute. */
	uint64_t step_us = l->rate_ms * 1000 / l->rate;
	step_us = step_us != 0 ? step_us : 1;
	if (step_us <= t->step_us)
		return;
	t->step_us = step_us;
	t->burst_us = l->rate > 10 ? (l->rate / 10 - 1) * step_us : 0;
	uint64_t last_us = s->now_ms * 1000 + t->burst_us + step_us;
	if (t->next_us > last_us)
		t->next_us = last_us;
}

static void
limit_domain(struct schedule *s, struct site *t, struct domain *d)
{
	struct schedule_limit l = {0};
	struct slice name = {d->name, d->name_bytes};
	d->limited = s->limit != NULL && s->limit(s->limit_arg, name, &l);
	if (!d->limited)
		return;
	/* The first that is limited sets the bound, each further one may lower it. */
	if (l.connections != 0 && t->connections != 0)
		l.connections = least(l.connections, t->connections);
	t->connections = l.connections != 0 ? l.connections : t->connections;
	l.connections = t->connections;
	site_limit(s, t, &l);
}

void
site_limits(struct schedule *s, struct site *t)
{
	t->connections = 0;
	t->step_us = t->burst_us = 0;
	t->most = s->config.site_most;
	for (uint32_t i = t->domains; i != 0; i = domain_at(s, i)->site_after) {
		limit_domain(s, t, domain_at(s, i));
		s->steps++;
	}
	t->window = least(t->window, t->most);
}

void
site_limit_domain(struct schedule *s, struct site *t, struct domain *d)
{
	limit_domain(s, t, d);
	t->window = least(t->window, t->most);
}

uint32_t
site_window(const struct site *t)
{
	return t->failures != 0 ? 1 : t->window;
}

uint64_t
site_rate_ms(const struct site *t)
{
	if (t->step_us == 0 || t->next_us <= t->burst_us)
		return 0;
	return (t->next_us - t->burst_us + 999) / 1000;
}

uint64_t
site_held_ms(const struct site *t)
{
	if (t->in_flight >= site_window(t))
		return UINT64_MAX;
	uint64_t rate_ms = site_rate_ms(t);
	return t->until_ms > rate_ms ? t->until_ms : rate_ms;
}

void
site_begin(struct schedule *s, struct site *t)
{
	t->in_flight++;
	uint64_t now_us = s->now_ms * 1000;
	t->next_us = (t->next_us > now_us ? t->next_us : now_us) + t->step_us;
}

void
site_unsent(struct site *t)
{
	t->next_us -= t->next_us > t->step_us ? t->step_us : t->next_us;
}

/* Called while the attempt still counts as in flight. */
void
site_worked(struct schedule *s, struct site *t, bool again)
{
	bool full = t->in_flight >= t->window; /* one that is not used up proves nothing */
	t->failures = 0;
	t->until_ms = 0;
	t->deferred = again ? t->deferred + 1 : 0;
	t->deferred_ms = s->now_ms;
	if (!full || t->window >= t->most)
		return;
	if (t->window < t->threshold) {
		t->window++; /* each success: twice as many with each round */
		t->passed = 0;
	} else if (++t->passed >= t->window) {
		t->window++;
		t->passed = 0;
	}
}

static void
site_halve(struct site *t)
{
	t->window = t->window > 1 ? t->window / 2 : 1;
	t->threshold = t->window;
	t->passed = 0;
	t->epoch++;
}

static void
site_back_off(struct schedule *s, struct site *t)
{
	t->failures++;
	t->until_ms = s->now_ms + schedule_delay(s, t->failures);
}

void
site_busy(struct schedule *s, struct site *t, uint32_t epoch)
{
	if (epoch != t->epoch)
		return;
	bool one = site_window(t) == 1;
	t->failures = 0;
	t->until_ms = 0;
	site_halve(t);
	if (one) /* less than one at once is none for a while */
		site_back_off(s, t);
}

void
site_failed(struct schedule *s, struct site *t, uint32_t epoch)
{
	if (epoch != t->epoch)
		return;
	site_halve(t);
	site_back_off(s, t);
}

void
site_merge(const struct schedule *s, struct site *to, const struct site *from)
{
	if (from->until_ms > s->now_ms && from->until_ms > to->until_ms) {
		to->until_ms = from->until_ms;
		if (from->failures > to->failures)
			to->failures = from->failures;
	}
	if (to->next_us < from->next_us)
		to->next_us = from->next_us;
}

void
site_learn(struct site *t, const struct site *from)
{
	t->window = least(from->window, t->most);
	t->threshold = from->threshold;
	t->passed = from->passed;
	t->failures = from->failures;
	t->until_ms = from->until_ms;
	t->deferred = from->deferred;
	t->deferred_ms = from->deferred_ms;
	t->next_us = from->next_us;
}

/* splitmix64: the jitter has to be spread, not to be secret. */
static uint64_t
random_next(struct schedule *s)
{
	uint64_t x = s->random += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/*
 * Doubled with each attempt up to the most, and an eighth of it by chance on top: never earlier
 * than said, since a greylist that wants five minutes starts anew when it is asked after four.
 */
uint64_t
schedule_delay(struct schedule *s, uint32_t attempts)
{
	uint64_t delay_ms = s->config.retry_ms;
	while (attempts-- > 1 && delay_ms < s->config.retry_most_ms)
		delay_ms *= 2;
	if (delay_ms > s->config.retry_most_ms)
		delay_ms = s->config.retry_most_ms;
	return delay_ms + random_next(s) % (delay_ms / 8 + 1);
}
