/*
 * AUTH as the session sees it: each step is asked of the authenticator, a process of its own,
 * since yescrypt takes 15 ms and a session must not see the hashes.
 */
#include "session/authenticator.h"
#include "session/process_priv.h"

enum { AUTH_MS = 60 * 1000 };

static void
on_result(void *arg, struct ipc_msg *m)
{
	struct connection *c = arg;
	struct auth_result r = {.outcome = AUTH_BROKEN};
	c->auth_id = 0;
	if (m != NULL && (m->type != AUTH_MSG_RESULT || !auth_result_unpack(m->payload, &r)))
		r.outcome = AUTH_BROKEN;
	switch (r.outcome) {
	case AUTH_CHALLENGE: gate_auth_challenge(c->gate, r.text); break;
	case AUTH_OK: gate_auth_done(c->gate, true, r.text); break;
	case AUTH_REFUSED: gate_auth_done(c->gate, false, r.text); break;
	case AUTH_BROKEN: gate_auth_failed(c->gate); break;
	}
	connection_wake(c);
}

static void
pack(const struct connection *c, const struct gate_auth_step *step, struct ipc_out *out)
{
	struct auth_step s = {.conversation = c->number,
		.listener = (unsigned)(c->front - c->process->fronts),
		.first = step->first,
		.mechanism = step->mechanism,
		.has_data = step->has_data,
		.data = step->data};
	ipc_out_init(out);
	auth_step_pack(&s, out);
}

void
authenticate(struct connection *c)
{
	struct peer *authenticator = c->process->peers[PROCESS_AUTH][0];
	struct ipc_out out;
	struct slice payload;
	pack(c, gate_auth(c->gate), &out);
	if (authenticator != NULL && ipc_out_ok(&out, &payload))
		c->auth_id = peer_ask(
			authenticator, AUTH_MSG_STEP, payload, NULL, 0, AUTH_MS, on_result, c);
	ipc_out_fini(&out);
	if (c->auth_id == 0) {
		gate_auth_failed(c->gate);
		connection_wake(c);
	}
}

void
authenticate_cancel(struct connection *c)
{
	struct peer *authenticator = c->process->peers[PROCESS_AUTH][0];
	struct ipc_out out;
	struct slice payload;
	if (authenticator == NULL)
		return;
	peer_forget(authenticator, c->auth_id);
	c->auth_id = 0;
	pack(c, &(struct gate_auth_step){0}, &out);
	if (ipc_out_ok(&out, &payload))
		(void)peer_tell(authenticator, AUTH_MSG_DROP, 0, payload);
	ipc_out_fini(&out);
}
