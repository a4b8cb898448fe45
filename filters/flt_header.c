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
	{.name = "from.ours",
		.type = FACT_FLAG,
		.scope = SCOPE_MAIL,
		.stage = STAGE_HEADER,
		.cost = COST_FREE,
		.text = "Whether an author of From is in one of the declared domains or below "
			"one."},
	{.name = "from.names",
		.type = FACT_LIST_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_HEADER,
		.cost = COST_FREE,
		.text = "The names in From beside its addresses, comments too, decoded; the "
			"whole "
			"text of a From that cannot be read."},
	{.name = NULL},
};
enum { HEADER, SUBJECT, FROM, FROM_DOMAIN, FROM_OURS, FROM_NAMES };

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

static bool
is_ours(const struct conf *conf, struct slice domain)
{
	struct slice label;
	while (domain.n != 0) {
		if (conf_domain_find(conf, domain) != NULL)
			return true;
		slice_cut(domain, '.', &label, &domain);
	}
	return false;
}

/* What cannot be read is not known to be another's. */
static enum fact_state
from_ours(struct flt_call *c, struct value *v)
{
	const unsigned unclear = MESSAGE_FROM_SEVERAL | MESSAGE_FROM_BAD | MESSAGE_TOO_MANY;
	const struct message *m = c->mail->message;
	if ((m->faults & unclear) != 0)
		return flt_failed(c, v, "From cannot be read");
	for (size_t i = 0; i < m->n_from; i++)
		if (is_ours(c->conf, m->from[i].domain))
			return flt_flag(v, true);
	return flt_flag(v, false);
}

static void
add_names(struct flt_call *c, const struct message_field *from, struct value *v)
{
	struct slice *names, whole;
	size_t n;
	if (!message_names(from->value, c->mail->params.smtputf8, c->arena, &names, &n)) {
		whole = message_decode_words(message_unfold(from->value, c->arena), c->arena);
		names = &whole;
		n = 1;
	}
	struct value *items = arena_array(c->arena, v->n_items + n, sizeof(*items));
	for (size_t i = 0; i < v->n_items; i++)
		items[i] = v->items[i];
	for (size_t i = 0; i < n; i++)
		items[v->n_items++].text = names[i];
	v->items = items;
}

/* The first From is whose names count; another is there only where the rules of headers are
 * off. */
static enum fact_state
from_names(struct flt_call *c, struct value *v)
{
	for (size_t i = 0; i < 2; i++) {
		const struct message_field *f =
			message_field(c->mail->message, SLICE("From"), i);
		if (f != NULL)
			add_names(c, f, v);
	}
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
	case FROM_OURS: return from_ours(c, v);
	case FROM_NAMES: return from_names(c, v);
	default: return flt_failed(c, v, "not a fact of the header");
	}
}

const struct filter flt_header = {.name = "header", .facts = facts, .gather = gather};
