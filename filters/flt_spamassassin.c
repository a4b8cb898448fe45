/*
 * What SpamAssassin says of the mail, asked of the spamd servers of `filter spamassassin`: a
 * dear question, when no cheaper one is left that could decide.
 */
#include "filters/filter.h"

static const struct fact_decl spamassassin_facts[] = {
	{.name = "spamassassin.score",
		.type = FACT_NUMBER,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.served = true,
		.text = "The score that SpamAssassin gives the mail; fails where none of its "
			"servers answers."},
	{.name = NULL},
};

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct neighbour_verdict *said = flt_neighbour(c, NEIGHBOUR_SPAMD);
	(void)ref;
	if (said == NULL)
		return FACT_OPEN;
	if (said->failed)
		return flt_failed(c, v, "SpamAssassin: %.*s", SLICE_ARG(said->why));
	v->evidence = flt_neighbour_evidence(c, said);
	v->number = said->score;
	return FACT_KNOWN;
}

const struct filter flt_spamassassin = {
	.name = "spamassassin", .facts = spamassassin_facts, .gather = gather};
