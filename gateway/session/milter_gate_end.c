/*
 * What becomes of a mail at the milter: the decision and its effects in the protocol's words,
 * as the table in milter_forms.c says for each action. Deletions come first, then what is
 * inserted on top, then recipients, then that the MTA keeps it; the verdict is last.
 */
#include <string.h>

#include "base/must.h"
#include "session/milter_gate_priv.h"
#include "session/modes.h"
#include "session/rights.h"

static void
refuse_mail(struct milter_gate *g, const char *decision, struct smtp_reply r)
{
	g->refused++;
	milter_gate_log(g, decision, &r);
	milter_gate_refuse(g, r);
}

/* The end of the data: what is refused whatever the rules say, then the rules. */
void
milter_gate_end(struct milter_gate *g)
{
	const struct gate_config *side = milter_gate_side(g);
	milter_gate_text(g, SLICE_NONE);
	g->over = true;
	dot_reader_end(&g->text);
	if (g->refusal.code != 0) {
		refuse_mail(g, g->refusal.code < 500 ? "defer" : "reject", g->refusal);
		return;
	}
	if (g->text.faults != DOT_CLEAN) {
		refuse_mail(g, "reject", dot_refusal(g->text.faults));
		return;
	}
	struct smtp_reply no = {0};
	enum step s = pipeline_end(g->pipeline);
	if (s != STEP_REFUSE)
		no = modes_reply(g->config->listener->mode,
			rights_author(side->conf, LISTEN_MILTER, &g->session,
				pipeline_the_mail(g->pipeline), pipeline_arena(g->pipeline)));
	if (no.code != 0) {
		refuse_mail(g, no.code < 500 ? "defer" : "reject", no);
		return;
	}
	g->about = MILTER_ABOUT_END;
	milter_gate_step(g, s);
}

static struct smtp_reply
accepted(struct milter_gate *g)
{
	struct arena *a = pipeline_arena(g->pipeline);
	return smtp_reply_text(smtp_reply_of("250 2.0.0 ok"),
		arena_printf(a, "Accepted (%s)", pipeline_id(g->pipeline)), a);
}

/* Never accepted instead; the sender comes again, and the postmaster hears why. */
static void
refuse_kept(struct milter_gate *g)
{
	struct log_line l;
	g->kept = false;
	log_begin(&l, EV_WARNING, pipeline_log(g->pipeline));
	log_text(&l, "text",
		"a mail for the quarantine is deferred: the MTA takes no QUARANTINE of a "
		"milter");
	log_end(&l);
	refuse_mail(g, "defer",
		smtp_reply_of("451 4.3.0 This mail cannot be kept for review now, try again "
			      "later"));
}

void
milter_gate_decided(struct milter_gate *g, enum step s)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	g->kept =
		o->decisions != NULL && decisions_find(o->decisions, ACTION_QUARANTINE) != NULL;
	if (s == STEP_REFUSE) {
		refuse_mail(g, action_text(o->action), o->reply);
	} else if (o->action != ACTION_ACCEPT) { /* discard */
		struct smtp_reply r = accepted(g);
		pipeline_keep(g->pipeline);
		g->taken++;
		milter_gate_log(g, action_text(o->action), &r);
		milter_gate_say(g, MILTER_DISCARD);
	} else if (g->kept && !g->mta_keeps) {
		refuse_kept(g);
	} else if (o->sets[0].n_signs != 0) {
		g->signing = true;
	} else {
		milter_gate_finish(g, SLICE_NONE);
	}
}

void
milter_gate_signed(struct milter_gate *g, const struct slice *signatures)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	struct arena *a = pipeline_arena(g->pipeline);
	struct slice fields = SLICE_NONE;
	must(g->signing);
	g->signing = g->signing_told = false;
	if (signatures == NULL) {
		refuse_mail(g, "defer",
			smtp_reply_of(
				"451 4.3.0 The mail cannot be signed now, try again later"));
		return;
	}
	for (size_t i = 0; i < o->sets[0].n_signs; i++) {
		struct slice field =
			dkim_sign_field(&o->sets[0].signs[i].dkim, signatures[i], a);
		fields = arena_printf(a, "%.*s%.*s", SLICE_ARG(fields), SLICE_ARG(field));
	}
	milter_gate_finish(g, fields);
}

/* --- the edits of a mail that goes on */

struct edit_list {
	struct arena *arena;
	struct milter_edit *edits;
	size_t n, room;
};

static struct milter_edit *
add_edit(struct edit_list *l, enum milter_edit_kind kind)
{
	if (l->n == l->room) {
		size_t room = l->room != 0 ? 2 * l->room : 16;
		struct milter_edit *more = arena_array(l->arena, room, sizeof(*more));
		if (l->n != 0)
			memcpy(more, l->edits, l->n * sizeof(*more));
		l->edits = more;
		l->room = room;
	}
	l->edits[l->n] = (struct milter_edit){.kind = kind};
	return &l->edits[l->n++];
}

/* The how-manieth of its name it is, from 1, as an MTA counts (MLT-05). */
static uint32_t
place_of(const struct message *m, size_t field)
{
	uint32_t place = 0;
	for (size_t i = 0; i <= field; i++)
		place += slice_eq_nocase(m->fields[i].name, m->fields[field].name);
	return place;
}

/* The last one first: whether or not an MTA counts what is deleted, no place shifts. */
static void
add_deletions(const struct message *m, const struct edits *e, struct edit_list *l)
{
	size_t cut = e->n_cuts;
	for (size_t i = m->n_fields; i > 0 && cut > 0; i--) {
		const struct message_field *f = &m->fields[i - 1];
		if ((uint64_t)(f->raw.p - m->fields[0].raw.p) != e->cuts[cut - 1].at)
			continue;
		cut--;
		struct milter_edit *edit = add_edit(l, MILTER_EDIT_DELETE_HEADER);
		edit->name = f->name;
		edit->index = place_of(m, i - 1);
	}
	must(cut == 0);
}

/* Folds by LF; with its leading space only where the MTA has agreed to see it. */
static struct slice
wire_value(const struct milter_gate *g, struct slice value, struct arena *a)
{
	char *out = arena_alloc(a, value.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != '\r')
			out[n++] = value.p[i];
	struct slice wire = {out, n};
	if ((g->agreed & MILTER_HEADER_SPACE) == 0 && slice_starts(wire, SLICE(" ")))
		wire = slice_from(wire, 1);
	return wire;
}

/* Each above all others, the lowest first. */
static void
add_insertions(struct milter_gate *g, struct slice lines, struct edit_list *l)
{
	struct message ours;
	struct arena *a = pipeline_arena(g->pipeline);
	message_parse(arena_printf(a, "%.*s\r\n", SLICE_ARG(lines)),
		milter_gate_side(g)->conf->hostname,
		pipeline_the_mail(g->pipeline)->params.smtputf8, a, &ours);
	for (size_t i = ours.n_fields; i > 0; i--) {
		struct milter_edit *edit = add_edit(l, MILTER_EDIT_INSERT_HEADER);
		edit->name = ours.fields[i - 1].name;
		edit->value = wire_value(g, ours.fields[i - 1].value, a);
	}
}

static void
add_recipients(struct milter_gate *g, const struct outcome *o, struct edit_list *l)
{
	size_t n = pipeline_the_mail(g->pipeline)->n_recipients;
	for (size_t i = 0; o->redirect.n != 0 && i < n; i++)
		add_edit(l, MILTER_EDIT_DELETE_RCPT)->value = g->paths[i];
	if (o->redirect.n != 0)
		add_edit(l, MILTER_EDIT_ADD_RCPT)->value =
			arena_printf(l->arena, "<%.*s>", SLICE_ARG(o->redirect));
	for (size_t i = 0; i < o->n_copies; i++)
		add_edit(l, MILTER_EDIT_ADD_RCPT)->value =
			arena_printf(l->arena, "<%.*s>", SLICE_ARG(o->copies[i]));
}

/* "NAME: FILE:LINE": all that a person sees of it in the MTA's queue. */
static void
add_quarantine(struct edit_list *l, const struct rule *r)
{
	struct buf reason;
	buf_init(&reason, MILTER_REASON_MOST);
	must(buf_printf(&reason,
		     "%.*s: ", SLICE_ARG(r->text.n != 0 ? r->text : SLICE("quarantine"))) == 0);
	modes_place(r, &reason);
	add_edit(l, MILTER_EDIT_QUARANTINE)->value = arena_slice(l->arena, buf_slice(&reason));
	buf_fini(&reason);
}

/* signatures: whole fields, to stand on top. */
void
milter_gate_finish(struct milter_gate *g, struct slice signatures)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	struct edit_list l = {.arena = pipeline_arena(g->pipeline)};
	struct slice lines = arena_printf(
		l.arena, "%.*s%.*s", SLICE_ARG(signatures), SLICE_ARG(o->sets[0].edits.prefix));
	add_deletions(pipeline_the_mail(g->pipeline)->message, &o->sets[0].edits, &l);
	add_insertions(g, lines, &l);
	add_recipients(g, o, &l);
	if (g->kept)
		add_quarantine(&l, o->rule);
	if (l.n > MILTER_EDITS_MOST) {
		g->kept = false;
		refuse_mail(g, "reject",
			smtp_reply_of("550 5.6.0 The header of this mail repeats fields beyond "
				      "reason"));
		return;
	}
	struct smtp_reply r = accepted(g);
	pipeline_keep(g->pipeline);
	g->taken++;
	milter_gate_log(g, g->kept ? action_text(ACTION_QUARANTINE) : "accept", &r);
	milter_gate_say(g, MILTER_CONTINUE);
	g->answer.edits = l.edits;
	g->answer.n_edits = l.n;
}
