/*
 * A mail into parts, for the schedule: by destination, a hundred recipients each, in the order
 * of the envelope; see divide.h.
 */
#include "queue/divide.h"

#include "base/map.h"

struct slice
divide_site(const struct stored_mail *m, const struct stored_rcpt *r, enum delivery_way way,
	struct arena *a)
{
	switch (way) {
	case DELIVERY_BY_SMARTHOST: return SLICE("smarthost");
	case DELIVERY_BY_ROUTE: return arena_printf(a, "route:%.*s", SLICE_ARG(m->route));
	case DELIVERY_BY_DOMAIN: return arena_printf(a, "domain:%.*s", SLICE_ARG(r->site));
	case DELIVERY_BY_SEND:
	case DELIVERY_WAYS: break;
	}
	return r->site;
}

size_t
divide_mail(const struct stored_mail *m, struct arena *a, struct division **parts_out)
{
	struct map *open = map_new(a, false); /* the part of a site that has room */
	struct division *parts = arena_array(a, m->n_rcpts, sizeof(*parts));
	size_t n = 0;
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct slice site = divide_site(m, &m->rcpts[i], m->rcpts[i].way, a);
		struct division *d = map_get(open, site);
		if (d == NULL || d->n == DIVIDE_RCPTS_MOST) {
			d = &parts[n++];
			d->site = site;
			map_put(open, site, d);
		}
		if (d->n == 0) /* most parts have one */
			d->rcpts = arena_array(a, 1, sizeof(*d->rcpts));
		else if ((d->n & (d->n - 1)) == 0) { /* 1, 2, 4, ...: doubled */
			uint32_t *more = arena_array(a, 2 * (size_t)d->n, sizeof(*more));
			for (uint32_t k = 0; k < d->n; k++)
				more[k] = d->rcpts[k];
			d->rcpts = more;
		}
		d->rcpts[d->n++] = i;
	}
	*parts_out = parts;
	return n;
}
