/*
 * Conditions in three values. Each fact is fetched when a test first needs it, and asked for
 * again only with dearer questions allowed; a part that is decided asks for nothing more.
 */
#include "policy/eval_priv.h"

enum test_memo { TEST_NOT_RUN, TEST_TRUE, TEST_FALSE, TEST_GAVE_UP };

/* --- facts */

static bool
complete(const struct memo *m)
{
	return m->state == FACT_KNOWN && !m->value.growing;
}

static void
fetch(struct run *r, uint16_t fact, enum fact_cost most)
{
	struct memo *m = &r->facts[fact];
	bool may_ask = m->asked == 0 || m->state == FACT_UNASKED ||
		       (m->state == FACT_KNOWN && m->value.growing);
	if (m->asked > most || !may_ask)
		return;
	m->value = (struct value){0};
	m->state =
		(uint8_t)r->source.get(r->source.arg, &r->policy->facts[fact], most, &m->value);
	m->asked = (uint8_t)(most + 1);
	if (m->state == FACT_OPEN && most > r->asked)
		r->asked = most;
	if (most > COST_FREE && (complete(m) || m->state == FACT_FAILED))
		r->changed = true;
}

/*
 * Reservations only at their own turn, and one at a time: each hangs on those before it. After
 * an answer that came at once nothing more is asked until the rules were looked at anew.
 */
static void
ask(struct run *r, uint16_t fact, enum fact_cost level)
{
	bool reservation = r->policy->facts[fact].decl->cost == COST_RESERVE;
	if (r->changed)
		return;
	if (level >= COST_RESERVE && reservation != (level == COST_RESERVE))
		return;
	if (level == COST_RESERVE && r->reserved)
		return;
	fetch(r, fact, level);
	if (level == COST_RESERVE && r->facts[fact].state == FACT_OPEN) {
		r->reserved = true;
		r->reserving = fact;
	}
}

static logic
not_asked(const struct memo *m, enum fact_cost cost)
{
	if (cost == COST_RESERVE)
		return LOGIC_UNKNOWN_NOW | LOGIC_UNASKED_RESERVE;
	bool dear = cost == COST_DEAR || m->asked > COST_CHEAP;
	return LOGIC_UNKNOWN_NOW | (dear ? LOGIC_UNASKED_DEAR : LOGIC_UNASKED_CHEAP);
}

/* What a test is while its fact is not (wholly) known. A failure that is skipped is false. */
static logic
unknown(const struct run *r, uint16_t fact)
{
	const struct memo *m = &r->facts[fact];
	enum fact_cost cost = r->policy->facts[fact].decl->cost;
	switch ((enum fact_state)m->state) {
	case FACT_FAILED:
		if (r->policy->skip[fact])
			return LOGIC_FALSE;
		return LOGIC_UNKNOWN | LOGIC_NOW_FAILED | LOGIC_FAILED;
	case FACT_OPEN:
		return LOGIC_UNKNOWN_NOW | (cost == COST_DEAR             ? LOGIC_WAITS_DEAR
						   : cost == COST_RESERVE ? LOGIC_WAITS_RESERVE
									  : LOGIC_WAITS_CHEAP);
	case FACT_UNASKED: return not_asked(m, cost);
	case FACT_KNOWN: /* a list that grows: a dearer question may complete it, else a later
			    stage */
		if (m->asked <= COST_DEAR)
			return not_asked(m, cost);
		break;
	case FACT_LATER: break;
	}
	return LOGIC_UNKNOWN | LOGIC_LATER;
}

static logic
gave_up(const struct run *r, uint16_t fact)
{
	return r->policy->skip[fact] ? LOGIC_FALSE
				     : LOGIC_UNKNOWN | LOGIC_NOW_FAILED | LOGIC_FAILED;
}

/* --- tests */

static enum test_memo
try_value(struct run *r, const struct test *t, const struct value *v)
{
	switch (match_value(r->policy, &t->match, t->type, v, r->arena)) {
	case PATTERN_YES: return TEST_TRUE;
	case PATTERN_GAVE_UP: return TEST_GAVE_UP;
	case PATTERN_NO: break;
	}
	return TEST_FALSE;
}

/* Over the elements that are there: TEST_NOT_RUN where they do not decide yet. */
static enum test_memo
try_list(struct run *r, const struct test *t, const struct memo *m)
{
	enum test_memo decides = t->every ? TEST_FALSE : TEST_TRUE, result = TEST_NOT_RUN;
	for (size_t i = 0; i < m->value.n_items; i++) {
		enum test_memo one = try_value(r, t, &m->value.items[i]);
		if (one == decides)
			return one;
		if (one == TEST_GAVE_UP)
			result = TEST_GAVE_UP;
	}
	if (result == TEST_NOT_RUN && complete(m))
		return t->every && m->value.n_items != 0 ? TEST_TRUE : TEST_FALSE;
	return complete(m) ? result : TEST_NOT_RUN;
}

static logic
outcome(bool holds)
{
	return holds ? LOGIC_TRUE : LOGIC_FALSE;
}

static logic
score_value(const struct run *r, const struct test *t, bool negated)
{
	struct value v = {.number = r->score};
	if (r->score_open != 0)
		return r->score_open;
	return outcome((match_value(r->policy, &t->match, t->type, &v, r->arena) ==
			       PATTERN_YES) != negated);
}

static logic
test_value(struct run *r, const struct node *n)
{
	const struct test *t = &r->policy->tests[n->test];
	if (t->fact == POLICY_NONE)
		return score_value(r, t, n->negated);
	fetch(r, t->fact, COST_FREE);
	const struct memo *m = &r->facts[t->fact];
	enum test_memo result = (enum test_memo)r->tests[n->test];
	if (result == TEST_NOT_RUN) {
		if (t->list)
			result = try_list(r, t, m);
		else if (m->state == FACT_KNOWN)
			result = try_value(r, t, &m->value);
		r->tests[n->test] = (uint8_t)result;
	}
	switch (result) {
	case TEST_TRUE:
	case TEST_FALSE: return outcome((result == TEST_TRUE) != n->negated);
	case TEST_GAVE_UP: return gave_up(r, t->fact);
	case TEST_NOT_RUN: break;
	}
	return unknown(r, t->fact);
}

/* --- any LIST { ... }: the body once for each element of the parallel lists */

struct elements {
	size_t n;
	bool complete; /* one list is whole: no more elements will come */
	logic rest;    /* what those are that may still come */
};

static void
each_fetch(struct run *r, uint16_t node)
{
	const struct node *n = &r->policy->nodes[node];
	if (n->kind == NODE_TEST)
		fetch(r, r->policy->tests[n->test].fact, COST_FREE);
	for (uint16_t c = n->first; c != POLICY_NONE; c = r->policy->nodes[c].next)
		each_fetch(r, c);
}

static void
each_count(const struct run *r, uint16_t node, struct elements *e)
{
	const struct node *n = &r->policy->nodes[node];
	for (uint16_t c = n->first; c != POLICY_NONE; c = r->policy->nodes[c].next)
		each_count(r, c, e);
	if (n->kind != NODE_TEST)
		return;
	uint16_t fact = r->policy->tests[n->test].fact;
	const struct memo *m = &r->facts[fact];
	if (m->value.n_items > e->n)
		e->n = m->value.n_items;
	if (complete(m)) {
		e->complete = true;
		return;
	}
	logic one = unknown(r, fact);
	if (logic_known(e->rest))
		e->rest = one;
	else if (!logic_known(one))
		e->rest |= one; /* whichever ends first says how many there are */
}

static logic
each_test(struct run *r, const struct node *n, size_t at)
{
	const struct test *t = &r->policy->tests[n->test];
	const struct memo *m = &r->facts[t->fact];
	static const struct value absent;
	if (at >= m->value.n_items && !complete(m))
		return unknown(r, t->fact);
	const struct value *v = at < m->value.n_items ? &m->value.items[at] : &absent;
	enum test_memo result = try_value(r, t, v);
	if (result == TEST_GAVE_UP)
		return gave_up(r, t->fact);
	return outcome((result == TEST_TRUE) != n->negated);
}

static logic
each_value(struct run *r, uint16_t node, size_t at)
{
	const struct node *n = &r->policy->nodes[node];
	if (n->kind == NODE_TEST)
		return each_test(r, n, at);
	logic v = n->kind == NODE_OR ? LOGIC_FALSE : LOGIC_TRUE;
	for (uint16_t c = n->first; c != POLICY_NONE; c = r->policy->nodes[c].next) {
		logic one = each_value(r, c, at);
		v = n->kind == NODE_OR ? logic_or(v, one) : logic_and(v, one);
	}
	return v;
}

static logic
any_value(struct run *r, const struct node *n)
{
	struct elements e = {.rest = LOGIC_FALSE};
	bool any = n->kind == NODE_ANY;
	each_fetch(r, n->first);
	each_count(r, n->first, &e);
	logic v = outcome(!any);
	for (size_t i = 0; i < e.n && v != outcome(any); i++) {
		logic one = each_value(r, n->first, i);
		v = any ? logic_or(v, one) : logic_and(v, one);
	}
	if (!e.complete)
		v = any ? logic_or(v, e.rest) : logic_and(v, e.rest);
	return v;
}

/* Asks for the lists of the body, one after the other, until it is decided. */
static logic
any_settle(struct run *r, const struct node *any, uint16_t node, enum fact_cost level)
{
	const struct node *n = &r->policy->nodes[node];
	if (n->kind == NODE_TEST)
		ask(r, r->policy->tests[n->test].fact, level);
	logic v = any_value(r, any);
	for (uint16_t c = n->first; c != POLICY_NONE && !logic_known(v);
		c = r->policy->nodes[c].next)
		v = any_settle(r, any, c, level);
	return v;
}

/* --- trees */

static logic
join(const struct node *n, logic a, logic b)
{
	return n->kind == NODE_AND ? logic_and(a, b) : logic_or(a, b);
}

static bool
decides(const struct node *n, logic v)
{
	return n->kind == NODE_AND ? logic_false(v) : logic_true(v);
}

logic
cond_value(struct run *r, uint16_t node)
{
	const struct node *n = &r->policy->nodes[node];
	switch ((enum node_kind)n->kind) {
	case NODE_TRUE: return LOGIC_TRUE;
	case NODE_TEST: return test_value(r, n);
	case NODE_ANY:
	case NODE_ALL: return any_value(r, n);
	case NODE_AND:
	case NODE_OR: break;
	}
	logic v = n->kind == NODE_AND ? LOGIC_TRUE : LOGIC_FALSE;
	for (uint16_t c = n->first; c != POLICY_NONE && !decides(n, v);
		c = r->policy->nodes[c].next)
		v = join(n, v, cond_value(r, c));
	return v;
}

logic
cond_settle(struct run *r, uint16_t node, enum fact_cost level)
{
	const struct node *n = &r->policy->nodes[node];
	logic v = cond_value(r, node);
	if (logic_known(v))
		return v;
	if (n->kind == NODE_ANY || n->kind == NODE_ALL)
		return any_settle(r, n, n->first, level);
	if (n->kind == NODE_TEST) {
		if (r->policy->tests[n->test].fact != POLICY_NONE)
			ask(r, r->policy->tests[n->test].fact, level);
		return test_value(r, n);
	}
	v = n->kind == NODE_AND ? LOGIC_TRUE : LOGIC_FALSE;
	for (uint16_t c = n->first; c != POLICY_NONE && !decides(n, v);
		c = r->policy->nodes[c].next)
		v = join(n, v, cond_settle(r, c, level));
	return v;
}

static void
mark_failed(const struct run *r, const struct node *n, bool *failed)
{
	uint16_t fact = r->policy->tests[n->test].fact;
	if (fact == POLICY_NONE || r->policy->skip[fact])
		return;
	if (r->facts[fact].state == FACT_FAILED || r->tests[n->test] == TEST_GAVE_UP)
		failed[fact] = true;
}

static void
mark_all(const struct run *r, uint16_t node, bool *failed)
{
	const struct node *n = &r->policy->nodes[node];
	if (n->kind == NODE_TEST)
		mark_failed(r, n, failed);
	for (uint16_t c = n->first; c != POLICY_NONE; c = r->policy->nodes[c].next)
		mark_all(r, c, failed);
}

void
cond_failed(struct run *r, uint16_t node, bool *failed)
{
	const struct node *n = &r->policy->nodes[node];
	if (logic_known(cond_value(r, node)))
		return;
	if (n->kind == NODE_TEST)
		mark_failed(r, n, failed);
	else if (n->kind == NODE_ANY || n->kind == NODE_ALL)
		mark_all(r, n->first, failed);
	else
		for (uint16_t c = n->first; c != POLICY_NONE; c = r->policy->nodes[c].next)
			cond_failed(r, c, failed);
}
