/*
 * `FACT in T` where a directory or database holds T: no operand that a value is held against,
 * but a fact of its own, made here, that a filter gathers by asking (flt_directory.c). So it is
 * asked for, waited for and fails as every fact does, and evaluation knows nothing of tables
 * elsewhere.
 */
#include "policy/policy_priv.h"

const struct conf_table *
compile_lookup_table(const struct compile *c, const struct cond *cond, const struct test *t)
{
	if (cond->op != OP_IN || cond->value.kind != OPERAND_WORD || t->type == FACT_WORD ||
		t->type == FACT_NUMBER || t->type == FACT_FLAG || t->fact == POLICY_NONE)
		return NULL;
	const struct conf_table *table = map_get(c->conf->tables, cond->value.text);
	return table != NULL && table->directory != NULL ? table : NULL;
}

static const struct fact_decl *
made_before(const struct policy *p, const struct fact_ref *of, const struct conf_table *t,
	bool every)
{
	for (size_t i = 0; i < p->n_facts; i++) {
		const struct fact_lookup *l = p->facts[i].decl->lookup;
		if (l != NULL && l->of.decl == of->decl && slice_eq(l->of.arg, of->arg) &&
			slice_eq(l->table, t->name) && l->every == every)
			return p->facts[i].decl;
	}
	return NULL;
}

/* As a rule would say it: header "X" in staff. */
static const char *
name_of(struct compile *c, const struct fact_lookup *l)
{
	const char *every = l->every ? "every " : "";
	struct slice name =
		l->of.arg.n == 0
			? arena_printf(c->arena, "%s%s in %.*s", every, l->of.decl->name,
				  SLICE_ARG(l->table))
			: arena_printf(c->arena, "%s%s \"%.*s\" in %.*s", every,
				  l->of.decl->name, SLICE_ARG(l->of.arg), SLICE_ARG(l->table));
	return arena_text(c->arena, name);
}

static const struct fact_decl *
make(struct compile *c, const struct fact_ref *of, const struct conf_table *table, bool every)
{
	struct fact_lookup *l = ARENA_NEW(c->arena, struct fact_lookup);
	struct fact_decl *d = ARENA_NEW(c->arena, struct fact_decl);
	*l = (struct fact_lookup){*of, table->name, every};
	*d = (struct fact_decl){.name = name_of(c, l),
		.type = FACT_FLAG,
		.scope = of->decl->scope,
		.stage = of->decl->stage,
		.cost = of->decl->cost > COST_CHEAP ? of->decl->cost : COST_CHEAP,
		.text = "Whether a directory or database has it.",
		.lookup = l};
	return d;
}

bool
compile_lookup(struct compile *c, const struct cond *cond, const struct conf_table *table,
	bool in_any, struct test *t)
{
	struct fact_ref of = c->policy->facts[t->fact];
	bool every = t->list && t->every;
	if (in_any) {
		conf_error(c->report, cond->value.at,
			"\"%.*s\" is looked up elsewhere, which has no place inside \"any\": "
			"write the test outside, or a table in place or in a file",
			SLICE_ARG(table->name));
		return false;
	}
	const struct fact_decl *d = made_before(c->policy, &of, table, every);
	if (d == NULL)
		d = make(c, &of, table, every);
	*t = (struct test){.match = {.kind = MATCH_FLAG},
		.type = FACT_FLAG,
		.fact = compile_add_fact(c, d, SLICE_NONE)};
	return true;
}
