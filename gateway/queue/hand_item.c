/*
 * A mail in a list, and whether a filter means it; see hand_item.h. Both look at what is stored
 * alone: what the schedule plans is asked for only by `why`.
 */
#include "queue/hand_item.h"

#include "base/must.h"
#include "filters/batv.h"

bool
hand_is_open(enum rcpt_state s)
{
	return s == RCPT_WAITING || s == RCPT_DOUBT || s == RCPT_FAILED;
}

/* ---- the list ---- */

static struct hand_site *
site_of(struct hand_item *item, struct slice name)
{
	for (size_t i = 0; i < item->n_sites; i++)
		if (slice_eq_nocase(item->sites[i].site, name))
			return &item->sites[i];
	if (item->n_sites == HAND_SITES_MOST)
		return NULL;
	struct hand_site *s = &item->sites[item->n_sites++];
	*s = (struct hand_site){.site = name};
	return s;
}

/* The words of the last attempt, in one line. */
static struct slice
words_of(const struct stored_rcpt_note *n, struct arena *a)
{
	return n->reply.code != 0 ? smtp_reply_line(&n->reply, a) : SLICE_NONE;
}

static void
add_site(struct hand_item *item, const struct stored_rcpt *r, const struct stored_rcpt_note *n)
{
	struct hand_site *s = site_of(item, r->site);
	if (s == NULL) {
		item->more_sites++; /* recipients of sites beyond; nobody plans by it */
		return;
	}
	if (s->waiting++ == 0 || n->due_ms < s->due_ms)
		s->due_ms = n->due_ms;
	if (n->attempts > 0) {
		s->tried = true;
		s->class = n->failure.class;
	}
	if (item->due_ms == 0 || (n->due_ms != 0 && n->due_ms < item->due_ms))
		item->due_ms = n->due_ms;
}

void
hand_item_of(const struct stored_mail *m, const struct stored_note *n, struct arena *a,
	struct hand_item *item)
{
	const struct stored_rcpt_note *last = NULL;
	*item = (struct hand_item){.readable = true,
		.own = m->own,
		.held = n->held,
		.expire = n->expire,
		.notification = m->notification,
		.kind = m->kind,
		.direction = m->direction,
		.arrived_ms = m->arrived_ms,
		.hold_until_ms = m->hold_until_ms,
		.sender = m->sender.text,
		.quarantine = m->quarantine,
		.reason = m->reason,
		.virus = stored_virus(m, n),
		.client = m->client};
	must(n->n_rcpts == m->n_rcpts);
	item->sites = arena_array(a, HAND_SITES_MOST, sizeof(*item->sites));
	for (size_t i = 0; i < m->n_rcpts; i++) {
		const struct stored_rcpt_note *r = &n->rcpts[i];
		item->states[r->state]++;
		if (item->n_rcpts < HAND_RCPTS_MOST)
			item->rcpts[item->n_rcpts++] = m->rcpts[i].address.text;
		if (r->attempts > item->attempts)
			item->attempts = r->attempts;
		if (!hand_is_open(r->state))
			continue;
		add_site(item, &m->rcpts[i], r);
		if (r->attempts > 0 && (last == NULL || r->last_ms > last->last_ms))
			last = r;
	}
	if (last == NULL)
		return;
	item->tried = true;
	item->class = last->failure.class;
	item->last_ms = last->last_ms;
	item->words = words_of(last, a);
}

/* ---- filters ---- */

/* pattern: "a@b", "@b", or "<>" for the null sender. */
static bool
address_fits(struct slice pattern, const struct address *a)
{
	if (slice_eq(pattern, SLICE("<>")))
		return a->is_null;
	if (a->is_null)
		return false;
	if (slice_starts(pattern, SLICE("@")))
		return slice_eq_nocase(slice_from(pattern, 1), a->domain);
	return slice_eq_nocase(pattern, a->text) || slice_eq_nocase(pattern, a->raw);
}

/* With its tag, or as its person writes it (filters/batv.h). */
static bool
sender_fits(struct slice pattern, const struct address *a)
{
	struct slice plain;
	return address_fits(pattern, a) ||
	       (batv_form(a->text, &plain) && slice_eq_nocase(pattern, plain));
}

static bool
rcpt_fits(const struct hand_filter *f, const struct stored_rcpt *r,
	const struct stored_rcpt_note *n)
{
	bool open = hand_is_open(n->state);
	if (f->recipient.n != 0 && !address_fits(f->recipient, &r->address))
		return false;
	if (f->destination.n != 0 && !(open && slice_eq_nocase(f->destination, r->site)))
		return false;
	return !f->by_class || (open && n->attempts > 0 && n->failure.class == f->class);
}

/* rule: "conf.d/in.conf:31", "in.conf:31" or "31". */
static bool
rule_fits(struct slice rule, struct slice reason)
{
	struct slice before = slice_first(reason, reason.n - rule.n);
	return slice_eq(rule, reason) ||
	       (reason.n > rule.n && slice_ends(reason, rule) &&
		       (slice_ends(before, SLICE("/")) || slice_ends(before, SLICE(":"))));
}

static bool
client_fits(struct slice client, const struct ip *ip)
{
	struct ip wanted;
	return ip_parse(client, &wanted) && ip_eq(&wanted, ip);
}

static bool
age_fits(const struct hand_filter *f, uint64_t arrived_ms, uint64_t wall_ms)
{
	uint64_t age = wall_ms > arrived_ms ? wall_ms - arrived_ms : 0;
	return age >= f->older_ms && (f->since_ms == 0 || age <= f->since_ms);
}

static bool
asks_for_nothing(const struct hand_filter *f)
{
	return f->sender.n == 0 && f->recipient.n == 0 && f->destination.n == 0 &&
	       f->quarantine.n == 0 && f->client.n == 0 && f->rule.n == 0 && !f->virus &&
	       !f->by_class && !f->by_kind && !f->held && f->older_ms == 0 && f->since_ms == 0;
}

bool
hand_filter_matches(const struct hand_filter *f, const struct custody_id *id,
	const struct stored_mail *m, const struct stored_note *n, uint64_t wall_ms)
{
	if (f->by_id && !custody_id_eq(&f->id, id))
		return false;
	if (m == NULL)
		return asks_for_nothing(f);
	if (f->by_kind && m->kind != f->kind)
		return false;
	if (f->held && !n->held)
		return false;
	if (!age_fits(f, m->arrived_ms, wall_ms))
		return false;
	if (f->virus && stored_virus(m, n).n == 0)
		return false;
	if (f->rule.n != 0 && !rule_fits(f->rule, m->reason))
		return false;
	if (f->client.n != 0 && !client_fits(f->client, &m->client))
		return false;
	if (f->sender.n != 0 && !sender_fits(f->sender, &m->sender))
		return false;
	if (f->quarantine.n != 0 && !slice_eq_nocase(f->quarantine, m->quarantine))
		return false;
	/* One recipient must be all that is asked of one. */
	for (size_t i = 0; i < m->n_rcpts; i++)
		if (rcpt_fits(f, &m->rcpts[i], &n->rcpts[i]))
			return true;
	return false;
}
