/*
 * A mail that the keeper takes (queue/messages.h): its parcels, how long its client may wait
 * for what the remotes say, and the keeper's answer, which is our reply to the dot as it is.
 */
#include "base/clock.h"
#include "session/gate_priv.h"
#include "session/refusals.h"

/* Recipients of a protected domain that their server refused, for the client's retry. */
static void
note_refusals(struct gate *g, const struct queue_result *r)
{
	const struct gate_transfer *t = &g->transfer;
	size_t at = 0;
	if (g->config->refusals == NULL || t->reply.code / 100 != 4)
		return;
	for (size_t i = 0; i < t->n_parcels; i++) {
		const struct stored_mail *m = &t->parcels[i].mail;
		for (size_t k = 0; k < m->n_rcpts && at < r->n_rcpts; k++, at++) {
			const struct relay_rcpt *one = &r->rcpts[at];
			if (m->rcpts[k].way == DELIVERY_BY_DOMAIN &&
				one->fate == RELAY_REFUSED && one->phase == SMTP_CL_RCPT &&
				smtp_reply_class(&one->reply) == 5)
				refusals_note(g->config->refusals,
					&pipeline_the_mail(g->pipeline)->sender,
					&m->rcpts[k].address, &one->reply, clock_ms());
		}
	}
}

/* Recipients for whom another decision than accept was made: it has a line of its own. */
void
gate_log_decisions(struct gate *g)
{
	const struct decisions *d = pipeline_outcome(g->pipeline)->decisions;
	struct told t = gate_told(g);
	for (size_t i = 0; i < d->n; i++)
		if (d->list[i].verdict.action != ACTION_ACCEPT)
			told_decision(&t, d, i);
}

uint32_t
gate_budget_ms(const struct gate *g)
{
	const struct conf_send *s = &g->config->conf->send;
	if (g->config->direction == INBOUND) /* our own servers' answer, for each mail anew */
		return (uint32_t)s->wait_mail_ms;
	if (s->queued)
		return 0;
	return gate_patience_ms(g, s->wait_mail_ms);
}

struct smtp_reply
gate_reply_of_keeper(struct gate *g)
{
	const struct gate_transfer *t = &g->transfer;
	if (t->result != NULL)
		note_refusals(g, t->result);
	return t->reply;
}
