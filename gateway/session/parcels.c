/*
 * Recipients in parcels: those that get the same bytes and meet the same fate; see parcels.h.
 * Each recipient has its own way in it, so that a parcel may go to many sites.
 */
#include "session/parcels.h"

#include <time.h>

#include "base/must.h"
#include "policy/explain.h"
#include "session/bounces.h"
#include "session/copies.h"

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
				decision_route(&d->list[i]) != NULL ||
				decision_redirect(&d->list[i]) != NULL))
			return true;
	if (copies_are_due(in))
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

/* Of all parcels of a mail together, which travel in one transaction. */
enum { FACTS_IN_ALL = 1024 * 1024 };

struct of_rcpt {
	struct facts *facts;
	size_t rcpt;
};

static enum fact_state
known_fact(void *arg, const struct fact_ref *ref, enum fact_cost most, struct value *v_out)
{
	const struct of_rcpt *of = arg;
	return facts_read_use(of->facts, ref, of->rcpt, most, v_out);
}

/* Whoever lets such a mail go says that it is none: by our own facts, or by a neighbour's. */
static bool
asks_spam(const struct policy *p, const struct rule *rule)
{
	return policy_rule_uses(p, rule, "spam") || policy_rule_uses(p, rule, "rspamd") ||
	       policy_rule_uses(p, rule, "spamassassin");
}

/* For the person who will look at it: what was known when the rule kept it, and what with. */
static void
fill_known(const struct parcels_input *in, const struct decision *d, struct arena *a,
	struct stored_mail *m)
{
	const struct decisions *all = in->outcome->decisions;
	struct of_rcpt of = {.facts = in->facts};
	const struct scan_report *scan;
	size_t most = all->n > FACTS_IN_ALL / STORED_FACTS_MOST ? FACTS_IN_ALL / all->n
								: STORED_FACTS_MOST;
	if (in->facts == NULL)
		return;
	while (&all->list[all->of[of.rcpt]] != d)
		of.rcpt++;
	m->facts = policy_explain_known(in->config->policy, d->verdict.rule,
		(struct fact_source){known_fact, &of}, most, a);
	m->by_spam =
		m->kind == STORED_QUARANTINE && asks_spam(in->config->policy, d->verdict.rule);
	scan = facts_scan(in->facts);
	if (scan == NULL || (scan->status != SCAN_CLEAN && scan->status != SCAN_INFECTED))
		return; /* what was not looked into as a whole is looked at again */
	m->signatures = scan->signatures;
	m->virus = scan->status == SCAN_INFECTED ? scan->virus : SLICE_NONE;
}

void
parcels_fill(const struct parcels_input *in, const struct decision *d, struct arena *a,
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
	if (m->kind != STORED_SEND)
		fill_known(in, d, a, m);
}

static struct address
address_of_rule(struct slice text, struct arena *a)
{
	struct address address;
	must(address_parse(text, true, a, &address) == ADDRESS_OK); /* the parser has asked */
	return address;
}

void
parcels_add_own(const struct parcels_input *in, struct slice text, struct arena *a,
	struct stored_mail *m)
{
	struct address address = address_of_rule(text, a);
	m->own = false; /* nobody outside is told of its failure */
	m->route = filter_route(in->config->listener, a);
	m->rcpts[m->n_rcpts++] = (struct stored_rcpt){.address = address,
		.params = {.notify = SMTP_NOTIFY_NEVER},
		.way = m->route.n != 0 ? DELIVERY_BY_ROUTE : DELIVERY_BY_DOMAIN,
		.site = address.domain};
}

struct address
parcels_address(const struct parcels_input *in, size_t rcpt, struct arena *a)
{
	const struct rule *to = decision_redirect(decision_of(in, rcpt));
	return to != NULL && decision_serves(decision_of(in, rcpt))
		       ? address_of_rule(to->text, a)
		       : in->mail->recipients[rcpt].address;
}

/* RFC 3461 4.2: whom the sender has written to, so that a notification names that one. */
static struct slice
orcpt_of(const struct address *original, struct arena *a)
{
	struct buf out;
	struct slice text = SLICE_NONE;
	buf_init(&out, SMTP_ORCPT_MOST);
	int result = buf_add_text(&out, "rfc822;");
	for (size_t i = 0; i < original->raw.n; i++) {
		unsigned char c = (unsigned char)original->raw.p[i];
		bool plain = c > ' ' && c < 0x7f && c != '+' && c != '=';
		result |= plain ? buf_add_byte(&out, (char)c) : buf_printf(&out, "+%02X", c);
	}
	if (result == 0 && !original->utf8)
		text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}

/* The same address once in a parcel, where several are redirected to it. */
static bool
has_rcpt(const struct stored_mail *m, struct slice text)
{
	for (size_t i = 0; i < m->n_rcpts; i++)
		if (slice_eq_nocase(m->rcpts[i].address.text, text))
			return true;
	return false;
}

static void
add_rcpt(const struct parcels_input *in, size_t i, struct arena *a, struct stored_mail *m)
{
	const struct flt_recipient *r = &in->mail->recipients[i];
	const struct decision *d = decision_of(in, i);
	bool redirected = decision_serves(d) && decision_redirect(d) != NULL;
	struct stored_rcpt to = {
		.address = r->address, .params = in->params[i], .way = DELIVERY_BY_SEND};
	if (redirected) {
		to.address = parcels_address(in, i, a);
		if (to.params.orcpt.n == 0)
			to.params.orcpt = orcpt_of(&r->address, a);
		if (has_rcpt(m, to.address.text))
			return;
	}
	if (m->route.n != 0)
		to.way = DELIVERY_BY_ROUTE;
	else if (redirected || r->domain != NULL)
		to.way = DELIVERY_BY_DOMAIN;
	else if (in->config->conf->send.way == SEND_SMARTHOST)
		to.way = DELIVERY_BY_SMARTHOST;
	to.site = to.way == DELIVERY_BY_DOMAIN && !redirected ? r->domain->name
							      : to.address.domain;
	m->rcpts[m->n_rcpts++] = to;
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
	size_t n = number_parcels(d, parcel_of, first), beside = copies_most(in);
	if (n + beside > QUEUE_PARCELS_MOST)
		return 0;
	struct queue_parcel *parcels = arena_array(a, n + beside, sizeof(*parcels));
	for (size_t i = 0; i < n; i++) {
		const struct decision *one = &d->list[first[i]];
		struct queue_parcel *p = &parcels[i];
		size_t rcpts = 0;
		for (size_t k = 0; k < d->n; k++)
			rcpts += parcel_of[k] == i ? d->list[k].n : 0;
		parcels_fill(in, one, a, &p->mail);
		p->mail.rcpts = arena_array(a, rcpts, sizeof(*p->mail.rcpts));
		p->body = in->bodies[one->set];
		p->refused = !decision_serves(one);
		p->reply = one->reply;
	}
	for (size_t i = 0; i < in->mail->n_recipients; i++)
		if (parcel_of[d->of[i]] != SIZE_MAX)
			add_rcpt(in, i, a, &parcels[parcel_of[d->of[i]]].mail);
	*parcels_out = parcels;
	return copies_make(in, a, parcels, &n) ? n : 0;
}
