/*
 * One mail, from hop to hop until one has answered; see relay.h. The order of trying is fixed
 * at the start: hops that are up, then those that are down, each as the administrator wrote
 * them.
 *
 * What may be tried again is decided in one place, relay_transfer_settled: what broke before
 * the final dot, and a 4yz to MAIL, goes on to the next address and hop; after the dot nothing
 * does (OUT-04). Where none of them has an answer, the last that had words for us is told.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "relay/relay_priv.h"

enum { ARENA_BYTES = 4 * 1024 * 1024 };

static const char unreachable[] = "451 4.4.1 No next hop can be reached now";
static const char too_late[] = "451 4.4.1 The next hop did not answer in time";
static const char unreadable[] = "451 4.3.0 The mail cannot be read now";

static void on_task(void *arg);
static void on_deadline(void *arg);
static void next_address(struct relay_transfer *t);
static void next_hop(struct relay_transfer *t);

/* ---- the order of the hops ---- */

static size_t
count_hops(const struct next_hop *hops, size_t n)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += hops[i].kind == HOP_BALANCED ? hops[i].n_items : 1;
	return count;
}

static void
add_hop(struct relay_transfer *t, const struct next_hop *n, bool down)
{
	if (relay_hop_is_down(t->pool, relay_hop_find(t->pool, n)) == down)
		t->order[t->n_order++] = n;
}

static void
add_hops(struct relay_transfer *t, uint64_t turn, bool down)
{
	const struct hop_list *l = t->way.hops;
	for (size_t i = 0; i < l->n; i++) {
		const struct next_hop *n = &l->hops[i];
		if (n->kind != HOP_BALANCED)
			add_hop(t, n, down);
		for (size_t k = 0; n->kind == HOP_BALANCED && k < n->n_items; k++)
			add_hop(t, &n->items[(turn + k) % n->n_items], down);
	}
}

struct relay_transfer *
relay_transfer_new(struct relay_pool *p, enum relay_kind kind, const struct relay_way *w,
	struct relay_mail *m, relay_fn *fn, void *arg)
{
	struct relay_transfer *t = MEM_NEW(struct relay_transfer);
	t->kind = kind;
	t->pool = p;
	t->way = *w;
	t->mail = m;
	t->fn = fn;
	t->arg = arg;
	t->arena = arena_new(ARENA_BYTES);
	t->order = arena_array(
		t->arena, count_hops(w->hops->hops, w->hops->n) + 1, sizeof(*t->order));
	buf_init(&t->scratch, RELAY_PIECE_BYTES);
	loop_task_init(&t->task, p->config.loop, on_task, t);
	loop_timer_init(&t->deadline, p->config.loop, on_deadline, t);
	TAILQ_INSERT_TAIL(&p->transfers, t, of_pool);
	loop_task_queue(&t->task);
	return t;
}

static void
leave_hop(struct relay_transfer *t)
{
	struct relay_hop *h = t->hop;
	t->hop = NULL;
	if (h == NULL)
		return;
	h->transfers--;
	relay_hop_wake(h); /* it may have been our turn */
}

void
relay_transfer_free(struct relay_transfer *t)
{
	relay_resolve_cancel(t);
	if (t->waiting)
		TAILQ_REMOVE(&t->hop->waiting, t, of_waiting);
	if (t->conn != NULL)
		relay_conn_drop(t->conn);
	if (t->kind == RELAY_LEARN)
		relay_hop_find(t->pool, t->order[0])->learning = false;
	leave_hop(t);
	loop_task_clear(&t->task);
	loop_timer_clear(&t->deadline);
	TAILQ_REMOVE(&t->pool->transfers, t, of_pool);
	buf_fini(&t->scratch);
	arena_free(&t->arena);
	mem_free(t);
}

static void
on_deadline(void *arg)
{
	struct relay_transfer *t = arg;
	must(!t->final);
	bool asks = t->resolve.mx != NULL || t->resolve.open > 0;
	if (t->conn != NULL)
		t->result.stage = relay_conn_stage(t->conn);
	else
		t->result.stage = asks ? RELAY_AT_DNS : RELAY_AT_CONNECT;
	relay_finish_unanswered(t, smtp_reply_of(too_late));
}

/* ---- from hop to hop ---- */

static void
use(struct relay_transfer *t, struct relay_conn *c, bool kept)
{
	struct relay_result *r = &t->result;
	t->conn = c;
	t->kept = kept;
	r->attempts++;
	r->hop = t->next_hop->text;
	r->address = c->to;
	r->host = relay_keep_words(t, slice_of(c->host));
	r->why = SLICE_NONE;
	r->mx_set = c->mx_set;
	relay_note_conn(t, c);
}

static void
send_mail(struct relay_transfer *t)
{
	struct relay_conn *c = t->conn;
	struct relay_result *r = &t->result;
	t->met = true;
	r->offer = *smtp_client_offer(c->client);
	r->offer.auth = NULL;
	relay_note_conn(t, c);
	struct smtp_client_mail *m = &t->send;
	*m = (struct smtp_client_mail){.sender = t->mail->sender,
		.params = t->mail->params,
		.rcpts = m->rcpts,
		.n_rcpts = t->mail->n_rcpts,
		.all_or_none = t->mail->all_or_none,
		.probe = t->kind != RELAY_MAIL,
		.arena = t->mail->arena};
	if (t->way.hops->client == HOP_CLIENT_XCLIENT)
		m->xclient = t->mail->client;
	else if (t->way.hops->client == HOP_CLIENT_XFORWARD)
		m->xforward = t->mail->client;
	if (m->rcpts == NULL)
		m->rcpts = arena_array(t->arena, m->n_rcpts, sizeof(*m->rcpts));
	for (size_t i = 0; i < m->n_rcpts; i++)
		m->rcpts[i] = (struct smtp_client_rcpt){.address = t->mail->rcpts[i].address,
			.params = t->mail->rcpts[i].params};
	if (t->mail->body != NULL) {
		m->params.size = t->mail->body->bytes;
		relay_reader_init(&t->reader, t->mail->body);
	}
	relay_conn_send(c, m);
}

static void
hop_failed(struct relay_transfer *t)
{
	if (!t->met) /* one that only breaks at this mail is not down */
		relay_hop_down(t->pool, t->hop, t->next_hop, t->result.why,
			t->mail != NULL ? t->mail->log : NULL);
	next_hop(t);
}

static void
wait_turn(struct relay_transfer *t)
{
	t->waiting = true;
	if (t->waited) /* woken, and another was faster: still the first */
		TAILQ_INSERT_HEAD(&t->hop->waiting, t, of_waiting);
	else
		TAILQ_INSERT_TAIL(&t->hop->waiting, t, of_waiting);
	t->waited = true;
}

/* An idle connection that is of no use to us may stand in the way of the limit. */
static bool
is_at_limit(struct relay_transfer *t)
{
	bool probe = t->kind == RELAY_PROBE;
	size_t limit = probe ? RELAY_PROBES_MOST : t->way.connections;
	if (limit == 0)
		return false;
	struct relay_conn *c, *next;
	for (c = TAILQ_FIRST(&t->hop->idle); c != NULL; c = next) {
		next = TAILQ_NEXT(c, of_hop_idle);
		if (c->probe == probe && (probe ? t->hop->probes : t->hop->conns) >= limit)
			relay_conn_quit(c);
	}
	return (probe ? t->hop->probes : t->hop->conns) >= limit;
}

/* This address, or this server by another of its addresses, puts us off. */
static bool
has_declined(const struct relay_transfer *t, const struct relay_address *a)
{
	const struct stream_addr *no = &t->declined;
	if (t->put_offs == 0)
		return false;
	if (t->next_hop->kind == HOP_MX && slice_eq_nocase(a->host, t->declined_host))
		return true;
	return ip_eq(&a->to.ip, &no->ip) && a->to.port == no->port &&
	       strcmp(a->to.path, no->path) == 0;
}

static void
next_address(struct relay_transfer *t)
{
	if (is_at_limit(t)) { /* others came first while we asked the DNS */
		wait_turn(t);
		return;
	}
	while (t->address_at < t->n_addresses && t->result.attempts < RELAY_ATTEMPTS_MOST &&
		t->put_offs < RELAY_PUT_OFFS_MOST) {
		const struct relay_address *a = &t->addresses[t->address_at++];
		struct err err = {0};
		if (has_declined(t, a))
			continue;
		struct relay_conn *c = relay_conn_open(t, a, &err);
		if (c != NULL) {
			use(t, c, false);
			return;
		}
		t->result.attempts++;
		t->result.address = a->to;
		t->result.hop = t->next_hop->text;
		t->result.host = relay_keep_words(t, a->host);
		relay_note_why(t, slice_of(err.text));
	}
	hop_failed(t);
}

void
relay_transfer_resolved(struct relay_transfer *t, enum mx_verdict verdict)
{
	if (verdict == MX_GOOD) {
		next_address(t);
		return;
	}
	struct smtp_reply reply = mx_reply(verdict);
	t->result.stage = RELAY_AT_DNS;
	relay_note_why(t, reply.text);
	if (t->way.direct) { /* the domain itself has said so, or could not be asked */
		t->result.hop = t->next_hop->text;
		relay_finish_unanswered(t, reply);
	} else {
		hop_failed(t);
	}
}

static void
try_hop(struct relay_transfer *t)
{
	struct relay_conn *c = NULL;
	enum mx_verdict verdict;
	struct tls_policy tls = relay_way_tls(&t->way, t->next_hop);
	if (!t->fresh && t->kind != RELAY_LEARN)
		c = relay_conn_take(t, &tls);
	if (c != NULL) {
		use(t, c, true);
		send_mail(t);
	} else if (is_at_limit(t)) {
		wait_turn(t);
	} else if (relay_resolve_start(t, &verdict)) {
		relay_transfer_resolved(t, verdict);
	}
}

static void
next_hop(struct relay_transfer *t)
{
	if (t->at == t->n_order || t->result.attempts >= RELAY_ATTEMPTS_MOST) {
		relay_finish_unanswered(t, smtp_reply_of(unreachable));
		return;
	}
	leave_hop(t);
	t->next_hop = t->order[t->at++];
	t->hop = relay_hop_find(t->pool, t->next_hop);
	t->hop->transfers++;
	t->fresh = t->in_clear = t->waited = t->met = false;
	t->put_offs = 0;
	try_hop(t);
}

static void
start(struct relay_transfer *t)
{
	t->started = true;
	uint64_t now = loop_now(t->pool->config.loop);
	if (t->mail != NULL && t->mail->deadline_ms != 0) {
		if (t->mail->deadline_ms <= now) {
			t->result.stage = RELAY_AT_CONNECT;
			relay_finish_for_all(t, smtp_reply_of(too_late));
			return;
		}
		loop_timer_set(&t->deadline, t->mail->deadline_ms - now);
	}
	if (t->n_order == 0) {
		uint64_t turn = t->pool->turn++;
		add_hops(t, turn, false);
		add_hops(t, turn, true);
	}
	next_hop(t);
}

static void
on_task(void *arg)
{
	struct relay_transfer *t = arg;
	if (t->started)
		try_hop(t);
	else
		start(t);
}

/* ---- what the connection tells ---- */

void
relay_transfer_ready(struct relay_transfer *t)
{
	relay_hop_up(t->pool, t->hop, t->next_hop, t->mail != NULL ? t->mail->log : NULL);
	if (t->kind != RELAY_LEARN) {
		send_mail(t);
		return;
	}
	struct relay_conn *c = t->conn;
	t->conn = NULL;
	relay_conn_release(c);
	relay_transfer_free(t);
}

/* "554 5.7.1 words" or what the world did. */
static void
note_failure(struct relay_transfer *t)
{
	struct relay_conn *c = t->conn;
	struct smtp_reply r = {0};
	const char *why = "";
	relay_note_conn(t, c);
	t->result.stage = relay_conn_stage(c);
	t->result.said = (struct smtp_reply){0};
	if (!smtp_client_failed(c->client, &r, &why) || r.code == 0) {
		relay_note_why(t, slice_of(c->why[0] != '\0' ? c->why : why));
		return;
	}
	relay_note_why(t, smtp_reply_line(&r, t->arena));
	t->result.said = smtp_reply_text(r, SLICE_NONE, t->arena);
	t->result.said.text = relay_keep_words(t, r.text);
	t->result.phase = SMTP_CL_GREETING;
}

static void
keep_said(struct relay_transfer *t)
{
	if (t->result.said.code != 0)
		relay_note_words(t);
}

static void
drop_conn(struct relay_transfer *t)
{
	struct relay_conn *c = t->conn;
	t->conn = NULL;
	relay_conn_drop(c);
}

void
relay_transfer_failed(struct relay_transfer *t)
{
	bool again = t->conn->tls_failed && t->conn->tls.level == TLS_LEVEL_OPPORTUNISTIC &&
		     !t->in_clear;
	note_failure(t);
	keep_said(t);
	relay_log_attempt(t);
	drop_conn(t);
	t->in_clear = again;
	if (again)
		t->address_at--; /* RFC 7435: in clear rather than not at all */
	next_address(t);
}

/* Lost, or told to go (421), before the final dot: nothing was delivered, others may do it. */
static void
try_elsewhere(struct relay_transfer *t)
{
	bool kept = t->kept;
	note_failure(t);
	relay_log_attempt(t);
	drop_conn(t);
	if (!kept) {
		keep_said(t);
		next_address(t);
		return;
	}
	t->fresh = true;
	t->result.attempts--; /* a kept connection that had died says nothing of the hop */
	try_hop(t);
}

static bool
is_sent(const struct smtp_client_mail *m)
{
	for (size_t i = 0; i < m->n_rcpts; i++)
		if (m->rcpts[i].sent)
			return true;
	return false;
}

/* 4yz to MAIL: it would be the same for any mail of this sender now, at this server. */
static bool
is_put_off(const struct smtp_client_mail *m)
{
	return m->phase == SMTP_CL_MAIL && m->asked && smtp_reply_class(&m->reply) == 4;
}

static void
try_another(struct relay_transfer *t)
{
	struct relay_conn *c = t->conn;
	t->result.reply = t->send.reply;
	t->result.phase = SMTP_CL_MAIL;
	t->result.stage = RELAY_AT_MAIL;
	t->result.from_hop = true;
	t->result.said = (struct smtp_reply){0};
	relay_log_attempt(t);
	relay_note_words(t);
	t->result.reply = (struct smtp_reply){0};
	t->result.from_hop = false;
	t->conn = NULL;
	bool kept = t->kept;
	t->fresh = true; /* not this one again, should we have to wait for our turn */
	t->put_offs++;
	t->declined = c->to;
	t->declined_host = arena_slice(t->arena, slice_of(c->host));
	relay_conn_release(c);
	if (kept)
		try_hop(t);
	else
		next_address(t);
}

void
relay_transfer_settled(struct relay_transfer *t)
{
	const struct smtp_client_mail *m = &t->send;
	bool no_answer = m->reply.code == 0 || m->reply.code == 421;
	if (no_answer && !is_sent(m)) {
		try_elsewhere(t);
		return;
	}
	if (is_put_off(m)) {
		try_another(t);
		return;
	}
	if (no_answer)
		note_failure(t);
	relay_hop_unnamed(t, m->unnamed);
	struct relay_conn *c = t->conn;
	t->conn = NULL;
	relay_conn_release(c);
	relay_finish_answered(t);
}

bool
relay_transfer_fill(struct relay_transfer *t)
{
	struct smtp_client *client = t->conn->client;
	for (size_t wanted; (wanted = smtp_client_wants_body(client)) > 0;) {
		struct slice piece;
		struct err err;
		if (relay_reader_next(&t->reader, wanted, &t->scratch, &piece, &err) < 0) {
			relay_note_why(t, slice_of(err.text));
			relay_finish_for_all(t, smtp_reply_of(unreadable));
			return false;
		}
		if (piece.n == 0) {
			t->final = true;
			loop_timer_clear(&t->deadline);
			smtp_client_body_end(client);
			break;
		}
		smtp_client_body(client, piece);
	}
	return true;
}

/* ---- what the caller asks ---- */

struct relay_transfer *
relay_send(struct relay_pool *p, const struct relay_way *w, struct relay_mail *m, relay_fn *fn,
	void *arg)
{
	must(m->n_rcpts > 0 && m->body != NULL && m->times != NULL);
	return relay_transfer_new(p, RELAY_MAIL, w, m, fn, arg);
}

struct relay_transfer *
relay_ask(struct relay_pool *p, const struct relay_way *w, struct relay_mail *m, relay_fn *fn,
	void *arg)
{
	must(m->n_rcpts > 0 && m->body == NULL && m->times != NULL);
	return relay_transfer_new(p, RELAY_ASK, w, m, fn, arg);
}

bool
relay_cancel(struct relay_transfer **tp)
{
	struct relay_transfer *t = *tp;
	if (t->final)
		return false;
	*tp = NULL;
	relay_transfer_free(t);
	return true;
}

void
relay_abandon(struct relay_transfer **tp)
{
	struct relay_transfer *t = *tp;
	*tp = NULL;
	if (t != NULL)
		relay_transfer_free(t);
}

bool
relay_is_final(const struct relay_transfer *t)
{
	return t->final;
}
