/*
 * A neighbour's question out of a filter's call: the envelope, made once for the mail so that
 * both facts of Rspamd are one question, and the look-up of its answer. The name of the client
 * is waited for, since to a scanner a client without one looks like a bot.
 */
#include "filters/facts.h"

/* RFC 3848: the protocol's keyword. */
static struct slice
protocol(const struct flt_session *s)
{
	if (!s->esmtp)
		return SLICE("SMTP");
	if (s->tls_version.n != 0)
		return s->user.n != 0 ? SLICE("ESMTPSA") : SLICE("ESMTPS");
	return s->user.n != 0 ? SLICE("ESMTPA") : SLICE("ESMTP");
}

static struct slice
envelope(struct flt_call *c, enum neighbour which, struct slice client_name)
{
	const struct flt_session *s = c->session;
	struct neighbour_mail m = {.client = s->client,
		.client_name = client_name,
		.helo = s->helo,
		.user = s->user,
		.id = c->mail->log != NULL ? slice_of(c->mail->log->value) : SLICE_NONE,
		.hostname = c->conf->hostname,
		.protocol = protocol(s),
		.sender = c->mail->sender.is_null ? SLICE_NONE : c->mail->sender.text,
		.n_recipients = c->mail->n_recipients,
		.wall_ms = s->wall_ms};
	struct slice *recipients = arena_array(c->arena, m.n_recipients, sizeof(*recipients));
	for (size_t i = 0; i < m.n_recipients; i++)
		recipients[i] = c->mail->recipients[i].address.text;
	m.recipients = recipients;
	return neighbour_envelope(which, &m, c->arena);
}

const struct neighbour_verdict *
flt_neighbour(struct flt_call *c, enum neighbour which)
{
	struct slice name = slice_of(neighbour_text(which));
	struct slice *mine = *c->state;
	if (mine == NULL) {
		struct value client = {0};
		if (c->most < COST_DEAR) {
			flt_unasked(c, COST_DEAR);
			return NULL;
		}
		if (facts_read(c->facts, "client.name", SLICE_NONE, SIZE_MAX, COST_CHEAP,
			    &client) == FACT_OPEN)
			return NULL;
		mine = *c->state = ARENA_NEW(c->arena, struct slice);
		*mine = envelope(c, which, client.text);
	}
	const struct question *one = questions_neighbour(c->questions, name, *mine);
	return one->state == QUESTION_ANSWERED ? one->neighbour : NULL;
}

struct slice
flt_neighbour_evidence(struct flt_call *c, const struct neighbour_verdict *v)
{
	struct slice most = SLICE_NONE;
	if (v->required != 0) /* who tells a score to explain need not say it */
		most = arena_printf(c->arena, " of %.2f", v->required);
	return arena_printf(c->arena, "%.2f%.*s%s%.*s, says %.*s", v->score, SLICE_ARG(most),
		v->action.n != 0 ? ", " : "", SLICE_ARG(v->action), SLICE_ARG(v->why));
}
