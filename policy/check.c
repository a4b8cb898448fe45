/*
 * What `postern check` says of a policy that compiles: for each rule when it can be known and
 * at what cost, which later rules wait for it, whether it can match at all; and warnings where
 * a rule never does, or can split one mail's recipients, which nothing can carry out without a
 * spool, and no milter with one.
 */
#include "base/buf.h"
#include "policy/policy_priv.h"

enum { TEXT_MOST = 4 * 1024 * 1024, LITERALS_MOST = 64, LINES_MOST = 12 };

/* --- when a rule can be known */

struct needs {
	enum fact_stage stage; /* of its latest fact */
	enum fact_cost cost;   /* of its dearest one */
	bool recipient;        /* differs between the recipients of a mail */
};

static struct needs needs_of(const struct policy *p, size_t rule);

static void
take_latest(struct needs *to, const struct needs *from)
{
	if (from->stage > to->stage)
		to->stage = from->stage;
	if (from->cost > to->cost)
		to->cost = from->cost;
	to->recipient |= from->recipient;
}

/* `score` is known when all rules above that add to it are. */
static void
take_score(const struct policy *p, size_t rule, struct needs *to)
{
	for (size_t i = 0; i < rule; i++) {
		if (p->rules[i].try_only || p->rules[i].rule->action != ACTION_SCORE)
			continue;
		struct needs one = needs_of(p, i);
		take_latest(to, &one);
	}
}

static void
take_node(const struct policy *p, size_t rule, uint16_t node, struct needs *to)
{
	const struct node *n = &p->nodes[node];
	for (uint16_t c = n->first; c != POLICY_NONE; c = p->nodes[c].next)
		take_node(p, rule, c, to);
	if (n->kind != NODE_TEST)
		return;
	uint16_t fact = p->tests[n->test].fact;
	if (fact == POLICY_NONE) {
		take_score(p, rule, to);
		return;
	}
	const struct fact_decl *d = p->facts[fact].decl;
	take_latest(to, &(struct needs){d->stage, d->cost, d->scope == SCOPE_RECIPIENT});
}

/* A score test looks only at rules above its own, so this ends. */
static struct needs
needs_of(const struct policy *p, size_t rule)
{
	struct needs n = {STAGE_CONNECT, COST_FREE, false};
	take_node(p, rule, p->rules[rule].root, &n);
	return n;
}

/* --- whether a rule can match: its condition as tests that must all hold, as far as it is that
 */

struct literal {
	const struct test *test;
	bool negated;
};

struct literals {
	struct literal all[LITERALS_MOST];
	size_t n;
	bool whole; /* the condition is nothing but these */
};

static void
add_literal(const struct policy *p, uint16_t node, struct literals *l)
{
	const struct node *n = &p->nodes[node];
	if (n->kind == NODE_TEST && l->n < LITERALS_MOST)
		l->all[l->n++] = (struct literal){&p->tests[n->test], n->negated};
	else if (n->kind != NODE_TRUE)
		l->whole = false;
}

static struct literals
literals_of(const struct policy *p, size_t rule)
{
	struct literals l = {.whole = true};
	const struct node *root = &p->nodes[p->rules[rule].root];
	if (root->kind != NODE_AND)
		add_literal(p, p->rules[rule].root, &l);
	else
		for (uint16_t c = root->first; c != POLICY_NONE; c = p->nodes[c].next)
			add_literal(p, c, &l);
	return l;
}

static bool
has_text(const struct match *m, struct slice text)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->kind == MATCH_WORD ? slice_eq(m->texts[i], text)
					  : slice_eq_nocase(m->texts[i], text))
			return true;
	return false;
}

/* How many of a's texts b has too. */
static size_t
shared_texts(const struct match *a, const struct match *b)
{
	size_t n = 0;
	for (size_t i = 0; i < a->n; i++)
		n += has_text(b, a->texts[i]);
	return n;
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
	case MATCH_PART: return shared_texts(a, b) == a->n && shared_texts(b, a) == b->n;
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
	return a->fact == b->fact && a->every == b->every && same_match(&a->match, &b->match);
}

/* Equality by which a value can be only one of the texts. */
static bool
is_choice(const struct match *m)
{
	return m->kind == MATCH_WORD || m->kind == MATCH_TEXT;
}

static bool
exclude(const struct literal *a, const struct literal *b)
{
	const struct match *x = &a->test->match, *y = &b->test->match;
	if (a->test->fact != b->test->fact)
		return false;
	if (a->negated != b->negated && same_test(a->test, b->test))
		return true;
	if (a->test->list || !is_choice(x) || x->kind != y->kind || a->negated)
		return false;
	return b->negated ? shared_texts(x, y) == x->n : shared_texts(x, y) == 0;
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
empty_span(const struct literals *l, const struct test *test)
{
	struct span s = {-1e300, 1e300, false, false};
	bool impossible = false;
	for (size_t i = 0; i < l->n; i++) {
		const struct test *t = l->all[i].test;
		if (t->fact != test->fact)
			continue;
		enum cond_op op = l->all[i].negated ? turned(t->match.op) : t->match.op;
		impossible |=
			op == OP_IS && (t->match.number < s.low || t->match.number > s.high);
		narrow(&s, op, t->match.number);
	}
	return impossible || s.low > s.high ||
	       (same_number(s.low, s.high) && (s.low_open || s.high_open));
}

static bool
contradicts(const struct literals *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct test *t = l->all[i].test;
		for (size_t j = 0; j < l->n; j++)
			if (i != j && exclude(&l->all[i], &l->all[j]))
				return true;
		if (t->match.kind == MATCH_NUMBER && !t->list && empty_span(l, t))
			return true;
	}
	return false;
}

/* All that `first` asks for, `l` asks for too: where l holds, first has held. */
static bool
follows(const struct literals *l, const struct literals *first)
{
	for (size_t i = 0; i < first->n; i++) {
		bool found = false;
		for (size_t j = 0; j < l->n && !found; j++)
			found = first->all[i].negated == l->all[j].negated &&
				same_test(first->all[i].test, l->all[j].test);
		if (!found)
			return false;
	}
	return first->whole;
}

enum never { NEVER_NO, NEVER_CONTRADICTS, NEVER_DECIDED };

/* other_out: the rule that decides before it. */
static enum never
never_matches(const struct policy *p, size_t rule, const struct rule **other_out)
{
	struct literals l = literals_of(p, rule);
	if (contradicts(&l))
		return NEVER_CONTRADICTS;
	for (size_t i = 0; i < rule; i++) {
		struct literals first = literals_of(p, i);
		*other_out = p->rules[i].rule;
		if (p->rules[i].ends && follows(&l, &first))
			return NEVER_DECIDED;
	}
	return NEVER_NO;
}

/* --- which rules wait for which */

static bool
delays(const struct policy *p, size_t rule, size_t later)
{
	const struct policy_rule *a = &p->rules[rule], *b = &p->rules[later];
	if (a->try_only || !b->ends)
		return false;
	bool rejects = b->rule->action == ACTION_REJECT;
	if (rejects && (!a->ends || a->rule->action == ACTION_REJECT))
		return false;
	/* Nothing is decided before RCPT TO. */
	enum fact_stage late = needs_of(p, later).stage;
	return needs_of(p, rule).stage > (late > STAGE_RCPT ? late : STAGE_RCPT);
}

static void
add_delays(const struct policy *p, size_t rule, struct buf *out)
{
	size_t n = 0;
	for (size_t i = rule + 1; i < p->n_rules; i++) {
		if (!delays(p, rule, i))
			continue;
		if (n < LINES_MOST)
			buf_printf(out, "%s%u", n == 0 ? "  delays " : ", ",
				p->rules[i].rule->at.line);
		n++;
	}
	if (n > LINES_MOST)
		buf_printf(out, " and %zu more", n - LINES_MOST);
}

static void
add_rule(const struct policy *p, size_t i, struct buf *out)
{
	const struct rule *r = p->rules[i].rule, *other;
	struct needs n = needs_of(p, i);
	struct buf action;
	buf_init(&action, 64);
	buf_printf(&action, "%s%s", r->try_only ? "try " : "", action_text(r->action));
	buf_printf(out, "%s:%-4u %-17.*s %-7s %s", r->at.file, r->at.line,
		SLICE_ARG(buf_slice(&action)), fact_stage_text(n.stage),
		fact_cost_text(n.cost));
	buf_fini(&action);
	add_delays(p, i, out);
	enum never never = never_matches(p, i, &other);
	if (never == NEVER_CONTRADICTS)
		buf_add_text(out, "  never matches: its condition contradicts itself");
	else if (never == NEVER_DECIDED)
		buf_printf(out, "  never matches: line %u decides before it", other->at.line);
	buf_add_byte(out, '\n');
}

struct slice
policy_check_text(const struct policy *p, struct arena *a)
{
	struct buf out;
	buf_init(&out, TEXT_MOST);
	for (size_t i = 0; i < p->n_rules; i++)
		add_rule(p, i, &out);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}

/* --- warnings */

/* Refusals of single recipients at RCPT TO are no split: each has a reply of its own. */
static bool
can_split(const struct policy *p, size_t i)
{
	const struct policy_rule *r = &p->rules[i];
	struct needs n = needs_of(p, i);
	if (!n.recipient || r->try_only || r->rule->action == ACTION_LOG)
		return false;
	bool refusal = r->rule->action == ACTION_REJECT || r->rule->action == ACTION_DEFER;
	return n.stage > STAGE_RCPT || !refusal;
}

/* The first milter whose mail this block judges. */
static const struct conf_listener *
milter_of(const struct policy *p)
{
	for (size_t i = 0; i < p->conf->n_listeners; i++) {
		const struct conf_listener *l = &p->conf->listeners[i];
		if (l->kind == LISTEN_MILTER &&
			conf_listener_judges(l, p->direction == OUTBOUND))
			return l;
	}
	return NULL;
}

/*
 * An MTA has one header for all recipients of a mail (POLICY.md, "Many recipients"), and the
 * mail is its own: it is not taken from it.
 */
static void
check_for_milter(const struct policy *p, size_t i, const struct conf_listener *milter,
	struct conf_report *report)
{
	const struct rule *r = p->rules[i].rule;
	bool edits = r->action == ACTION_TAG || r->action == ACTION_REMOVE_HEADER ||
		     r->action == ACTION_SIGN;
	if (edits && !p->rules[i].try_only && needs_of(p, i).recipient)
		conf_error(report, r->at,
			"\"%s\" must not depend on the recipient here: the milter in line %u "
			"edits one header for all of them",
			action_text(r->action), milter->at.line);
	if (r->action == ACTION_HOLD || r->action == ACTION_ROUTE)
		conf_error(report, r->at,
			"\"%s\" is not for milters, and the one in line %u has mail of this "
			"block: "
			"when and where it goes on is the MTA's affair",
			action_text(r->action), milter->at.line);
	if (r->action == ACTION_APPEND)
		conf_error(report, r->at,
			"\"append text\" is not for milters, and the one in line %u has mail "
			"of "
			"this block: the MTA would get the whole body anew; let the mail pass "
			"an "
			"outbound listener, which appends",
			milter->at.line);
	if (r->action == ACTION_NOTIFY)
		conf_error(report, r->at,
			"\"notify\" is not for milters, and the one in line %u has mail of "
			"this "
			"block: the mails that it writes need the gateway's own queue",
			milter->at.line);
	if (r->action == ACTION_QUARANTINE)
		conf_error(report, r->at,
			"\"quarantine\" is not there yet for milters, and the one in line %u "
			"has "
			"mail of this block: the MTA keeps what it has",
			milter->at.line);
}

static bool
takes_mail(enum action a)
{
	return a == ACTION_ACCEPT || a == ACTION_QUARANTINE || a == ACTION_HOLD;
}

/*
 * Effects are of mails that are taken. Where the rule holds, what refuses or drops the mail
 * follows before anything that could take it: the line to name, or 0.
 */
static unsigned
refused_below(const struct policy *p, size_t rule)
{
	struct literals l = literals_of(p, rule);
	if (p->rules[rule].try_only || p->rules[rule].ends ||
		p->rules[rule].rule->action == ACTION_SCORE)
		return 0;
	for (size_t i = rule + 1; i < p->n_rules; i++) {
		const struct policy_rule *below = &p->rules[i];
		struct literals other = literals_of(p, i);
		if (below->ends && takes_mail(below->rule->action))
			return 0;
		if (below->ends && follows(&l, &other))
			return below->rule->at.line;
	}
	return 0;
}

/* With a spool each recipient of ours has a decision of its own; a milter answers once. */
static void
check_split(const struct policy *p, size_t i, const struct conf_listener *milter,
	struct conf_report *report)
{
	const struct rule *r = p->rules[i].rule;
	if (!can_split(p, i))
		return;
	if (p->conf->spool.n == 0)
		conf_warn(report, r->at,
			"the rule can decide otherwise for another recipient of the same mail: "
			"without a spool that one gets 452 and is sent again");
	else if (milter != NULL)
		conf_warn(report, r->at,
			"the rule can decide otherwise for another recipient of the same mail: "
			"by the milter in line %u that one gets 452 and is sent again",
			milter->at.line);
}

static bool
reserves(const struct policy *p, uint16_t node)
{
	const struct node *n = &p->nodes[node];
	for (uint16_t c = n->first; c != POLICY_NONE; c = p->nodes[c].next)
		if (reserves(p, c))
			return true;
	return n->kind == NODE_TEST && p->tests[n->test].fact != POLICY_NONE &&
	       p->facts[p->tests[n->test].fact].decl->cost == COST_RESERVE;
}

void
policy_check(const struct policy *p, struct conf_report *report)
{
	const struct conf_listener *milter = milter_of(p);
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = p->rules[i].rule, *other;
		switch (never_matches(p, i, &other)) {
		case NEVER_CONTRADICTS:
			conf_warn(report, r->at,
				"the rule never matches: its condition contradicts itself");
			break;
		case NEVER_DECIDED:
			conf_warn(report, r->at,
				"the rule never matches: the one in line %u decides before it",
				other->at.line);
			break;
		case NEVER_NO: break;
		}
		if (p->rules[i].try_only && reserves(p, p->rules[i].root))
			conf_warn(report, r->at,
				"\"try\" reserves nothing: what hangs on a limit or the "
				"greylist is never known in it");
		unsigned line = refused_below(p, i);
		if (line != 0)
			conf_warn(report, r->at,
				"\"%s\" is never done: the rule in line %u refuses or drops "
				"each "
				"such mail, and only mail that is taken has effects",
				action_text(r->action), line);
		if (milter != NULL)
			check_for_milter(p, i, milter, report);
		check_split(p, i, milter, report);
	}
}
