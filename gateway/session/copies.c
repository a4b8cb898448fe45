/*
 * What goes beside a mail that is taken, see copies.h: between the decisions and the keeper.
 * The texts of reports and notices are in copies_text.c.
 */
#include "session/copies.h"

#include "base/clock.h"
#include "session/copies_text.h"
#include "session/notify.h"

static struct slice
journal_of(const struct parcels_input *in)
{
	return in->config->listener->kind == LISTEN_MILTER
		       ? SLICE_NONE
		       : in->config->conf->journal[in->config->direction].to;
}

static bool
notifies(const struct decision *d, size_t i)
{
	return decision_serves(d) && d->verdict.effects[i]->action == ACTION_NOTIFY;
}

/* The first decision in which this effect is the same rule's: done once for all of them. */
static bool
is_first_of_rule(const struct decisions *d, size_t decision, const struct rule *r)
{
	for (size_t i = 0; i < decision; i++)
		for (size_t k = 0;
			decision_serves(&d->list[i]) && k < d->list[i].verdict.n_effects; k++)
			if (d->list[i].verdict.effects[k] == r)
				return false;
	return true;
}

bool
copies_are_due(const struct parcels_input *in)
{
	const struct decisions *d = in->outcome->decisions;
	if (journal_of(in).n != 0)
		return true;
	for (size_t i = 0; i < d->n; i++)
		if (decision_serves(&d->list[i]) &&
			(decision_has(&d->list[i], ACTION_COPY) ||
				decision_has(&d->list[i], ACTION_NOTIFY)))
			return true;
	return false;
}

size_t
copies_most(const struct parcels_input *in)
{
	const struct decisions *d = in->outcome->decisions;
	size_t n = journal_of(in).n != 0 ? in->outcome->n_sets : 0;
	for (size_t i = 0; i < d->n; i++) {
		n += decision_serves(&d->list[i]) && decision_has(&d->list[i], ACTION_COPY);
		for (size_t k = 0; k < d->list[i].verdict.n_effects; k++)
			n += notifies(&d->list[i], k) &&
			     is_first_of_rule(d, i, d->list[i].verdict.effects[k]);
	}
	return n;
}

/* --- copies */

static bool
is_reached(const struct queue_parcel *parcels, size_t n, struct slice text)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; !parcels[i].refused && k < parcels[i].mail.n_rcpts; k++)
			if (slice_eq_nocase(parcels[i].mail.rcpts[k].address.text, text))
				return true;
	return false;
}

static void
add_copies(const struct parcels_input *in, const struct decision *one, struct arena *a,
	struct queue_parcel *parcels, size_t *n)
{
	const struct verdict *v = &one->verdict;
	struct queue_parcel *p = &parcels[*n];
	*p = (struct queue_parcel){.beside = true, .body = in->bodies[one->set]};
	parcels_fill(in, one, a, &p->mail);
	p->mail.rcpts = arena_array(a, v->n_effects, sizeof(*p->mail.rcpts));
	for (size_t k = 0; k < v->n_effects; k++)
		if (v->effects[k]->action == ACTION_COPY &&
			!is_reached(parcels, *n + 1, v->effects[k]->text))
			parcels_add_own(in, v->effects[k]->text, a, &p->mail);
	*n += p->mail.n_rcpts != 0;
}

/* --- mails that we write */

/* From nobody, and not theirs who sent the mail: no reply to it can reach them. */
static void
fill_own(const struct parcels_input *in, struct slice to, struct arena *a,
	struct queue_parcel *p)
{
	*p = (struct queue_parcel){.beside = true};
	p->mail = (struct stored_mail){.kind = STORED_SEND,
		.direction = in->config->direction,
		.arrived_ms = (uint64_t)in->session->wall_ms,
		.log = slice_of(in->id),
		.client = in->session->client,
		.sender = {.is_null = true},
		.params = {.body = SMTP_BODY_8BITMIME, .smtputf8 = in->mail->params.smtputf8}};
	p->mail.rcpts = arena_array(a, 1, sizeof(*p->mail.rcpts));
	parcels_add_own(in, to, a, &p->mail);
	relay_body_init(&p->body, a);
}

static bool
is_of_set(const struct decisions *d, size_t set)
{
	for (size_t i = 0; i < d->n; i++)
		if (decision_serves(&d->list[i]) && d->list[i].set == set)
			return true;
	return false;
}

static bool
add_journal(const struct parcels_input *in, struct arena *a, struct queue_parcel *parcels,
	size_t *n)
{
	for (size_t set = 0; set < in->outcome->n_sets; set++) {
		struct queue_parcel *p = &parcels[*n];
		struct slice head, end;
		if (!is_of_set(in->outcome->decisions, set))
			continue;
		fill_own(in, journal_of(in), a, p);
		copies_journal_text(in, journal_of(in), set, a, &head, &end);
		if (relay_body_add(&p->body, head) < 0 ||
			relay_body_add_all(&p->body, &in->bodies[set]) < 0 ||
			relay_body_add(&p->body, end) < 0)
			return false;
		(*n)++;
	}
	return true;
}

static void
add_notices(const struct parcels_input *in, size_t decision, struct arena *a,
	struct queue_parcel *parcels, size_t *n)
{
	const struct decision *one = &in->outcome->decisions->list[decision];
	uint64_t now = clock_ms(), left_out = 0;
	for (size_t k = 0; k < one->verdict.n_effects; k++) {
		const struct rule *r = one->verdict.effects[k];
		if (!notifies(one, k) ||
			!is_first_of_rule(in->outcome->decisions, decision, r) ||
			(in->config->notices != NULL &&
				!notices_take(in->config->notices, r, now, &left_out)))
			continue;
		struct queue_parcel *p = &parcels[(*n)++];
		fill_own(in, r->text, a, p);
		(void)relay_body_add(&p->body, /* the first part: there is room */
			copies_notice_text(in, r, left_out, a));
	}
}

bool
copies_make(const struct parcels_input *in, struct arena *a, struct queue_parcel *parcels,
	size_t *n)
{
	const struct decisions *d = in->outcome->decisions;
	for (size_t i = 0; i < d->n; i++)
		if (decision_serves(&d->list[i]) && decision_has(&d->list[i], ACTION_COPY))
			add_copies(in, &d->list[i], a, parcels, n);
	for (size_t i = 0; i < d->n; i++)
		add_notices(in, i, a, parcels, n);
	return journal_of(in).n == 0 || add_journal(in, a, parcels, n);
}

/* --- the log */

/* An effect is told of once for its rule; a text once for each set of bytes. */
static bool
is_told(const struct decisions *d, size_t decision, const struct rule *r)
{
	for (size_t i = 0; i < decision; i++)
		if (decision_serves(&d->list[i]) &&
			(r->action != ACTION_APPEND ||
				d->list[i].set == d->list[decision].set) &&
			decision_has_rule(&d->list[i], r))
			return true;
	return false;
}

static size_t
count_recipients(const struct decisions *d, size_t decision, const struct rule *r)
{
	size_t n = 0;
	for (size_t i = decision; i < d->n; i++)
		if (decision_serves(&d->list[i]) &&
			(r->action != ACTION_APPEND ||
				d->list[i].set == d->list[decision].set) &&
			decision_has_rule(&d->list[i], r))
			n += d->list[i].n;
	return n;
}

static void
log_effect(const struct parcels_input *in, size_t decision, const struct rule *r,
	const struct log_context *log)
{
	const struct decisions *d = in->outcome->decisions;
	const struct edit_set *set = &in->outcome->sets[d->list[decision].set];
	struct log_line l;
	log_begin(&l, EV_EFFECT, log);
	log_text(&l, "action", action_text(r->action));
	log_text(&l, "file", r->at.file);
	log_number(&l, "line", r->at.line);
	if (r->action != ACTION_APPEND) {
		log_slice(&l, "to", r->text);
	} else {
		log_text(&l, "result", set->not_appended.n == 0 ? "done" : "not");
		if (set->not_appended.n != 0)
			log_slice(&l, "why", set->not_appended);
	}
	log_number(&l, "recipients", (int64_t)count_recipients(d, decision, r));
	log_end(&l);
}

void
copies_log(const struct parcels_input *in, const struct log_context *log)
{
	const struct decisions *d = in->outcome->decisions;
	for (size_t i = 0; i < d->n; i++) {
		const struct verdict *v = &d->list[i].verdict;
		for (size_t k = 0; decision_serves(&d->list[i]) && k < v->n_effects; k++) {
			enum action action = v->effects[k]->action;
			if ((action == ACTION_REDIRECT || action == ACTION_COPY ||
				    action == ACTION_APPEND || action == ACTION_NOTIFY) &&
				!is_told(d, i, v->effects[k]))
				log_effect(in, i, v->effects[k], log);
		}
	}
	if (journal_of(in).n == 0)
		return;
	struct log_line l;
	log_begin(&l, EV_EFFECT, log);
	log_text(&l, "action", "journal to");
	log_slice(&l, "to", journal_of(in));
	log_end(&l);
}
