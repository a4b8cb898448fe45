/*
 * The lines `event=mail`, `event=reject` and `event=defer`; see told.h. What became of it
 * first, at full length; what the client chose last: a line has an end.
 */
#include "session/told.h"

#include "filters/flt_spam.h"
#include "filters/spam_text.h"

enum { WORDS_MOST = 600, MESSAGE_ID_MOST = 200, RECIPIENTS_MOST = 20 };

static void
add_rule(struct log_line *l, const struct outcome *o)
{
	if (o == NULL)
		return;
	if (o->rule != NULL) {
		log_text(l, "file", o->rule->at.file);
		log_number(l, "line", o->rule->at.line);
	} else if (o->builtin != NULL) {
		log_text(l, "rule", o->builtin);
	}
	if (o->mode != VERDICT_HOLDS)
		log_text(l, "would", action_text(o->would));
}

static void
add_words(struct log_line *l, const char *key, const struct smtp_reply *r, struct arena *a)
{
	log_slice(l, key, slice_first(smtp_reply_line(r, a), WORDS_MOST));
}

/* Where the fact was gathered, whatever rule has decided. */
static void
add_spam(struct log_line *l, struct facts *f, struct arena *a)
{
	const struct spam_judgement *j = flt_spam_judgement(f);
	if (j == NULL)
		return;
	log_slice(l, "spam", arena_printf(a, "%.3f", j->probability));
	if (j->n_why != 0)
		log_slice(l, "why", spam_why_text(j, a));
}

/* What is delivered by now, what is kept, and the id to ask `postern queue` about. */
static void
add_custody(struct log_line *l, const struct queue_result *r)
{
	static const struct custody_id none;
	char id[CUSTODY_ID_TEXT];
	log_text(l, "end", queue_end_text(r->end));
	log_number(l, "delivered", r->delivered);
	log_number(l, "refused", r->refused);
	log_number(l, "queued", (int64_t)r->waiting + r->kept);
	log_number(l, "waiting", r->waiting);
	log_number(l, "kept", r->kept);
	log_number(l, "notices", r->notices);
	if (!custody_id_eq(&r->id, &none))
		log_text(l, "custody", custody_id_text(&r->id, id));
}

void
told_mail(const struct told *t, const char *decision, const struct smtp_reply *reply)
{
	const struct flt_mail *m = pipeline_the_mail(t->pipeline);
	struct arena *a = pipeline_arena(t->pipeline);
	struct log_line l;
	log_begin(&l, EV_MAIL, t->log);
	log_text(&l, "direction", t->config->direction == INBOUND ? "inbound" : "outbound");
	log_ip(&l, "client", &t->session->client);
	if (t->session->user.n != 0)
		log_slice(&l, "user", t->session->user);
	log_text(&l, "decision", decision);
	add_rule(&l, pipeline_outcome(t->pipeline));
	add_spam(&l, pipeline_facts(t->pipeline), a);
	if (t->kept_by != NULL)
		log_text(&l, "kept-by", t->kept_by);
	if (t->hop.n != 0)
		log_slice(&l, "hop", t->hop);
	if (t->queue.n != 0)
		log_slice(&l, "queue", t->queue);
	if (t->custody != NULL)
		add_custody(&l, t->custody);
	add_words(&l, "reply", reply, a);
	if (t->words != NULL)
		add_words(&l, "words", t->words, a);
	log_number(&l, "bytes", (int64_t)m->bytes);
	log_number(&l, "recipients", (int64_t)m->n_recipients);
	log_slice(&l, "sender", m->sender.text);
	if (m->message != NULL)
		log_slice(&l, "from", m->message->from_domain);
	log_slice(&l, "helo", t->session->helo);
	if (m->message != NULL)
		log_slice(
			&l, "message-id", slice_first(m->message->message_id, MESSAGE_ID_MOST));
	for (size_t i = 0; i < m->n_recipients && i < RECIPIENTS_MOST; i++)
		log_slice(&l, "recipient", m->recipients[i].address.text);
	log_end(&l);
}

void
told_decision(const struct told *t, const struct decisions *d, size_t at)
{
	const struct flt_mail *m = pipeline_the_mail(t->pipeline);
	const struct decision *one = &d->list[at];
	size_t told = 0;
	struct log_line l;
	log_begin(&l, EV_DECISION, t->log);
	log_text(&l, "action", action_text(one->verdict.action));
	add_rule(&l, &(struct outcome){.rule = one->verdict.rule, .builtin = "facts-failed"});
	if (t->kept_by != NULL)
		log_text(&l, "kept-by", t->kept_by);
	if (one->reply.code != 0)
		add_words(&l, "reply", &one->reply, pipeline_arena(t->pipeline));
	log_number(&l, "recipients", (int64_t)one->n);
	for (size_t i = 0; i < d->n_of && told < RECIPIENTS_MOST; i++) {
		if (d->of[i] != at)
			continue;
		told++;
		log_slice(&l, "recipient", m->recipients[i].address.text);
	}
	log_end(&l);
}

void
told_refused(const struct told *t, const struct address *sender, const struct address *rcpt,
	const struct smtp_reply *reply, const struct outcome *o, struct arena *a)
{
	struct log_line l;
	log_begin(&l, reply->code < 500 ? EV_DEFER : EV_REJECT, t->log);
	log_ip(&l, "client", &t->session->client);
	log_slice(&l, "helo", t->session->helo);
	log_slice(&l, "sender", sender->text);
	if (rcpt != NULL)
		log_slice(&l, "recipient", rcpt->text);
	add_rule(&l, o);
	log_slice(&l, "reply", smtp_reply_line(reply, a));
	log_end(&l);
}
