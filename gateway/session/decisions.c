/*
 * Verdicts of many recipients, equal ones kept once; see decisions.h. Filled after the last
 * evaluation of a mail, read by the gate until the mail is over.
 */
#include "session/decisions.h"

#include <stddef.h>
#include <string.h>

enum { ROOM_FIRST = 4 };

void
decisions_init(struct decisions *d, size_t recipients, struct arena *a)
{
	*d = (struct decisions){.arena = a, .of = arena_array(a, recipients, sizeof(*d->of))};
}

static bool
same_rules(const struct rule **a, size_t n_a, const struct rule **b, size_t n_b)
{
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * sizeof(*a)) == 0);
}

/* Refused is refused, whatever the rules above would have done to it. */
static size_t
effects_of(const struct verdict *v)
{
	bool refused = v->action == ACTION_REJECT || v->action == ACTION_DEFER;
	return refused || v->action == ACTION_DISCARD ? 0 : v->n_effects;
}

static bool
same_verdict(const struct verdict *a, const struct verdict *b)
{
	return a->action == b->action && a->mode == b->mode && a->would == b->would &&
	       a->rule == b->rule && slice_eq(a->reply, b->reply) &&
	       same_rules(a->effects, effects_of(a), b->effects, effects_of(b));
}

/* Beyond its evaluation. NULL: no room. */
static const struct rule **
keep_rules(struct arena *a, const struct rule **rules, size_t n)
{
	const struct rule **kept = arena_try(a, (n + 1) * sizeof(struct rule *));
	if (kept != NULL && n != 0)
		memcpy(kept, rules, n * sizeof(*rules));
	return kept;
}

static bool
has_room(struct decisions *d)
{
	if (d->n < d->room)
		return true;
	size_t room = d->room != 0 ? 2 * d->room : ROOM_FIRST;
	struct decision *more =
		d->n < DECISIONS_MOST ? arena_try(d->arena, room * sizeof(*more)) : NULL;
	if (more == NULL)
		return false;
	if (d->n != 0)
		memcpy(more, d->list, d->n * sizeof(*more));
	d->list = more;
	d->room = room;
	return true;
}

static bool
add_new(struct decisions *d, const struct verdict *v)
{
	struct verdict kept = *v;
	if (d->n == DECISIONS_MOST || !has_room(d))
		return false;
	kept.states = NULL;
	kept.n_effects = effects_of(v);
	kept.effects = keep_rules(d->arena, v->effects, kept.n_effects);
	kept.tries = keep_rules(d->arena, v->tries, v->n_tries);
	if (kept.effects == NULL || kept.tries == NULL ||
		arena_room(d->arena) < kept.reply.n + sizeof(max_align_t) + 1)
		return false;
	kept.reply = arena_slice(d->arena, v->reply);
	d->list[d->n++] = (struct decision){.verdict = kept};
	return true;
}

bool
decisions_add(struct decisions *d, const struct verdict *v)
{
	/* neighbours are often alike */
	size_t at = d->n_of != 0 ? d->of[d->n_of - 1] : 0;
	if (d->n == 0 || !same_verdict(&d->list[at].verdict, v))
		for (at = 0; at < d->n && !same_verdict(&d->list[at].verdict, v); at++)
			continue;
	if (at == d->n && !add_new(d, v))
		return false;
	d->list[at].n++;
	d->of[d->n_of++] = (uint16_t)at;
	return true;
}

static bool
edits(const struct rule *r)
{
	return r->action == ACTION_TAG || r->action == ACTION_REMOVE_HEADER ||
	       r->action == ACTION_SIGN || r->action == ACTION_APPEND;
}

/* The next rule from *i on that edits the header; NULL: there is none. */
static const struct rule *
next_edit(const struct verdict *v, size_t *i)
{
	while (*i < v->n_effects)
		if (edits(v->effects[(*i)++]))
			return v->effects[*i - 1];
	return NULL;
}

/* What was observed is told in the header too. */
static bool
same_observed(const struct verdict *a, const struct verdict *b)
{
	if (a->mode != VERDICT_OBSERVED && b->mode != VERDICT_OBSERVED)
		return true;
	return a->mode == b->mode && a->would == b->would && a->rule == b->rule &&
	       slice_eq(a->reply, b->reply);
}

static bool
same_edits(const struct verdict *a, const struct verdict *b)
{
	size_t i = 0, k = 0;
	if (!same_observed(a, b))
		return false;
	for (;;) {
		const struct rule *one = next_edit(a, &i), *other = next_edit(b, &k);
		if (one != other || one == NULL)
			return one == other;
	}
}

size_t
decisions_one_set(struct decisions *d)
{
	for (size_t i = 0; i < d->n; i++)
		d->list[i].set = d->list[i].verdict.action == ACTION_DISCARD ? SIZE_MAX : 0;
	return 1;
}

size_t
decisions_sets(struct decisions *d)
{
	size_t sets = 0;
	for (size_t i = 0; i < d->n; i++) {
		size_t k = 0;
		d->list[i].set = SIZE_MAX;
		if (d->list[i].verdict.action == ACTION_DISCARD)
			continue;
		while (k < i && (d->list[k].set == SIZE_MAX ||
					!same_edits(&d->list[k].verdict, &d->list[i].verdict)))
			k++;
		d->list[i].set = k < i ? d->list[k].set : sets++;
	}
	return sets;
}

const struct decision *
decisions_find(const struct decisions *d, enum action action)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->list[i].verdict.action == action)
			return &d->list[i];
	return NULL;
}

const struct rule *
decision_route(const struct decision *d)
{
	for (size_t i = d->verdict.n_effects; i > 0; i--)
		if (d->verdict.effects[i - 1]->action == ACTION_ROUTE)
			return d->verdict.effects[i - 1];
	return NULL;
}

const struct rule *
decision_redirect(const struct decision *d)
{
	for (size_t i = d->verdict.n_effects; i > 0; i--)
		if (d->verdict.effects[i - 1]->action == ACTION_REDIRECT)
			return d->verdict.effects[i - 1];
	return NULL;
}

bool
decision_has(const struct decision *d, enum action effect)
{
	for (size_t i = 0; i < d->verdict.n_effects; i++)
		if (d->verdict.effects[i]->action == effect)
			return true;
	return false;
}

bool
decision_has_rule(const struct decision *d, const struct rule *effect)
{
	for (size_t i = 0; i < d->verdict.n_effects; i++)
		if (d->verdict.effects[i] == effect)
			return true;
	return false;
}

bool
decision_serves(const struct decision *d)
{
	return d->verdict.action == ACTION_ACCEPT || d->verdict.action == ACTION_QUARANTINE ||
	       d->verdict.action == ACTION_HOLD;
}

bool
decision_takes(const struct decision *d)
{
	return d->verdict.action != ACTION_REJECT && d->verdict.action != ACTION_DEFER;
}
