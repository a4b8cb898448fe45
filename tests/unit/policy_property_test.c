/*
 * Staged equals all-at-once (issue 2, proof 1; POLICY.md, "Three values, one order"): random
 * rule sets over facts that arrive in random order, across stages, late, in parts or never. At
 * every step the verdict is that of a naive evaluator, which shares no code with policy/ and
 * tries all values of what is unknown, so no refusal is later than rule 3 allows; the last one
 * has the action and effects of all facts known at once. No question goes out that no rule
 * needs: a reservation only where all else of its rule is settled and those before it would be
 * granted, none that is dear while answers to cheap open ones could decide.
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
#include "policy/policy_priv.h"
#include "policy_naive.h"
#include "random.h"
#include "setting.h"

enum { SETS = 50000 };

static const char *const names[FACTS] = {"virus", "rate", "f2", "f3", "f4", "m", "l.x", "l.y"};

static uint64_t random_state;
static struct arena *case_arena; /* of one rule set */

static unsigned
below(unsigned n)
{
	return (unsigned)random_below(&random_state, n);
}

static bool
chance(unsigned percent)
{
	return below(100) < percent;
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
		ACTION_ROUTE, ACTION_TAG, ACTION_TAG, ACTION_SIGN, ACTION_COPY, ACTION_REDIRECT,
		ACTION_APPEND, ACTION_NOTIFY, ACTION_SCORE, ACTION_SCORE, ACTION_LOG};
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
		if (r->action == ACTION_COPY || r->action == ACTION_REDIRECT ||
			r->action == ACTION_NOTIFY)
			rules[i].text = SLICE("a@d.example");
		rules[i].cond = r->always ? ARENA_NEW(a, struct cond)
					  : write_term(a, r, r->root, false);
	}
	static struct conf_sign sign;
	*conf = (struct conf){.arena = a, .signs = &sign, .n_signs = 1};
	conf->tables = conf->patterns = map_new(a, true);
	conf->domain_map = map_new(a, true);
	static struct conf_domain domain;
	map_put(conf->domain_map, SLICE("d.example"), &domain);
	conf->outbound = (struct rule_block){{"t.conf", 1, 1}, rules, s->n_rules};
	struct conf_report report;
	conf_report_init(&report);
	struct policy *p = policy_compile(conf, OUTBOUND, decls, a, &report);
	if (p == NULL)
		print_message("%.*s", SLICE_ARG(conf_report_text(&report, a)));
	conf_report_fini(&report);
	return p;
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
judge_as_it_is(struct set *s, unsigned fact)
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

/*
 * A reservation may be asked for behind others that are open, as if they were granted: who
 * answers stops at the first that is not.
 */
static void
judge_question(struct set *s, unsigned fact)
{
	struct truth was[FACTS];
	bool reserves = s->decls[fact].cost == COST_RESERVE;
	for (unsigned f = 0; f < FACTS; f++) {
		struct truth *t = truth_of(s, f);
		was[f] = *t;
		if (!reserves || s->decls[f].cost != COST_RESERVE || !t->asked)
			continue;
		t->flag = t->done ? t->flag : false;
		t->failed = t->done && t->failed;
		t->done = true;
	}
	judge_as_it_is(s, fact);
	for (unsigned f = 0; f < FACTS; f++)
		*truth_of(s, f) = was[f];
}

static bool
reservation_is_open(struct set *s)
{
	for (unsigned f = 0; f < FACTS; f++) {
		const struct truth *t = truth_of(s, f);
		if (s->decls[f].cost == COST_RESERVE && t->asked && !t->done)
			return true;
	}
	return false;
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
		bool behind = ref->decl->cost == COST_RESERVE && reservation_is_open(s);
		t->asked = true;
		t->done = !behind && chance(15); /* never before the one that it is behind */
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
	uint64_t verdicts, early, failures, evaluations, unreachable;
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

/* What `postern check` calls unreachable has decided, or has taken effect. */
static bool
is_reached(const struct policy *p, const struct never *never, const struct verdict *v,
	bool postmaster)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = p->rules[i].rule;
		if (never[i].why == NEVER_NO ||
			(never[i].why == NEVER_BUT_POSTMASTER && postmaster))
			continue;
		bool reached = v->rule == r && (r->cond->kind != COND_ALWAYS || !postmaster);
		for (size_t k = 0; k < v->n_effects; k++)
			reached |= v->effects[k] == r;
		for (size_t k = 0; k < v->n_tries; k++)
			reached |= v->tries[k] == r;
		if (reached)
			return true;
	}
	return false;
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
	const struct never *never = policy_never(p, a);
	for (size_t i = 0; i < p->n_rules; i++)
		c->unreachable += never[i].why != NEVER_NO;
	for (unsigned stage = 0; stage < STAGE_COUNT; stage++) {
		s->stage = (enum fact_stage)stage;
		grow_lists(s);
		for (size_t r = 0; r < s->n_rcpts && s->wrong == NULL; r++) {
			struct verdict v;
			s->rcpt = r;
			if (done[r] || !run_stage(s, p, a, &v, c))
				continue;
			done[r] = true;
			if (is_reached(p, never, &v, s->postmaster))
				complain(s, "a rule that is called unreachable");
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
		"by failed facts), %llu evaluations, %llu rules unreachable, %llu wrong, %llu "
		"ms\n",
		(unsigned long long)sets, (unsigned long long)c.verdicts,
		(unsigned long long)c.early, (unsigned long long)c.failures,
		(unsigned long long)c.evaluations, (unsigned long long)c.unreachable,
		(unsigned long long)wrong, (unsigned long long)(clock_ms() - start));
	assert_int_equal(wrong, 0);
	assert_true(c.early > sets / 10 && c.failures > sets / 100);
	assert_true(c.unreachable > sets / 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_staged_equals_all_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
