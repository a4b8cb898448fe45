/*
 * A block of rules becomes a policy: texts of actions go to compile_action.c, conditions to
 * compile_cond.c, and the block must end. Done once per configuration, by `check` and by the
 * parent before anything is started; all that is wrong is reported in one run.
 */
#include <string.h>

#include "policy/policy_priv.h"

void *
compile_room(struct compile *c, void *items, size_t n, size_t *room, size_t bytes)
{
	if (n < *room)
		return items;
	size_t more = *room != 0 ? *room * 2 : 16;
	char *grown = arena_array(c->arena, more, bytes);
	if (n != 0)
		memcpy(grown, items, n * bytes);
	*room = more;
	return grown;
}

static bool
is_named(const struct policy *p, const struct test *t, const char *name)
{
	if (t->fact == POLICY_NONE)
		return false;
	struct slice have = slice_of(p->facts[t->fact].decl->name), want = slice_of(name);
	return slice_starts(have, want) && (have.n == want.n || have.p[want.n] == '.');
}

static bool
uses(const struct policy *p, uint16_t node, const char *name)
{
	const struct node *n = &p->nodes[node];
	if (n->kind == NODE_TEST)
		return is_named(p, &p->tests[n->test], name);
	for (uint16_t child = n->first; child != POLICY_NONE; child = p->nodes[child].next)
		if (uses(p, child, name))
			return true;
	return false;
}

static void
compile_rule(struct compile *c, const struct rule *r)
{
	struct policy *p = c->policy;
	compile_action(c, r);
	uint16_t root = compile_cond(c, r->cond);
	if (root == POLICY_NONE)
		return;
	p->rules[p->n_rules++] = (struct policy_rule){
		.rule = r,
		.root = root,
		.try_only = r->try_only,
		.ends = action_ends(r->action) && !r->try_only,
		.passes_postmaster = action_ends(r->action) && r->action != ACTION_ACCEPT &&
				     !uses(p, root, "virus") && !uses(p, root, "rate") &&
				     !uses(p, root, "quota"),
	};
}

static void
check_end(struct compile *c, const struct rule_block *block)
{
	const struct rule *last =
		block->n_rules != 0 ? &block->rules[block->n_rules - 1] : NULL;
	if (last != NULL && last->cond->kind == COND_ALWAYS && action_ends(last->action) &&
		!last->try_only)
		return;
	conf_error(c->report, last != NULL ? last->at : block->at,
		"the block must end in a rule without condition that decides, such as "
		"\"accept\"");
}

struct policy *
policy_compile(const struct conf *conf, enum direction direction,
	const struct fact_decl *const *decls, struct arena *a, struct conf_report *report)
{
	const struct rule_block *block =
		direction == INBOUND ? &conf->inbound : &conf->outbound;
	struct policy *p = ARENA_NEW(a, struct policy);
	struct compile c = {p, conf, decls, a, report};
	size_t errors = report->n_errors;
	p->conf = conf;
	p->direction = direction;
	if (block->n_rules > POLICY_RULES_MOST) {
		conf_error(report, block->at, "more than %d rules in one block",
			POLICY_RULES_MOST);
		return NULL;
	}
	p->rules = arena_array(a, block->n_rules, sizeof(*p->rules));
	for (size_t i = 0; i < block->n_rules; i++)
		compile_rule(&c, &block->rules[i]);
	check_end(&c, block);
	return report->n_errors == errors ? p : NULL;
}

/* --- what is asked of a policy */

size_t
policy_rules(const struct policy *p)
{
	return p->n_rules;
}

const struct rule *
policy_rule(const struct policy *p, size_t i)
{
	return p->rules[i].rule;
}

size_t
policy_facts(const struct policy *p)
{
	return p->n_facts;
}

const struct fact_ref *
policy_fact(const struct policy *p, size_t i)
{
	return &p->facts[i];
}

bool
policy_uses(const struct policy *p, const char *fact_name)
{
	for (size_t i = 0; i < p->n_facts; i++)
		if (strcmp(p->facts[i].decl->name, fact_name) == 0)
			return true;
	return false;
}

static bool
is_or_below(struct slice name, struct slice stem)
{
	return slice_starts(name, stem) && (name.n == stem.n || name.p[stem.n] == '.');
}

static bool
node_uses(const struct policy *p, uint16_t node, struct slice stem)
{
	const struct node *n = &p->nodes[node];
	for (uint16_t c = n->first; c != POLICY_NONE; c = p->nodes[c].next)
		if (node_uses(p, c, stem))
			return true;
	return n->kind == NODE_TEST && p->tests[n->test].fact != POLICY_NONE &&
	       is_or_below(slice_of(p->facts[p->tests[n->test].fact].decl->name), stem);
}

bool
policy_rule_uses(const struct policy *p, const struct rule *r, const char *fact_name)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].rule == r)
			return node_uses(p, p->rules[i].root, slice_of(fact_name));
	return false;
}

size_t
policy_patterns(const struct policy *p)
{
	return p->n_patterns;
}

const struct conf_pattern *
policy_pattern(const struct policy *p, size_t i)
{
	return p->patterns[i];
}
