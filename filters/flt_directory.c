/*
 * Whether values of a fact are in a table that a directory or database holds: for facts that
 * policy makes of `FACT in T` (compile_lookup.c). All elements of a list are asked about at
 * once; the answers come from the directory process, as questions of the world.
 */
#include "filters/facts.h"

enum { VALUES_MOST = 100 };

static const struct fact_decl facts[] = {
	{.name = NULL},
};

/* An address of ours is asked for in lower case, and without its detail first. */
static enum fact_state
look_address(
	struct flt_call *c, const struct conf_table *t, struct slice address, struct value *v)
{
	size_t at = slice_find_last(address, '@');
	struct slice local = slice_first(address, at), domain = slice_from(address, at + 1);
	const struct conf_domain *own = conf_domain_find(c->conf, domain);
	if (own == NULL)
		return flt_table(c, t, address, v);
	struct slice whole = arena_lower(c->arena, address);
	size_t plus = slice_find(local, '+');
	if (own->detail_significant || plus == local.n || plus == 0)
		return flt_table(c, t, whole, v);
	struct slice plain = arena_printf(c->arena, "%.*s@%.*s",
		SLICE_ARG(slice_first(whole, plus)), SLICE_ARG(slice_from(whole, at + 1)));
	enum fact_state state = flt_table(c, t, plain, v);
	return state == FACT_KNOWN && !v->flag ? flt_table(c, t, whole, v) : state;
}

static enum fact_state
look(struct flt_call *c, const struct conf_table *t, enum fact_type type, struct slice value,
	struct value *v)
{
	if (value.n == 0) /* <>, an absent field: in no table */
		return flt_flag(v, false);
	if (type == FACT_ADDRESS || type == FACT_LIST_ADDRESS)
		return look_address(c, t, value, v);
	return flt_table(c, t, value, v);
}

/* What the elements that are there say: any decides by a yes, every by a no. */
static enum fact_state
look_list(struct flt_call *c, const struct fact_lookup *l, const struct conf_table *t,
	const struct value *list, struct value *v)
{
	enum fact_state result = FACT_KNOWN;
	struct value failed = {0}, open = {0};
	if (list->n_items > VALUES_MOST)
		return flt_failed(c, v, "more than %d values would be looked up", VALUES_MOST);
	for (size_t i = 0; i < list->n_items; i++) {
		struct value one = {0};
		enum fact_state state = look(c, t, l->of.decl->type, list->items[i].text, &one);
		if (state == FACT_KNOWN && one.flag != l->every) {
			*v = one;
			return FACT_KNOWN;
		}
		if (state == FACT_FAILED)
			failed = one;
		if (state == FACT_FAILED && result == FACT_KNOWN)
			result = FACT_FAILED;
		if (state != FACT_KNOWN && state != FACT_FAILED)
			result = state;
	}
	*v = result == FACT_FAILED ? failed : open;
	v->flag = l->every && list->n_items != 0;
	return result;
}

/* More elements may come, by a dearer question or a later stage. */
static enum fact_state
rest(const struct flt_call *c, enum fact_state state)
{
	if (state != FACT_KNOWN)
		return state;
	return c->most < COST_DEAR ? FACT_UNASKED : FACT_LATER;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct fact_lookup *l = ref->decl->lookup;
	const struct conf_table *t = map_get(c->conf->tables, l->table);
	struct value of;
	enum fact_state state = facts_read_use(c->facts, &l->of, c->rcpt, c->most, &of);
	if (state == FACT_FAILED)
		return flt_failed(c, v, "%.*s", SLICE_ARG(of.evidence));
	if (l->of.decl->type < FACT_LIST_TEXT)
		return state == FACT_KNOWN ? look(c, t, l->of.decl->type, of.text, v) : state;
	bool complete = state == FACT_KNOWN && !of.growing;
	enum fact_state found = look_list(c, l, t, &of, v);
	bool decided = found == FACT_KNOWN && v->flag != l->every && of.n_items != 0;
	return complete || decided || found == FACT_OPEN ? found : rest(c, state);
}

const struct filter flt_directory = {.name = "directory", .facts = facts, .gather = gather};
