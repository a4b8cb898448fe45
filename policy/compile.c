/*
 * A block of rules becomes a policy: actions and their texts are checked, conditions go to
 * compile_cond.c, and the block must end. Done once per configuration, by `check` and by the
 * parent before anything is started; all that is wrong is reported in one run.
 */
#include <string.h>

#include "policy/policy_priv.h"
#include "smtp/reply.h"

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

/* --- the texts of actions */

static void
check_reply(struct compile *c, const struct rule *r)
{
	struct smtp_reply reply;
	int class = r->action == ACTION_REJECT ? 5 : 4;
	if (r->text.n == 0)
		return;
	if (!smtp_reply_parse_text(r->text, &reply))
		conf_error(c->report, r->at,
			"\"%.*s\" is no reply: write \"%d50 %d.7.1 text\", both codes of one "
			"class",
			SLICE_ARG(r->text), class, class);
	else if (smtp_reply_class(&reply) != class)
		conf_error(c->report, r->at, "%s wants a %dxx reply, and \"%.*s\" is %d",
			action_text(r->action), class, SLICE_ARG(r->text), reply.code);
}

static bool
field_name_ok(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
			return false;
	return name.n != 0;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

static void
check_header(struct compile *c, const struct rule *r)
{
	struct slice name = r->text, value = SLICE_NONE;
	bool colon = slice_cut(r->text, ':', &name, &value);
	if (!field_name_ok(name) || has_control(value) || colon != (r->action == ACTION_TAG))
		conf_error(c->report, r->at, "%s wants %s, and \"%.*s\" is not that",
			action_text(r->action),
			r->action == ACTION_TAG ? "\"Name: value\" in one line"
						: "the name of a field",
			SLICE_ARG(r->text));
}

static void
check_sign(struct compile *c, const struct rule *r)
{
	if (c->conf->n_signs == 0) {
		conf_error(c->report, r->at,
			"\"sign\" has no key: add sign \"DOMAIN\" selector \"S\" key \"FILE\"");
		return;
	}
	if (r->text.n == 0)
		return;
	for (size_t i = 0; i < c->conf->n_signs; i++)
		if (slice_eq_nocase(c->conf->signs[i].domain, r->text))
			return;
	conf_error(c->report, r->at, "no \"sign\" statement gives a key for \"%.*s\"",
		SLICE_ARG(r->text));
}

/* A recipient that a rule adds is not judged again, so it must be one of ours (no open relay).
 */
static void
check_recipient(struct compile *c, const struct rule *r)
{
	struct slice domain = slice_from(r->text, slice_find_last(r->text, '@') + 1);
	if (domain.n == 0 || conf_domain_find(c->conf, arena_lower(c->arena, domain)) == NULL)
		conf_error(c->report, r->at,
			"%s wants an address in a declared domain, and \"%.*s\" is none",
			action_text(r->action), SLICE_ARG(r->text));
}

static void
check_action(struct compile *c, const struct rule *r)
{
	switch (r->action) {
	case ACTION_REJECT:
	case ACTION_DEFER: check_reply(c, r); break;
	case ACTION_TAG:
	case ACTION_REMOVE_HEADER: check_header(c, r); break;
	case ACTION_SIGN: check_sign(c, r); break;
	case ACTION_REDIRECT:
	case ACTION_COPY: check_recipient(c, r); break;
	case ACTION_ACCEPT:
	case ACTION_QUARANTINE:
	case ACTION_DISCARD:
	case ACTION_HOLD:
	case ACTION_ROUTE:
	case ACTION_SEND_FROM:
	case ACTION_SCORE:
	case ACTION_LOG:
	case ACTION_COUNT: break;
	}
}

/* --- rules */

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
	check_action(c, r);
	uint16_t root = compile_cond(c, r->cond);
	if (root == POLICY_NONE)
		return;
	p->rules[p->n_rules++] = (struct policy_rule){
		.rule = r,
		.root = root,
		.try_only = r->try_only,
		.ends = action_ends(r->action) && !r->try_only,
		.passes_postmaster = action_ends(r->action) && r->action != ACTION_ACCEPT &&
				     !uses(p, root, "virus") && !uses(p, root, "rate"),
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
