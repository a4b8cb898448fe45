/*
 * Bounces to addresses that never sent: backscatter of what others send in our name. Known at
 * RCPT, by the tag that is missing (batv.h); the address itself has lost its tag by then, so
 * that all other facts see the plain one.
 */
#include "filters/batv.h"
#include "filters/filter.h"

static const struct fact_decl facts[] = {
	{.name = "bounce.forged",
		.type = FACT_FLAG,
		.scope = SCOPE_RECIPIENT,
		.stage = STAGE_RCPT,
		.cost = COST_FREE,
		.text = "Whether this is a bounce (from <>) to a recipient whose domain tags "
			"its "
			"senders, without a tag that holds."},
	{.name = NULL},
};

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct flt_recipient *r = c->recipient;
	(void)ref;
	return flt_flag(v, c->mail->sender.is_null && r->domain != NULL &&
				   batv_is_tagged(r->domain, &r->address) && !r->tagged);
}

const struct filter flt_bounce = {.name = "bounce", .facts = facts, .gather = gather};
