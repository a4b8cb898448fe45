/*
 * The first driver: the client speaks to the SMTP gate, which carries mails to the play's next
 * hop; see play.h. Passwords are the play's, a handshake succeeds at once.
 */
#include <stdio.h>

#include "base/base64.h"
#include "play.h"

struct by_gate {
	struct gate *gate;
	bool carries; /* a mail is on its way to the hop ... */
	uint64_t carried_at;
};

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
	switch (gate_wants(b->gate)) {
	case GATE_WANT_NOTHING: return false;
	case GATE_WANT_TRANSFER:
		b->carries = true;
		b->carried_at = p->world.now_ms +
				hop_carry(&p->hop, p->conf->hostname, gate_transfer(b->gate));
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
	while (!p->failed && (q = gate_question(b->gate, &scope)) != NULL)
		play_ask(p, q, scope);
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
	if (b->carries) {
		gate_gone(b->gate);
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
	return b->carries ? b->carried_at : UINT64_MAX;
}

static void
step(struct play *p, bool answers)
{
	struct by_gate *b = p->state;
	gate_clock(b->gate, play_wall_ms(p));
	if (b->carries && b->carried_at <= p->world.now_ms) {
		b->carries = false;
		gate_transferred(b->gate);
	}
	if (answers)
		gate_answered(b->gate);
	service(p, b);
}

const struct driver driver_gate = {"gateway", begin, end, over, feed, next, step};
