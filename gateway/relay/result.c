/*
 * What became of a mail, for the caller and for the log: the hop's answer to each recipient, or
 * our own words where no hop gave one. Words that are kept live in the mail's arena.
 */
#include "relay/relay_priv.h"

enum { WORDS_MOST = 512 };

static const char in_doubt[] =
	"451 4.4.2 The connection was lost after the mail was sent; it may have been delivered";
static const char not_sent[] = "451 4.5.1 Another recipient was refused, nothing was sent";

struct slice
relay_keep_words(struct relay_transfer *t, struct slice words)
{
	struct arena *a = t->mail != NULL ? t->mail->arena : t->arena;
	if (arena_room(a) < 2 * WORDS_MOST)
		return SLICE_NONE;
	return arena_slice(a, slice_first(words, WORDS_MOST));
}

void
relay_note_why(struct relay_transfer *t, struct slice why)
{
	t->result.why = relay_keep_words(t, why);
}

void
relay_log_attempt(struct relay_transfer *t)
{
	const struct relay_result *r = &t->result;
	char text[STREAM_ADDR_TEXT_BYTES];
	struct log_line l;
	if (t->kind == RELAY_LEARN)
		return;
	log_begin(&l, EV_ATTEMPT, t->mail->log);
	if (t->kind == RELAY_PROBE)
		log_text(&l, "for", "call-out");
	if (t->kind == RELAY_ASK)
		log_text(&l, "for", "recipient");
	log_slice(&l, "hop", t->next_hop != NULL ? t->next_hop->text : SLICE("none"));
	if (r->host.n > 0 && !slice_eq(r->host, t->next_hop->host))
		log_slice(&l, "host", r->host);
	if (r->attempts > 0)
		log_text(&l, "address", stream_addr_text(&r->address, text));
	if (r->tls)
		log_text(&l, "tls", r->tls_verified ? "verified" : "yes");
	if (r->reply.code != 0)
		log_slice(&l, "reply", smtp_reply_line(&r->reply, t->arena));
	if (r->why.n > 0)
		log_slice(&l, "why", r->why);
	log_end(&l);
}

enum relay_stage
relay_stage_of(enum smtp_client_phase phase)
{
	switch (phase) {
	case SMTP_CL_GREETING:
	case SMTP_CL_EHLO: return RELAY_AT_GREETING;
	case SMTP_CL_STARTTLS:
	case SMTP_CL_TLS: return RELAY_AT_TLS;
	case SMTP_CL_AUTH: return RELAY_AT_AUTH;
	case SMTP_CL_RCPT: return RELAY_AT_RCPT;
	case SMTP_CL_DATA:
	case SMTP_CL_BODY: return RELAY_AT_DATA;
	case SMTP_CL_DOT: return RELAY_AT_DOT;
	case SMTP_CL_READY:
	case SMTP_CL_XCLIENT:
	case SMTP_CL_MAIL:
	case SMTP_CL_RSET:
	case SMTP_CL_QUIT:
	case SMTP_CL_CLOSED: break;
	}
	return RELAY_AT_MAIL;
}

void
relay_note_conn(struct relay_transfer *t, const struct relay_conn *c)
{
	struct relay_result *r = &t->result;
	r->tls = c->secure;
	r->tls_verified = c->verified;
	r->banner = relay_keep_words(t, smtp_client_greeting(c->client));
	r->starttls = c->starttls;
	r->certificate = c->certificate;
}

void
relay_note_words(struct relay_transfer *t)
{
	t->spoken = true;
	t->words = t->result;
}

/* All that had to be said is in the result and in the recipients. */
static void
finish(struct relay_transfer *t)
{
	struct relay_result result = t->result;
	relay_fn *fn = t->fn;
	void *arg = t->arg;
	relay_transfer_free(t);
	if (fn != NULL)
		fn(arg, &result);
}

static enum relay_fate
fate_of(const struct smtp_reply *r)
{
	switch (smtp_reply_class(r)) {
	case 2: return RELAY_TAKEN;
	case 5: return RELAY_REFUSED;
	default: return RELAY_DEFERRED;
	}
}

static void
tell_all(struct relay_transfer *t)
{
	const struct relay_result *r = &t->result;
	for (size_t i = 0; t->mail != NULL && i < t->mail->n_rcpts; i++) {
		t->mail->rcpts[i].reply = r->reply;
		t->mail->rcpts[i].fate = fate_of(&r->reply);
		t->mail->rcpts[i].phase = r->phase;
	}
}

/* Nobody was delivered to, for a reason of ours. */
void
relay_finish_for_all(struct relay_transfer *t, struct smtp_reply reply)
{
	if (t->conn != NULL)
		relay_note_conn(t, t->conn);
	t->result.reply = reply;
	t->result.from_hop = false;
	t->result.phase = SMTP_CL_GREETING;
	tell_all(t);
	relay_log_attempt(t);
	finish(t);
}

void
relay_finish_unanswered(struct relay_transfer *t, struct smtp_reply reply)
{
	unsigned attempts = t->result.attempts;
	if (!t->spoken) {
		relay_finish_for_all(t, reply);
		return;
	}
	bool told = t->words.reply.code != 0 && t->words.attempts == attempts;
	t->result = t->words;
	t->result.attempts = attempts;
	if (t->result.reply.code == 0)
		t->result.reply = reply;
	tell_all(t);
	if (!told)
		relay_log_attempt(t);
	finish(t);
}

static void
judge_rcpt(const struct smtp_client_mail *m, const struct smtp_client_rcpt *from,
	struct relay_rcpt *to)
{
	to->reply = from->reply;
	to->phase = from->sent ? SMTP_CL_DOT : SMTP_CL_RCPT;
	if (from->sent && from->reply.code == 0) {
		to->reply = smtp_reply_of(in_doubt);
		to->fate = RELAY_DOUBT;
		return;
	}
	if (!from->sent && smtp_reply_class(&from->reply) < 4) {
		/* Accepted at RCPT or never asked: what became of the mail became of it. */
		to->phase = m->phase;
		to->reply = m->reply;
		if (m->phase == SMTP_CL_RCPT && !m->probe)
			to->reply = smtp_reply_of(not_sent);
	}
	to->fate = fate_of(&to->reply);
}

/* The machine has an answer, or the dot went out without one. */
void
relay_finish_answered(struct relay_transfer *t)
{
	const struct smtp_client_mail *m = &t->send;
	for (size_t i = 0; i < m->n_rcpts; i++)
		judge_rcpt(m, &m->rcpts[i], &t->mail->rcpts[i]);
	t->result.reply = m->reply.code != 0 ? m->reply : smtp_reply_of(in_doubt);
	t->result.phase = m->phase;
	t->result.stage = relay_stage_of(m->phase);
	t->result.said = (struct smtp_reply){0};
	t->result.from_hop = m->reply.code != 0 && m->asked;
	relay_log_attempt(t);
	finish(t);
}
