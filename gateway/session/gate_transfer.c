/*
 * A mail that may go on: handed to the driver with what is added and left out, and the next
 * hop's answer turned into ours. Inbound keeps no custody: its reply is our reply, and where it
 * takes some recipients only, nothing is sent (DESIGN.md, "Inbound").
 */
#include "base/clock.h"
#include "base/must.h"
#include "session/gate_priv.h"
#include "session/refusals.h"
#include "session/told.h"

void
gate_log_mail(struct gate *g, const char *decision, const struct smtp_reply *reply)
{
	struct told t = {.config = g->config,
		.session = &g->session,
		.pipeline = g->pipeline,
		.log = pipeline_log(g->pipeline),
		.queue = gate_ident(g),
		.hop = g->transfer.hop,
		.words = g->transfer.reply.code != 0 ? &g->transfer.reply : NULL};
	told_mail(&t, decision, reply);
}

/* The mail as it leaves: what came, less the cuts, behind our lines. -1: too many pieces. */
static int
make_body(struct gate *g, const struct edits *e, bool from_file, struct relay_body *body,
	struct err *err)
{
	struct spill *spill = pipeline_spill(g->pipeline);
	struct slice bytes;
	relay_body_init(body, pipeline_arena(g->pipeline));
	if (!from_file && spill_memory(spill, &bytes))
		(void)relay_body_add(body, bytes); /* the first part: there is room */
	else
		(void)relay_body_add_file(body, spill_file(spill, err), 0, spill_bytes(spill));
	for (size_t i = e->n_cuts; i > 0; i--)
		if (relay_body_cut(body, e->cuts[i - 1].at, e->cuts[i - 1].bytes) < 0)
			return err_set(err,
				"more header fields to leave out than a mail can have pieces");
	if (relay_body_prefix(body, e->prefix) < 0)
		return err_set(err, "no piece is left for our header lines");
	return g->signatures.n != 0 ? relay_body_prefix(body, g->signatures) : 0;
}

void
gate_begin_transfer(struct gate *g)
{
	const struct flt_mail *m = pipeline_the_mail(g->pipeline);
	struct arena *a = pipeline_arena(g->pipeline);
	struct gate_transfer *t = &g->transfer;
	struct err err;
	*t = (struct gate_transfer){.hops = g->hops, .site = g->site};
	if (make_body(g, &pipeline_outcome(g->pipeline)->edits, false, &t->body, &err) < 0) {
		struct smtp_reply r = smtp_reply_of(
			"550 5.6.0 The header of this mail repeats fields beyond reason");
		log_error(EV_WARNING, pipeline_log(g->pipeline), &err);
		g->mails_refused++;
		gate_log_mail(g, "reject", &r);
		gate_reply(g, r);
		gate_reset(g);
		return;
	}
	t->mail = (struct relay_mail){.sender = m->sender,
		.params = m->params,
		.rcpts = arena_array(a, m->n_recipients, sizeof(*t->mail.rcpts)),
		.n_rcpts = m->n_recipients,
		.all_or_none = true,
		.body = &t->body,
		.client = gate_client_of_mail(g, g->hops),
		.arena = a,
		.log = pipeline_log(g->pipeline)};
	for (size_t i = 0; i < m->n_recipients; i++)
		t->mail.rcpts[i] = (struct relay_rcpt){
			.address = m->recipients[i].address, .params = g->rcpt_params[i]};
	g->wait = GATE_TRANSFER;
	g->wait_told = false;
}

const struct sign_request *
gate_signs(const struct gate *g, size_t *n_out)
{
	*n_out = pipeline_outcome(g->pipeline)->n_signs;
	return pipeline_outcome(g->pipeline)->signs;
}

void
gate_signed(struct gate *g, const struct slice *signatures)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	struct arena *a = pipeline_arena(g->pipeline);
	must(g->wait == GATE_SIGN);
	g->wait = GATE_IDLE;
	if (signatures == NULL) {
		struct smtp_reply r = smtp_reply_of(
			"451 4.3.0 The mail cannot be signed now, try again later");
		g->mails_refused++;
		gate_log_mail(g, "defer", &r);
		gate_reply(g, r);
		gate_reset(g);
	} else {
		g->signatures = SLICE_NONE;
		for (size_t i = 0; i < o->n_signs; i++) {
			struct slice field =
				dkim_sign_field(&o->signs[i].dkim, signatures[i], a);
			g->signatures = arena_printf(
				a, "%.*s%.*s", SLICE_ARG(g->signatures), SLICE_ARG(field));
		}
		gate_begin_transfer(g);
	}
	gate_run(g);
}

struct gate_transfer *
gate_transfer(struct gate *g)
{
	must(g->wait == GATE_TRANSFER);
	return &g->transfer;
}

struct spill *
gate_spill(struct gate *g)
{
	return pipeline_spill(g->pipeline);
}

int
gate_body_to_file(struct gate *g, struct err *err)
{
	if (spill_file(pipeline_spill(g->pipeline), err) < 0)
		return -1;
	return make_body(
		g, &pipeline_outcome(g->pipeline)->edits, true, &g->transfer.body, err);
}

/* The remote's words behind ours, so that the sender's postmaster can read both. */
static struct smtp_reply
quote(struct gate *g, const char *ours, const struct smtp_reply *theirs)
{
	struct arena *a = pipeline_arena(g->pipeline);
	struct smtp_reply r = smtp_reply_of(ours);
	if (theirs->has_enhanced && theirs->code / 100 == r.code / 100) {
		r.enhanced[1] = theirs->enhanced[1];
		r.enhanced[2] = theirs->enhanced[2];
	}
	/* 521 would end the session too (RFC 7504) */
	if (theirs->code / 100 == 5 && r.code / 100 == 5 && theirs->code != 521)
		r.code = theirs->code;
	return smtp_reply_text(r,
		arena_printf(a, "%.*s (%s): %.*s", SLICE_ARG(r.text), pipeline_id(g->pipeline),
			SLICE_ARG(theirs->text)),
		a);
}

/*
 * No custody: what happened to all recipients is one reply. Refused for good, all of them: that
 * is the answer. Else 451, nothing was delivered: the client tries again, and the recipient
 * cache then refuses those alone that the server does not know (DESIGN.md). In doubt: 451 too
 * (RFC 1047).
 */
static struct smtp_reply
reply_of_transfer(struct gate *g, bool *taken_out)
{
	const struct gate_transfer *t = &g->transfer;
	size_t taken = 0, refused = 0, doubt = 0;
	const struct relay_rcpt *worst = &t->mail.rcpts[0];
	for (size_t i = 0; i < t->mail.n_rcpts; i++) {
		const struct relay_rcpt *r = &t->mail.rcpts[i];
		taken += r->fate == RELAY_TAKEN;
		refused += r->fate == RELAY_REFUSED;
		doubt += r->fate == RELAY_DOUBT;
		if (worst->reply.code < 400 ||
			(worst->fate == RELAY_DEFERRED && r->fate == RELAY_REFUSED))
			worst = r;
	}
	*taken_out = taken == t->mail.n_rcpts;
	if (*taken_out)
		return quote(g, "250 2.0.0 Delivered", &t->reply);
	if (refused == t->mail.n_rcpts)
		return quote(g,
			worst->phase == SMTP_CL_RCPT
				? "550 5.1.1 The destination refuses the recipient"
				: "554 5.3.0 The destination refuses the mail",
			&worst->reply);
	if (doubt != 0)
		return smtp_reply_of(
			"451 4.4.2 The destination was lost after the data, try again later");
	return quote(g, "451 4.3.0 The destination does not take the mail now, try again later",
		&worst->reply);
}

/* For the retry: a server that answers differently in a minute is asked again by then. */
static void
note_refusals(struct gate *g)
{
	const struct gate_transfer *t = &g->transfer;
	if (g->config->refusals == NULL || t->hops == NULL)
		return;
	for (size_t i = 0; i < t->mail.n_rcpts; i++) {
		const struct relay_rcpt *r = &t->mail.rcpts[i];
		if (r->fate == RELAY_REFUSED && r->phase == SMTP_CL_RCPT)
			refusals_note(g->config->refusals, &t->mail.sender, &r->address,
				&r->reply, clock_ms());
	}
}

void
gate_transferred(struct gate *g)
{
	must(g->wait == GATE_TRANSFER);
	bool taken;
	note_refusals(g);
	struct smtp_reply r = reply_of_transfer(g, &taken);
	g->wait = GATE_IDLE;
	if (taken)
		g->mails_taken++;
	else
		g->mails_refused++;
	gate_log_mail(g, taken ? "accept" : r.code / 100 == 5 ? "reject" : "defer", &r);
	gate_reply(g, r);
	gate_reset(g);
	gate_run(g);
}
