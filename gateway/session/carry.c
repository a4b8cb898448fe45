/*
 * A mail on its way to its next hop: to a declared domain's servers over connections of this
 * process, to the outside through a delivery process.
 */
#include "session/process_priv.h"

static void
on_relayed(void *arg, const struct relay_result *r)
{
	struct connection *c = arg;
	struct gate_transfer *t = gate_transfer(c->gate);
	c->transfer = NULL;
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

/* Nobody can carry it: 451, in words for the log. */
static void
carry_fail(struct connection *c, const char *words)
{
	struct gate_transfer *t = gate_transfer(c->gate);
	t->reply = smtp_reply_of(words);
	for (size_t i = 0; i < t->mail.n_rcpts; i++) {
		t->mail.rcpts[i].fate = RELAY_DEFERRED;
		t->mail.rcpts[i].reply = t->reply;
	}
	gate_transferred(c->gate);
	connection_wake(c);
}

void
carry_begin(struct connection *c)
{
	struct gate_transfer *t = gate_transfer(c->gate);
	if (t->hops == NULL) {
		carry_fail(c, "451 4.3.2 No delivery process is running");
		return;
	}
	struct relay_way way = {.hops = t->hops};
	t->mail.times = &relay_times_inbound;
	c->transfer = relay_send(c->process->pool, &way, &t->mail, on_relayed, c);
}

bool
carry_cancel(struct connection *c)
{
	if (c->transfer != NULL)
		return relay_cancel(&c->transfer);
	return true;
}
