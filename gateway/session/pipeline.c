/*
 * Facts to decision, step by step, for whatever protocol brings the mail: what a step is, and
 * the mail as it streams by. How its recipients are judged is in pipeline_judge.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "session/bounces.h"
#include "session/pipeline_priv.h"

/* What is kept of a mail grows with `limits { header bytes, recipients }`: its bound too. */
enum { MAIL_ARENA_MOST = 16 * 1024 * 1024, RECIPIENT_BYTES = 4 * 1024 };
/* Of what is done to it, where its recipients are decided differently. */
enum { SPLIT_ARENA_MOST = 32 * 1024 * 1024 };

struct pipeline *
pipeline_new(const struct gate_config *config, const struct flt_session *session,
	const struct log_context *log)
{
	struct pipeline *p = MEM_NEW(struct pipeline);
	p->config = config;
	p->session = session;
	p->session_log = log;
	p->eval = arena_new(PIPELINE_EVAL_MOST);
	p->splits = config->conf->spool.n != 0 && config->listener->kind != LISTEN_MILTER &&
		    config->listener->filter.n == 0;
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

static size_t
mail_arena_most(const struct conf_limits *l)
{
	return MAIL_ARENA_MOST + 2 * (size_t)l->header_bytes +
	       (size_t)l->recipients * RECIPIENT_BYTES;
}

void
pipeline_mail(
	struct pipeline *p, const struct address *sender, const struct smtp_mail_params *params)
{
	must(p->arena == NULL);
	size_t most = mail_arena_most(&p->config->conf->limits);
	p->arena = arena_new(most);
	p->judged = arena_new(most + (p->splits ? SPLIT_ARENA_MOST : 0));
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
	arena_free(&p->judged);
	arena_free(&p->arena);
	p->mail = (struct flt_mail){0};
	p->recipients_room = 0;
	p->waiting = 0;
	p->has_first = false;
	p->first = (struct verdict){0};
	p->decisions = (struct decisions){0};
	p->header_done = p->header_too_large = p->spill_failed = false;
	p->outcome = (struct outcome){0};
	p->sign = NULL;
}

/* To its recipient, now or later. */
static bool
goes_on(enum action a)
{
	return a == ACTION_ACCEPT || a == ACTION_HOLD;
}

void
pipeline_keep(struct pipeline *p)
{
	const struct decisions *d = p->outcome.decisions;
	bool one = goes_on(p->outcome.action), any = false;
	for (size_t i = 0; i < p->mail.n_recipients; i++) {
		if (d != NULL)
			one = goes_on(d->list[d->of[i]].verdict.action);
		any |= one;
		if (d == NULL || decision_takes(&d->list[d->of[i]]))
			facts_keep(p->facts, i, one);
	}
	facts_keep(p->facts, SIZE_MAX, any);
}

bool
pipeline_splits(const struct pipeline *p)
{
	return p->splits;
}

bool
pipeline_rcpt_is_accepted(const struct pipeline *p)
{
	return p->rcpt_accepted;
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

void
pipeline_untag(struct pipeline *p, struct address *rcpt)
{
	p->untagged = bounces_untag(p->config->conf, p->session->wall_ms, p->arena, rcpt);
}

enum step
pipeline_rcpt(struct pipeline *p, const struct address *rcpt, const struct conf_domain *domain)
{
	p->candidate = (struct flt_recipient){
		.address = *rcpt, .domain = domain, .tagged = p->untagged};
	p->untagged = false;
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
		return pipeline_refuse(p, ACTION_DEFER, "memory",
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
	p->header_bytes = header_bytes;
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
	pipeline_evaluate(p, 0, p->eval, &v);
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

enum step
pipeline_end(struct pipeline *p)
{
	if (p->spill_failed)
		return pipeline_refuse(p, ACTION_DEFER, "disk",
			smtp_reply_of(
				"452 4.3.1 Insufficient system storage, try again later"));
	if (p->header_too_large)
		return pipeline_refuse(p, ACTION_REJECT, "header-size",
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
			return pipeline_refuse(p, ACTION_REJECT, "header", refusal);
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
	case PENDING_RCPT: s = pipeline_judge_rcpt(p); break;
	case PENDING_DATA: s = pipeline_judge_data(p); break;
	case PENDING_END: s = pipeline_judge_end(p); break;
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
