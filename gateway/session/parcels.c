/*
 * Recipients in parcels: those that get the same bytes and meet the same fate; see parcels.h.
 * Each recipient has its own way in it, so that a parcel may go to many sites.
 */
#include "session/parcels.h"

#include <time.h>

#include "session/bounces.h"

static bool
same_hop(const struct next_hop *a, const struct next_hop *b)
{
	if (a->kind != b->kind || !slice_eq(a->host, b->host) || a->port != b->port ||
		a->lmtp != b->lmtp || !slice_eq(a->text, b->text) || a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (!same_hop(&a->items[i], &b->items[i]))
			return false;
	return true;
}

bool
hops_same(const struct hop_list *a, const struct hop_list *b)
{
	if (a == b)
		return true;
	if (a == NULL || b == NULL || a->n != b->n || a->tls_required != b->tls_required)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!same_hop(&a->hops[i], &b->hops[i]))
			return false;
	return true;
}

bool
hops_have_lmtp(const struct hop_list *l)
{
	for (size_t i = 0; l != NULL && i < l->n; i++)
		if (l->hops[i].lmtp || l->hops[i].kind == HOP_LMTP_PATH)
			return true;
	return false;
}

const struct hop_list *
hops_of(const struct gate_config *config, const struct conf_domain *domain)
{
	if (config->listener->filter.n != 0)
		return &config->listener->filter;
	return domain != NULL ? &domain->deliver : NULL;
}

static const struct decision *
decision_of(const struct parcels_input *in, size_t rcpt)
{
	const struct decisions *d = in->outcome->decisions;
	return &d->list[d->of[rcpt]];
}

/* All that are served get the same bytes from one next hop, whose one answer tells of all. */
static bool
is_one_transaction(const struct parcels_input *in)
{
	const struct hop_list *first = NULL;
	size_t n = 0, set = 0;
	for (size_t i = 0; i < in->mail->n_recipients; i++) {
		if (!decision_serves(decision_of(in, i)))
			continue;
		const struct hop_list *hops =
			hops_of(in->config, in->mail->recipients[i].domain);
		if (n++ == 0) {
			first = hops;
			set = decision_of(in, i)->set;
		} else if (!hops_same(first, hops) || decision_of(in, i)->set != set) {
			return false;
		}
	}
	return n == 1 || !hops_have_lmtp(first);
}

bool
parcels_are_needed(const struct parcels_input *in, bool splits)
{
	const struct decisions *d = in->outcome->decisions;
	if (in->config->conf->spool.n == 0)
		return false;
	for (size_t i = 0; i < d->n; i++)
		if (decision_serves(&d->list[i]) &&
			(d->list[i].verdict.action != ACTION_ACCEPT ||
				decision_route(&d->list[i]) != NULL))
			return true;
	if (!splits)
		return false;
	return in->config->direction == OUTBOUND || decisions_find(d, ACTION_REJECT) != NULL ||
	       !is_one_transaction(in);
}

/* --- when a held mail goes on */

/* The next moment at which the clock on the wall says so. */
static uint64_t
next_time_of_day(unsigned minutes, int64_t wall_ms)
{
	time_t now = (time_t)(wall_ms / 1000), then;
	struct tm tm;
	if (localtime_r(&now, &tm) == NULL)
		return (uint64_t)wall_ms;
	for (int day = tm.tm_mday;; day++) {
		struct tm at = tm;
		at.tm_mday = day;
		at.tm_hour = (int)(minutes / 60);
		at.tm_min = (int)(minutes % 60);
		at.tm_sec = 0;
		at.tm_isdst = -1;
		then = mktime(&at);
		if (then > now || then < 0)
			break;
	}
	return then > now ? (uint64_t)then * 1000 : (uint64_t)wall_ms;
}

uint64_t
hold_until_ms(const struct rule *r, int64_t wall_ms)
{
	if (r->hold_until != 0)
		return next_time_of_day(r->hold_until - 1, wall_ms);
	return (uint64_t)wall_ms + r->hold_ms;
}

/* --- parcels */

static bool
same_route(const struct decision *a, const struct decision *b)
{
	const struct rule *one = decision_route(a), *other = decision_route(b);
	return one == other ||
	       (one != NULL && other != NULL && slice_eq(one->text, other->text));
}

/* Whether the recipients of both go into one parcel. */
static bool
same_parcel(const struct decision *a, const struct decision *b)
{
	if (a->verdict.action != b->verdict.action || a->set != b->set)
		return false;
	if (!decision_serves(a))
		return a->reply.code == b->reply.code && slice_eq(a->reply.text, b->reply.text);
	return same_route(a, b) &&
	       (a->verdict.action == ACTION_ACCEPT || a->verdict.rule == b->verdict.rule);
}

static struct slice
place_of(const struct rule *r, struct arena *a)
{
	return r != NULL ? arena_printf(a, "%s:%u", r->at.file, r->at.line) : SLICE_NONE;
}

/* Behind a filter everything goes back to its MTA, what was kept first too. */
static struct slice
filter_route(const struct conf_listener *l, struct arena *a)
{
	struct slice text = SLICE_NONE;
	for (size_t i = 0; i < l->filter.n; i++) {
		const struct next_hop *hop = &l->filter.hops[i];
		const char *quote = hop->kind == HOP_MX ? "" : "\"";
		text = arena_printf(a, "%.*s%s%s%.*s%s", SLICE_ARG(text),
			i != 0 ? " then " : "", quote, SLICE_ARG(hop->text), quote);
	}
	return text;
}

/* A tag that still holds when the mail leaves, and a week more. */
static struct address
sender_kept(const struct parcels_input *in, uint64_t kept_ms, struct arena *a)
{
	return bounces_sender(
		in->config, &in->mail->sender, in->session->wall_ms, kept_ms, a, NULL);
}

static void
fill_mail(const struct parcels_input *in, const struct decision *d, struct arena *a,
	struct stored_mail *m)
{
	const struct rule *rule = d->verdict.rule, *route = decision_route(d);
	*m = (struct stored_mail){.kind = STORED_SEND,
		.direction = in->config->direction,
		.own = in->config->direction == OUTBOUND,
		.arrived_ms = (uint64_t)in->session->wall_ms,
		.log = slice_of(in->id),
		.user = in->session->user,
		.client = in->session->client,
		.route = route != NULL ? route->text : filter_route(in->config->listener, a),
		.sender = *in->sender,
		.params = in->mail->params};
	if (d->verdict.action != ACTION_ACCEPT)
		m->reason = place_of(rule, a);
	if (d->verdict.action == ACTION_QUARANTINE) {
		m->kind = STORED_QUARANTINE;
		m->quarantine = rule->text.n != 0 ? rule->text : SLICE("quarantine");
		m->sender = sender_kept(in, in->config->conf->queue.quarantine_ms, a);
	} else if (d->verdict.action == ACTION_HOLD) {
		m->kind = STORED_HOLD;
		m->hold_until_ms = hold_until_ms(rule, in->session->wall_ms);
		m->sender = sender_kept(in, m->hold_until_ms - m->arrived_ms, a);
	}
}

static void
add_rcpt(const struct parcels_input *in, size_t i, struct stored_mail *m)
{
	const struct flt_recipient *r = &in->mail->recipients[i];
	enum delivery_way way = DELIVERY_BY_SEND;
	if (m->route.n != 0)
		way = DELIVERY_BY_ROUTE;
	else if (r->domain != NULL)
		way = DELIVERY_BY_DOMAIN;
	else if (in->config->conf->send.way == SEND_SMARTHOST)
		way = DELIVERY_BY_SMARTHOST;
	m->rcpts[m->n_rcpts++] = (struct stored_rcpt){.address = r->address,
		.params = in->params[i],
		.way = way,
		.site = way == DELIVERY_BY_DOMAIN ? r->domain->name : r->address.domain};
}

/* The parcel of each decision; SIZE_MAX: dropped. How many parcels there are. */
static size_t
number_parcels(const struct decisions *d, size_t *parcel_of, size_t *decision_of_parcel)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n; i++) {
		size_t k = 0;
		parcel_of[i] = SIZE_MAX;
		if (d->list[i].verdict.action == ACTION_DISCARD)
			continue;
		while (k < n && !same_parcel(&d->list[decision_of_parcel[k]], &d->list[i]))
			k++;
		if (k == n)
			decision_of_parcel[n++] = i;
		parcel_of[i] = k;
	}
	return n;
}

size_t
parcels_make(const struct parcels_input *in, struct arena *a, struct queue_parcel **parcels_out)
{
	const struct decisions *d = in->outcome->decisions;
	size_t *parcel_of = arena_array(a, d->n, sizeof(*parcel_of));
	size_t *first = arena_array(a, d->n, sizeof(*first));
	size_t n = number_parcels(d, parcel_of, first);
	struct queue_parcel *parcels = arena_array(a, n, sizeof(*parcels));
	for (size_t i = 0; i < n; i++) {
		const struct decision *one = &d->list[first[i]];
		struct queue_parcel *p = &parcels[i];
		size_t rcpts = 0;
		for (size_t k = 0; k < d->n; k++)
			rcpts += parcel_of[k] == i ? d->list[k].n : 0;
		fill_mail(in, one, a, &p->mail);
		p->mail.rcpts = arena_array(a, rcpts, sizeof(*p->mail.rcpts));
		p->body = in->bodies[one->set];
		p->refused = !decision_serves(one);
		p->reply = one->reply;
	}
	for (size_t i = 0; i < in->mail->n_recipients; i++)
		if (parcel_of[d->of[i]] != SIZE_MAX)
			add_rcpt(in, i, &parcels[parcel_of[d->of[i]]].mail);
	*parcels_out = parcels;
	return n;
}
