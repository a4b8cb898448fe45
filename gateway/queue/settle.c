/*
 * What becomes of a recipient: delivered, refused for good, or later, and by which way; and
 * when nothing is under way any more, who is told of it: the sender by a DSN where the sender
 * is ours, a person by the quarantine `undeliverable` where it is not (POLICY.md, "Many
 * recipients, one reply"; the gateway never sends backscatter).
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/keeper_priv.h"

static enum failure_phase
phase_of(enum smtp_client_phase p)
{
	switch (p) {
	case SMTP_CL_STARTTLS:
	case SMTP_CL_TLS: return FAILURE_AT_TLS;
	case SMTP_CL_AUTH: return FAILURE_AT_AUTH;
	case SMTP_CL_READY:
	case SMTP_CL_XCLIENT:
	case SMTP_CL_MAIL:
	case SMTP_CL_RSET: return FAILURE_AT_MAIL;
	case SMTP_CL_RCPT: return FAILURE_AT_RCPT;
	case SMTP_CL_DATA:
	case SMTP_CL_BODY: return FAILURE_AT_DATA;
	case SMTP_CL_DOT: return FAILURE_AT_DOT;
	case SMTP_CL_GREETING:
	case SMTP_CL_EHLO:
	case SMTP_CL_QUIT:
	case SMTP_CL_CLOSED: break;
	}
	return FAILURE_AT_GREETING;
}

/* The remote's own words decide where they came: a failure before MAIL is the same for all. */
static enum failure_phase
phase_for(const struct relay_rcpt *r, const struct delivery_result *all)
{
	bool early = all->at <= FAILURE_AT_AUTH;
	return early ? all->at : phase_of(r->phase);
}

static unsigned
after_bit(const struct failure *f, enum failure_phase at)
{
	if (f->class == FAILURE_LISTED)
		return SEND_AFTER_LISTED;
	switch (at) {
	case FAILURE_AT_DNS: return SEND_AFTER_DNS;
	case FAILURE_AT_CONNECT: return SEND_AFTER_CONNECT;
	case FAILURE_AT_TLS: return SEND_AFTER_TLS;
	case FAILURE_AT_GREETING:
	case FAILURE_AT_AUTH:
	case FAILURE_AT_MAIL:
	case FAILURE_AT_RCPT:
	case FAILURE_AT_DATA:
	case FAILURE_AT_DOT:
	case FAILURE_PHASES: break;
	}
	return SEND_AFTER_4XX;
}

/* `then smarthost`: after so many temporary failures, or after one of the classes named. */
static bool
turns(const struct keeper *k, const struct stored_rcpt_note *n, enum delivery_way way)
{
	const struct queue_settings *s = &k->settings;
	if (way != DELIVERY_BY_SEND || s->way != SEND_DIRECT_THEN_SMARTHOST ||
		n->state != RCPT_WAITING || n->failure.class == FAILURE_GREYLISTED)
		return false;
	return (s->after & after_bit(&n->failure, n->at)) != 0 ||
	       (s->after_failures != 0 && n->attempts >= s->after_failures);
}

/* "192.0.2.25:25", "[2001:db8::1]:25". */
static struct ip
ip_of(struct slice address)
{
	struct ip ip = {0};
	size_t n = address.n;
	while (n > 0 && address.p[n - 1] != ':')
		n--;
	if (n == 0)
		return ip;
	struct slice host = slice_first(address, n - 1);
	if (host.n > 2 && host.p[0] == '[')
		host = (struct slice){host.p + 1, host.n - 2};
	if (!ip_parse(host, &ip))
		ip = (struct ip){0};
	return ip;
}

void
settle_rcpt(struct mail *m, uint32_t rcpt, const struct relay_rcpt *r,
	const struct delivery_result *all, enum delivery_way way)
{
	struct keeper *k = m->keeper;
	struct stored_rcpt_note *n = &m->note.rcpts[rcpt];
	uint64_t now = loop_now(k->loop);
	n->attempts++;
	n->last_ms = (uint64_t)keeper_wall(k);
	n->reply = r->reply;
	n->from_hop = all->from_hop || r->phase == SMTP_CL_RCPT;
	n->host = all->host.n != 0 ? all->host : all->hop;
	n->at = phase_for(r, all);
	n->way = way;
	n->failure = (struct failure){0};
	if (r->fate != RELAY_TAKEN)
		failure_judge(k->rules,
			&(struct failure_input){.reply = &n->reply,
				.from_hop = n->from_hop,
				.phase = n->at,
				.host = n->host},
			&n->failure);
	n->failure.rule = NULL;
	switch (r->fate) {
	case RELAY_TAKEN:
		n->state = RCPT_DELIVERED;
		/* RFC 3461 5.2.2: who hands it on to a server without DSN tells the sender */
		n->success_owed =
			!all->dsn && dsn_is_due(&m->mail, &m->mail.rcpts[rcpt], DSN_RELAYED);
		break;
	case RELAY_DOUBT: n->state = RCPT_DOUBT; break;
	case RELAY_DEFERRED: n->state = RCPT_WAITING; break;
	case RELAY_REFUSED: n->state = n->failure.permanent ? RCPT_FAILED : RCPT_WAITING; break;
	}
	n->address = n->failure.class == FAILURE_GREYLISTED && n->state == RCPT_WAITING
			     ? ip_of(all->address)
			     : (struct ip){0};
	n->due_ms = 0;
	if (turns(k, n, way)) {
		n->way = DELIVERY_BY_SMARTHOST;
		n->due_ms = n->last_ms;
	} else if (mail_waits(n)) {
		uint64_t due = schedule_retry_ms(k->schedule, n->attempts, now);
		n->due_ms = n->last_ms + (due > now ? due - now : 0);
	}
	keeper_log(m,
		n->state == RCPT_DELIVERED ? "delivered"
		: n->state == RCPT_FAILED  ? "refused"
		: n->state == RCPT_DOUBT   ? "in doubt"
					   : "put off",
		n, &m->mail.rcpts[rcpt].address);
}

/* The last words stay, behind ours: they are why. */
void
settle_expire(struct mail *m, uint32_t rcpt, const char *words)
{
	struct stored_rcpt_note *n = &m->note.rcpts[rcpt];
	struct arena *a = m->holding->arena;
	struct smtp_reply r = smtp_reply_of(words);
	if (n->reply.code != 0)
		r = smtp_reply_text(r,
			arena_printf(a, "%.*s; the last answer was: %d %.*s", SLICE_ARG(r.text),
				n->reply.code, SLICE_ARG(n->reply.text)),
			a);
	n->reply = r;
	n->from_hop = false;
	n->failure.permanent = true;
	n->state = RCPT_FAILED;
	keeper_log(m, "given up", n, &m->mail.rcpts[rcpt].address);
}

bool
settle_is_due(const struct mail *m)
{
	if (m->settling || m->settle_later ||
		(m->place != MAIL_STORED && m->place != MAIL_NEW) || m->keeper->store_bad ||
		m->keeper->stopping)
		return false;
	return mail_is_untold(&m->note);
}

/* What is under way for one mail: notices, and the change that says that they were sent. */
struct settling {
	struct mail *mail;
	struct buf note, envelope;
	struct arena *arena;
	uint32_t *told; /* recipients */
	uint32_t n_told;
	bool final; /* nothing waits behind it: the mail goes out of the store */
	bool dirty; /* the note was not stored before */
	bool aside; /* a copy of the mail goes into quarantine */
};

/* What goes into the store with the notice: from here on the recipients are told. */
static bool
told(void *arg, struct custody_change *with_out)
{
	struct settling *s = arg;
	struct mail *m = s->mail;
	for (uint32_t i = 0; i < s->n_told; i++) {
		struct stored_rcpt_note *r = &m->note.rcpts[s->told[i]];
		if (r->state == RCPT_FAILED)
			r->state = RCPT_TOLD;
		r->success_owed = false;
	}
	s->final = mail_is_final(m);
	m->telling = true;
	if (m->place != MAIL_STORED)
		return false;
	if (!s->final)
		must(stored_note_pack(&m->note, &s->note) == 0);
	s->dirty = m->dirty;
	m->dirty = false; /* it is all in there */
	*with_out = (struct custody_change){.op = s->final ? CUSTODY_DROP : CUSTODY_NOTE,
		.id = m->id,
		.note = buf_slice(&s->note)};
	return true;
}

/* Nobody can be told now: the signer, the room or the store is missing. */
static void
later(struct mail *m)
{
	m->settle_later = true;
	watch_soon(m->keeper);
}

static void
settling_end(void *arg, bool stored)
{
	struct settling *s = arg;
	struct mail *m = s->mail;
	m->users--;
	m->settling = m->telling = false;
	for (uint32_t i = 0; !stored && i < s->n_told; i++) {
		struct stored_rcpt_note *r = &m->note.rcpts[s->told[i]];
		r->success_owed = r->state == RCPT_DELIVERED;
		if (r->state == RCPT_TOLD)
			r->state = RCPT_FAILED;
	}
	if (stored && s->final && m->place == MAIL_STORED) { /* the commit has dropped it */
		schedule_remove(m->keeper->schedule, &m->id);
		m->place = MAIL_GONE;
	}
	if (!stored)
		m->dirty = m->dirty || s->dirty;
	buf_fini(&s->note);
	buf_fini(&s->envelope);
	arena_free(&s->arena);
	mem_free(s);
	if (!stored)
		later(m);
	else if (m->dirty) /* what came meanwhile */
		mail_save(m);
	if (m->take != NULL)
		take_settled(m->take);
	else
		mail_idle(m);
}

static void
on_put(void *arg, enum custody_result r, struct slice why)
{
	const struct settling *s = arg;
	if (r != CUSTODY_OK && r != CUSTODY_FULL)
		store_failed(s->mail->keeper, why);
	else if (r == CUSTODY_OK && s->aside)
		quarantine_add(s->mail->keeper, s->mail->body_bytes);
	settling_end(arg, r == CUSTODY_OK);
}

/* The mail as those have it who could not be reached, for a person to look at. */
static void
put_aside(struct settling *s)
{
	struct mail *m = s->mail;
	struct custody_change changes[2];
	struct stored_mail aside = m->mail;
	aside.kind = STORED_QUARANTINE;
	aside.quarantine = SLICE("undeliverable");
	aside.reason = smtp_reply_line(&m->note.rcpts[s->told[0]].reply, s->arena);
	aside.arrived_ms = (uint64_t)keeper_wall(m->keeper);
	aside.rcpts = arena_array(s->arena, s->n_told, sizeof(*aside.rcpts));
	aside.n_rcpts = s->n_told;
	for (uint32_t i = 0; i < s->n_told; i++)
		aside.rcpts[i] = m->mail.rcpts[s->told[i]];
	must(stored_mail_pack(&aside, &s->envelope) ==
		0); /* less than what was packed before */
	changes[0] = (struct custody_change){.op = CUSTODY_PUT,
		.id = custody_id_new(),
		.envelope = buf_slice(&s->envelope),
		.body = &m->body};
	size_t n = told(s, &changes[1]) ? 2 : 1;
	keeper_log(m, "quarantined as undeliverable", &m->note.rcpts[s->told[0]],
		&m->mail.rcpts[s->told[0]].address);
	store_commit(m->keeper, changes, n, on_put, s);
}

/* All that is to be told, and of them those that a DSN is due for. */
static size_t
pick(struct settling *s, struct dsn_rcpt *due)
{
	struct mail *m = s->mail;
	size_t n = 0;
	s->told = arena_array(s->arena, m->note.n_rcpts, sizeof(*s->told));
	for (uint32_t i = 0; i < m->note.n_rcpts; i++) {
		struct stored_rcpt_note *r = &m->note.rcpts[i];
		enum dsn_action action = r->state == RCPT_FAILED ? DSN_FAILED : DSN_RELAYED;
		if (r->state != RCPT_FAILED && !r->success_owed)
			continue;
		s->told[s->n_told++] = i;
		if (m->mail.own && dsn_is_due(&m->mail, &m->mail.rcpts[i], action))
			due[n++] = (struct dsn_rcpt){&m->mail.rcpts[i], r, action};
	}
	return n;
}

/* Never dropped unseen: a body that cannot be read keeps its mail here, for a person. */
static void
wait_for_body(struct mail *m)
{
	if (m->body_place == BODY_LOST && !m->note.held) {
		keeper_log(m, "held: its body cannot be read", NULL, NULL);
		m->note.held = m->dirty = true;
	}
	later(m);
	mail_idle(m);
}

void
settle(struct mail *m)
{
	bool aside = !m->mail.own && m->mail.kind != STORED_QUARANTINE;
	if (aside && !mail_body(m, UINT32_MAX))
		return; /* mail_idle comes again when it is here */
	if (aside && m->body_place != BODY_HERE) {
		wait_for_body(m);
		return;
	}
	struct settling *s = MEM_NEW(struct settling);
	*s = (struct settling){.mail = m, .aside = aside, .arena = arena_new(16 * 1024 * 1024)};
	buf_init(&s->note, CUSTODY_NOTE_MOST);
	buf_init(&s->envelope, CUSTODY_ENVELOPE_MOST);
	struct dsn_rcpt *due = arena_array(s->arena, m->note.n_rcpts, sizeof(*due));
	size_t n_due = pick(s, due);
	m->settling = true;
	m->users++;
	if (aside) {
		put_aside(s);
	} else if (n_due != 0) {
		notice_send(m, due, n_due, told, settling_end, s);
	} else {
		struct custody_change with;
		size_t n = told(s, &with) ? 1 : 0;
		keeper_log(m, "nobody is told: the sender wants or has no notices", NULL, NULL);
		custody_commit(m->keeper->custody, &with, n, on_put, s);
	}
}
