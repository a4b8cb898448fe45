/*
 * Staged equals all-at-once (issue 2, proof 1; POLICY.md, "Three values, one order"). Random
 * rule sets over random facts that arrive in random order, within and across stages, late, in
 * parts or never; for each, at every step:
 *
 *   - the verdict is that of a naive evaluator on what is known, which shares no code with
 * policy/: it tries all values of what is unknown. So no refusal is later than rule 3 allows.
 *   - the last verdict has the action and effects of all facts known at once.
 *   - no question goes out that no rule needs; a reservation only where all else of its rule is
 *     settled; none that is dear or a reservation while answers to cheap open ones could
 * decide.
 *
 * POSTERN_RULE_SETS sets the count (50,000), POSTERN_SEED the first seed (1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/must.h"
#include "policy/policy.h"

enum {
	FACTS = 8,
	FLAGS = 5, /* then a list, then two parallel ones */
	LIST = 5,
	PAIR = 6,
	ITEMS_MOST = 3,
	RULES_MOST = 8,
	RCPTS_MOST = 3,
	TERMS_MOST = 16,
	VARS_MOST = 14,
	SETS = 50000,
};

static const char *const names[FACTS] = {"virus", "rate", "f2", "f3", "f4", "m", "l.x", "l.y"};

/* --- the world: what is so, and how much of it has come */

struct truth {
	bool failed, flag;
	char items[ITEMS_MOST];
	size_t n;
	bool asked, done;
	size_t came; /* items that are there already */
};

/* A condition as this test made it. */
enum term_kind { T_FLAG, T_LIST, T_EVERY, T_SCORE, T_NOT, T_AND, T_OR, T_ANY, T_PAIR };

struct term {
	enum term_kind kind;
	unsigned a, b; /* children */
	unsigned fact; /* FLAG, LIST, EVERY; PAIR: 0 or 1 */
	char item;
	int number; /* SCORE */
};

struct rule_made {
	enum action action;
	bool try_only, always;
	int score;
	struct term terms[TERMS_MOST];
	unsigned n_terms, root;
};

struct set {
	struct fact_decl decls[FACTS];
	enum fact_stage grows_until[FACTS]; /* free lists */
	struct rule_made rules[RULES_MOST];
	size_t n_rules, n_rcpts;
	bool postmaster;
	struct truth facts[FACTS][RCPTS_MOST];
	enum fact_stage stage;
	bool final; /* the naive evaluator looks at all facts at once */
	size_t rcpt;
	uint64_t seed;
	const char *wrong;
};

static uint64_t random_state;
static struct arena *case_arena; /* of one rule set */

static uint64_t
draw(void)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static unsigned
below(unsigned n)
{
	return (unsigned)(draw() % n);
}

static bool
chance(unsigned percent)
{
	return below(100) < percent;
}

static struct truth *
truth_of(struct set *s, unsigned fact)
{
	return &s->facts[fact][s->decls[fact].scope == SCOPE_RECIPIENT ? s->rcpt : 0];
}

/* --- making a rule set */

static unsigned
make_term(struct set *s, struct rule_made *r, unsigned depth)
{
	struct term t = {0};
	unsigned kind = below(100);
	if (depth < 3 && r->n_terms < TERMS_MOST - 6 && kind < 45) {
		t.kind = kind < 12 ? T_NOT : kind < 29 ? T_AND : T_OR;
		t.a = make_term(s, r, depth + 1);
		if (t.kind != T_NOT)
			t.b = make_term(s, r, depth + 1);
	} else if (depth < 2 && r->n_terms < TERMS_MOST - 6 && kind < 52) {
		struct term x = {.kind = T_PAIR, .fact = 0, .item = (char)('a' + below(3))};
		struct term y = {.kind = T_PAIR, .fact = 1, .item = (char)('a' + below(3))};
		struct term both = {.kind = chance(70) ? T_AND : T_OR};
		r->terms[both.a = r->n_terms++] = x;
		r->terms[both.b = r->n_terms++] = y;
		if (chance(30)) {
			r->terms[r->n_terms] = (struct term){.kind = T_NOT, .a = both.b};
			both.b = r->n_terms++;
		}
		r->terms[t.a = r->n_terms++] = both;
		t.kind = T_ANY;
	} else if (kind < 62) {
		t = (struct term){.kind = chance(70) ? T_LIST : T_EVERY,
			.fact = LIST + below(FACTS - LIST),
			.item = (char)('a' + below(3))};
	} else if (kind < 70) {
		t = (struct term){.kind = T_SCORE, .number = (int)below(8)};
	} else {
		t = (struct term){.kind = T_FLAG, .fact = below(FLAGS)};
	}
	r->terms[r->n_terms] = t;
	return r->n_terms++;
}

static void
make_rule(struct set *s, struct rule_made *r)
{
	static const enum action actions[] = {ACTION_ACCEPT, ACTION_REJECT, ACTION_REJECT,
		ACTION_REJECT, ACTION_DEFER, ACTION_QUARANTINE, ACTION_DISCARD, ACTION_HOLD,
		ACTION_ROUTE, ACTION_TAG, ACTION_TAG, ACTION_SIGN, ACTION_COPY, ACTION_SCORE,
		ACTION_SCORE, ACTION_LOG};
	memset(r, 0, sizeof(*r));
	r->action = actions[below(sizeof(actions) / sizeof(actions[0]))];
	r->score = (int)below(5);
	r->try_only = chance(8);
	r->always = !action_ends(r->action) && chance(10);
	r->root = make_term(s, r, 0);
}

static void
make_fact(struct set *s, unsigned i)
{
	static const enum fact_scope scopes[] = {SCOPE_SESSION, SCOPE_MAIL, SCOPE_RECIPIENT};
	static const enum fact_cost costs[] = {COST_FREE, COST_FREE, COST_CHEAP, COST_CHEAP,
		COST_RESERVE, COST_DEAR, COST_DEAR};
	struct fact_decl *d = &s->decls[i];
	*d = (struct fact_decl){.name = names[i],
		.type = i < FLAGS ? FACT_FLAG : FACT_LIST_TEXT,
		.scope = scopes[below(3)],
		.stage = (enum fact_stage)below(STAGE_COUNT),
		.cost = costs[below(sizeof(costs) / sizeof(costs[0]))],
		.skip = chance(30)};
	if (d->cost == COST_RESERVE && i >= FLAGS)
		d->cost = COST_DEAR;
	if (d->scope == SCOPE_RECIPIENT && d->stage < STAGE_RCPT)
		d->stage = STAGE_RCPT;
	s->grows_until[i] = d->stage;
	if (i >= FLAGS && d->cost == COST_FREE)
		s->grows_until[i] += below(STAGE_COUNT - d->stage);
	for (size_t r = 0; r < RCPTS_MOST; r++) {
		struct truth *t = &s->facts[i][r];
		*t = (struct truth){.flag = chance(50), .n = below(ITEMS_MOST + 1)};
		t->failed = d->cost != COST_FREE && chance(12);
		for (size_t k = 0; k < ITEMS_MOST; k++)
			t->items[k] = (char)('a' + below(3));
	}
}

/* Parallel lists are equally long for a recipient, unless one broke off. */
static void
make_parallel(struct set *s)
{
	s->decls[PAIR + 1].scope = s->decls[PAIR].scope;
	if (s->decls[PAIR].scope == SCOPE_RECIPIENT && s->decls[PAIR + 1].stage < STAGE_RCPT) {
		s->decls[PAIR + 1].stage = STAGE_RCPT;
		if (s->grows_until[PAIR + 1] < STAGE_RCPT)
			s->grows_until[PAIR + 1] = STAGE_RCPT;
	}
	for (size_t r = 0; r < RCPTS_MOST; r++) {
		struct truth *x = &s->facts[PAIR][r], *y = &s->facts[PAIR + 1][r];
		y->n = x->n;
		if (x->failed)
			x->n = below((unsigned)x->n + 1);
		if (y->failed)
			y->n = below((unsigned)y->n + 1);
	}
}

static void
make_set(struct set *s, uint64_t seed)
{
	random_state = seed;
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	for (unsigned i = 0; i < FACTS; i++)
		make_fact(s, i);
	make_parallel(s);
	s->n_rules = 2 + below(RULES_MOST - 2);
	for (size_t i = 0; i + 1 < s->n_rules; i++)
		make_rule(s, &s->rules[i]);
	struct rule_made *last = &s->rules[s->n_rules - 1];
	make_rule(s, last);
	last->always = true;
	last->try_only = false;
	last->action = chance(75) ? ACTION_ACCEPT : chance(50) ? ACTION_REJECT : ACTION_DEFER;
	s->n_rcpts = 1 + below(RCPTS_MOST);
	s->postmaster = chance(10);
}

/* --- as the parser would have written it */

static struct cond *
write_term(struct arena *a, const struct rule_made *r, unsigned at, bool in_any)
{
	const struct term *t = &r->terms[at];
	struct cond *c = ARENA_NEW(a, struct cond);
	c->at = (struct conf_at){"t.conf", 1, 1};
	c->kind = COND_TEST;
	c->value.text = arena_slice(a, (struct slice){&t->item, 1});
	c->value.kind = OPERAND_STRING;
	c->op = OP_IS;
	switch (t->kind) {
	case T_FLAG:
		c->fact = slice_of(names[t->fact]);
		c->op = OP_TRUE;
		c->value.kind = OPERAND_NONE;
		break;
	case T_EVERY:
		c->every = true;
		c->fact = slice_of(names[t->fact]);
		break;
	case T_LIST: c->fact = slice_of(names[t->fact]); break;
	case T_PAIR: c->fact = t->fact == 0 ? SLICE("x") : SLICE("y"); break;
	case T_SCORE:
		c->fact = SLICE("score");
		c->op = OP_GT;
		c->value = (struct operand){.kind = OPERAND_NUMBER, .number = t->number};
		break;
	case T_NOT:
		c->kind = COND_NOT;
		c->a = write_term(a, r, t->a, in_any);
		break;
	case T_AND:
	case T_OR:
		c->kind = t->kind == T_AND ? COND_AND : COND_OR;
		c->a = write_term(a, r, t->a, in_any);
		c->b = write_term(a, r, t->b, in_any);
		break;
	case T_ANY:
		c->kind = COND_ANY;
		c->fact = SLICE("l");
		c->a = write_term(a, r, t->a, true);
		break;
	}
	return c;
}

static struct policy *
write_policy(const struct set *s, struct arena *a, struct conf *conf)
{
	const struct fact_decl **decls = arena_array(a, FACTS + 1, sizeof(*decls));
	struct rule *rules = arena_array(a, s->n_rules, sizeof(*rules));
	for (size_t i = 0; i < FACTS; i++)
		decls[i] = &s->decls[i];
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct rule_made *r = &s->rules[i];
		rules[i] = (struct rule){.at = {"t.conf", (unsigned)i + 1, 1},
			.action = r->action,
			.try_only = r->try_only,
			.number = r->score};
		if (r->action == ACTION_TAG)
			rules[i].text = SLICE("X-A: 1");
		rules[i].cond = r->always ? ARENA_NEW(a, struct cond)
					  : write_term(a, r, r->root, false);
	}
	static struct conf_sign sign;
	*conf = (struct conf){.arena = a, .signs = &sign, .n_signs = 1};
	conf->tables = conf->patterns = conf->domain_map = map_new(a, true);
	conf->inbound = (struct rule_block){{"t.conf", 1, 1}, rules, s->n_rules};
	struct conf_report report;
	conf_report_init(&report);
	struct policy *p = policy_compile(conf, INBOUND, decls, a, &report);
	if (p == NULL)
		print_message("%.*s", SLICE_ARG(conf_report_text(&report, a)));
	conf_report_fini(&report);
	return p;
}

/* --- the naive evaluator: all values of what is not known are tried */

enum known { K_FALSE, K_TRUE, K_OPEN, K_FAILED };

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

struct decision {
	bool decided;
	bool by_failure;
	enum action action;
	uint32_t effects; /* bits of rules */
	size_t end;       /* rules from here on do not count any more */
	enum known states[RULES_MOST];
	uint32_t relevant[RULES_MOST], open[RULES_MOST];
};

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

static struct decision
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

/* --- what may be asked */

static void
complain(struct set *s, const char *what)
{
	if (s->wrong == NULL)
		s->wrong = what;
}

/* Any values of the cheap open facts that let the rules decide, from fact `i` on? */
static bool
cheap_could_decide(struct set *s, unsigned i)
{
	if (i == FACTS)
		return naive_decide(s).decided;
	struct truth *t = truth_of(s, i), old = *t;
	if (s->decls[i].cost != COST_CHEAP || s->stage < s->decls[i].stage || !t->asked ||
		t->done)
		return cheap_could_decide(s, i + 1);
	bool could = false;
	for (int way = 0; way < 2 && !could; way++) {
		*t = old;
		t->done = true;
		t->failed = false;
		t->flag = way == 1;
		for (size_t k = old.came; way == 1 && k < t->n; k++)
			t->items[k] = 'a';
		could = cheap_could_decide(s, i + 1);
	}
	*t = old;
	return could;
}

/* Facts that nothing but a rule's pair block keeps together are asked together. */
static uint32_t
with_pairs(const struct rule_made *r, uint32_t relevant)
{
	const uint32_t pair = 3u << PAIR;
	for (unsigned i = 0; i < r->n_terms; i++)
		if (r->terms[i].kind == T_ANY && (relevant & pair) != 0)
			return relevant | pair;
	return relevant;
}

static bool
is_needed(const struct set *s, const struct decision *d, unsigned fact)
{
	enum fact_cost cost = s->decls[fact].cost;
	for (size_t i = 0; i < d->end; i++) {
		const struct rule_made *r = &s->rules[i];
		if (r->try_only && cost > COST_CHEAP)
			continue;
		if (d->states[i] != K_TRUE && d->states[i] != K_FALSE &&
			(with_pairs(r, d->relevant[i]) & 1u << fact) != 0)
			return true;
	}
	return false;
}

/* A reservation: some rule hangs on nothing else that could still come. */
static bool
rest_is_settled(struct set *s, const struct decision *d, unsigned fact)
{
	for (size_t i = 0; i < d->end; i++) {
		uint32_t others = d->open[i];
		if (s->rules[i].try_only || (others & 1u << fact) == 0)
			continue;
		for (unsigned f = 0; f < FACTS; f++)
			if (s->decls[f].cost == COST_RESERVE && !truth_of(s, f)->asked &&
				s->stage >= s->decls[f].stage)
				others &= ~(1u << f);
		if (others == 0)
			return true;
	}
	return false;
}

static void
judge_question(struct set *s, unsigned fact)
{
	struct decision d = naive_decide(s);
	enum fact_cost cost = s->decls[fact].cost;
	if (d.decided)
		complain(s, "asked though it could decide");
	if (!is_needed(s, &d, fact))
		complain(s, "asked what no rule needs");
	if (cost == COST_RESERVE && !rest_is_settled(s, &d, fact))
		complain(s, "a reservation while the rest of its rule is not settled");
	if (cost > COST_CHEAP && cheap_could_decide(s, 0))
		complain(s, "dear while a cheap open one could decide");
}

static enum fact_state
give_items(
	const struct truth *t, size_t n, bool growing, enum fact_state state, struct value *v)
{
	struct value *mine = arena_array(case_arena, ITEMS_MOST, sizeof(*mine));
	for (size_t i = 0; i < n; i++)
		mine[i] = (struct value){.text = {&t->items[i], 1}};
	*v = (struct value){.flag = t->flag, .items = mine, .n_items = n, .growing = growing};
	return state;
}

static enum fact_state
get(void *arg, const struct fact_ref *ref, enum fact_cost most, struct value *v)
{
	struct set *s = arg;
	unsigned fact = (unsigned)(ref->decl - s->decls);
	struct truth *t = truth_of(s, fact);
	if (s->stage < ref->decl->stage)
		return FACT_LATER;
	if (ref->decl->cost == COST_FREE) {
		bool whole = s->stage >= s->grows_until[fact];
		return give_items(t, whole ? t->n : t->came, !whole, FACT_KNOWN, v);
	}
	if (!t->asked) {
		if (ref->decl->cost > most)
			return give_items(t, t->came, false, FACT_UNASKED, v);
		judge_question(s, fact);
		t->asked = true;
		t->done = chance(15);
	}
	if (t->done)
		return give_items(t, t->n, false, t->failed ? FACT_FAILED : FACT_KNOWN, v);
	return give_items(t, t->came, false, FACT_OPEN, v);
}

/* --- the driver */

/* Answers come in any order, lists in parts. False: nothing was asked. */
static bool
answer_some(struct set *s)
{
	unsigned start = below(FACTS), answered = 0;
	for (unsigned k = 0; k < FACTS; k++) {
		struct truth *t = truth_of(s, (start + k) % FACTS);
		if (!t->asked || t->done || (answered != 0 && chance(60)))
			continue;
		answered++;
		if (t->came < t->n && chance(50))
			t->came++;
		else
			t->done = true;
	}
	return answered != 0;
}

static void
grow_lists(struct set *s)
{
	for (unsigned f = FLAGS; f < FACTS; f++)
		for (size_t r = 0; r < RCPTS_MOST; r++)
			if (s->stage >= s->decls[f].stage &&
				s->facts[f][r].came < s->facts[f][r].n && chance(40))
				s->facts[f][r].came++;
}

static uint32_t
effects_of(const struct verdict *v)
{
	uint32_t bits = 0;
	for (size_t i = 0; i < v->n_effects; i++)
		bits |= 1u << (v->effects[i]->at.line - 1);
	return bits;
}

static void
judge_verdict(struct set *s, const struct decision *d, const struct verdict *v)
{
	if (v->decided != d->decided)
		complain(s, d->decided ? "later than rule 3 allows" : "too early");
	else if (v->decided && (v->action != d->action || effects_of(v) != d->effects))
		complain(s, "another action or other effects");
	else if (v->decided && (v->rule == NULL) != d->by_failure)
		complain(s, "deferred by failure or not");
}

struct counts {
	uint64_t verdicts, early, failures, evaluations;
};

/* One recipient at one stage, until it is decided or waits for nothing. */
static bool
run_stage(struct set *s, const struct policy *p, struct arena *a, struct verdict *v,
	struct counts *c)
{
	struct policy_subject who = {.postmaster = s->postmaster};
	for (;;) {
		policy_eval(p, &who, (struct fact_source){get, s}, a, v);
		c->evaluations++;
		struct decision now = naive_decide(s);
		judge_verdict(s, &now, v);
		if (v->decided || s->wrong != NULL)
			return true;
		if (!v->waits)
			return false;
		if (!answer_some(s)) {
			complain(s, "waits, and nothing was asked");
			return true;
		}
	}
}

static void
check_set(struct set *s, struct arena *a, struct counts *c)
{
	struct conf conf;
	struct policy *p = write_policy(s, a, &conf);
	bool done[RCPTS_MOST] = {false};
	if (p == NULL) {
		s->wrong = "does not compile";
		return;
	}
	for (unsigned stage = 0; stage < STAGE_COUNT; stage++) {
		s->stage = (enum fact_stage)stage;
		grow_lists(s);
		for (size_t r = 0; r < s->n_rcpts && s->wrong == NULL; r++) {
			struct verdict v;
			s->rcpt = r;
			if (done[r] || !run_stage(s, p, a, &v, c))
				continue;
			done[r] = true;
			s->final = true;
			struct decision all = naive_decide(s);
			s->final = false;
			judge_verdict(s, &all, &v);
			c->verdicts++;
			c->early += stage + 1 < STAGE_COUNT;
			c->failures += v.rule == NULL;
		}
	}
	for (size_t r = 0; r < s->n_rcpts; r++)
		if (!done[r])
			complain(s, "never decided");
}

/* --- what went wrong, to be read by people */

static void
print_term(const struct rule_made *r, unsigned at)
{
	static const char *const words[] = {
		"", "", "every ", "score>", "not ", " and ", " or ", "any", ""};
	const struct term *t = &r->terms[at];
	switch (t->kind) {
	case T_FLAG: print_message("%s", names[t->fact]); break;
	case T_LIST:
	case T_EVERY:
		print_message("%s%s is %c", words[t->kind], names[t->fact], t->item);
		break;
	case T_PAIR: print_message("%s is %c", names[PAIR + t->fact], t->item); break;
	case T_SCORE: print_message("score > %d", t->number); break;
	case T_NOT:
	case T_ANY:
		print_message("%s(", words[t->kind]);
		print_term(r, t->a);
		print_message(")");
		break;
	case T_AND:
	case T_OR:
		print_message("(");
		print_term(r, t->a);
		print_message("%s", words[t->kind]);
		print_term(r, t->b);
		print_message(")");
		break;
	}
}

static void
print_set(struct set *s)
{
	print_message("seed %llu: %s (recipient %zu, stage %s%s)\n",
		(unsigned long long)s->seed, s->wrong, s->rcpt, fact_stage_text(s->stage),
		s->postmaster ? ", postmaster" : "");
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct rule_made *r = &s->rules[i];
		print_message(
			"  %zu %s%s", i + 1, r->try_only ? "try " : "", action_text(r->action));
		if (r->action == ACTION_SCORE)
			print_message(" %d", r->score);
		if (!r->always) {
			print_message(" if ");
			print_term(r, r->root);
		}
		print_message("\n");
	}
	for (unsigned f = 0; f < FACTS; f++) {
		const struct fact_decl *d = &s->decls[f];
		const struct truth *t = truth_of(s, f);
		print_message(
			"  %-5s %-7s %-11s %s%s flag=%d items=%.*s came=%zu asked=%d done=%d"
			" grows until %s\n",
			d->name, fact_stage_text(d->stage), fact_cost_text(d->cost),
			d->skip ? "skip " : "", t->failed ? "FAILS" : "", t->flag, (int)t->n,
			t->items, t->came, t->asked, t->done,
			fact_stage_text(s->grows_until[f]));
	}
}

static uint64_t
setting(const char *name, uint64_t otherwise)
{
	uint64_t v = otherwise;
	const char *text = getenv(name);
	assert_true(text == NULL || slice_u64(slice_of(text), &v));
	return v;
}

static void
test_staged_equals_all_at_once(void **state)
{
	(void)state;
	static struct set s;
	struct counts c = {0};
	uint64_t sets = setting("POSTERN_RULE_SETS", SETS), seed = setting("POSTERN_SEED", 1);
	uint64_t start = clock_ms(), wrong = 0;
	struct arena *a = arena_new(64 << 20);
	case_arena = a;
	for (uint64_t i = 0; i < sets && wrong < 5; i++) {
		make_set(&s, seed + i);
		check_set(&s, a, &c);
		arena_reset(a);
		if (s.wrong == NULL)
			continue;
		wrong++;
		print_set(&s);
	}
	arena_free(&a);
	print_message(
		"%llu rule sets, %llu decisions (%llu before the last stage, %llu deferred "
		"by failed facts), %llu evaluations, %llu wrong, %llu ms\n",
		(unsigned long long)sets, (unsigned long long)c.verdicts,
		(unsigned long long)c.early, (unsigned long long)c.failures,
		(unsigned long long)c.evaluations, (unsigned long long)wrong,
		(unsigned long long)(clock_ms() - start));
	assert_int_equal(wrong, 0);
	assert_true(c.early > sets / 10 && c.failures > sets / 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_staged_equals_all_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
