/*
 * Facts to decision, step by step, for whatever protocol brings the mail. Here stand the rules
 * of a gateway without a spool: all recipients of a transaction get one decision (POLICY.md,
 * "Many recipients, one reply"), and a mail is judged once, before anything of it leaves.
 */
#include "session/pipeline.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "session/edits.h"
#include "session/refusal.h"
#include "session/sign.h"

/* What is kept of a mail grows with `limits { header bytes, recipients }`: its bound too. */
enum { MAIL_ARENA_MOST = 16 * 1024 * 1024, RECIPIENT_BYTES = 4 * 1024 };
/* One evaluation; grows with the rules, not with the mail. */
enum { EVAL_ARENA_MOST = 16 * 1024 * 1024 };

enum pending { PENDING_NONE, PENDING_RCPT, PENDING_DATA, PENDING_END };

struct pipeline {
	const struct gate_config *config;
	const struct flt_session *session;
	const struct log_context *session_log;
	struct facts *facts;
	struct arena *eval; /* of one evaluation */
	bool signs;         /* a rule of the block signs */
	unsigned mails;
	enum pending pending;
	struct outcome outcome;
	/* of the mail */
	struct arena *arena;
	struct log_context log;
	struct flt_mail mail;
	size_t recipients_room;
	struct flt_recipient candidate;
	size_t waiting;       /* the last recipient whose evaluation waits, from 1; 0: none */
	struct verdict first; /* of the first recipient, as it stood at RCPT */
	struct spill *spill;
	bool spill_failed;
	struct buf header; /* until the blank line */
	bool header_done, header_too_large;
	struct message message;
	struct dkim_sign *sign; /* where a rule signs: the body's hash */
};

struct pipeline *
pipeline_new(const struct gate_config *config, const struct flt_session *session,
	const struct log_context *log)
{
	struct pipeline *p = MEM_NEW(struct pipeline);
	p->config = config;
	p->session = session;
	p->session_log = log;
	p->eval = arena_new(EVAL_ARENA_MOST);
	p->signs = sign_is_used(config->policy);
	p->facts = facts_new(config->conf, config->policy, session);
	facts_prefetch(p->facts);
	return p;
}

void
pipeline_free(struct pipeline **p)
{
	if (*p == NULL)
		return;
	pipeline_mail_end(*p);
	facts_free(&(*p)->facts);
	arena_free(&(*p)->eval);
	mem_free(*p);
	*p = NULL;
}

unsigned
pipeline_mails(const struct pipeline *p)
{
	return p->mails;
}

void
pipeline_mails_before(struct pipeline *p, unsigned mails)
{
	p->mails = mails;
}

void
pipeline_helo(struct pipeline *p)
{
	facts_helo(p->facts);
}

void
pipeline_client(struct pipeline *p, bool ahead)
{
	must(p->arena == NULL);
	facts_free(&p->facts);
	p->facts = facts_new(p->config->conf, p->config->policy, p->session);
	if (p->session->helo.n != 0)
		facts_helo(p->facts);
	if (ahead)
		facts_prefetch(p->facts);
}

static struct arena *
mail_arena(const struct conf_limits *l)
{
	return arena_new(MAIL_ARENA_MOST + 2 * (size_t)l->header_bytes +
			 (size_t)l->recipients * RECIPIENT_BYTES);
}

void
pipeline_mail(
	struct pipeline *p, const struct address *sender, const struct smtp_mail_params *params)
{
	must(p->arena == NULL);
	p->arena = mail_arena(&p->config->conf->limits);
	p->mail = (struct flt_mail){.sender = *sender, .params = *params, .log = &p->log};
	p->log = (struct log_context){.up = p->session_log, .key = "mail"};
	snprintf(p->log.value, sizeof(p->log.value), "%.16s.%u", p->session_log->value,
		++p->mails);
	p->spill = spill_new(p->config->spill_dir);
	buf_init(&p->header, p->config->conf->limits.header_bytes);
	facts_mail(p->facts, &p->mail);
}

void
pipeline_mail_end(struct pipeline *p)
{
	p->pending = PENDING_NONE;
	if (p->arena == NULL)
		return;
	if (p->config->account != NULL)
		account_bytes(p->config->account, p->config->self, -(int64_t)p->mail.bytes);
	facts_mail_end(p->facts);
	spill_free(&p->spill);
	buf_fini(&p->header);
	arena_free(&p->arena);
	p->mail = (struct flt_mail){0};
	p->recipients_room = 0;
	p->waiting = 0;
	p->first = (struct verdict){0};
	p->header_done = p->header_too_large = p->spill_failed = false;
	p->outcome = (struct outcome){0};
	p->sign = NULL;
}

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

static void
evaluate(struct pipeline *p, size_t i, struct arena *a, struct verdict *v_out)
{
	struct policy_subject subject = {.postmaster = is_postmaster(recipient_at(p, i))};
	facts_eval(p->facts, i, &subject, a, v_out);
}

/* What a verdict says, kept beyond its evaluation. */
static void
outcome_take(struct pipeline *p, const struct verdict *v)
{
	struct outcome *o = &p->outcome;
	*o = (struct outcome){.action = v->action, .rule = v->rule};
	if (v->rule == NULL)
		o->builtin = "facts-failed";
	if (v->action == ACTION_REJECT || v->action == ACTION_DEFER)
		o->reply = refusal_reply(v, p->facts, p->log.value, p->arena);
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

static enum step
refuse_builtin(
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

static enum step
step_rcpt(struct pipeline *p)
{
	struct verdict v;
	arena_reset(p->eval);
	evaluate(p, p->mail.n_recipients, p->eval, &v);
	if (!v.decided && v.waits)
		return STEP_WAIT;
	if (refuses(&v)) {
		outcome_take(p, &v);
		facts_rcpt_drop(p->facts);
		return STEP_REFUSE;
	}
	if (p->mail.n_recipients == 0) {
		keep_first(p, &v);
	} else if (!policy_same_open(p->config->policy, &p->first, &v)) {
		facts_rcpt_drop(p->facts);
		return refuse_builtin(p, ACTION_DEFER, "one-decision",
			smtp_reply_of(
				"452 4.5.3 This recipient needs a transaction of its own"));
	}
	keep_recipient(p);
	return STEP_GO;
}

void
pipeline_postmaster(struct pipeline *p, struct address *rcpt)
{
	const struct conf *conf = p->config->conf;
	if (rcpt->domain.n != 0 || conf->n_domains == 0)
		return;
	rcpt->domain = conf->domains[0].name;
	rcpt->text = rcpt->raw =
		arena_printf(p->arena, "postmaster@%.*s", SLICE_ARG(rcpt->domain));
}

enum step
pipeline_rcpt(struct pipeline *p, const struct address *rcpt, const struct conf_domain *domain)
{
	p->candidate = (struct flt_recipient){.address = *rcpt, .domain = domain};
	size_t at = facts_rcpt(p->facts, &p->candidate);
	must(at == p->mail.n_recipients);
	p->pending = PENDING_RCPT;
	return pipeline_again(p);
}

void
pipeline_rcpt_drop(struct pipeline *p)
{
	must(p->mail.n_recipients > 0);
	p->mail.n_recipients--;
	facts_rcpt_drop(p->facts);
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
 * One verdict for all recipients. WAIT: questions are open; GO: *v_out is what all got (decided
 * or, before the end, not); REFUSE: they differ, the outcome says so.
 */
static enum step
evaluate_all(struct pipeline *p, struct verdict *v_out)
{
	arena_reset(p->eval);
	/* Answers come one by one: whoever waited last time is asked before all are. */
	if (p->waiting != 0) {
		evaluate(p, p->waiting - 1, p->eval, v_out);
		if (!v_out->decided && v_out->waits)
			return STEP_WAIT;
		arena_reset(p->eval);
	}
	evaluate(p, 0, p->eval, v_out);
	bool waits = !v_out->decided && v_out->waits, same = true;
	p->waiting = waits;
	/* The others' evaluations are held against the first's and dropped, one by one. */
	struct arena *others = arena_new(EVAL_ARENA_MOST);
	for (size_t i = 1; i < p->mail.n_recipients; i++) {
		struct verdict v;
		arena_reset(others);
		evaluate(p, i, others, &v);
		if (!v.decided && v.waits) {
			waits = true;
			p->waiting = i + 1;
		}
		same = same && same_verdict(&v, v_out);
	}
	arena_free(&others);
	if (waits)
		return STEP_WAIT;
	if (!same && p->header_done) /* at DATA it may still come out the same */
		return refuse_builtin(p, ACTION_DEFER, "one-decision",
			smtp_reply_of("451 4.3.0 The recipients of this mail are "
				      "decided differently, send one at a time"));
	return STEP_GO;
}

static enum step
step_data(struct pipeline *p)
{
	struct verdict v;
	enum step s = evaluate_all(p, &v);
	if (s == STEP_GO && refuses(&v)) {
		outcome_take(p, &v);
		return STEP_REFUSE;
	}
	return s;
}

/* One account for the bytes of all bodies (`limits { memory }`): over it the sender keeps the
 * mail. */
static bool
memory_is_full(const struct pipeline *p)
{
	return p->config->account != NULL &&
	       account_bytes_all(p->config->account) > p->config->conf->limits.memory_bytes;
}

enum step
pipeline_data(struct pipeline *p)
{
	if (memory_is_full(p))
		return refuse_builtin(p, ACTION_DEFER, "memory",
			smtp_reply_of("452 4.3.1 Too much mail is under way, try again later"));
	facts_data(p->facts);
	p->waiting = 0;
	p->pending = PENDING_DATA;
	return pipeline_again(p);
}

static void
body_piece(struct pipeline *p, struct slice piece)
{
	facts_body(p->facts, piece);
	if (p->sign != NULL)
		dkim_sign_body(p->sign, piece);
}

/* The header is whole: parsed once, from a copy that does not move. */
static void
header_complete(struct pipeline *p, size_t header_bytes)
{
	struct slice seen = buf_slice(&p->header);
	struct slice header = arena_slice(p->arena, slice_first(seen, header_bytes));
	message_parse(header, p->config->conf->hostname, p->mail.params.smtputf8, p->arena,
		&p->message);
	p->mail.message = &p->message;
	p->header_done = true;
	if (p->signs)
		p->sign = dkim_sign_begin(p->arena);
	facts_header(p->facts);
	if (seen.n > header_bytes)
		body_piece(p, slice_from(seen, header_bytes));
	buf_fini(&p->header);
	/* Cheap questions about the header travel while the body is still coming. */
	struct verdict v;
	arena_reset(p->eval);
	evaluate(p, 0, p->eval, &v);
}

static void
header_add(struct pipeline *p, struct slice piece)
{
	size_t before = buf_slice(&p->header).n;
	struct slice take = slice_first(piece, buf_left(&p->header));
	(void)buf_add(&p->header, take); /* cut to its room */
	size_t end = message_header_end(buf_slice(&p->header), before > 3 ? before - 3 : 0);
	if (end != 0) {
		header_complete(p, end);
		if (take.n < piece.n)
			body_piece(p, slice_from(piece, take.n));
	} else if (take.n < piece.n) {
		p->header_too_large = true;
	}
}

void
pipeline_body(struct pipeline *p, struct slice piece)
{
	if (p->spill_failed || p->header_too_large)
		return; /* refused at its end; read on to stay in step */
	struct err err;
	if (spill_add(p->spill, piece, &err) < 0) {
		p->spill_failed = true;
		log_error(EV_SYSTEM_ERROR, &p->log, &err);
		return;
	}
	p->mail.bytes += piece.n;
	if (p->config->account != NULL)
		account_bytes(p->config->account, p->config->self, (int64_t)piece.n);
	if (p->header_done)
		body_piece(p, piece);
	else
		header_add(p, piece);
}

static enum step
step_end(struct pipeline *p)
{
	struct verdict v;
	enum step s = evaluate_all(p, &v);
	if (s != STEP_GO)
		return s;
	if (!v.decided) /* the block ends in a rule without condition: a fact neither came nor
			   failed */
		return refuse_builtin(p, ACTION_DEFER, "undecided",
			smtp_reply_of(
				"451 4.3.0 This mail could not be judged, try again later"));
	if (v.action != ACTION_ACCEPT) {
		outcome_take(p, &v);
		return refuses(&v) ? STEP_REFUSE : STEP_GO;
	}
	struct edits_input in = {p->config, p->session, &p->mail, p->log.value, &v};
	struct edits edits;
	if (!edits_make(&in, p->facts, p->arena, &edits))
		return STEP_WAIT;
	outcome_take(p, &v);
	take_recipients(p, &v);
	p->outcome.edits = edits;
	if (p->outcome.edits.n_sign != 0)
		p->outcome.n_signs = sign_make(p->sign, p->config, &p->mail, &p->outcome.edits,
			p->session->wall_ms, p->arena, &p->log, &p->outcome.signs);
	edits_log(&v, &p->log);
	return STEP_GO;
}

enum step
pipeline_end(struct pipeline *p)
{
	if (p->spill_failed)
		return refuse_builtin(p, ACTION_DEFER, "disk",
			smtp_reply_of(
				"452 4.3.1 Insufficient system storage, try again later"));
	if (p->header_too_large)
		return refuse_builtin(p, ACTION_REJECT, "header-size",
			smtp_reply_of("552 5.3.4 The header of this mail is too large"));
	if (!p->header_done)
		header_complete(p, buf_slice(&p->header).n);
	facts_body_end(p->facts);
	if (p->sign != NULL)
		dkim_sign_body_end(p->sign);
	if (p->config->listener->header_rules) {
		struct smtp_reply refusal =
			message_refusal(&p->message, p->config->direction == OUTBOUND,
				(unsigned)p->config->conf->limits.received, p->arena);
		if (refusal.code != 0)
			return refuse_builtin(p, ACTION_REJECT, "header", refusal);
	}
	p->waiting = 0;
	p->pending = PENDING_END;
	return pipeline_again(p);
}

enum step
pipeline_again(struct pipeline *p)
{
	enum step s = STEP_WAIT;
	switch (p->pending) {
	case PENDING_NONE: return STEP_WAIT;
	case PENDING_RCPT: s = step_rcpt(p); break;
	case PENDING_DATA: s = step_data(p); break;
	case PENDING_END: s = step_end(p); break;
	}
	if (s != STEP_WAIT)
		p->pending = PENDING_NONE;
	return s;
}

const struct outcome *
pipeline_outcome(const struct pipeline *p)
{
	return &p->outcome;
}

struct question *
pipeline_question(struct pipeline *p, struct questions **scope_out)
{
	return facts_question(p->facts, scope_out);
}

struct facts *
pipeline_facts(struct pipeline *p)
{
	return p->facts;
}

struct spill *
pipeline_spill(struct pipeline *p)
{
	return p->spill;
}

const struct flt_mail *
pipeline_the_mail(const struct pipeline *p)
{
	return &p->mail;
}

struct arena *
pipeline_arena(struct pipeline *p)
{
	return p->arena;
}

const char *
pipeline_id(const struct pipeline *p)
{
	return p->log.value;
}

const struct log_context *
pipeline_log(const struct pipeline *p)
{
	return &p->log;
}
