/*
 * Facts that fail together, and the one that says why (`postern check`). Where a mail cannot be
 * looked into, `virus` has failed, and where a text cannot be read, `body contains` has; a rule
 * that failed holds back every decision but a refusal, and the mail is deferred. What should
 * become of such mail must therefore stand above.
 */
#include <string.h>

#include "policy/policy_priv.h"

enum { OF_MOST = 3 };

static const struct guard {
	const char *reason;      /* a fact, or the first word of several */
	const char *of[OF_MOST]; /* likewise */
	bool wanted;             /* who asks for one of these should ask for the reason too */
} guards[] = {
	{"unscannable", {"virus", "attachment", "encrypted"}, false},
	{"text.unread", {"body"}, true},
};
enum { GUARDS = sizeof(guards) / sizeof(guards[0]) };

static bool
is_of(const struct fact_decl *d, const char *name)
{
	struct slice whole = slice_of(d->name);
	return name != NULL && slice_starts(whole, slice_of(name)) &&
	       (whole.n == strlen(name) || whole.p[strlen(name)] == '.');
}

/* The first fact under the node that the guard is of (or is its reason), or NULL. */
static const struct fact_decl *
fact_of(const struct policy *p, uint16_t node, const struct guard *g, bool reason)
{
	const struct node *n = &p->nodes[node];
	const struct fact_decl *found = NULL;
	for (uint16_t c = n->first; c != POLICY_NONE && found == NULL; c = p->nodes[c].next)
		found = fact_of(p, c, g, reason);
	if (found != NULL || n->kind != NODE_TEST || p->tests[n->test].fact == POLICY_NONE)
		return found;
	uint16_t fact = p->tests[n->test].fact;
	const struct fact_decl *d = p->facts[fact].decl;
	if (reason)
		return is_of(d, g->reason) ? d : NULL;
	for (size_t i = 0; i < OF_MOST && !p->skip[fact]; i++)
		if (is_of(d, g->of[i]))
			return d;
	return NULL;
}

static bool
holds_back(const struct policy_rule *above, const struct policy_rule *below)
{
	return above->ends &&
	       (above->rule->action != ACTION_REJECT || below->rule->action != ACTION_REJECT);
}

static void
check_place(const struct policy *p, const struct guard *g, size_t rule, struct conf_report *r)
{
	for (size_t i = 0; i < rule; i++) {
		const struct fact_decl *d = fact_of(p, p->rules[i].root, g, false);
		if (p->rules[i].try_only || d == NULL ||
			!holds_back(&p->rules[i], &p->rules[rule]))
			continue;
		conf_warn(r, p->rules[rule].rule->at,
			"the rule comes too late: where \"%s\" is true, \"%s\" in line %u may "
			"have failed, and the mail is deferred: put this rule above that one",
			g->reason, d->name, p->rules[i].rule->at.line);
		return;
	}
}

static void
check_wanted(const struct policy *p, const struct guard *g, size_t rule, struct conf_report *r)
{
	const struct fact_decl *d = fact_of(p, p->rules[rule].root, g, false);
	conf_warn(r, p->rules[rule].rule->at,
		"where not all of the text can be read, \"%s contains\" fails and the mail is "
		"deferred: say above what becomes of such mail, as in \"quarantine if %s\", or "
		"let it pass by filter %s { on failure skip }",
		d->name, g->reason, d->name);
}

void
check_guards(const struct policy *p, struct conf_report *report)
{
	for (size_t k = 0; k < GUARDS; k++) {
		const struct guard *g = &guards[k];
		size_t first = SIZE_MAX;
		bool has_reason = false;
		for (size_t i = 0; i < p->n_rules; i++) {
			if (p->rules[i].try_only)
				continue;
			bool reason = fact_of(p, p->rules[i].root, g, true) != NULL;
			has_reason |= reason;
			if (reason && p->rules[i].ends)
				check_place(p, g, i, report);
			if (first == SIZE_MAX && fact_of(p, p->rules[i].root, g, false) != NULL)
				first = i;
		}
		if (g->wanted && first != SIZE_MAX && !has_reason)
			check_wanted(p, g, first, report);
	}
}
