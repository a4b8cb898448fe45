/*
 * What leaves a session for other processes while its client waits: a mail in parcels to the
 * keeper, and the question of `answer at rcpt` to a delivery process. The time that the client
 * has really waited is counted.
 */
#include <unistd.h>

#include "delivery/messages.h"
#include "session/process_priv.h"

/* The keeper answers within the budget, and its final dots; this is for one that hangs. */
enum { KEEPER_HANGS_MS = 20 * 60 * 1000, RCPT_LATE_MS = 2000 };

static void
waited(struct connection *c)
{
	gate_waited(c->gate, loop_now(c->process->loop) - c->asked_ms);
}

/* --- a mail to the keeper */

static void
taken(struct connection *c)
{
	gate_transferred(c->gate);
	connection_wake(c);
}

static void
keeper_failed(struct connection *c, const char *words)
{
	gate_transfer(c->gate)->reply = smtp_reply_of(words);
	taken(c);
}

/* Protected servers' own replies to RCPT: the next call-out knows. */
static void
note_known(struct connection *c, const struct queue_result *r)
{
	const struct gate_transfer *t = gate_transfer(c->gate);
	size_t at = 0;
	for (size_t i = 0; i < t->n_parcels; i++) {
		const struct stored_mail *m = &t->parcels[i].mail;
		for (size_t k = 0; k < m->n_rcpts && at < r->n_rcpts; k++, at++)
			if (m->rcpts[k].way == DELIVERY_BY_DOMAIN &&
				r->rcpts[at].phase == SMTP_CL_RCPT &&
				r->rcpts[at].reply.code != 0)
				relay_verify_note(c->process->pool, &m->rcpts[k].address,
					&r->rcpts[at].reply);
	}
}

/* One fate for each recipient, or none at all where there are too many. */
static bool
fits(const struct gate_transfer *t, const struct queue_result *r)
{
	size_t n = 0;
	for (size_t i = 0; i < t->n_parcels; i++)
		n += t->parcels[i].mail.n_rcpts;
	return r->n_rcpts == 0 || r->n_rcpts == n;
}

static void
on_result(void *arg, struct ipc_msg *m)
{
	struct connection *c = arg;
	struct gate_transfer *t = gate_transfer(c->gate);
	struct arena *a = t->mail.arena;
	c->carrier = NULL;
	waited(c);
	if (m == NULL) { /* it died; what it has stored, it finds again */
		keeper_failed(c, "451 4.3.0 The queue was interrupted, try again later");
		return;
	}
	struct queue_result *r = ARENA_NEW(a, struct queue_result);
	if (m->type != QUEUE_MSG_RESULT ||
		!queue_result_unpack(arena_slice(a, m->payload), a, r) || !fits(t, r)) {
		keeper_failed(c, "451 4.3.0 The queue failed, try again later");
		return;
	}
	t->reply = r->reply;
	t->from_hop = r->from_hop;
	t->hop = r->host.n != 0 ? r->host : r->hop;
	t->result = r;
	note_known(c, r);
	taken(c);
}

static int
first_file(const struct gate_transfer *t)
{
	for (size_t i = 0; i < t->n_parcels; i++)
		for (size_t k = 0; k < t->parcels[i].body.n; k++)
			if (t->parcels[i].body.parts[k].fd >= 0)
				return t->parcels[i].body.parts[k].fd;
	return -1;
}

/* Whose waits are counted together: the account, or the client's address. */
static struct slice
waits_of(const struct gate_transfer *t, char buf[IP_TEXT_BYTES])
{
	const struct stored_mail *m = &t->parcels[0].mail;
	return m->user.n != 0 ? m->user : ip_text(&m->client, buf);
}

void
carry_to_keeper(struct connection *c)
{
	struct gate_transfer *t = gate_transfer(c->gate);
	struct peer *keeper = c->process->peers[PROCESS_KEEPER][0];
	char ip[IP_TEXT_BYTES];
	struct queue_take take = {.budget_ms = t->budget_ms,
		.give_back = t->give_back,
		.hold = t->hold,
		.client = waits_of(t, ip),
		.parcels = t->parcels,
		.n = t->n_parcels};
	struct ipc_out out;
	struct slice payload;
	struct err err;
	int fds[IPC_FDS_MOST], large;
	size_t n_fds;
	c->carrier_id = 0;
	c->asked_ms = loop_now(c->process->loop);
	ipc_out_init(&out);
	if (queue_take_pack(&take, first_file(t), &out, fds, &n_fds, &large, &err) < 0) {
		ipc_out_fini(&out);
		log_error(EV_SYSTEM_ERROR, t->mail.log, &err);
		keeper_failed(c, "452 4.3.1 Insufficient system resources, try again later");
		return;
	}
	if (keeper != NULL && ipc_out_ok(&out, &payload))
		c->carrier_id = peer_ask(keeper, QUEUE_MSG_TAKE, payload, fds, n_fds,
			KEEPER_HANGS_MS, on_result, c);
	ipc_out_fini(&out);
	if (large >= 0)
		close(large);
	if (c->carrier_id == 0) {
		keeper_failed(c, "451 4.3.0 The queue cannot be reached, try again later");
		return;
	}
	c->carrier = keeper;
	c->cancel = QUEUE_MSG_CANCEL;
}

/* --- `answer at rcpt` */

static void
on_rcpt_says(void *arg, struct ipc_msg *m)
{
	struct connection *c = arg;
	struct arena *a = arena_new(64 * 1024);
	struct smtp_reply r;
	c->rcpt_peer = NULL;
	waited(c);
	bool said = m != NULL && m->type == DELIVERY_MSG_RCPT_SAYS &&
		    delivery_rcpt_answer_unpack(m->payload, a, &r) && r.code != 0;
	gate_rcpt_answered(c->gate, said ? &r : NULL);
	arena_free(&a);
	connection_wake(c);
}

void
rcpt_ask(struct connection *c)
{
	const struct gate_rcpt *q = gate_rcpt(c->gate);
	struct process *p = c->process;
	size_t n = p->start->servers[PROCESS_DELIVERY];
	struct delivery_rcpt_question question = {.site = q->site,
		.log = slice_of(q->log->value),
		.sender = q->sender,
		.params = q->params,
		.rcpt = q->rcpt,
		.rcpt_params = q->rcpt_params,
		.budget_ms = q->budget_ms};
	struct ipc_out out;
	struct slice payload;
	c->rcpt_id = 0;
	c->asked_ms = loop_now(p->loop);
	ipc_out_init(&out);
	delivery_rcpt_question_pack(&question, &out);
	struct peer *peer =
		n != 0 ? p->peers[PROCESS_DELIVERY][delivery_index(q->site, n)] : NULL;
	if (peer != NULL && ipc_out_ok(&out, &payload))
		c->rcpt_id = peer_ask(peer, DELIVERY_MSG_RCPT, payload, NULL, 0,
			q->budget_ms + RCPT_LATE_MS, on_rcpt_says, c);
	ipc_out_fini(&out);
	if (c->rcpt_id != 0) {
		c->rcpt_peer = peer;
		return;
	}
	gate_rcpt_answered(c->gate, NULL);
	connection_wake(c);
}

void
rcpt_cancel(struct connection *c)
{
	if (c->rcpt_peer != NULL)
		peer_forget(c->rcpt_peer, c->rcpt_id);
	c->rcpt_peer = NULL;
}
