/*
 * A DSN from its recipients to the store: the head of the original is read, the report made
 * (dsn.c), signed where there is a key, and stored together with the change that says that the
 * sender has been told: there is never one without the other.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "delivery/signer.h"
#include "filters/batv.h"
#include "queue/keeper_priv.h"

enum { SIGN_MS = 10 * 1000, SIGN_AGAIN_MS = 2000, NOTICE_ARENA_MOST = 64 * 1024 * 1024 };

struct notice {
	struct mail *mail;
	struct arena *arena;
	struct stored_mail original; /* with its sender as a person has it, without a tag */
	struct dsn_rcpt *rcpts;
	size_t n;
	notice_with_fn *with;
	notice_fn *fn;
	void *arg;
	struct dsn dsn;
	struct slice domain;
	struct dkim_sign_request requests[SIGNER_BATCH_MOST];
	size_t keys[SIGNER_BATCH_MOST];
	size_t n_requests;
	struct slice signatures;
	bool again;
	struct loop_timer timer;
	struct stored_mail stored;
	struct custody_id id;
	struct buf envelope;
	struct relay_body body;
};

static void
notice_end(struct notice *n, bool stored)
{
	notice_fn *fn = n->fn;
	void *arg = n->arg;
	n->mail->keeper->notices--;
	loop_timer_clear(&n->timer);
	buf_fini(&n->envelope);
	arena_free(&n->arena);
	mem_free(n);
	fn(arg, stored);
}

static void
log_dsn(const struct notice *n)
{
	static const char *const actions[] = {[DSN_FAILED] = "failed",
		[DSN_DELAYED] = "delayed",
		[DSN_RELAYED] = "relayed",
		[DSN_DELIVERED] = "delivered"};
	char id[CUSTODY_ID_TEXT];
	struct log_line l;
	enum dsn_action worst = n->rcpts[0].action;
	for (size_t i = 1; i < n->n; i++)
		worst = n->rcpts[i].action < worst ? n->rcpts[i].action : worst;
	log_begin(&l, EV_DSN, NULL);
	log_slice(&l, "mail", n->mail->mail.log);
	log_text(&l, "id", custody_id_text(&n->id, id));
	log_text(&l, "action", actions[worst]);
	log_slice(&l, "to", n->original.sender.raw);
	log_number(&l, "recipients", (int64_t)n->n);
	log_slice(&l, "reply", smtp_reply_line(&n->rcpts[0].note->reply, n->arena));
	log_number(&l, "signatures", (int64_t)n->n_requests);
	log_end(&l);
}

static void
on_stored(void *arg, enum custody_result r, struct slice why)
{
	struct notice *n = arg;
	struct keeper *k = n->mail->keeper;
	if (r != CUSTODY_OK) {
		if (r != CUSTODY_FULL) /* deliveries make room */
			store_failed(k, why);
		notice_end(n, false);
		return;
	}
	log_dsn(n);
	struct stored_note note;
	if (stored_note_unpack(SLICE_NONE, &n->stored, n->arena, &note))
		mail_schedule_stored(k, &n->id, &n->stored, &note);
	notice_end(n, true);
}

static bool
is_declared(const struct keeper *k, struct slice domain)
{
	for (size_t i = 0; i < k->settings.n_domains; i++)
		if (slice_eq(k->settings.domains[i], domain))
			return true;
	return false;
}

static void
store(struct notice *n)
{
	struct keeper *k = n->mail->keeper;
	const struct address *to = &n->original.sender;
	struct stored_rcpt *rcpt = ARENA_NEW(n->arena, struct stored_rcpt);
	struct custody_change changes[2];
	rcpt->address = *to;
	rcpt->site = to->domain;
	rcpt->way = is_declared(k, to->domain)          ? DELIVERY_BY_DOMAIN
		    : k->settings.way == SEND_SMARTHOST ? DELIVERY_BY_SMARTHOST
							: DELIVERY_BY_SEND;
	n->stored = (struct stored_mail){.kind = STORED_SEND,
		.direction = OUTBOUND,
		.own = true,
		.notification = true,
		.arrived_ms = (uint64_t)keeper_wall(k),
		.log = n->mail->mail.log,
		.reason = SLICE("a notification of ours"),
		.sender = {.is_null = true},
		.params = {.body = n->dsn.eightbit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT,
			.smtputf8 = n->dsn.smtputf8},
		.rcpts = rcpt,
		.n_rcpts = 1};
	must(stored_mail_pack(&n->stored, &n->envelope) == 0);
	relay_body_init(&n->body, n->arena);
	if (n->signatures.n != 0)
		must(relay_body_add(&n->body, n->signatures) == 0);
	must(relay_body_add(&n->body, n->dsn.bytes) == 0);
	changes[0] = (struct custody_change){.op = CUSTODY_PUT,
		.id = n->id,
		.envelope = buf_slice(&n->envelope),
		.body = &n->body};
	size_t n_changes = n->with(n->arg, &changes[1]) ? 2 : 1;
	store_commit(k, changes, n_changes, on_stored, n);
}

static void ask_signer(void *arg);

static void
on_signed(void *arg, struct ipc_msg *m)
{
	struct notice *n = arg;
	struct slice signatures[SIGNER_BATCH_MOST];
	if (m == NULL && n->again) {
		n->again = false;
		loop_timer_set(&n->timer, SIGN_AGAIN_MS);
		return;
	}
	if (m == NULL || m->type != SIGNER_MSG_SIGNED ||
		!signer_signatures_unpack(m->payload, n->arena, signatures, n->n_requests)) {
		notice_end(n, false); /* never unsigned: made again later */
		return;
	}
	for (size_t i = 0; i < n->n_requests; i++) {
		struct slice field = dkim_sign_field(&n->requests[i], signatures[i], n->arena);
		n->signatures = arena_printf(
			n->arena, "%.*s%.*s", SLICE_ARG(n->signatures), SLICE_ARG(field));
	}
	store(n);
}

static void
ask_signer(void *arg)
{
	struct notice *n = arg;
	struct signer_job jobs[SIGNER_BATCH_MOST];
	struct ipc_out out;
	struct slice payload;
	uint32_t id = 0;
	for (size_t i = 0; i < n->n_requests; i++) {
		jobs[i].key = (uint32_t)n->keys[i];
		memcpy(jobs[i].digest, n->requests[i].digest, sizeof(jobs[i].digest));
	}
	ipc_out_init(&out);
	signer_jobs_pack(jobs, n->n_requests, &out);
	if (ipc_out_ok(&out, &payload))
		id = peer_ask(n->mail->keeper->signer, SIGNER_MSG_SIGN, payload, NULL, 0,
			SIGN_MS, on_signed, n);
	ipc_out_fini(&out);
	if (id == 0)
		on_signed(n, NULL);
}

/* Every key of the domain that it is from. */
static void
make_requests(struct notice *n)
{
	struct keeper *k = n->mail->keeper;
	struct message parsed;
	struct dkim_sign *s = dkim_sign_begin(n->arena);
	dkim_sign_body(s, slice_from(n->dsn.bytes, n->dsn.header_bytes));
	dkim_sign_body_end(s);
	message_parse(slice_first(n->dsn.bytes, n->dsn.header_bytes), k->settings.hostname,
		n->dsn.smtputf8, n->arena, &parsed);
	for (size_t i = 0; i < k->settings.n_keys && n->n_requests < SIGNER_BATCH_MOST; i++) {
		const struct queue_key *key = &k->settings.keys[i];
		if (!slice_eq(key->domain, n->domain))
			continue;
		struct dkim_sign_request *r = &n->requests[n->n_requests];
		n->keys[n->n_requests++] = i;
		*r = (struct dkim_sign_request){.domain = key->domain,
			.selector = key->selector,
			.algorithm = key->algorithm};
		dkim_sign_digest(s, parsed.fields, parsed.n_fields, keeper_wall(k) / 1000, r);
	}
}

/* From the sender's domain where we can sign for it, else from our own name. */
static struct slice
domain_of(const struct keeper *k, struct slice sender)
{
	for (size_t i = 0; i < k->settings.n_keys; i++)
		if (slice_eq(k->settings.keys[i].domain, sender))
			return sender;
	return k->settings.hostname;
}

static void
make(struct notice *n, struct slice original, bool whole)
{
	struct keeper *k = n->mail->keeper;
	char id[CUSTODY_ID_TEXT];
	n->domain = domain_of(k, n->mail->mail.sender.domain);
	struct dsn_input in = {.hostname = k->settings.hostname,
		.domain = n->domain,
		.mail = &n->original,
		.id = arena_slice(n->arena, slice_of(custody_id_text(&n->id, id))),
		.now_ms = keeper_wall(k),
		.give_up_ms = n->mail->mail.arrived_ms + k->settings.queue.lifetime_ms,
		.rcpts = n->rcpts,
		.n_rcpts = n->n,
		.original = original,
		.original_whole = whole};
	dsn_make(&in, n->arena, &n->dsn);
	make_requests(n);
	n->again = true;
	if (n->n_requests != 0)
		ask_signer(n);
	else
		store(n);
}

static void
on_original(void *arg, enum custody_result r, struct slice bytes)
{
	struct notice *n = arg;
	if (r != CUSTODY_OK)
		bytes = SLICE_NONE; /* the notice matters more than what it quotes */
	make(n, arena_slice(n->arena, bytes), bytes.n == n->mail->body_bytes);
}

/* What is in memory is quoted from there. */
static void
quote_memory(struct notice *n)
{
	struct relay_reader reader;
	struct buf scratch, all;
	struct slice piece;
	struct err err;
	buf_init(&scratch, DSN_RETURN_MOST);
	buf_init(&all, DSN_RETURN_MOST);
	relay_reader_init(&reader, &n->mail->body);
	while (buf_left(&all) > 0 &&
		relay_reader_next(&reader, buf_left(&all), &scratch, &piece, &err) == 0 &&
		piece.n != 0)
		(void)buf_add(&all, piece);
	struct slice original = arena_slice(n->arena, buf_slice(&all));
	buf_fini(&scratch);
	buf_fini(&all);
	make(n, original, original.n == n->mail->body.bytes);
}

/* Our own notice goes to whom the tag was put on for (filters/batv.h). */
static void
take_tag_off(const struct keeper *k, struct address *sender, struct arena *a)
{
	struct address plain;
	struct slice local;
	bool tags = false;
	for (size_t i = 0; i < k->settings.n_tagging; i++)
		tags = tags || slice_eq(k->settings.tagging[i], sender->domain);
	if (tags && batv_form(sender->local, &local) &&
		address_make(local, sender->domain, a, &plain) == ADDRESS_OK)
		*sender = plain;
}

void
notice_send(struct mail *m, struct dsn_rcpt *rcpts, size_t n_rcpts, notice_with_fn *with,
	notice_fn *fn, void *arg)
{
	struct notice *n = MEM_NEW(struct notice);
	must(n_rcpts > 0);
	*n = (struct notice){.mail = m,
		.arena = arena_new(NOTICE_ARENA_MOST),
		.rcpts = rcpts,
		.n = n_rcpts,
		.with = with,
		.fn = fn,
		.arg = arg,
		.id = custody_id_new()};
	n->original = m->mail;
	take_tag_off(m->keeper, &n->original.sender, n->arena);
	m->keeper->notices++;
	buf_init(&n->envelope, CUSTODY_ENVELOPE_MOST);
	loop_timer_init(&n->timer, m->keeper->loop, ask_signer, n);
	if (m->body_place == BODY_HERE)
		quote_memory(n);
	else
		custody_body_read(
			m->keeper->custody, &m->id, 0, DSN_RETURN_MOST, on_original, n);
}
