/*
 * A transaction at the gate: who may send (no open relay by construction), one next hop for
 * each transaction where there is no spool, and the pipeline's decisions as replies.
 */
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "session/bounces.h"
#include "session/gate_priv.h"
#include "session/modes.h"
#include "session/parcels.h"
#include "session/refusals.h"
#include "session/rights.h"
#include "session/told.h"

/* With 64 KiB of body or header lines this still fits a message of 128 KiB (io/ipc.h). */
enum { OUTSIDE_RCPT_BYTES = 56 * 1024, RCPT_OVERHEAD = 24 };

void
gate_reset(struct gate *g)
{
	if (g->wait == GATE_TRANSFER)
		return; /* it holds the mail; gate_transferred comes here again */
	if (g->wait == GATE_FACTS || g->wait == GATE_SIGN || g->wait == GATE_RCPT)
		g->wait = GATE_IDLE;
	g->in_mail = g->in_body = false;
	g->sender = (struct address){0};
	g->hops = NULL;
	g->site = SLICE_NONE;
	g->rcpt_params = NULL;
	g->rcpt_room = 0;
	g->outside_bytes = 0;
	g->transfer = (struct gate_transfer){0};
	g->signatures = NULL;
	g->sign_set = 0;
	pipeline_mail_end(g->pipeline);
	gate_forward_end(g);
}

static bool
may_send(const struct gate *g)
{
	return g->config->direction == INBOUND || g->session.user.n != 0 || g->in_network ||
	       g->config->listener->filter.n != 0;
}

static void
log_refused(struct gate *g, const struct address *sender, const struct address *rcpt,
	const struct smtp_reply *r, const struct outcome *o)
{
	struct told t = {.config = g->config,
		.session = &g->session,
		.pipeline = g->pipeline,
		.log = g->in_mail ? pipeline_log(g->pipeline) : &g->log};
	told_refused(
		&t, sender, rcpt, r, o, g->in_mail ? pipeline_arena(g->pipeline) : g->arena);
}

void
gate_on_mail(struct gate *g, const struct smtp_event *ev)
{
	struct smtp_reply no = {0};
	if (!gate_forward_begin(g))
		return;
	if (g->config->listener->tls == LISTEN_TLS_REQUIRED && g->session.tls_version.n == 0)
		no = smtp_reply_of("530 5.7.0 Must issue a STARTTLS command first");
	else if (!may_send(g))
		no = smtp_reply_of("530 5.7.0 Authentication required");
	else
		no = modes_reply(g->config->listener->mode,
			rights_envelope(g->config->conf, g->config->listener->kind, &g->session,
				&ev->address));
	if (no.code != 0) {
		struct outcome o = {.builtin = "sender-rights"};
		log_refused(g, &ev->address, NULL, &no, &o);
		gate_forward_end(g);
		gate_reply(g, no);
		return;
	}
	g->in_mail = true;
	pipeline_mail(g->pipeline, &ev->address, &ev->mail);
	g->sender = bounces_sender(g->config, &ev->address, g->session.wall_ms, 0,
		pipeline_arena(g->pipeline), pipeline_log(g->pipeline));
	gate_reply(g, smtp_reply_of("250 2.1.0 Sender ok"));
}

void
gate_refuse_rcpt(struct gate *g, struct smtp_reply r, const char *builtin)
{
	struct outcome o = {.builtin = builtin};
	g->rcpts_refused++;
	log_refused(g, &pipeline_the_mail(g->pipeline)->sender, &g->rcpt, &r, &o);
	gate_reply(g, r);
}

/* Without a spool a transaction has one next hop, and LMTP, which answers for each recipient,
 * one recipient (POLICY.md). */
static bool
fits_transaction(const struct gate *g, const struct hop_list *hops, struct slice site)
{
	if (pipeline_splits(g->pipeline) || pipeline_the_mail(g->pipeline)->n_recipients == 0)
		return true;
	if (hops_have_lmtp(g->hops) || hops_have_lmtp(hops))
		return false;
	return hops_same(g->hops, hops) && slice_eq(g->site, site);
}

/* Its server has refused it not long ago, after we had accepted it: now it hears that at once.
 */
static bool
was_refused(struct gate *g)
{
	struct arena *a = pipeline_arena(g->pipeline);
	struct smtp_reply r;
	if (g->config->refusals == NULL || hops_of(g->config, g->rcpt_domain) == NULL ||
		!refusals_find(g->config->refusals, &pipeline_the_mail(g->pipeline)->sender,
			&g->rcpt, clock_ms(), a, &r))
		return false;
	gate_refuse_rcpt(g,
		smtp_reply_text(r,
			arena_printf(a, "The destination refuses the recipient: %.*s",
				SLICE_ARG(r.text)),
			a),
		"refused-by-server");
	return true;
}

/* What a recipient takes in the one message to a delivery process. */
static size_t
outside_bytes(const struct gate *g)
{
	return g->rcpt.raw.n + g->rcpt.domain.n + g->rcpt_param.orcpt.n + RCPT_OVERHEAD;
}

void
gate_on_rcpt(struct gate *g, const struct smtp_event *ev)
{
	const struct conf *conf = g->config->conf;
	g->rcpt = ev->address;
	g->rcpt_param = ev->rcpt;
	pipeline_postmaster(g->pipeline, &g->rcpt);
	pipeline_untag(g->pipeline, &g->rcpt);
	g->rcpt_domain = conf_domain_find(conf, g->rcpt.domain);
	const struct hop_list *hops = hops_of(g->config, g->rcpt_domain);
	if (hops == NULL && g->config->direction == INBOUND) {
		gate_refuse_rcpt(g,
			modes_reply(g->config->listener->mode,
				smtp_reply_of("550 5.7.1 Relaying denied: this domain is not "
					      "served here")),
			"relay");
		return;
	}
	if (hops == NULL && conf->send.way == SEND_NONE) {
		gate_refuse_rcpt(g,
			modes_reply(g->config->listener->mode,
				smtp_reply_of("550 5.7.1 No way out is configured")),
			"relay");
		return;
	}
	struct slice site = hops != NULL ? SLICE_NONE : g->rcpt.domain;
	if (!fits_transaction(g, hops, site)) {
		gate_refuse_rcpt(g,
			smtp_reply_of(
				"452 4.5.3 Another destination needs a transaction of its own"),
			"one-next-hop");
		return;
	}
	if (hops == NULL && !pipeline_splits(g->pipeline) &&
		g->outside_bytes + outside_bytes(g) > OUTSIDE_RCPT_BYTES) {
		gate_refuse_rcpt(g,
			smtp_reply_of("452 4.5.3 Too many recipients, the rest needs another "
				      "transaction"),
			"recipients");
		return;
	}
	if (was_refused(g))
		return;
	g->about = ABOUT_RCPT;
	gate_on_step(g, pipeline_rcpt(g->pipeline, &g->rcpt, g->rcpt_domain));
}

static void
keep_rcpt(struct gate *g)
{
	struct arena *a = pipeline_arena(g->pipeline);
	size_t n = pipeline_the_mail(g->pipeline)->n_recipients;
	if (n > g->rcpt_room) {
		size_t room = g->rcpt_room != 0 ? g->rcpt_room * 2 : 4;
		struct smtp_rcpt_params *more = arena_array(a, room, sizeof(*more));
		if (g->rcpt_room != 0)
			memcpy(more, g->rcpt_params, g->rcpt_room * sizeof(*more));
		g->rcpt_params = more;
		g->rcpt_room = room;
	}
	g->rcpt_params[n - 1] = g->rcpt_param;
	g->outside_bytes += outside_bytes(g);
	if (n == 1) {
		g->hops = hops_of(g->config, g->rcpt_domain);
		g->site = g->hops != NULL ? SLICE_NONE : g->rcpt.domain;
	}
}

void
gate_take_rcpt(struct gate *g)
{
	keep_rcpt(g);
	gate_reply(g, smtp_reply_of("250 2.1.5 Recipient ok"));
}

static void
rcpt_decided(struct gate *g, enum step s)
{
	if (s == STEP_GO && gate_may_ask(g)) {
		g->wait = GATE_RCPT;
		g->wait_told = false;
		return;
	}
	if (s == STEP_GO) {
		gate_take_rcpt(g);
		return;
	}
	const struct outcome *o = pipeline_outcome(g->pipeline);
	g->rcpts_refused++;
	log_refused(g, &pipeline_the_mail(g->pipeline)->sender, &g->rcpt, &o->reply, o);
	gate_reply(g, o->reply);
}

static void
data_decided(struct gate *g, enum step s)
{
	if (s == STEP_GO) {
		g->in_body = true;
		gate_reply(g, smtp_reply_of("354 End data with <CR><LF>.<CR><LF>"));
		return;
	}
	struct smtp_reply r = pipeline_outcome(g->pipeline)->reply;
	g->mails_refused++;
	gate_log_mail(g, action_text(pipeline_outcome(g->pipeline)->action), &r);
	gate_reply(g, r);
}

static void
mail_decided(struct gate *g, enum step s)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	if (s == STEP_GO && o->action == ACTION_ACCEPT) {
		gate_sign_next(g);
		return;
	}
	struct smtp_reply r = o->reply;
	if (s == STEP_GO) { /* discard: taken and dropped, always logged with its rule */
		r = smtp_reply_text(smtp_reply_of("250 2.0.0 ok"),
			arena_printf(pipeline_arena(g->pipeline), "Accepted (%s)",
				pipeline_id(g->pipeline)),
			pipeline_arena(g->pipeline));
		pipeline_keep(g->pipeline);
		g->mails_taken++;
	} else {
		g->mails_refused++;
	}
	gate_log_mail(g, action_text(o->action), &r);
	gate_reply(g, r);
	gate_reset(g);
}

/* What was being decided: the data is complete, DATA came, or a recipient. */
void
gate_on_step(struct gate *g, enum step s)
{
	if (s == STEP_WAIT) {
		g->wait = GATE_FACTS;
		return;
	}
	g->wait = GATE_IDLE;
	switch (g->about) {
	case ABOUT_RCPT: rcpt_decided(g, s); break;
	case ABOUT_DATA: data_decided(g, s); break;
	case ABOUT_MAIL: mail_decided(g, s); break;
	}
}

void
gate_on_data(struct gate *g)
{
	g->about = ABOUT_DATA;
	gate_on_step(g, pipeline_data(g->pipeline));
}

void
gate_on_body_end(struct gate *g)
{
	struct smtp_reply r = {0};
	enum step s = pipeline_end(g->pipeline);
	if (s != STEP_REFUSE)
		r = modes_reply(g->config->listener->mode,
			rights_author(g->config->conf, g->config->listener->kind, &g->session,
				pipeline_the_mail(g->pipeline), pipeline_arena(g->pipeline)));
	if (r.code != 0) {
		g->wait = GATE_IDLE;
		g->mails_refused++;
		gate_log_mail(g, r.code < 500 ? "defer" : "reject", &r);
		gate_reply(g, r);
		gate_reset(g);
		return;
	}
	g->about = ABOUT_MAIL;
	gate_on_step(g, s);
}
