/*
 * The ways through a repeat without a bound; see regex_bound.h. Each such repeat becomes its
 * automaton of positions (Glushkov). Its cost is exponential where a position comes back to
 * itself by two ways that take the same text (Weber and Seidl, "On the degree of ambiguity of
 * finite automata"): where two loops lead from one position to the same next, or where a pair
 * of different positions lies on a circle with a pair of equal ones.
 */
#include "conf/regex_bound.h"

#include "conf/regex_tree.h"

enum {
	POSITIONS_MOST = 128,
	WORDS = POSITIONS_MOST / 64,
	COPIES_MOST = 2,
	REGEX_BYTES_MOST = 64 * 1024,
	WORK_BYTES_MOST = 256 * 1024 * 1024,
};

typedef uint64_t positions[WORDS];

struct loop {
	struct arena *arena;
	struct regex_set set[POSITIONS_MOST];
	positions follow[POSITIONS_MOST];
	size_t n;
	const char *why;
	size_t at;
};

/* What a part begins and ends with, and whether it may be nothing. */
struct part {
	bool empty;
	positions first, last;
};

static const char twice[] = "this repeat has no bound and can divide the same text in more and "
			    "more ways, so that no "
			    "time is enough: write it without the repeat inside, as a+ for "
			    "(a+)+, with alternatives "
			    "that begin differently, or possessive, as (?:a+)++";

static void
fail(struct loop *l, size_t at, const char *why)
{
	if (l->why == NULL) {
		l->why = why;
		l->at = at;
	}
}

static bool
has(const positions p, size_t i)
{
	return (p[i / 64] >> i % 64 & 1) != 0;
}

static void
put(positions p, size_t i)
{
	p[i / 64] |= UINT64_C(1) << i % 64;
}

static void
unite(positions p, const positions q)
{
	for (size_t i = 0; i < WORDS; i++)
		p[i] |= q[i];
}

/* From each of `from` to each of `to`. True: one of these ways was there before. */
static bool
lead(struct loop *l, const positions from, const positions to)
{
	bool before = false;
	for (size_t i = 0; i < l->n; i++) {
		if (!has(from, i))
			continue;
		for (size_t k = 0; k < WORDS; k++) {
			before |= (l->follow[i][k] & to[k]) != 0;
			l->follow[i][k] |= to[k];
		}
	}
	return before;
}

static struct part
position(struct loop *l, const struct regex_set *set, size_t at)
{
	struct part p = {.empty = false};
	if (l->n == POSITIONS_MOST) {
		fail(l, at,
			"there is more inside of repeats without a bound than can be looked "
			"through: give the repeats a bound, as {1,100}, or use \"words\"");
		return p;
	}
	l->set[l->n] = *set;
	put(p.first, l->n);
	put(p.last, l->n);
	l->n++;
	return p;
}

static void
gather_set(const struct regex_node *n, struct regex_set *set)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < 3; i++)
		set->bits[i] |= n->set.bits[i];
	gather_set(n->a, set);
	gather_set(n->b, set);
}

static struct part
chained(struct loop *l, struct part a, struct part b)
{
	struct part p = {.empty = a.empty && b.empty};
	(void)lead(l, a.last, b.first);
	unite(p.first, a.first);
	unite(p.last, b.last);
	if (a.empty)
		unite(p.first, b.first);
	if (b.empty)
		unite(p.last, a.last);
	return p;
}

static struct part build(struct loop *l, const struct regex_node *n);

/* No way back into it: whatever it takes is one step, of any of its characters. */
static struct part
solid(struct loop *l, const struct regex_node *n, bool empty)
{
	struct regex_set set = {{0}};
	gather_set(n, &set);
	struct part p = position(l, &set, n->at);
	p.empty = empty;
	return p;
}

static struct part
build_repeat(struct loop *l, const struct regex_node *n)
{
	struct part all = {.empty = true};
	if (n->possessive)
		return solid(l, n, n->least == 0);
	if (n->most == UINT32_MAX) {
		all = build(l, n->a);
		if (lead(l, all.last, all.first))
			fail(l, n->at, twice);
		all.empty |= n->least == 0;
		return all;
	}
	/* Two that must be and two that may be show what any number would. */
	for (uint32_t i = 0; i < n->least && i < COPIES_MOST; i++)
		all = chained(l, all, build(l, n->a));
	for (uint32_t i = n->least; i < n->most && i < n->least + COPIES_MOST; i++) {
		struct part one = build(l, n->a);
		one.empty = true;
		all = chained(l, all, one);
	}
	return all;
}

static struct part
build(struct loop *l, const struct regex_node *n)
{
	struct part p = {.empty = true};
	if (l->why != NULL)
		return p;
	switch (n->kind) {
	case REGEX_EMPTY: break;
	case REGEX_SET: return position(l, &n->set, n->at);
	case REGEX_CAT: p = build(l, n->a); return chained(l, p, build(l, n->b));
	case REGEX_ALT: {
		struct part b = build(l, n->b);
		p = build(l, n->a);
		p.empty |= b.empty;
		unite(p.first, b.first);
		unite(p.last, b.last);
		break;
	}
	case REGEX_REPEAT: return build_repeat(l, n);
	case REGEX_ATOMIC: return solid(l, n, true);
	case REGEX_LOOK: (void)build(l, n->a); break;
	case REGEX_REFERENCE:
		fail(l, n->at,
			"a reference to a group inside of a repeat without a bound cannot be "
			"bounded: give the repeat a bound, as {1,10}");
		break;
	}
	return p;
}

/* --- pairs of positions that the same text leads to */

struct pairs {
	const struct loop *loop;
	uint32_t *seen, *low, *stack, *path; /* by pair; path: where the search stands */
	uint32_t *next;                      /* of a pair: which step is tried next */
	bool *open;
	uint32_t count;
	size_t n_stack, n_path;
};

static bool
meet(const struct regex_set *a, const struct regex_set *b)
{
	return ((a->bits[0] & b->bits[0]) | (a->bits[1] & b->bits[1]) |
		       (a->bits[2] & b->bits[2])) != 0;
}

/* The pair behind step number `step` from this one; UINT32_MAX: none by this step. */
static uint32_t
step_to(const struct loop *l, uint32_t pair, uint32_t step)
{
	size_t n = l->n, p = pair / n, q = pair % n, r = step / n, s = step % n;
	if (!has(l->follow[p], r) || !has(l->follow[q], s) || !meet(&l->set[r], &l->set[s]))
		return UINT32_MAX;
	return step;
}

static void
enter(struct pairs *s, uint32_t pair)
{
	s->seen[pair] = s->low[pair] = ++s->count;
	s->stack[s->n_stack++] = pair;
	s->path[s->n_path++] = pair;
	s->open[pair] = true;
}

/* A circle is complete: does it hold equal pairs and different ones? */
static bool
leave(struct pairs *s, uint32_t pair)
{
	size_t n = s->loop->n, equal = 0, different = 0;
	uint32_t one;
	do {
		one = s->stack[--s->n_stack];
		s->open[one] = false;
		if (one / n == one % n)
			equal++;
		else
			different++;
	} while (one != pair);
	return equal != 0 && different != 0;
}

/* Tarjan's strongly connected components, without recursion. */
static bool
search(struct pairs *s, uint32_t from)
{
	uint32_t most = (uint32_t)(s->loop->n * s->loop->n);
	enter(s, from);
	while (s->n_path > 0) {
		uint32_t pair = s->path[s->n_path - 1], to = UINT32_MAX;
		while (s->next[pair] < most && to == UINT32_MAX)
			to = step_to(s->loop, pair, s->next[pair]++);
		if (to != UINT32_MAX) {
			if (s->seen[to] == 0)
				enter(s, to);
			else if (s->open[to] && s->seen[to] < s->low[pair])
				s->low[pair] = s->seen[to];
			continue;
		}
		s->n_path--;
		if (s->n_path > 0 && s->low[pair] < s->low[s->path[s->n_path - 1]])
			s->low[s->path[s->n_path - 1]] = s->low[pair];
		if (s->low[pair] == s->seen[pair] && leave(s, pair))
			return true;
	}
	return false;
}

static bool
is_ambiguous(struct loop *l)
{
	size_t n = l->n * l->n;
	struct pairs s = {.loop = l,
		.seen = arena_array(l->arena, n, sizeof(uint32_t)),
		.low = arena_array(l->arena, n, sizeof(uint32_t)),
		.stack = arena_array(l->arena, n, sizeof(uint32_t)),
		.path = arena_array(l->arena, n, sizeof(uint32_t)),
		.next = arena_array(l->arena, n, sizeof(uint32_t)),
		.open = arena_array(l->arena, n, sizeof(bool))};
	for (size_t p = 0; p < l->n; p++) {
		uint32_t pair = (uint32_t)(p * l->n + p);
		if (s.seen[pair] == 0 && search(&s, pair))
			return true;
	}
	return false;
}

/* Each repeat without a bound that stands in no other, and what is in those that go no way
 * back. */
static const char *
look(const struct regex_node *n, struct arena *a, size_t *at)
{
	if (n == NULL)
		return NULL;
	if (n->kind != REGEX_REPEAT || n->most != UINT32_MAX || n->possessive) {
		const char *why = look(n->a, a, at);
		return why != NULL ? why : look(n->b, a, at);
	}
	struct loop *l = ARENA_NEW(a, struct loop);
	l->arena = a;
	(void)build(l, n);
	if (l->why == NULL && is_ambiguous(l))
		fail(l, n->at, twice);
	*at = l->at;
	return l->why;
}

const char *
regex_bound(struct slice regex, bool nocase, size_t *at_out)
{
	struct arena *a = arena_new(WORK_BYTES_MOST);
	const char *why;
	if (regex.n > REGEX_BYTES_MOST) {
		*at_out = 0;
		why = "it is too long to be looked through: a list of words is written as "
		      "\"words\"";
	} else {
		struct regex_node *n = regex_tree(regex, nocase, a, at_out, &why);
		if (n != NULL)
			why = look(n, a, at_out);
	}
	arena_free(&a);
	return why;
}
