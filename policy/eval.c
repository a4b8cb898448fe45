/*
 * The evaluator (POLICY.md, "Three values, one order"). It walks the rules from the top to the
 * first one that is true and ends, at rising costs: what is free, the cheap questions of all
 * rules together, reservations where all else in their rule is settled, one after the other
 * since each may decide (but see ask_ahead), then the dear ones.
 * Before anything but a cheap question is asked it looks whether an answer could let it decide
 * at this stage: what hangs below a rule that only a later stage settles is left alone until
 * then.
 */
#include <stdio.h>
#include <string.h>

#include "policy/eval_priv.h"

enum { FAILED_NAMES_MOST = 8 };

/*
 * How a rule can decide now: passing what a reject passes, or with all above it settled; and
 * whether an answer to it could bring a decision now.
 */
enum { DECIDES_EARLY = 1, DECIDES_SETTLED = 2, USEFUL = 4 };

/* --- one walk */

static void
add_score(struct run *r, const struct rule *rule, logic v)
{
	const logic settles = LOGIC_NOW_TRUE | LOGIC_NOW_FALSE;
	if (logic_true(v))
		r->score += rule->number;
	if (logic_known(v))
		return;
	logic now = (v & settles) != 0 ? settles : 0;
	if ((v & LOGIC_NOW_FAILED) != 0)
		now |= LOGIC_NOW_FAILED;
	if (r->score_open == 0)
		r->score_open = LOGIC_UNKNOWN | now | (v & LOGIC_WHY);
	else /* the sum settles only if all its parts do */
		r->score_open = logic_and(r->score_open, LOGIC_UNKNOWN | now | (v & LOGIC_WHY));
}

static bool
may_ask(const struct run *r, size_t i, enum fact_cost level)
{
	if (r->policy->rules[i].try_only)
		return level == COST_CHEAP;
	if (level == COST_RESERVE &&
		(r->rules[i] & LOGIC_WHY & ~(logic)(LOGIC_UNASKED_RESERVE | LOGIC_FAILED)) != 0)
		return false;
	return level <= COST_CHEAP || (r->useful[i] & USEFUL) != 0;
}

static void
walk(struct run *r, enum fact_cost level, bool postmaster)
{
	const struct policy *p = r->policy;
	r->score = 0;
	r->score_open = 0;
	r->reserved = false;
	r->reserving = POLICY_NONE;
	for (r->end = 0; r->end < p->n_rules; r->end++) {
		size_t i = r->end;
		const struct policy_rule *rule = &p->rules[i];
		if (postmaster && rule->passes_postmaster) {
			r->rules[i] = LOGIC_FALSE;
			continue;
		}
		if (!logic_known(r->rules[i])) {
			r->rules[i] = cond_value(r, rule->root);
			if (!logic_known(r->rules[i]) && level != COST_FREE &&
				may_ask(r, i, level))
				r->rules[i] = cond_settle(r, rule->root, level);
		}
		if (rule->rule->action == ACTION_SCORE && !rule->try_only)
			add_score(r, rule->rule, r->rules[i]);
		if (rule->ends && logic_true(r->rules[i]))
			break;
	}
}

/* --- what could decide now */

/*
 * What stands above a rule and can hold its decision back at this stage. A reject passes all
 * but an ending rule of another kind that cannot become false; where that one fails instead,
 * the mail is deferred, and this, as any other decision, needs everything above to be settled.
 */
struct hold {
	bool rejects; /* even those */
	bool others;
	bool fails;
};

static void
hold_by(struct hold *h, const struct policy_rule *rule, logic v)
{
	logic passes = LOGIC_NOW_FALSE | LOGIC_NOW_FAILED;
	if (!rule->ends)
		passes |= LOGIC_NOW_TRUE;
	if (rule->try_only || logic_known(v))
		return;
	h->others |= (v & passes) == 0;
	if (!rule->ends || rule->rule->action == ACTION_REJECT)
		return;
	h->rejects |= (v & LOGIC_NOW_FALSE) == 0;
	h->fails |= (v & LOGIC_NOW_FAILED) != 0;
}

static uint8_t
can_decide(const struct hold *h, const struct policy_rule *rule, logic v)
{
	bool reject = rule->rule->action == ACTION_REJECT;
	uint8_t ways = 0;
	if (!rule->ends || (v & LOGIC_NOW_TRUE) == 0)
		return 0;
	if (reject && !h->rejects)
		ways |= DECIDES_EARLY;
	if ((!reject || h->fails) && !h->others)
		ways |= DECIDES_SETTLED;
	return ways;
}

static void
find_useful(struct run *r)
{
	const struct policy *p = r->policy;
	struct hold h = {0};
	for (size_t i = 0; i < p->n_rules; i++) {
		r->useful[i] = i <= r->end ? can_decide(&h, &p->rules[i], r->rules[i]) : 0;
		if (i < r->end)
			hold_by(&h, &p->rules[i], r->rules[i]);
	}
	uint8_t below = r->end == p->n_rules && !h.others ? DECIDES_SETTLED : 0;
	/* upwards: a rule is useful too where one below it, that can decide, waits for it */
	for (size_t i = r->end < p->n_rules ? r->end + 1 : r->end; i-- > 0;) {
		const struct policy_rule *rule = &p->rules[i];
		bool holds_rejects = rule->rule->action == ACTION_SCORE ||
				     (rule->ends && rule->rule->action != ACTION_REJECT);
		uint8_t decides = r->useful[i];
		if (decides != 0 || (below & DECIDES_SETTLED) != 0 ||
			((below & DECIDES_EARLY) != 0 && holds_rejects))
			r->useful[i] |= USEFUL;
		below |= decides;
	}
}

/* Some useful rule is unknown for one of these reasons. */
static bool
any_useful(const struct run *r, logic why)
{
	for (size_t i = 0; i < r->end; i++) {
		const struct policy_rule *rule = &r->policy->rules[i];
		if (!rule->try_only && (r->useful[i] & USEFUL) != 0 &&
			!logic_known(r->rules[i]) && (r->rules[i] & why) != 0)
			return true;
	}
	return false;
}

/* --- the decision */

struct above {
	bool open, failed, open_not_reject;
};

static struct above
look_above(const struct run *r)
{
	struct above a = {0};
	for (size_t i = 0; i < r->end; i++) {
		const struct policy_rule *rule = &r->policy->rules[i];
		if (rule->try_only || logic_known(r->rules[i]))
			continue;
		bool failed = (r->rules[i] & LOGIC_WHY) == LOGIC_FAILED;
		a.failed |= failed;
		a.open |= !failed;
		a.open_not_reject |= rule->ends && rule->rule->action != ACTION_REJECT;
	}
	return a;
}

/* "451 4.7.1 Cannot find out now: virus, client.name; try again later" */
static struct slice
failed_reply(struct run *r)
{
	const struct policy *p = r->policy;
	bool *failed = arena_array(r->arena, p->n_facts, sizeof(*failed));
	struct slice names = SLICE_NONE;
	size_t n = 0;
	for (size_t i = 0; i < r->end; i++)
		if (!logic_known(r->rules[i]) && !p->rules[i].try_only)
			cond_failed(r, p->rules[i].root, failed);
	for (size_t i = 0; i < p->n_facts && n < FAILED_NAMES_MOST; i++) {
		if (!failed[i])
			continue;
		names = arena_printf(r->arena, "%.*s%s%.60s", SLICE_ARG(names),
			n++ != 0 ? ", " : "", p->facts[i].decl->name);
	}
	return arena_printf(r->arena, "451 4.7.1 Cannot find out now: %.*s; try again later",
		SLICE_ARG(names));
}

static bool
decide(struct run *r, struct verdict *v)
{
	const struct policy *p = r->policy;
	struct above a = look_above(r);
	/* postmaster@ has passed the last rule too */
	bool fell_through = r->end == p->n_rules;
	const struct rule *rule = p->rules[fell_through ? p->n_rules - 1 : r->end].rule;
	enum action action = fell_through ? ACTION_ACCEPT : rule->action;
	bool early = action == ACTION_REJECT && !a.open_not_reject;
	if (!early && a.open)
		return false;
	v->decided = true;
	if (!early && a.failed) {
		v->action = ACTION_DEFER;
		v->reply = failed_reply(r);
		return true;
	}
	v->action = action;
	v->rule = rule;
	if (action == ACTION_REJECT || action == ACTION_DEFER)
		v->reply = rule->text;
	return true;
}

/* --- the verdict */

static enum tri
tri_of(logic v)
{
	if (logic_known(v))
		return logic_true(v) ? TRI_TRUE : TRI_FALSE;
	return (v & LOGIC_WHY) == LOGIC_FAILED ? TRI_FAILED : TRI_OPEN;
}

static bool
is_effect(const struct run *r, size_t i)
{
	const struct policy_rule *rule = &r->policy->rules[i];
	return !rule->try_only && !rule->ends && logic_true(r->rules[i]);
}

static bool
is_try(const struct run *r, size_t i)
{
	return r->policy->rules[i].try_only && logic_true(r->rules[i]);
}

static const struct rule **
collect(const struct run *r, bool (*want)(const struct run *, size_t), size_t *n_out)
{
	size_t n = 0;
	for (size_t i = 0; i < r->end; i++)
		n += want(r, i);
	*n_out = n;
	if (n == 0)
		return NULL;
	const struct rule **rules = arena_array(r->arena, n, sizeof(*rules));
	n = 0;
	for (size_t i = 0; i < r->end; i++)
		if (want(r, i))
			rules[n++] = r->policy->rules[i].rule;
	return rules;
}

static void
fill(struct run *r, struct verdict *v)
{
	const struct policy *p = r->policy;
	v->states = arena_array(r->arena, p->n_rules, sizeof(*v->states));
	for (size_t i = 0; i < p->n_rules; i++)
		v->states[i] = i <= r->end ? tri_of(r->rules[i]) : TRI_OPEN;
	v->tries = collect(r, is_try, &v->n_tries);
	bool takes = v->action == ACTION_ACCEPT || v->action == ACTION_QUARANTINE ||
		     v->action == ACTION_HOLD;
	if (v->decided && takes)
		v->effects = collect(r, is_effect, &v->n_effects);
	v->score = r->score;
	v->score_known = r->score_open == 0;
	if (v->decided)
		return;
	v->asked = r->asked;
	v->waits = any_useful(r, LOGIC_WAITS);
}

/* --- reservations ahead */

enum { AHEAD_MOST = 16 };

static void *
copy_of(struct run *r, const void *items, size_t n, size_t bytes)
{
	void *copy = arena_array(r->arena, n, bytes);
	if (n != 0)
		memcpy(copy, items, n * bytes);
	return copy;
}

/*
 * A reservation that is asked for is mostly granted, and then the next one is asked for: what
 * that would be is asked in the same breath, on the supposition that the ones before it are
 * not over their limits. Who answers holds to the order (base/state_op.h, `chained`), so
 * nothing is taken that would not have been taken one by one. What was supposed is forgotten
 * again.
 */
static void
ask_ahead(struct run *r, bool postmaster)
{
	const struct policy *p = r->policy;
	struct run ahead = *r;
	ahead.facts = copy_of(r, r->facts, p->n_facts, sizeof(*r->facts));
	ahead.tests = copy_of(r, r->tests, p->n_tests, sizeof(*r->tests));
	ahead.rules = copy_of(r, r->rules, p->n_rules, sizeof(*r->rules));
	ahead.useful = copy_of(r, r->useful, p->n_rules, sizeof(*r->useful));
	for (unsigned i = 0; i < AHEAD_MOST && ahead.reserving != POLICY_NONE; i++) {
		struct memo *m = &ahead.facts[ahead.reserving];
		struct verdict v = {0};
		m->state = FACT_KNOWN;
		m->value = (struct value){.flag = false};
		ahead.changed = false;
		walk(&ahead, COST_FREE, postmaster);
		if (decide(&ahead, &v))
			return;
		find_useful(&ahead);
		if (any_useful(&ahead, LOGIC_WAITS_CHEAP | LOGIC_WAITS_RESERVE))
			return;
		walk(&ahead, COST_RESERVE, postmaster);
	}
}

/* Whether a walk at this level would find something that it may ask. */
static bool
leaves_unasked(const struct run *r, enum fact_cost level)
{
	logic why = level == COST_RESERVE ? LOGIC_UNASKED_RESERVE
					  : LOGIC_UNASKED_CHEAP | LOGIC_UNASKED_DEAR;
	for (size_t i = 0; i < r->end; i++)
		if (!logic_known(r->rules[i]) && (r->rules[i] & why) != 0)
			return true;
	return false;
}

/*
 * Asks at one level after the other, and at a dearer one only where the cheaper has left
 * nothing open that could decide. An answer that comes at once starts it over: each fact is
 * fetched at most once at each level, so this ends.
 */
static void
evaluate(struct run *r, bool postmaster, struct verdict *v)
{
	static const struct {
		enum fact_cost level;
		logic waits;
	} levels[] = {
		{COST_FREE, 0},
		{COST_CHEAP, LOGIC_WAITS_CHEAP | LOGIC_WAITS_RESERVE},
		{COST_RESERVE, LOGIC_WAITS_RESERVE},
		{COST_DEAR, 0},
	};
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (levels[i].level > COST_CHEAP && !leaves_unasked(r, levels[i].level))
			continue;
		r->changed = false;
		walk(r, levels[i].level, postmaster);
		if (r->changed) {
			walk(r, COST_FREE, postmaster);
			i = 0;
		}
		if (decide(r, v))
			return;
		find_useful(r);
		if (levels[i].level == COST_RESERVE && r->reserving != POLICY_NONE)
			ask_ahead(r, postmaster);
		if (any_useful(r, levels[i].waits))
			return;
	}
}

void
policy_eval(const struct policy *p, const struct policy_subject *subject,
	struct fact_source source, struct arena *a, struct verdict *verdict_out)
{
	struct run r = {.policy = p, .source = source, .arena = a};
	r.facts = arena_array(a, p->n_facts, sizeof(*r.facts));
	r.tests = arena_array(a, p->n_tests, sizeof(*r.tests));
	r.rules = arena_array(a, p->n_rules, sizeof(*r.rules));
	r.useful = arena_array(a, p->n_rules, sizeof(*r.useful));
	for (size_t i = 0; i < p->n_rules; i++)
		r.rules[i] = LOGIC_UNKNOWN;
	*verdict_out = (struct verdict){0};
	evaluate(&r, subject->postmaster, verdict_out);
	fill(&r, verdict_out);
}

bool
policy_same_open(const struct policy *p, const struct verdict *a, const struct verdict *b)
{
	if (a->decided != b->decided || (a->decided && a->action != b->action))
		return false;
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];
		if (!rule->try_only && rule->rule->action != ACTION_LOG &&
			a->states[i] != b->states[i])
			return false;
	}
	return true;
}
