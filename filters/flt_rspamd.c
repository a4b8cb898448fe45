/*
 * What Rspamd says of the mail, asked of the servers of `filter rspamd`: one dear question for
 * both facts, when no cheaper one is left that could decide.
 */
#include "filters/filter.h"

enum { SCORE, ACTION };

/* In the order of their numbers. */
static const struct fact_decl rspamd_facts[] = {
	{.name = "rspamd.score",
		.type = FACT_NUMBER,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.served = true,
		.text = "The score that Rspamd gives the mail; fails where none of its servers "
			"answers."},
	{.name = "rspamd.action",
		.type = FACT_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.served = true,
		.text = "What Rspamd would do with the mail: \"no action\", \"greylist\", "
			"\"add "
			"header\", \"rewrite subject\", \"soft reject\", \"reject\", or an "
			"action of its administrator's."},
	{.name = NULL},
};

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct neighbour_verdict *said = flt_neighbour(c, NEIGHBOUR_RSPAMD);
	if (said == NULL)
		return FACT_OPEN;
	if (said->failed)
		return flt_failed(c, v, "Rspamd: %.*s", SLICE_ARG(said->why));
	v->evidence = flt_neighbour_evidence(c, said);
	if (ref->decl - rspamd_facts == ACTION)
		return flt_text(v, said->action);
	v->number = said->score;
	return FACT_KNOWN;
}

const struct filter flt_rspamd = {.name = "rspamd", .facts = rspamd_facts, .gather = gather};
