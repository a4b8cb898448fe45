/*
 * The signatures of a mail before it goes on: its recipients' rules may edit it differently,
 * and each set of edits is signed for itself, one after the other.
 */
#include "base/must.h"
#include "session/gate_priv.h"

void
gate_sign_next(struct gate *g)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	if (g->signatures == NULL)
		g->signatures = arena_array(
			pipeline_arena(g->pipeline), o->n_sets, sizeof(*g->signatures));
	while (g->sign_set < o->n_sets && o->sets[g->sign_set].n_signs == 0)
		g->sign_set++;
	if (g->sign_set == o->n_sets) {
		gate_begin_transfer(g);
		return;
	}
	g->wait = GATE_SIGN;
	g->wait_told = false;
}

const struct sign_request *
gate_signs(const struct gate *g, size_t *n_out)
{
	must(g->wait == GATE_SIGN);
	const struct edit_set *set = &pipeline_outcome(g->pipeline)->sets[g->sign_set];
	*n_out = set->n_signs;
	return set->signs;
}

void
gate_signed(struct gate *g, const struct slice *signatures)
{
	must(g->wait == GATE_SIGN);
	const struct edit_set *set = &pipeline_outcome(g->pipeline)->sets[g->sign_set];
	struct arena *a = pipeline_arena(g->pipeline);
	g->wait = GATE_IDLE;
	if (signatures == NULL) {
		gate_refuse_mail(g, "defer",
			smtp_reply_of(
				"451 4.3.0 The mail cannot be signed now, try again later"));
		gate_run(g);
		return;
	}
	struct slice fields = SLICE_NONE;
	for (size_t i = 0; i < set->n_signs; i++) {
		struct slice field = dkim_sign_field(&set->signs[i].dkim, signatures[i], a);
		fields = arena_printf(a, "%.*s%.*s", SLICE_ARG(fields), SLICE_ARG(field));
	}
	g->signatures[g->sign_set++] = fields;
	gate_sign_next(g);
	gate_run(g);
}
