/*
 * `answer at rcpt` (DESIGN.md, "Outbound"): a recipient that the rules have accepted, whatever
 * the data will be, is asked of its own server before its RCPT is answered. A refusal for good
 * is our reply to it, so that the client's user hears of the typing error at once; anything
 * else, and no answer in time, is our 250.
 */
#include "base/must.h"
#include "session/gate_priv.h"

enum { ASK_MS = 10 * 1000 };

void
gate_waited(struct gate *g, uint64_t ms)
{
	g->waited_ms += ms;
}

uint32_t
gate_patience_ms(const struct gate *g, uint64_t most_ms)
{
	uint64_t all = g->config->conf->send.wait_connection_ms;
	uint64_t left = all > g->waited_ms ? all - g->waited_ms : 0;
	return (uint32_t)(left < most_ms ? left : most_ms);
}

bool
gate_may_ask(struct gate *g)
{
	const struct flt_mail *m = pipeline_the_mail(g->pipeline);
	if (!g->config->conf->send.answer_at_rcpt || g->config->direction != OUTBOUND ||
		!pipeline_splits(g->pipeline) || g->rcpt_domain != NULL ||
		!pipeline_rcpt_is_accepted(g->pipeline))
		return false;
	g->asked = (struct gate_rcpt){.site = g->rcpt.domain,
		.sender = g->sender,
		.rcpt = g->rcpt,
		.params = m->params,
		.rcpt_params = g->rcpt_param,
		.log = pipeline_log(g->pipeline),
		.budget_ms = gate_patience_ms(g, ASK_MS)};
	return g->asked.budget_ms != 0;
}

const struct gate_rcpt *
gate_rcpt(const struct gate *g)
{
	must(g->wait == GATE_RCPT);
	return &g->asked;
}

void
gate_rcpt_answered(struct gate *g, const struct smtp_reply *r)
{
	must(g->wait == GATE_RCPT);
	g->wait = GATE_IDLE;
	if (r != NULL && smtp_reply_class(r) == 5) {
		pipeline_rcpt_drop(g->pipeline);
		gate_refuse_rcpt(g,
			gate_quote(g, "550 5.1.1 The destination refuses the recipient", r),
			"refused-by-server");
	} else {
		gate_take_rcpt(g);
	}
	gate_run(g);
}
