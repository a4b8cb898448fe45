/*
 * How the recipients of a mail are judged: at RCPT each alone, at DATA and after the data all.
 * Without a spool, and by a milter, they get one decision (POLICY.md, "Many recipients, one
 * reply"): whose rules differ is put off. With a spool each has its own, a single `defer` puts
 * the whole mail off, and equal ones are carried out together (decisions.h).
 */
#include <string.h>

#include "base/must.h"
#include "session/append.h"
#include "session/edits.h"
#include "session/modes.h"
#include "session/pipeline_priv.h"
#include "session/refusal.h"

/* Lines of one set of edits, and what signing them takes. */
enum { SET_BYTES = 512 * 1024 };

static bool
is_postmaster(const struct flt_recipient *r)
{
	return r->domain != NULL && (slice_eq_nocase(r->address.local, SLICE("postmaster")) ||
					    slice_eq_nocase(r->address.local, SLICE("abuse")));
}

static const struct flt_recipient *
recipient_at(const struct pipeline *p, size_t i)
{
	return i < p->mail.n_recipients ? &p->mail.recipients[i] : &p->candidate;
}

void
pipeline_evaluate(struct pipeline *p, size_t i, struct arena *a, struct verdict *v_out)
{
	struct policy_subject subject = {.postmaster = is_postmaster(recipient_at(p, i))};
	facts_eval(p->facts, i, &subject, a, v_out);
	modes_apply(p->config->listener->mode, p->config->policy, a, v_out);
}

/* What a verdict says, kept beyond its evaluation. */
static void
outcome_take(struct pipeline *p, const struct verdict *v, size_t rcpt)
{
	struct outcome *o = &p->outcome;
	*o = (struct outcome){
		.action = v->action, .rule = v->rule, .mode = v->mode, .would = v->would};
	if (v->rule == NULL)
		o->builtin = "facts-failed";
	if (v->action == ACTION_REJECT || v->action == ACTION_DEFER)
		o->reply = modes_reply(p->config->listener->mode,
			refusal_reply(v, p->facts, rcpt, p->log.value, p->arena));
}

/* POLICY.md: the last redirect wins, each copy is a recipient more; none is judged again. */
static void
take_recipients(struct pipeline *p, const struct verdict *v)
{
	struct outcome *o = &p->outcome;
	o->copies = arena_array(p->arena, v->n_effects, sizeof(*o->copies));
	for (size_t i = 0; i < v->n_effects; i++) {
		const struct rule *r = v->effects[i];
		if (r->action == ACTION_REDIRECT)
			o->redirect = r->text;
		else if (r->action == ACTION_COPY)
			o->copies[o->n_copies++] = r->text;
	}
}

enum step
pipeline_refuse(
	struct pipeline *p, enum action action, const char *name, struct smtp_reply reply)
{
	p->outcome = (struct outcome){.action = action, .reply = reply, .builtin = name};
	return STEP_REFUSE;
}

static bool
refuses(const struct verdict *v)
{
	return v->decided && (v->action == ACTION_REJECT || v->action == ACTION_DEFER);
}

/* The first recipient's verdict is what later ones are held against: it outlives its
 * evaluation. */
static void
keep_first(struct pipeline *p, const struct verdict *v)
{
	size_t n = policy_rules(p->config->policy);
	p->has_first = true;
	p->first = *v;
	p->first.states = arena_array(p->arena, n, sizeof(*v->states));
	memcpy(p->first.states, v->states, n * sizeof(*v->states));
	p->first.effects = p->first.tries = NULL;
	p->first.n_effects = p->first.n_tries = 0;
}

static void
keep_recipient(struct pipeline *p)
{
	if (p->mail.n_recipients == p->recipients_room) {
		size_t room = p->recipients_room != 0 ? p->recipients_room * 2 : 4;
		struct flt_recipient *more = arena_array(p->arena, room, sizeof(*more));
		if (p->mail.n_recipients != 0)
			memcpy(more, p->mail.recipients, p->mail.n_recipients * sizeof(*more));
		p->mail.recipients = more;
		p->recipients_room = room;
	}
	p->mail.recipients[p->mail.n_recipients++] = p->candidate;
}

/* Nothing that comes later changes it, or where it goes. */
static bool
is_plain_accept(const struct verdict *v)
{
	for (size_t i = 0; v->decided && i < v->n_effects; i++)
		if (v->effects[i]->action == ACTION_ROUTE ||
			v->effects[i]->action == ACTION_REDIRECT)
			return false;
	return v->decided && v->action == ACTION_ACCEPT;
}

enum step
pipeline_judge_rcpt(struct pipeline *p)
{
	struct verdict v;
	arena_reset(p->eval);
	pipeline_evaluate(p, p->mail.n_recipients, p->eval, &v);
	if (!v.decided && v.waits)
		return STEP_WAIT;
	if (refuses(&v)) {
		outcome_take(p, &v, p->mail.n_recipients);
		facts_rcpt_drop(p->facts);
		return STEP_REFUSE;
	}
	p->rcpt_accepted = is_plain_accept(&v);
	if (p->splits) {
		/* judged alone after the data too */
	} else if (v.mode == VERDICT_OBSERVED) {
		/* what would have been refused is no difference to those that are served */
	} else if (!p->has_first) {
		keep_first(p, &v);
	} else if (!policy_same_open(p->config->policy, &p->first, &v)) {
		facts_rcpt_drop(p->facts);
		return pipeline_refuse(p, ACTION_DEFER, "one-decision",
			smtp_reply_of(
				"452 4.5.3 This recipient needs a transaction of its own"));
	}
	keep_recipient(p);
	return STEP_GO;
}

static bool
same_rules(const struct rule **a, size_t n_a, const struct rule **b, size_t n_b)
{
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * sizeof(*a)) == 0);
}

static bool
same_verdict(const struct verdict *a, const struct verdict *b)
{
	if (a->decided != b->decided)
		return false;
	return !a->decided ||
	       (a->action == b->action && a->rule == b->rule &&
		       same_rules(a->effects, a->n_effects, b->effects, b->n_effects));
}

/*
 * One verdict for all recipients, but those that are only observed: they get what the others
 * get. WAIT: questions are open; GO: *v_out is what all got (decided or, before the end, not);
 * REFUSE: they differ, the outcome says so.
 */
static enum step
evaluate_all(struct pipeline *p, struct verdict *v_out)
{
	arena_reset(p->eval);
	/* Answers come one by one: whoever waited last time is asked before all are. */
	if (p->waiting != 0) {
		pipeline_evaluate(p, p->waiting - 1, p->eval, v_out);
		if (!v_out->decided && v_out->waits)
			return STEP_WAIT;
		arena_reset(p->eval);
	}
	pipeline_evaluate(p, 0, p->eval, v_out);
	bool waits = !v_out->decided && v_out->waits, same = true;
	p->waiting = waits;
	/* The others' evaluations are held against the first's and dropped, one by one. */
	struct arena *others = arena_new(PIPELINE_EVAL_MOST);
	for (size_t i = 1; i < p->mail.n_recipients; i++) {
		struct verdict v;
		arena_reset(others);
		pipeline_evaluate(p, i, others, &v);
		if (!v.decided && v.waits) {
			waits = true;
			p->waiting = i + 1;
		}
		if (v.mode == VERDICT_OBSERVED)
			continue;
		if (v_out->mode == VERDICT_OBSERVED) {
			arena_reset(p->eval);
			pipeline_evaluate(p, i, p->eval, v_out);
		}
		same = same && same_verdict(&v, v_out);
	}
	arena_free(&others);
	if (waits)
		return STEP_WAIT;
	if (!same && p->header_done) /* at DATA it may still come out the same */
		return pipeline_refuse(p, ACTION_DEFER, "one-decision",
			smtp_reply_of("451 4.3.0 The recipients of this mail are "
				      "decided differently, send one at a time"));
	return STEP_GO;
}

static enum step
too_many_decisions(struct pipeline *p)
{
	return pipeline_refuse(p, ACTION_DEFER, "decisions",
		smtp_reply_of("451 4.3.0 The recipients of this mail are decided in too many "
			      "ways, send fewer at a time"));
}

/*
 * Each recipient's own verdict, as far as there is one. WAIT: questions are open; REFUSE: one
 * defers the whole mail, or there are too many different ones; GO: those that are decided are
 * in p->decisions, *undecided_out are not.
 */
static enum step
evaluate_each(struct pipeline *p, size_t *undecided_out)
{
	struct verdict v;
	struct decisions *d = &p->decisions;
	bool waits = false, fits = true;
	arena_reset(p->judged);
	arena_reset(p->eval);
	decisions_init(d, p->mail.n_recipients, p->judged);
	*undecided_out = 0;
	/* Answers come one by one: whoever waited last time is asked before all are. */
	if (p->waiting != 0) {
		pipeline_evaluate(p, p->waiting - 1, p->eval, &v);
		if (!v.decided && v.waits)
			return STEP_WAIT;
	}
	p->waiting = 0;
	for (size_t i = 0; i < p->mail.n_recipients; i++) {
		arena_reset(p->eval);
		pipeline_evaluate(p, i, p->eval, &v);
		if (v.decided && v.action == ACTION_DEFER) {
			outcome_take(p, &v, i);
			return STEP_REFUSE;
		}
		if (!v.decided && v.waits) {
			waits = true;
			p->waiting = i + 1;
		}
		*undecided_out += !v.decided;
		fits = fits && (!v.decided || decisions_add(d, &v));
	}
	if (waits)
		return STEP_WAIT;
	return fits ? STEP_GO : too_many_decisions(p);
}

/* One thing is done for all, v; what would have been refused, kept or dropped is told of each.
 */
static enum step
add_observed(struct pipeline *p, const struct verdict *v)
{
	struct arena *others = arena_new(PIPELINE_EVAL_MOST);
	bool fits = true;
	for (size_t i = 0; i < p->mail.n_recipients && fits; i++) {
		struct verdict one;
		arena_reset(others);
		pipeline_evaluate(p, i, others, &one);
		one.effects = v->effects;
		one.n_effects = v->n_effects;
		fits = decisions_add(&p->decisions, one.mode == VERDICT_OBSERVED ? &one : v);
	}
	arena_free(&others);
	return fits ? STEP_GO : too_many_decisions(p);
}

/* The same verdict for all of them. */
static enum step
evaluate_as_one(struct pipeline *p, size_t *undecided_out)
{
	struct verdict v;
	enum step s = evaluate_all(p, &v);
	if (s != STEP_GO)
		return s;
	arena_reset(p->judged);
	decisions_init(&p->decisions, p->mail.n_recipients, p->judged);
	*undecided_out = v.decided ? 0 : p->mail.n_recipients;
	if (v.decided && p->config->listener->mode == MODE_OBSERVE)
		return add_observed(p, &v);
	for (size_t i = 0; v.decided && i < p->mail.n_recipients; i++)
		must(decisions_add(&p->decisions, &v));
	return STEP_GO;
}

static enum step
evaluate_mail(struct pipeline *p, size_t *undecided_out)
{
	return p->splits ? evaluate_each(p, undecided_out) : evaluate_as_one(p, undecided_out);
}

/* What the mail's line in the log tells: of those that are served rather one whose rules hold.
 */
static const struct decision *
first_served(const struct decisions *d)
{
	const struct decision *observed = NULL;
	for (size_t i = 0; i < d->n; i++) {
		const struct decision *one = &d->list[i];
		if (!decision_serves(one))
			continue;
		if (one->verdict.mode == VERDICT_HOLDS)
			return one;
		if (observed == NULL)
			observed = one;
	}
	return observed;
}

/* The first recipient with this decision. */
static size_t
first_of(const struct decisions *d, const struct decision *one)
{
	size_t i = 0;
	while (i + 1 < d->n_of && &d->list[d->of[i]] != one)
		i++;
	return i;
}

/* Nobody gets the mail: refused where one refusal is among the decisions, else dropped. */
static enum step
serve_nobody(struct pipeline *p)
{
	const struct decision *one = decisions_find(&p->decisions, ACTION_REJECT);
	if (one == NULL)
		one = decisions_find(&p->decisions, ACTION_DEFER);
	if (one == NULL)
		one = &p->decisions.list[0];
	outcome_take(p, &one->verdict, first_of(&p->decisions, one));
	return refuses(&one->verdict) ? STEP_REFUSE : STEP_GO;
}

enum step
pipeline_judge_data(struct pipeline *p)
{
	size_t undecided;
	enum step s = evaluate_mail(p, &undecided);
	if (s != STEP_GO || undecided != 0)
		return s;
	for (size_t i = 0; i < p->decisions.n; i++)
		if (!refuses(&p->decisions.list[i].verdict))
			return STEP_GO;
	return serve_nobody(p);
}

/* --- what is done to a mail that goes on */

/* What one set of edits may take; the first always has its room. */
static bool
has_room(const struct pipeline *p)
{
	size_t field = 2 * sizeof(struct message_field) + sizeof(struct cut);
	return arena_room(p->judged) > (p->message.n_fields + 200) * field + SET_BYTES;
}

static struct decision *
first_of_set(struct decisions *d, size_t set)
{
	struct decision *one = d->list;
	while (one->set != set)
		one++;
	return one;
}

/* WAIT: the scanner is asked how. */
static enum step
append(struct pipeline *p, const struct verdict *v, struct edit_set *set)
{
	switch (append_to(p->facts, v, &p->mail, p->header_bytes,
		p->config->conf->limits.mail_bytes, p->judged, &set->edits,
		&set->not_appended)) {
	case APPEND_WAITS: return STEP_WAIT;
	case APPEND_MADE: return STEP_GO;
	case APPEND_DEFERS: break;
	}
	return pipeline_refuse(p, ACTION_DEFER, "append",
		smtp_reply_of("451 4.3.0 The text that belongs under this mail cannot be put "
			      "there now, try again later"));
}

/* Over the body as it leaves: that of the mail as it came was hashed on its way. */
static enum step
sign_set(struct pipeline *p, struct edit_set *set)
{
	struct dkim_sign *s = p->sign;
	struct err err;
	if (append_is_of_body(&set->edits)) {
		s = dkim_sign_begin(p->judged);
		if (append_hash(p->spill, &set->edits, p->judged, s, &err) < 0) {
			log_error(EV_SYSTEM_ERROR, &p->log, &err);
			return pipeline_refuse(p, ACTION_DEFER, "disk",
				smtp_reply_of("452 4.3.1 Insufficient system resources, try "
					      "again later"));
		}
	}
	set->n_signs = sign_make(s, p->config, &p->mail, &set->edits, p->session->wall_ms,
		p->judged, &p->log, &set->signs);
	return STEP_GO;
}

/* WAIT: the facts that the header tells of are still open, or how a text is appended. */
static enum step
make_sets(struct pipeline *p, size_t n, struct edit_set *sets)
{
	for (size_t i = 0; i < n; i++) {
		const struct verdict *v = &first_of_set(&p->decisions, i)->verdict;
		struct edits_input in = {
			p->config, p->session, &p->mail, p->log.value, v, &p->decisions, i};
		if (i > 0 && !has_room(p))
			return pipeline_refuse(p, ACTION_DEFER, "decisions",
				smtp_reply_of("452 4.3.1 The recipients of this mail need too "
					      "many different headers, send fewer at a time"));
		if (!edits_make(&in, p->facts, p->judged, &sets[i].edits))
			return STEP_WAIT;
		enum step s = append(p, v, &sets[i]);
		if (s != STEP_GO)
			return s;
	}
	enum step s = STEP_GO;
	for (size_t i = 0; i < n && s == STEP_GO; i++)
		if (sets[i].edits.n_sign != 0)
			s = sign_set(p, &sets[i]);
	return s;
}

/* What refused recipients are told, and what observed ones would have been. */
static void
make_replies(struct pipeline *p)
{
	for (size_t i = 0; i < p->decisions.n; i++) {
		struct decision *one = &p->decisions.list[i];
		enum action a = modes_action(&one->verdict);
		if (a == ACTION_REJECT || a == ACTION_DEFER)
			one->reply = modes_reply(p->config->listener->mode,
				refusal_reply(&one->verdict, p->facts,
					first_of(&p->decisions, one), p->log.value, p->judged));
	}
}

enum step
pipeline_judge_end(struct pipeline *p)
{
	struct decisions *d = &p->decisions;
	size_t undecided, n_sets;
	enum step s = evaluate_mail(p, &undecided);
	if (s != STEP_GO)
		return s;
	if (undecided != 0) /* the block ends in a rule without condition: a fact neither came
			       nor failed */
		return pipeline_refuse(p, ACTION_DEFER, "undecided",
			smtp_reply_of(
				"451 4.3.0 This mail could not be judged, try again later"));
	const struct decision *served = first_served(d);
	if (served == NULL)
		return serve_nobody(p);
	n_sets = p->splits ? decisions_sets(d) : decisions_one_set(d);
	if (n_sets > EDITS_MOST)
		return pipeline_refuse(p, ACTION_DEFER, "decisions",
			smtp_reply_of("451 4.3.0 The recipients of this mail need too many "
				      "different headers, send fewer at a time"));
	make_replies(p);
	struct edit_set *sets = arena_array(p->judged, n_sets, sizeof(*sets));
	s = make_sets(p, n_sets, sets);
	if (s != STEP_GO)
		return s;
	outcome_take(p, &served->verdict, first_of(d, served));
	take_recipients(p, &served->verdict);
	p->outcome.action = ACTION_ACCEPT;
	p->outcome.decisions = d;
	p->outcome.sets = sets;
	p->outcome.n_sets = n_sets;
	for (size_t i = 0; i < d->n; i++)
		edits_log(&d->list[i].verdict, &p->log);
	modes_log(d, &p->mail, &p->log);
	return STEP_GO;
}
