/*
 * A mail that may go on: handed to the driver with what is added and left out, and what became
 * of it turned into our reply. Where one next hop takes it over a connection of our own, we
 * keep no custody: its reply is our reply, and where it takes some recipients only, nothing is
 * sent (DESIGN.md, "Inbound"). What the keeper takes is in gate_custody.c.
 */
#include "base/clock.h"
#include "base/must.h"
#include "session/copies.h"
#include "session/edits.h"
#include "session/gate_priv.h"
#include "session/parcels.h"
#include "session/refusals.h"

struct told
gate_told(struct gate *g)
{
	const struct gate_transfer *t = &g->transfer;
	return (struct told){.config = g->config,
		.session = &g->session,
		.pipeline = g->pipeline,
		.log = pipeline_log(g->pipeline),
		.queue = gate_ident(g),
		.hop = t->hop,
		.words = t->reply.code != 0 && t->n_parcels == 0 ? &t->reply : NULL,
		.custody = t->result};
}

void
gate_log_mail(struct gate *g, const char *decision, const struct smtp_reply *reply)
{
	struct told t = gate_told(g);
	told_mail(&t, decision, reply);
}

void
gate_refuse_mail(struct gate *g, const char *decision, struct smtp_reply r)
{
	g->mails_refused++;
	gate_log_mail(g, decision, &r);
	gate_reply(g, r);
	gate_reset(g);
}

/* The mail as it leaves: what came, cut and spliced, behind our lines. -1: too many pieces. */
static int
make_body(struct gate *g, size_t set, bool from_file, struct relay_body *body, struct err *err)
{
	const struct edits *e = &pipeline_outcome(g->pipeline)->sets[set].edits;
	struct slice bytes, signatures = g->signatures[set];
	struct spill *spill = pipeline_spill(g->pipeline);
	relay_body_init(body, pipeline_arena(g->pipeline));
	if (!from_file && spill_memory(spill, &bytes))
		(void)relay_body_add(body, bytes); /* the first part: there is room */
	else
		(void)relay_body_add_file(body, spill_file(spill, err), 0, spill_bytes(spill));
	if (edits_carry_out(e, 0, body) < 0)
		return err_set(
			err, "more header fields to leave out than a mail can have pieces");
	if (relay_body_prefix(body, e->prefix) < 0 ||
		(signatures.n != 0 && relay_body_prefix(body, signatures) < 0))
		return err_set(err, "no piece is left for our header lines");
	return 0;
}

/* All bodies of the mail. -1: one has too many pieces, or no file is to be had. */
static int
make_bodies(struct gate *g, bool from_file, struct relay_body **bodies_out, struct err *err)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	struct relay_body *bodies =
		arena_array(pipeline_arena(g->pipeline), o->n_sets, sizeof(*bodies));
	*bodies_out = bodies;
	for (size_t i = 0; i < o->n_sets; i++)
		if (make_body(g, i, from_file, &bodies[i], err) < 0)
			return -1;
	return 0;
}

/*
 * Bodies for the keeper, which hands them on to delivery: more than a message to it holds, with
 * room for our lines, is in the file. -1: no file is to be had, or one has too many pieces.
 */
static int
make_parcel_bodies(struct gate *g, struct relay_body **bodies_out, struct err *err)
{
	struct spill *spill = pipeline_spill(g->pipeline);
	bool from_file = spill_bytes(spill) > DELIVERY_INLINE_BYTES / 2;
	if (from_file && spill_file(spill, err) < 0)
		return -1;
	return make_bodies(g, from_file, bodies_out, err);
}

static struct parcels_input
parcels_input_of(struct gate *g, const struct relay_body *bodies)
{
	return (struct parcels_input){.config = g->config,
		.session = &g->session,
		.mail = pipeline_the_mail(g->pipeline),
		.sender = &g->sender,
		.params = g->rcpt_params,
		.outcome = pipeline_outcome(g->pipeline),
		.bodies = bodies,
		.id = pipeline_id(g->pipeline),
		.facts = pipeline_facts(g->pipeline)};
}

/* To one next hop: all whose mail is not dropped. They have one set of edits. */
static void
to_next_hop(struct gate *g, const struct relay_body *bodies)
{
	const struct flt_mail *m = pipeline_the_mail(g->pipeline);
	const struct decisions *d = pipeline_outcome(g->pipeline)->decisions;
	struct arena *a = pipeline_arena(g->pipeline);
	struct gate_transfer *t = &g->transfer;
	t->mail = (struct relay_mail){.sender = g->sender,
		.params = m->params,
		.rcpts = arena_array(a, m->n_recipients, sizeof(*t->mail.rcpts)),
		.all_or_none = true,
		.body = &t->body,
		.arena = a,
		.log = pipeline_log(g->pipeline)};
	for (size_t i = 0; i < m->n_recipients; i++) {
		const struct decision *one = &d->list[d->of[i]];
		if (!decision_serves(one))
			continue;
		if (t->mail.n_rcpts == 0) {
			g->transfer_set = one->set;
			t->hops = hops_of(g->config, m->recipients[i].domain);
			t->site =
				t->hops != NULL ? SLICE_NONE : m->recipients[i].address.domain;
		}
		t->mail.rcpts[t->mail.n_rcpts++] = (struct relay_rcpt){
			.address = m->recipients[i].address, .params = g->rcpt_params[i]};
	}
	t->body = bodies[g->transfer_set];
	t->mail.client = gate_client_of_mail(g, t->hops);
}

/* Of every recipient's domain: each says `hold when unreachable`. */
static bool
all_domains_hold(const struct gate *g)
{
	const struct flt_mail *m = pipeline_the_mail(g->pipeline);
	for (size_t i = 0; i < m->n_recipients; i++)
		if (m->recipients[i].domain == NULL ||
			!m->recipients[i].domain->hold_when_unreachable)
			return false;
	return true;
}

/* The keeper's mail: -1 where no file is to be had, or too much would go beside it. */
static int
to_keeper(struct gate *g, struct err *err)
{
	struct gate_transfer *t = &g->transfer;
	struct relay_body *bodies;
	if (make_parcel_bodies(g, &bodies, err) < 0)
		return -1;
	struct parcels_input in = parcels_input_of(g, bodies);
	t->n_parcels = parcels_make(&in, t->mail.arena, &t->parcels);
	if (t->n_parcels == 0)
		return err_set(err,
			"more parcels of one mail, or pieces of one, than go to the keeper");
	copies_log(&in, pipeline_log(g->pipeline));
	return 0;
}

void
gate_begin_transfer(struct gate *g)
{
	struct arena *a = pipeline_arena(g->pipeline);
	struct gate_transfer *t = &g->transfer;
	struct relay_body *bodies;
	struct err err;
	*t = (struct gate_transfer){0};
	if (make_bodies(g, false, &bodies, &err) < 0) {
		log_error(EV_WARNING, pipeline_log(g->pipeline), &err);
		gate_refuse_mail(g, "reject",
			smtp_reply_of("550 5.6.0 The header of this mail repeats fields beyond "
				      "reason"));
		return;
	}
	struct parcels_input in = parcels_input_of(g, bodies);
	gate_log_decisions(g);
	t->mail.arena = a;
	t->mail.log = pipeline_log(g->pipeline);
	if (parcels_are_needed(&in, pipeline_splits(g->pipeline))) {
		if (to_keeper(g, &err) < 0) {
			log_error(EV_SYSTEM_ERROR, pipeline_log(g->pipeline), &err);
			gate_refuse_mail(g, "defer",
				smtp_reply_of("452 4.3.1 Insufficient system resources, try "
					      "again later"));
			return;
		}
		t->budget_ms = gate_budget_ms(g);
		t->give_back = g->config->direction == INBOUND;
		t->hold = all_domains_hold(g);
	} else {
		copies_log(&in, t->mail.log);
		to_next_hop(g, bodies);
	}
	g->wait = GATE_TRANSFER;
	g->wait_told = false;
}

bool
gate_unreachable(struct gate *g)
{
	struct gate_transfer *t = &g->transfer;
	struct err err;
	must(g->wait == GATE_TRANSFER);
	if (t->n_parcels != 0 || !pipeline_splits(g->pipeline) || !all_domains_hold(g) ||
		g->gone || to_keeper(g, &err) < 0)
		return false;
	t->budget_ms = 0;
	t->reply = (struct smtp_reply){0};
	return true;
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
	return make_body(g, g->transfer_set, true, &g->transfer.body, err);
}

struct smtp_reply
gate_quote(struct gate *g, const char *ours, const struct smtp_reply *theirs)
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
		return gate_quote(g, "250 2.0.0 Delivered", &t->reply);
	if (refused == t->mail.n_rcpts)
		return gate_quote(g,
			worst->phase == SMTP_CL_RCPT
				? "550 5.1.1 The destination refuses the recipient"
				: "554 5.3.0 The destination refuses the mail",
			&worst->reply);
	if (doubt != 0)
		return smtp_reply_of(
			"451 4.4.2 The destination was lost after the data, try again later");
	return gate_quote(g,
		"451 4.3.0 The destination does not take the mail now, try again later",
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
			refusals_note(g->config->refusals,
				&pipeline_the_mail(g->pipeline)->sender, &r->address, &r->reply,
				clock_ms());
	}
}

void
gate_transferred(struct gate *g)
{
	must(g->wait == GATE_TRANSFER);
	bool taken;
	struct smtp_reply r;
	if (g->transfer.n_parcels != 0) {
		r = gate_reply_of_keeper(g);
		taken = smtp_reply_class(&r) == 2;
	} else {
		note_refusals(g);
		r = reply_of_transfer(g, &taken);
	}
	g->wait = GATE_IDLE;
	if (taken)
		pipeline_keep(g->pipeline);
	if (taken)
		g->mails_taken++;
	else
		g->mails_refused++;
	gate_log_mail(g, taken ? "accept" : r.code / 100 == 5 ? "reject" : "defer", &r);
	gate_reply(g, r);
	gate_reset(g);
	gate_run(g);
}
