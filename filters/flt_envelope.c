/*
 * The envelope: who sends, to whom, how much. Known without asking anyone, at MAIL and RCPT,
 * so that rules over it refuse a recipient before any data is sent.
 */
#include "filters/filter.h"

static const struct fact_decl facts[] = {
	{.name = "sender",
		.type = FACT_ADDRESS,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_FREE,
		.text = "The reverse-path (MAIL FROM); empty for <>."},
	{.name = "sender.domain",
		.type = FACT_DOMAIN,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_FREE,
		.text = "The domain of the reverse-path; empty for <>."},
	{.name = "recipient",
		.type = FACT_ADDRESS,
		.scope = SCOPE_RECIPIENT,
		.stage = STAGE_RCPT,
		.cost = COST_FREE,
		.text = "The forward-path (RCPT TO) that is being judged."},
	{.name = "recipient.domain",
		.type = FACT_DOMAIN,
		.scope = SCOPE_RECIPIENT,
		.stage = STAGE_RCPT,
		.cost = COST_FREE,
		.text = "The domain of the forward-path."},
	{.name = "recipients",
		.type = FACT_LIST_ADDRESS,
		.scope = SCOPE_MAIL,
		.stage = STAGE_DATA,
		.cost = COST_FREE,
		.text = "All accepted forward-paths of the mail."},
	{.name = "size",
		.type = FACT_NUMBER,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_FREE,
		.text = "The bytes of the mail as they came, whatever SIZE= had declared."},
	{.name = NULL},
};
enum { SENDER, SENDER_DOMAIN, RECIPIENT, RECIPIENT_DOMAIN, RECIPIENTS, SIZE };

static enum fact_state
recipients(struct flt_call *c, struct value *v)
{
	struct value *items = arena_array(c->arena, c->mail->n_recipients, sizeof(*items));
	for (size_t i = 0; i < c->mail->n_recipients; i++)
		items[i].text = c->mail->recipients[i].address.text;
	v->items = items;
	v->n_items = c->mail->n_recipients;
	return FACT_KNOWN;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	switch (ref->decl - facts) {
	case SENDER: return flt_text(v, c->mail->sender.text);
	case SENDER_DOMAIN: return flt_text(v, c->mail->sender.domain);
	case RECIPIENT: return flt_text(v, c->recipient->address.text);
	case RECIPIENT_DOMAIN: return flt_text(v, c->recipient->address.domain);
	case RECIPIENTS: return recipients(c, v);
	case SIZE: v->number = (double)c->mail->bytes; return FACT_KNOWN;
	default: return flt_failed(c, v, "not a fact of the envelope");
	}
}

const struct filter flt_envelope = {.name = "envelope", .facts = facts, .gather = gather};
