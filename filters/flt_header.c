/*
 * Fields of the header, as rules ask for them. The texts come from the one parser; nothing is
 * cut or decoded here a second time.
 */
#include "filters/filter.h"

static const struct fact_decl facts[] = {
	{.name = "header",
		.type = FACT_LIST_TEXT,
		.arg = FACT_ARG_STRING,
		.scope = SCOPE_MAIL,
		.stage = STAGE_HEADER,
		.cost = COST_FREE,
		.text = "The texts of all header fields of that name, unfolded, from the top."},
	{.name = "subject",
		.type = FACT_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_HEADER,
		.cost = COST_FREE,
		.text = "The subject, decoded to UTF-8 (RFC 2047)."},
	{.name = "from",
		.type = FACT_LIST_ADDRESS,
		.scope = SCOPE_MAIL,
		.stage = STAGE_HEADER,
		.cost = COST_FREE,
		.text = "The mailboxes of the From field."},
	{.name = "from.domain",
		.type = FACT_DOMAIN,
		.scope = SCOPE_MAIL,
		.stage = STAGE_HEADER,
		.cost = COST_FREE,
		.text = "The author domain; empty where From has none or more than one."},
	{.name = NULL},
};
enum { HEADER, SUBJECT, FROM, FROM_DOMAIN };

static enum fact_state
fields(struct flt_call *c, struct slice name, struct value *v)
{
	const struct message *m = c->mail->message;
	size_t n = 0;
	for (size_t i = 0; i < m->n_fields; i++)
		n += slice_eq_nocase(m->fields[i].name, name);
	struct value *items = arena_array(c->arena, n, sizeof(*items));
	v->items = items;
	for (size_t i = 0; i < m->n_fields; i++)
		if (slice_eq_nocase(m->fields[i].name, name))
			items[v->n_items++].text = message_unfold(m->fields[i].value, c->arena);
	return FACT_KNOWN;
}

static enum fact_state
mailboxes(struct flt_call *c, struct value *v)
{
	const struct message *m = c->mail->message;
	struct value *items = arena_array(c->arena, m->n_from, sizeof(*items));
	for (size_t i = 0; i < m->n_from; i++)
		items[i].text = m->from[i].text;
	v->items = items;
	v->n_items = m->n_from;
	return FACT_KNOWN;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	switch (ref->decl - facts) {
	case HEADER: return fields(c, ref->arg, v);
	case SUBJECT: return flt_text(v, c->mail->message->subject);
	case FROM: return mailboxes(c, v);
	case FROM_DOMAIN: return flt_text(v, c->mail->message->from_domain);
	default: return flt_failed(c, v, "not a fact of the header");
	}
}

const struct filter flt_header = {.name = "header", .facts = facts, .gather = gather};
