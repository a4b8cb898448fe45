/*
 * Rules that can never decide (`postern check`): what contradicts itself, and what an earlier
 * rule has always decided already. A condition is opened up into the ways in which it can hold,
 * each a list of tests; a way is closed if its tests exclude each other, or if together they
 * imply an ending rule above. Whatever is not understood counts as possible, so nothing that
 * can decide is ever called unreachable (policy_property_test.c holds it against evaluation).
 */
#include <string.h>

#include "policy/policy_priv.h"

enum { WAYS_MOST = 64, LITERALS_MOST = 48, WORK_MOST = 200000000, SCRATCH_BYTES = 256 << 20 };

struct literal {
	const struct test *test;
	bool negated;
};

/* Tests that hold together. */
struct way {
	struct literal *all;
	uint16_t n;
	bool whole;     /* the way is nothing but these */
	uint64_t facts; /* a bit for each, modulo 64 */
};

struct ways {
	struct way *all; /* room for WAYS_MOST while they are made */
	size_t n;
	bool cut; /* there are more */
};

struct never_run {
	const struct policy *p;
	struct arena *a;
	struct arena *scratch; /* of one rule */
	uint64_t work;
};

/* --- a condition as its ways */

static void add_ways(struct never_run *r, uint16_t node, struct ways *to);

static struct ways
no_ways(struct never_run *r)
{
	return (struct ways){.all = arena_array(r->scratch, WAYS_MOST, sizeof(struct way))};
}

static uint64_t
fact_bit(const struct literal *l)
{
	return (uint64_t)1 << l->test->fact % 64;
}

/* a and b hold. */
static struct way
joined(struct never_run *r, const struct way *a, const struct way *b)
{
	struct way w = {.whole = a->whole && b->whole, .facts = a->facts | b->facts};
	size_t n = (size_t)a->n + b->n;
	if (n > LITERALS_MOST) {
		n = LITERALS_MOST;
		w.whole = false;
	}
	w.all = arena_array(r->scratch, n, sizeof(*w.all));
	for (; w.n < n; w.n++)
		w.all[w.n] = w.n < a->n ? a->all[w.n] : b->all[w.n - a->n];
	return w;
}

static void
add_way(struct ways *to, struct way w)
{
	if (to->n == WAYS_MOST)
		to->cut = true;
	else
		to->all[to->n++] = w;
}

/* Each way of one child with each of the next. Where that is too much, one is left out: what is
 * not looked at can only make more possible. */
static void
multiply(struct never_run *r, uint16_t child, struct ways *to)
{
	struct ways sum = no_ways(r);
	add_way(&sum, (struct way){.whole = true});
	for (; child != POLICY_NONE; child = r->p->nodes[child].next) {
		struct ways one = no_ways(r), next = no_ways(r);
		add_ways(r, child, &one);
		if (one.cut || sum.n * one.n > WAYS_MOST) {
			for (size_t i = 0; i < sum.n; i++)
				sum.all[i].whole = false;
			continue;
		}
		for (size_t i = 0; i < sum.n; i++)
			for (size_t j = 0; j < one.n; j++)
				add_way(&next, joined(r, &sum.all[i], &one.all[j]));
		sum = next;
	}
	for (size_t i = 0; i < sum.n; i++)
		add_way(to, sum.all[i]);
}

static void
add_ways(struct never_run *r, uint16_t node, struct ways *to)
{
	const struct node *n = &r->p->nodes[node];
	struct way w = {.whole = true};
	switch ((enum node_kind)n->kind) {
	case NODE_TRUE: add_way(to, w); return;
	case NODE_TEST:
		w.all = ARENA_NEW(r->scratch, struct literal);
		w.all[w.n++] = (struct literal){&r->p->tests[n->test], n->negated};
		w.facts = fact_bit(w.all);
		add_way(to, w);
		return;
	case NODE_AND: multiply(r, n->first, to); return;
	case NODE_OR:
		for (uint16_t c = n->first; c != POLICY_NONE; c = r->p->nodes[c].next)
			add_ways(r, c, to);
		return;
	case NODE_ANY:
	case NODE_ALL: /* of elements: nothing is said of the mail */
		w.whole = false;
		add_way(to, w);
		return;
	}
}

/* --- tests of one fact */

static bool
has_text(const struct match *m, struct slice text)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->kind == MATCH_WORD ? slice_eq(m->texts[i], text)
					  : slice_eq_nocase(m->texts[i], text))
			return true;
	return false;
}

static bool
all_texts(const struct match *a, const struct match *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (!has_text(b, a->texts[i]))
			return false;
	return true;
}

static bool
same_number(double a, double b)
{
	return !(a < b) && !(a > b);
}

static bool
same_match(const struct match *a, const struct match *b)
{
	if (a->kind != b->kind || a->n != b->n)
		return false;
	switch (a->kind) {
	case MATCH_FLAG:
	case MATCH_OWN_DOMAIN: return true;
	case MATCH_NUMBER: return a->op == b->op && same_number(a->number, b->number);
	case MATCH_TABLE: return a->table == b->table;
	case MATCH_TEXT:
	case MATCH_WORD:
	case MATCH_DOMAIN:
	case MATCH_ADDRESS:
	case MATCH_PART: return all_texts(a, b) && all_texts(b, a);
	case MATCH_NETWORK:
		for (size_t i = 0; i < a->n; i++)
			if (!ip_eq(&a->nets[i].ip, &b->nets[i].ip) ||
				a->nets[i].prefix != b->nets[i].prefix)
				return false;
		return true;
	case MATCH_GLOB: return glob_same(a->glob, b->glob);
	case MATCH_PATTERN: break;
	}
	return false;
}

static bool
same_test(const struct test *a, const struct test *b)
{
	return a->fact == b->fact && a->every == b->every && a->list == b->list &&
	       same_match(&a->match, &b->match);
}

/* --- numbers: `size > 10M and size < 5M` */

struct span {
	double low, high;
	bool low_open, high_open; /* the bound itself is not in it */
};

static enum cond_op
turned(enum cond_op op)
{
	switch (op) {
	case OP_LT: return OP_GE;
	case OP_LE: return OP_GT;
	case OP_GT: return OP_LE;
	case OP_GE: return OP_LT;
	case OP_TRUE:
	case OP_IS:
	case OP_IN:
	case OP_MATCHES:
	case OP_CONTAINS: break;
	}
	return OP_TRUE; /* says nothing of bounds */
}

static void
narrow(struct span *s, enum cond_op op, double number)
{
	if ((op == OP_GT || op == OP_GE || op == OP_IS) && number >= s->low) {
		s->low_open = op == OP_GT || (s->low_open && same_number(number, s->low));
		s->low = number;
	}
	if ((op == OP_LT || op == OP_LE || op == OP_IS) && number <= s->high) {
		s->high_open = op == OP_LT || (s->high_open && same_number(number, s->high));
		s->high = number;
	}
}

static bool
no_number(const struct literal *l, size_t n)
{
	struct span s = {-1e300, 1e300, false, false};
	bool impossible = false;
	if (l->test->fact != POLICY_NONE) /* all but the score begin at 0 */
		s.low = 0;
	for (size_t i = 0; i < n; i++) {
		const struct match *m = &l[i].test->match;
		enum cond_op op = l[i].negated ? turned(m->op) : m->op;
		impossible |= op == OP_IS && (m->number < s.low || m->number > s.high);
		narrow(&s, op, m->number);
	}
	return impossible || s.low > s.high ||
	       (same_number(s.low, s.high) && (s.low_open || s.high_open));
}

/* --- networks: two of them are one inside the other, or apart */

static bool
net_inside(const struct ip_net *a, const struct ip_net *b)
{
	return a->prefix >= b->prefix && ip_in_net(&a->ip, b);
}

static bool
no_address(const struct literal *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct match *a = &l[i].test->match;
		if (l[i].negated || a->kind != MATCH_NETWORK)
			continue;
		for (size_t j = 0; j < n; j++) {
			const struct match *b = &l[j].test->match;
			bool room = false;
			if (b->kind != MATCH_NETWORK || i == j)
				continue;
			for (size_t x = 0; x < a->n && !room; x++) {
				bool inside = false, apart = true;
				for (size_t y = 0; y < b->n; y++) {
					inside |= net_inside(&a->nets[x], &b->nets[y]);
					apart &= !net_inside(&a->nets[x], &b->nets[y]) &&
						 !net_inside(&b->nets[y], &a->nets[x]);
				}
				room = l[j].negated ? !inside : !apart;
			}
			if (!room)
				return true;
		}
	}
	return false;
}

/* --- texts: one of a few, each held against the other tests */

/* Whether a value that equals the text, in whatever case, may pass the test. */
static bool
may_pass(struct never_run *r, const struct literal *l, enum fact_type type, struct slice text)
{
	const struct match *m = &l->test->match;
	struct value v = {.text = text};
	/* tables may be read anew, expressions look at case */
	if (m->kind == MATCH_TABLE || m->kind == MATCH_PATTERN)
		return true;
	return (match_value(r->p, m, type, &v, r->scratch) == PATTERN_YES) != l->negated;
}

static bool
some_passes(struct never_run *r, const struct literal *l, size_t n, struct slice text)
{
	for (size_t i = 0; i < n; i++)
		if (!may_pass(r, &l[i], l->test->type, text))
			return false;
	return true;
}

/* A text whose equals all pass the same tests. */
static bool
is_plain(const struct match *m, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return false;
	return m->kind == MATCH_WORD || m->kind == MATCH_TEXT ||
	       (m->kind == MATCH_DOMAIN && text.n != 0 && !slice_starts(text, SLICE("*.")) &&
		       slice_find_slice(text, SLICE("xn--")) == text.n);
}

static bool
no_text(struct never_run *r, const struct literal *l, size_t n)
{
	const struct fact_decl *d = r->p->facts[l->test->fact].decl;
	if (l->test->type == FACT_WORD) {
		for (size_t i = 0; d->words[i] != NULL; i++)
			if (some_passes(r, l, n, slice_of(d->words[i])))
				return false;
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		const struct match *m = &l[i].test->match;
		bool closed = !l[i].negated && m->n != 0;
		for (size_t k = 0; k < m->n && closed; k++)
			closed = is_plain(m, m->texts[k]) && !some_passes(r, l, n, m->texts[k]);
		if (closed)
			return true;
	}
	return false;
}

static bool
is_empty(const struct literal *l)
{
	const struct match *m = &l->test->match;
	return m->kind == MATCH_TABLE && !l->negated && m->table->n_items == 0 &&
	       m->table->path.n == 0 && m->table->directory == NULL;
}

/* Tests of one fact, in one array, exclude each other. */
static bool
closed(struct never_run *r, const struct literal *l, size_t n)
{
	r->work += n * n;
	for (size_t i = 0; i < n; i++)
		if (is_empty(&l[i]))
			return true;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (l[i].negated != l[j].negated && same_test(l[i].test, l[j].test))
				return true;
	if (l->test->list || l->test->every)
		return false;
	switch (l->test->type) {
	case FACT_NUMBER: return no_number(l, n);
	case FACT_IP: return no_address(l, n);
	case FACT_TEXT:
	case FACT_DOMAIN:
	case FACT_WORD: return no_text(r, l, n);
	case FACT_FLAG:
	case FACT_ADDRESS:
	case FACT_LIST_TEXT:
	case FACT_LIST_DOMAIN:
	case FACT_LIST_ADDRESS:
	case FACT_LIST_NUMBER:
	case FACT_LIST_FLAG: break;
	}
	return false;
}

/* Those of the way on the fact. */
static size_t
of_fact(const struct way *w, uint16_t fact, struct literal *out)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->all[i].test->fact == fact)
			out[n++] = w->all[i];
	return n;
}

/* The fact on which the way's tests exclude each other: its first test, or NULL. */
static const struct test *
contradiction(struct never_run *r, const struct way *w)
{
	struct literal same[LITERALS_MOST];
	for (size_t i = 0; i < w->n; i++) {
		size_t n = of_fact(w, w->all[i].test->fact, same);
		if (same[0].test == w->all[i].test && closed(r, same, n))
			return w->all[i].test;
	}
	return NULL;
}

/* Whenever the way holds, this holds: the score alone is another one for each rule. */
static bool
implies_one(struct never_run *r, const struct way *w, const struct literal *f)
{
	struct literal same[LITERALS_MOST + 1];
	if (f->test->fact == POLICY_NONE || (w->facts & fact_bit(f)) == 0)
		return false;
	size_t n = of_fact(w, f->test->fact, same);
	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (same[i].negated == f->negated && same_test(same[i].test, f->test))
			return true;
	same[n++] = (struct literal){f->test, !f->negated};
	return closed(r, same, n);
}

static bool
implies(struct never_run *r, const struct way *w, const struct ways *first)
{
	for (size_t i = 0; i < first->n; i++) {
		const struct way *f = &first->all[i];
		if (!f->whole || (f->facts & ~w->facts) != 0)
			continue;
		size_t n = 0;
		while (n < f->n && implies_one(r, w, &f->all[n]))
			n++;
		if (n == f->n)
			return true;
	}
	return false;
}

/* --- rules */

/* postmaster@ passes a rule that this one's mail would end at. */
static bool
is_passed_alone(const struct policy_rule *first, const struct policy_rule *later)
{
	return first->passes_postmaster && !later->passes_postmaster;
}

static struct never
way_never(struct never_run *r, const struct way *w, size_t rule, const struct ways *ways)
{
	const struct policy_rule *rules = r->p->rules;
	struct never found = {.test = contradiction(r, w)};
	if (found.test != NULL) {
		found.why = NEVER_CONTRADICTS;
		return found;
	}
	for (size_t i = 0; i < rule && r->work < WORK_MOST; i++) {
		r->work++;
		if (!rules[i].ends || !implies(r, w, &ways[i]))
			continue;
		bool alone = is_passed_alone(&rules[i], &rules[rule]);
		if (found.why == NEVER_NO || !alone)
			found = (struct never){
				.why = alone ? NEVER_BUT_POSTMASTER : NEVER_DECIDED,
				.by = rules[i].rule};
		if (!alone)
			break;
	}
	return found;
}

static struct never
rule_never(struct never_run *r, size_t rule, const struct ways *ways)
{
	struct never all = {.why = NEVER_NO};
	if (ways[rule].cut)
		return all;
	for (size_t i = 0; i < ways[rule].n; i++) {
		struct never one = way_never(r, &ways[rule].all[i], rule, ways);
		if (one.why == NEVER_NO)
			return one;
		if (one.why > all.why)
			all = one;
	}
	return all;
}

static bool
takes_mail(enum action a)
{
	return a == ACTION_ACCEPT || a == ACTION_QUARANTINE || a == ACTION_HOLD;
}

static bool
all_imply(struct never_run *r, const struct ways *of, const struct ways *first)
{
	for (size_t i = 0; i < of->n; i++)
		if (!implies(r, &of->all[i], first))
			return false;
	return !of->cut;
}

/*
 * Effects are of mails that are taken. Where the rule holds, what refuses or drops the mail may
 * follow before anything that could take it.
 */
static const struct rule *
refused_below(struct never_run *r, size_t rule, const struct ways *ways)
{
	const struct policy_rule *rules = r->p->rules;
	if (rules[rule].try_only || rules[rule].ends ||
		rules[rule].rule->action == ACTION_SCORE)
		return NULL;
	for (size_t i = rule + 1; i < r->p->n_rules && r->work < WORK_MOST; i++) {
		r->work++;
		if (rules[i].ends && takes_mail(rules[i].rule->action))
			return NULL;
		if (rules[i].ends && all_imply(r, &ways[rule], &ways[i]))
			return rules[i].rule;
	}
	return NULL;
}

/* The ways of a rule, out of the scratch. */
static struct ways
ways_of(struct never_run *r, size_t rule)
{
	struct ways made = no_ways(r);
	add_ways(r, r->p->rules[rule].root, &made);
	struct ways kept = {arena_array(r->a, made.n, sizeof(*kept.all)), made.n, made.cut};
	for (size_t i = 0; i < made.n; i++) {
		struct way *w = &kept.all[i];
		*w = made.all[i];
		w->all = arena_array(r->a, w->n, sizeof(*w->all));
		if (w->n != 0)
			memcpy(w->all, made.all[i].all, w->n * sizeof(*w->all));
	}
	return kept;
}

const struct never *
policy_never(const struct policy *p, struct arena *a)
{
	struct never_run r = {.p = p, .a = a, .scratch = arena_new(SCRATCH_BYTES)};
	struct never *out = arena_array(a, p->n_rules, sizeof(*out));
	struct ways *ways = arena_array(a, p->n_rules, sizeof(*ways));
	for (size_t i = 0; i < p->n_rules; i++) {
		arena_reset(r.scratch);
		ways[i] = ways_of(&r, i);
		out[i] = rule_never(&r, i, ways);
	}
	for (size_t i = 0; i < p->n_rules; i++)
		out[i].refused = refused_below(&r, i, ways);
	arena_free(&r.scratch);
	return out;
}
