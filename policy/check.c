/*
 * What `postern check` says of a policy that compiles: for each rule when it can be known and
 * at what cost, which later rules wait for it, whether it can match at all; and warnings where
 * a rule never does, or can split one mail's recipients, which nothing can carry out without a
 * spool, and no milter with one.
 */
#include "base/buf.h"
#include "policy/policy_priv.h"

enum { TEXT_MOST = 4 * 1024 * 1024, LINES_MOST = 12, NAMES_MOST = 4, NEVER_BYTES = 1 << 30 };

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

static bool
is_named(const struct buf *names, struct slice name)
{
	struct slice rest = buf_slice(names), one;
	while (rest.n != 0) {
		slice_cut(rest, '\n', &one, &rest);
		if (slice_eq(one, name))
			return true;
	}
	return false;
}

/* The facts that make the rule as late, or as dear, as it is. */
static void
add_facts(const struct policy *p, size_t rule, uint16_t node, const struct needs *of,
	struct buf *names)
{
	const struct node *n = &p->nodes[node];
	for (uint16_t c = n->first; c != POLICY_NONE; c = p->nodes[c].next)
		add_facts(p, rule, c, of, names);
	if (n->kind != NODE_TEST)
		return;
	uint16_t fact = p->tests[n->test].fact;
	const char *name = fact == POLICY_NONE ? "score" : p->facts[fact].decl->name;
	struct needs one = {0};
	take_node(p, rule, node, &one);
	bool dear = of->cost > COST_CHEAP && one.cost == of->cost;
	if ((one.stage == of->stage || dear) && !is_named(names, slice_of(name)))
		buf_printf(names, "%s\n", name);
}

static void
add_names(const struct policy *p, size_t rule, const struct needs *of, struct buf *out)
{
	struct buf names;
	size_t n = 0;
	buf_init(&names, TEXT_MOST);
	add_facts(p, rule, p->rules[rule].root, of, &names);
	struct slice rest = buf_slice(&names), one;
	for (; rest.n != 0; n++) {
		slice_cut(rest, '\n', &one, &rest);
		if (n < NAMES_MOST)
			buf_printf(out, "%s%.*s", n == 0 ? "  for " : ", ", SLICE_ARG(one));
	}
	if (n > NAMES_MOST)
		buf_printf(out, " and %zu more", n - NAMES_MOST);
	buf_fini(&names);
}

/* "never matches: ...", or nothing. */
static void
add_never(const struct policy *p, const struct never *never, struct buf *out)
{
	switch (never->why) {
	case NEVER_CONTRADICTS:
		buf_printf(out, "never matches: no value of \"%s\" is all that it asks for",
			never->test->fact == POLICY_NONE
				? "score"
				: p->facts[never->test->fact].decl->name);
		break;
	case NEVER_DECIDED:
		buf_printf(out, "never matches: the one in line %u decides before it",
			never->by->at.line);
		break;
	case NEVER_BUT_POSTMASTER:
		buf_printf(out,
			"never matches but for postmaster@ and abuse@: the one in line %u "
			"decides "
			"before it for all others",
			never->by->at.line);
		break;
	case NEVER_NO: break;
	}
}

static void
add_rule(const struct policy *p, size_t i, const struct never *never, struct buf *out)
{
	const struct rule *r = p->rules[i].rule;
	struct needs n = needs_of(p, i);
	struct buf action, more;
	buf_init(&action, 64);
	buf_printf(&action, "%s%s", r->try_only ? "try " : "", action_text(r->action));
	buf_init(&more, TEXT_MOST);
	if (r->cond->kind != COND_ALWAYS)
		add_names(p, i, &n, &more);
	add_delays(p, i, &more);
	if (never->why != NEVER_NO)
		buf_add_text(&more, "  ");
	add_never(p, never, &more);
	buf_printf(out, "%s:%-4u %-17.*s %-7s %-*s%.*s", r->at.file, r->at.line,
		SLICE_ARG(buf_slice(&action)), fact_stage_text(n.stage),
		buf_slice(&more).n != 0 ? 11 : 0, fact_cost_text(n.cost),
		SLICE_ARG(buf_slice(&more)));
	buf_fini(&action);
	buf_fini(&more);
	buf_add_byte(out, '\n');
}

struct slice
policy_check_text(const struct policy *p, struct arena *a)
{
	struct buf out;
	buf_init(&out, TEXT_MOST);
	struct arena *mine = arena_new(NEVER_BYTES);
	const struct never *never = policy_never(p, mine);
	for (size_t i = 0; i < p->n_rules; i++)
		add_rule(p, i, &never[i], &out);
	arena_free(&mine);
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
	struct arena *a = arena_new(NEVER_BYTES);
	const struct never *never = policy_never(p, a);
	for (size_t i = 0; i < p->n_rules; i++) {
		struct buf why;
		buf_init(&why, 1024);
		add_never(p, &never[i], &why);
		if (never[i].why != NEVER_NO)
			conf_warn(report, p->rules[i].rule->at, "the rule %.*s",
				SLICE_ARG(buf_slice(&why)));
		buf_fini(&why);
		if (p->rules[i].try_only && reserves(p, p->rules[i].root))
			conf_warn(report, p->rules[i].rule->at,
				"\"try\" reserves nothing: what hangs on a limit or the "
				"greylist is never known in it");
		if (never[i].refused != NULL)
			conf_warn(report, p->rules[i].rule->at,
				"\"%s\" is never done: the rule in line %u refuses or drops "
				"each such mail, and only mail that is taken has effects",
				action_text(p->rules[i].rule->action),
				never[i].refused->at.line);
		if (milter != NULL)
			check_for_milter(p, i, milter, report);
		check_split(p, i, milter, report);
	}
	check_guards(p, report);
	arena_free(&a);
}
