/*
 * Whether a recipient exists: by the setting of its domain. `recipients any` says yes to all,
 * `recipients table` looks it up, `recipients verify` asks the protected server, which is dear.
 */
#include "filters/filter.h"

static const struct fact_decl facts[] = {
	{.name = "recipient known",
		.phrase = "recipient is known",
		.type = FACT_FLAG,
		.scope = SCOPE_RECIPIENT,
		.stage = STAGE_RCPT,
		.cost = COST_DEAR,
		.text = "Whether the recipient's domain is declared and has this recipient: by "
			"its "
			"table, or by asking its server."},
	{.name = NULL},
};

/* "local@domain" as the protected server's directory has it: no +detail unless it is
 * significant. */
static struct slice
canonical(struct flt_call *c)
{
	const struct address *address = &c->recipient->address;
	size_t plus = slice_find(address->local, '+');
	bool quoted = !slice_starts(address->text, address->local);
	if (c->recipient->domain->detail_significant || quoted || plus == 0 ||
		plus == address->local.n)
		return arena_lower(c->arena, address->text);
	return arena_printf(c->arena, "%.*s@%.*s",
		SLICE_ARG(arena_lower(c->arena, slice_first(address->local, plus))),
		SLICE_ARG(address->domain));
}

static enum fact_state
verify(struct flt_call *c, struct value *v)
{
	const struct question *one = flt_known(c, c->recipient->address.text);
	if (one == NULL)
		return FACT_OPEN;
	v->evidence = one->known_text;
	switch (one->known) {
	case KNOWN_YES: return flt_flag(v, true);
	case KNOWN_NO: return flt_flag(v, false);
	case KNOWN_FAILED: break;
	}
	return flt_failed(c, v, "call-out: %.*s", SLICE_ARG(one->known_text));
}

/* Without its detail, else as it was written. */
static enum fact_state
in_table(struct flt_call *c, const struct conf_table *t, struct value *v)
{
	struct slice plain = canonical(c),
		     whole = arena_lower(c->arena, c->recipient->address.text);
	enum fact_state state = flt_table(c, t, plain, v);
	if (state == FACT_KNOWN && !v->flag && !slice_eq(plain, whole))
		state = flt_table(c, t, whole, v);
	if (state == FACT_KNOWN && t->directory == NULL)
		v->evidence = SLICE("recipients table");
	return state;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	(void)ref;
	const struct conf_domain *domain = c->recipient->domain;
	if (domain == NULL) {
		v->evidence = SLICE("not a declared domain");
		return flt_flag(v, false);
	}
	switch (domain->recipients) {
	case RECIPIENTS_ANY: v->evidence = SLICE("recipients any"); return flt_flag(v, true);
	case RECIPIENTS_TABLE: return in_table(c, domain->table, v);
	case RECIPIENTS_VERIFY: break;
	}
	return verify(c, v);
}

const struct filter flt_destination = {.name = "destination", .facts = facts, .gather = gather};
