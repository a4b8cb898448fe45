/*
 * The first driver: the client speaks to the SMTP gate, which carries mails to the play's next
 * hop; see play.h. Passwords are the play's, a handshake succeeds at once.
 */
#include <stdio.h>

#include "base/base64.h"
#include "play.h"

enum waits { NOTHING, AT_HOP, AT_KEEPER, AT_REMOTE };

struct by_gate {
	struct gate *gate;
	/* What the gate waits for, until `over_at`: a mail at the hop or the keeper, a
	 * recipient's server. */
	enum waits waits;
	uint64_t since, over_at;
	const struct smtp_reply *says; /* AT_REMOTE; NULL: it was not reached */
};

static void
wait_for(struct play *p, struct by_gate *b, enum waits what, uint64_t ms)
{
	b->waits = what;
	b->since = p->world.now_ms;
	b->over_at = p->world.now_ms + ms;
}

static void
carry(struct play *p, struct by_gate *b)
{
	struct gate_transfer *t = gate_transfer(b->gate);
	if (t->n_parcels != 0)
		wait_for(p, b, AT_KEEPER, keeper_carry(&p->keeper, t));
	else
		wait_for(p, b, AT_HOP, hop_carry(&p->hop, p->conf->hostname, t));
}

/* As carry.c knows it. */
static bool
is_unreachable(const struct gate_transfer *t)
{
	for (size_t i = 0; i < t->mail.n_rcpts; i++)
		if (t->mail.rcpts[i].fate != RELAY_DEFERRED)
			return false;
	return !t->from_hop;
}

/* What the gate waited for is there. */
static void
arrived(struct play *p, struct by_gate *b)
{
	enum waits what = b->waits;
	b->waits = NOTHING;
	if (what == AT_REMOTE || what == AT_KEEPER)
		gate_waited(b->gate, p->world.now_ms - b->since);
	if (what == AT_REMOTE)
		gate_rcpt_answered(b->gate, b->says);
	else if (what == AT_HOP && is_unreachable(gate_transfer(b->gate)) &&
		 gate_unreachable(b->gate))
		carry(p, b);
	else
		gate_transferred(b->gate);
}

/* PLAIN alone; each account has its own name and the play's one password. */
static void
authenticate(struct play *p, struct gate *g)
{
	const struct gate_auth_step *step = gate_auth(g);
	struct slice words, as, name, password;
	if (!slice_eq(step->mechanism, SLICE("PLAIN")) && step->first)
		play_fail(p, "a play knows AUTH PLAIN alone");
	if (p->password.n == 0)
		gate_auth_failed(g);
	else if (step->first && !step->has_data)
		gate_auth_challenge(g, SLICE_NONE);
	else if (!base64_decode(step->data, p->arena, &words))
		gate_auth_done(g, false, SLICE_NONE);
	else {
		slice_cut(words, '\0', &as, &words);
		slice_cut(words, '\0', &name, &password);
		gate_auth_done(g, slice_eq(password, p->password), name);
	}
}

static void
sign(struct play *p, struct gate *g)
{
	struct slice signatures[SIGN_MOST];
	size_t n;
	const struct sign_request *requests = gate_signs(g, &n);
	gate_signed(g, play_sign(p, requests, n, signatures) ? signatures : NULL);
}

/* True: it was answered at once, and there may be another one. */
static bool
serve_wants(struct play *p, struct by_gate *b)
{
	uint64_t took_ms;
	switch (gate_wants(b->gate)) {
	case GATE_WANT_NOTHING: return false;
	case GATE_WANT_TRANSFER: carry(p, b); return false;
	case GATE_WANT_RCPT:
		b->says = keeper_ask(&p->keeper, gate_rcpt(b->gate), &took_ms);
		wait_for(p, b, AT_REMOTE, took_ms);
		return false;
	case GATE_WANT_TLS:
		gate_tls_started(b->gate, SLICE("TLSv1.3"), SLICE("TLS_AES_256_GCM_SHA384"));
		break;
	case GATE_WANT_CLOSE: p->closed = true; return false;
	case GATE_WANT_AUTH: authenticate(p, b->gate); break;
	case GATE_WANT_SIGN: sign(p, b->gate); break;
	}
	return true;
}

static void
take_output(struct play *p, struct by_gate *b)
{
	struct slice out;
	while ((out = gate_output(b->gate)).n != 0) {
		play_output(p, out);
		gate_written(b->gate, out.n);
	}
}

static void
service(struct play *p, struct by_gate *b)
{
	struct questions *scope;
	struct question *q;
	while (!p->failed && (q = gate_question(b->gate, &scope)) != NULL) {
		if (gate_spill(b->gate) != NULL)
			p->world.mail_bytes = spill_bytes(gate_spill(b->gate));
		play_ask(p, q, scope);
	}
	take_output(p, b);
	while (!p->failed && serve_wants(p, b))
		take_output(p, b);
	take_output(p, b);
}

static void
begin(struct play *p, const struct ip *client)
{
	struct by_gate *b = p->state = ARENA_NEW(p->arena, struct by_gate);
	struct gate_client from = {
		.ip = *client, .port = 40000, .local = p->config.listener->ip};
	char id[16];
	snprintf(id, sizeof(id), "play%d", p->sessions);
	b->gate = gate_new(&p->config, &from, id, play_wall_ms(p));
	service(p, b);
}

static void
end(struct play *p)
{
	struct by_gate *b = p->state;
	if (b->waits != NOTHING) {
		gate_gone(b->gate);
		if (b->waits == AT_KEEPER)
			keeper_cancel(&p->keeper, gate_transfer(b->gate));
		if (b->waits != AT_REMOTE)
			gate_transferred(b->gate);
	}
	gate_free(&b->gate);
}

static void
over(struct play *p)
{
	(void)p;
}

static size_t
feed(struct play *p, struct slice in)
{
	struct by_gate *b = p->state;
	size_t n = gate_feed(b->gate, in);
	service(p, b);
	return n;
}

static uint64_t
next(const struct play *p)
{
	const struct by_gate *b = p->state;
	return b->waits != NOTHING ? b->over_at : UINT64_MAX;
}

static void
step(struct play *p, bool answers)
{
	struct by_gate *b = p->state;
	gate_clock(b->gate, play_wall_ms(p));
	if (b->waits != NOTHING && b->over_at <= p->world.now_ms)
		arrived(p, b);
	if (answers)
		gate_answered(b->gate);
	service(p, b);
}

const struct driver driver_gate = {"gateway", begin, end, over, feed, next, step};
