/*
 * Digests to the signer and signatures back. A signer that dies is asked once more, when
 * another has been started; then the mail waits at its sender: never unsigned (DESIGN.md,
 * "Processes").
 */
#include "delivery/signer.h"
#include "session/process_priv.h"

enum { SIGN_MS = 10 * 1000, SIGN_AGAIN_MS = 2000 };

static void ask_signer(struct connection *c);

static void
on_signed(void *arg, struct ipc_msg *m)
{
	struct connection *c = arg;
	struct slice signatures[SIGN_MOST];
	struct arena *a = arena_new(SIGN_MOST * 1024);
	size_t n;
	c->sign_id = 0;
	if (m == NULL && c->sign_again) {
		c->sign_again = false;
		loop_timer_set(&c->timer, SIGN_AGAIN_MS);
	} else {
		(void)gate_signs(c->gate, &n);
		bool ok = m != NULL && m->type == SIGNER_MSG_SIGNED &&
			  signer_signatures_unpack(m->payload, a, signatures, n);
		gate_signed(c->gate, ok ? signatures : NULL);
		connection_wake(c);
	}
	arena_free(&a);
}

static void
ask_signer(struct connection *c)
{
	struct peer *signer = c->process->peers[PROCESS_SIGNER][0];
	struct signer_job jobs[SIGN_MOST];
	struct ipc_out out;
	struct slice payload;
	size_t n;
	const struct sign_request *requests = gate_signs(c->gate, &n);
	for (size_t i = 0; i < n; i++) {
		jobs[i].key = (uint32_t)requests[i].key;
		for (size_t k = 0; k < DKIM_DIGEST_BYTES; k++)
			jobs[i].digest[k] = requests[i].dkim.digest[k];
	}
	ipc_out_init(&out);
	signer_jobs_pack(jobs, n, &out);
	if (ipc_out_ok(&out, &payload))
		c->sign_id = peer_ask(
			signer, SIGNER_MSG_SIGN, payload, NULL, 0, SIGN_MS, on_signed, c);
	ipc_out_fini(&out);
	if (c->sign_id == 0)
		on_signed(c, NULL);
}

void
sign_mail(struct connection *c)
{
	c->sign_again = true;
	ask_signer(c);
}

bool
sign_waits(const struct connection *c)
{
	return gate_in_signing(c->gate) && !c->sign_again && c->sign_id == 0;
}

bool
sign_retry(struct connection *c)
{
	if (!sign_waits(c))
		return false;
	ask_signer(c);
	return true;
}

void
sign_cancel(struct connection *c)
{
	struct peer *signer = c->process->peers[PROCESS_SIGNER][0];
	if (signer != NULL)
		peer_forget(signer, c->sign_id);
	c->sign_id = 0;
}
