/*
 * POLICY.md, "Three values, one order", as plainly as it can be written: each condition is
 * tried with every value of what is not known, and is known where all agree. See
 * policy_naive.h.
 */
#include "policy_naive.h"

#include "base/must.h"

struct truth *
truth_of(struct set *s, unsigned fact)
{
	return &s->facts[fact][s->decls[fact].scope == SCOPE_RECIPIENT ? s->rcpt : 0];
}

/* What is known of a fact now; with `final` all that will ever be. */
struct view {
	bool there; /* flags: the value counts; lists: they are complete */
	bool failed;
	bool flag;
	const char *items;
	size_t n;
};

static struct view
view_of(struct set *s, unsigned fact)
{
	const struct fact_decl *d = &s->decls[fact];
	const struct truth *t = truth_of(s, fact);
	struct view v = {.items = t->items, .n = t->n, .flag = t->flag};
	if (s->final) {
		v.there = !t->failed;
		v.failed = t->failed;
		return v;
	}
	if (s->stage < d->stage) {
		v.n = 0;
		return v;
	}
	if (d->cost == COST_FREE) {
		v.there = s->stage >= s->grows_until[fact];
		if (!v.there)
			v.n = t->came;
		return v;
	}
	v.there = t->done && !t->failed;
	v.failed = t->done && t->failed;
	if (!t->done)
		v.n = t->came;
	return v;
}

/* One thing not known: where it hangs, and why. */
struct var {
	unsigned fact; /* FACTS: the score */
	bool open;
};

struct naive {
	struct set *set;
	const struct rule_made *rule;
	int score;
	enum known score_known;
	struct var vars[VARS_MOST];
	unsigned n_vars;
	uint32_t values; /* a bit for each var */
	size_t element;
	bool out_of_list;
};

/* 0 false, 1 unknown for ever (skipped), 2 true: `and` is the least, `or` the greatest. */
static int
unknown(struct naive *n, unsigned fact, bool failed, bool skip)
{
	if (failed && skip)
		return 1;
	must(n->n_vars < VARS_MOST);
	n->vars[n->n_vars] = (struct var){fact, !failed};
	return (n->values >> n->n_vars++ & 1) != 0 ? 2 : 0;
}

static int
try_list(struct naive *n, const struct term *t)
{
	struct view v = view_of(n->set, t->fact);
	bool every = t->kind == T_EVERY;
	for (size_t i = 0; i < v.n; i++)
		if ((v.items[i] == t->item) != every)
			return every ? 0 : 2;
	if (v.there)
		return every && v.n != 0 ? 2 : 0;
	return unknown(n, t->fact, v.failed, n->set->decls[t->fact].skip);
}

static int
try_pair(struct naive *n, const struct term *t)
{
	unsigned fact = PAIR + t->fact;
	struct view v = view_of(n->set, fact);
	if (n->element < v.n)
		return v.items[n->element] == t->item ? 2 : 0;
	if (v.there)
		return 0;
	return unknown(n, fact, v.failed, n->set->decls[fact].skip);
}

static int try_term(struct naive *n, unsigned at);

/* Elements that are there, and those that may yet come if neither list is complete. */
static int
try_any(struct naive *n, const struct term *t)
{
	struct view x = view_of(n->set, PAIR), y = view_of(n->set, PAIR + 1);
	size_t count = x.n > y.n ? x.n : y.n;
	int best = 0;
	for (n->element = 0; n->element < count; n->element++) {
		int one = try_term(n, t->a);
		best = one > best ? one : best;
	}
	if (x.there || y.there)
		return best;
	bool x_skipped = x.failed && n->set->decls[PAIR].skip;
	bool y_skipped = y.failed && n->set->decls[PAIR + 1].skip;
	int rest = 1;
	if (!x_skipped && !y_skipped) {
		/* both must end before it is known: open if either is */
		rest = unknown(n, x.failed ? PAIR + 1 : PAIR, x.failed && y.failed, false);
	} else if (!x_skipped || !y_skipped) {
		unsigned left = x_skipped ? PAIR + 1 : PAIR;
		rest = unknown(n, left, x_skipped ? y.failed : x.failed, false);
	}
	return rest > best ? rest : best;
}

static int
try_term(struct naive *n, unsigned at)
{
	const struct term *t = &n->rule->terms[at];
	int a, b;
	switch (t->kind) {
	case T_FLAG: {
		struct view v = view_of(n->set, t->fact);
		if (v.there)
			return v.flag ? 2 : 0;
		return unknown(n, t->fact, v.failed, n->set->decls[t->fact].skip);
	}
	case T_LIST:
	case T_EVERY: return try_list(n, t);
	case T_PAIR: return try_pair(n, t);
	case T_SCORE:
		if (n->score_known == K_TRUE)
			return n->score > t->number ? 2 : 0;
		return unknown(n, FACTS, n->score_known == K_FAILED, false);
	case T_NOT: return 2 - try_term(n, t->a);
	case T_AND:
		a = try_term(n, t->a);
		b = try_term(n, t->b);
		return a < b ? a : b;
	case T_OR:
		a = try_term(n, t->a);
		b = try_term(n, t->b);
		return a > b ? a : b;
	case T_ANY: return try_any(n, t);
	}
	return 0;
}

static bool
try_values(struct naive *n, uint32_t values)
{
	n->values = values;
	n->n_vars = 0;
	return try_term(n, n->rule->root) == 2;
}

/* relevant_out: bits of the facts on which it still hangs; why is in `open`. */
static enum known
naive_rule(struct naive *n, uint32_t *relevant_out, uint32_t *open_out)
{
	*relevant_out = *open_out = 0;
	if (n->rule->always)
		return K_TRUE;
	bool first = try_values(n, 0);
	unsigned vars = n->n_vars;
	if (vars == 0)
		return first ? K_TRUE : K_FALSE;
	static bool table[1u << VARS_MOST];
	bool same = true;
	for (uint32_t v = 0; v < 1u << vars; v++) {
		table[v] = try_values(n, v);
		same &= table[v] == first;
	}
	if (same)
		return first ? K_TRUE : K_FALSE;
	for (unsigned i = 0; i < vars; i++) {
		bool matters = false;
		for (uint32_t v = 0; v < 1u << vars && !matters; v++)
			matters = table[v] != table[v ^ 1u << i];
		if (matters)
			*relevant_out |= 1u << n->vars[i].fact;
		if (matters && n->vars[i].open)
			*open_out |= 1u << n->vars[i].fact;
	}
	return *open_out != 0 ? K_OPEN : K_FAILED;
}

static bool
uses_virus_or_rate(const struct rule_made *r)
{
	for (unsigned i = 0; i < r->n_terms && !r->always; i++)
		if (r->terms[i].kind == T_FLAG && r->terms[i].fact < 2)
			return true;
	return false;
}

static bool
is_passed(const struct set *s, const struct rule_made *r)
{
	return s->postmaster && action_ends(r->action) && r->action != ACTION_ACCEPT &&
	       !uses_virus_or_rate(r);
}

static bool
takes(enum action a)
{
	return a == ACTION_ACCEPT || a == ACTION_QUARANTINE || a == ACTION_HOLD;
}

static void
naive_end(struct decision *d, enum action action, bool open, bool failed, bool held)
{
	d->decided = true;
	d->action = action;
	if (action == ACTION_REJECT && !held) {
		d->effects = 0;
		return;
	}
	if (open) {
		d->decided = false;
		return;
	}
	if (failed) {
		d->action = ACTION_DEFER;
		d->by_failure = true;
	}
	if (!takes(d->action))
		d->effects = 0;
}

struct decision
naive_decide(struct set *s)
{
	struct decision d = {.end = s->n_rules};
	struct naive n = {.set = s, .score_known = K_TRUE};
	bool open = false, failed = false, held = false;
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct rule_made *r = &s->rules[i];
		n.rule = r;
		d.states[i] = K_FALSE;
		if (is_passed(s, r))
			continue;
		d.states[i] = naive_rule(&n, &d.relevant[i], &d.open[i]);
		if (d.states[i] == K_FALSE || r->try_only)
			continue;
		if (d.states[i] != K_TRUE) {
			open |= d.states[i] == K_OPEN;
			failed |= d.states[i] == K_FAILED;
			held |= action_ends(r->action) && r->action != ACTION_REJECT;
			if (r->action == ACTION_SCORE && n.score_known != K_OPEN)
				n.score_known = d.states[i];
			continue;
		}
		if (r->action == ACTION_SCORE)
			n.score += r->score;
		if (!action_ends(r->action)) {
			d.effects |= 1u << i;
			continue;
		}
		d.end = i;
		naive_end(&d, r->action, open, failed, held);
		return d;
	}
	naive_end(&d, ACTION_ACCEPT, open, failed, held);
	return d;
}
