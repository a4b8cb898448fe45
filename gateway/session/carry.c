/*
 * A mail on its way to its next hop: to a declared domain's servers over connections of this
 * process, to the outside through a delivery process or, with a spool, the keeper
 * (carry_keeper.c).
 */
#include "delivery/messages.h"
#include "session/process_priv.h"

/* A delivery process answers within its own budgets; this is for one that hangs. */
enum { DELIVERY_HANGS_MS = 20 * 60 * 1000 };

/* No server was reached, or none that could be spoken to: nobody has said anything of it. */
static bool
is_unreachable(const struct gate_transfer *t, const struct relay_result *r)
{
	for (size_t i = 0; i < t->mail.n_rcpts; i++)
		if (t->mail.rcpts[i].fate != RELAY_DEFERRED)
			return false;
	return !r->from_hop;
}

static void
on_relayed(void *arg, const struct relay_result *r)
{
	struct connection *c = arg;
	struct gate_transfer *t = gate_transfer(c->gate);
	c->transfer = NULL;
	if (is_unreachable(t, r) && gate_unreachable(c->gate)) {
		carry_to_keeper(c);
		return;
	}
	t->reply = r->reply;
	t->from_hop = r->from_hop;
	t->hop = arena_slice(t->mail.arena, r->hop);
	for (size_t i = 0; i < t->mail.n_rcpts; i++)
		if (t->mail.rcpts[i].phase == SMTP_CL_RCPT && t->mail.rcpts[i].reply.code != 0)
			relay_verify_note(c->process->pool, &t->mail.rcpts[i].address,
				&t->mail.rcpts[i].reply);
	gate_transferred(c->gate);
	connection_wake(c);
}

/* Nobody has carried it, or nobody can tell: 451, in words for the client and the log. */
static void
carry_fail(struct connection *c, enum relay_fate fate, const char *words)
{
	struct gate_transfer *t = gate_transfer(c->gate);
	t->reply = smtp_reply_of(words);
	for (size_t i = 0; i < t->mail.n_rcpts; i++) {
		t->mail.rcpts[i].fate = fate;
		t->mail.rcpts[i].reply = t->reply;
	}
	gate_transferred(c->gate);
	connection_wake(c);
}

static void
on_delivered(void *arg, struct ipc_msg *m)
{
	struct connection *c = arg;
	struct gate_transfer *t = gate_transfer(c->gate);
	struct delivery_result r;
	c->carrier = NULL;
	if (m == NULL) { /* it died, maybe behind a final dot */
		carry_fail(c, RELAY_DOUBT,
			"451 4.3.0 The delivery was interrupted, try again later");
		return;
	}
	struct slice payload = arena_slice(t->mail.arena, m->payload);
	if (m->type != DELIVERY_MSG_RESULT ||
		!delivery_result_unpack(payload, t->mail.arena, &r) ||
		r.n_rcpts != t->mail.n_rcpts) {
		carry_fail(c, RELAY_DOUBT, "451 4.3.0 The delivery failed, try again later");
		return;
	}
	t->reply = r.reply;
	t->from_hop = r.from_hop;
	t->hop = r.host.n != 0 ? r.host : r.hop;
	for (size_t i = 0; i < r.n_rcpts; i++) {
		t->mail.rcpts[i].fate = r.rcpts[i].fate;
		t->mail.rcpts[i].reply = r.rcpts[i].reply;
		t->mail.rcpts[i].phase = r.rcpts[i].phase;
	}
	gate_transferred(c->gate);
	connection_wake(c);
}

/* Small bodies travel in the message, larger ones in the mail's spill file. */
static bool
fit_body(struct connection *c, struct err *err)
{
	struct gate_transfer *t = gate_transfer(c->gate);
	uint64_t memory = 0;
	for (size_t i = 0; i < t->body.n; i++)
		if (t->body.parts[i].fd < 0)
			memory += t->body.parts[i].length;
	if (memory <= DELIVERY_INLINE_BYTES)
		return true;
	return gate_body_to_file(c->gate, err) == 0;
}

static void
carry_outside(struct connection *c)
{
	struct gate_transfer *t = gate_transfer(c->gate);
	struct process *p = c->process;
	size_t n = p->start->servers[PROCESS_DELIVERY];
	struct err err = {0};
	struct ipc_out out;
	struct slice payload;
	int fd = -1;
	if (n == 0 || !fit_body(c, &err)) {
		if (n != 0)
			log_error(EV_SYSTEM_ERROR, t->mail.log, &err);
		carry_fail(c, RELAY_DEFERRED,
			"452 4.3.1 Insufficient system resources, try again later");
		return;
	}
	struct delivery_mail m = {.site = t->site,
		.log = slice_of(t->mail.log->value),
		.all_or_none = true,
		.budget_ms = (uint32_t)p->conf->send.wait_mail_ms,
		.sender = t->mail.sender,
		.params = t->mail.params,
		.rcpts = t->mail.rcpts,
		.n_rcpts = t->mail.n_rcpts,
		.body = t->body};
	ipc_out_init(&out);
	c->carrier = p->peers[PROCESS_DELIVERY][delivery_index(t->site, n)];
	c->cancel = DELIVERY_MSG_CANCEL;
	if (delivery_mail_pack(&m, &out, &fd) == 0 && ipc_out_ok(&out, &payload))
		c->carrier_id = peer_ask(c->carrier, DELIVERY_MSG_MAIL, payload, &fd,
			fd >= 0 ? 1 : 0, DELIVERY_HANGS_MS, on_delivered, c);
	ipc_out_fini(&out);
	if (c->carrier_id == 0) {
		c->carrier = NULL;
		carry_fail(c, RELAY_DEFERRED,
			"451 4.3.2 No delivery process is free, try again later");
	}
}

void
carry_begin(struct connection *c)
{
	struct gate_transfer *t = gate_transfer(c->gate);
	c->carrier_id = 0;
	if (t->n_parcels != 0) {
		carry_to_keeper(c);
		return;
	}
	if (t->hops == NULL) {
		carry_outside(c);
		return;
	}
	struct relay_way way = {.hops = t->hops};
	t->mail.times = &relay_times_inbound;
	c->transfer = relay_send(c->process->pool, &way, &t->mail, on_relayed, c);
}

bool
carry_cancel(struct connection *c)
{
	if (c->carrier != NULL) { /* its result still comes: what became of a final dot */
		(void)peer_tell(c->carrier, c->cancel, c->carrier_id, SLICE_NONE);
		return false;
	}
	return c->transfer == NULL || relay_cancel(&c->transfer);
}
