/*
 * Digests to the signer and signatures back. A signer that dies is asked once more, when
 * another has been started; then the mail waits at its sender: never unsigned (DESIGN.md,
 * "Processes").
 */
#include "delivery/signer.h"
#include "session/process_priv.h"

enum { SIGN_MS = 10 * 1000, SIGN_AGAIN_MS = 2000 };

static void
on_signed(void *arg, struct ipc_msg *m)
{
	struct signing *s = arg;
	struct slice signatures[SIGN_MOST];
	s->id = 0;
	if (m == NULL && s->again) {
		s->again = false;
		loop_timer_set(&s->timer, SIGN_AGAIN_MS);
		return;
	}
	struct arena *a = arena_new(SIGN_MOST * 1024);
	bool ok = m != NULL && m->type == SIGNER_MSG_SIGNED &&
		  signer_signatures_unpack(m->payload, a, signatures, s->n);
	s->done(s->arg, ok ? signatures : NULL);
	arena_free(&a);
}

static void
ask_signer(void *arg)
{
	struct signing *s = arg;
	struct signer_job jobs[SIGN_MOST];
	struct ipc_out out;
	struct slice payload;
	for (size_t i = 0; i < s->n; i++) {
		jobs[i].key = (uint32_t)s->requests[i].key;
		for (size_t k = 0; k < DKIM_DIGEST_BYTES; k++)
			jobs[i].digest[k] = s->requests[i].dkim.digest[k];
	}
	ipc_out_init(&out);
	signer_jobs_pack(jobs, s->n, &out);
	if (ipc_out_ok(&out, &payload))
		s->id = peer_ask(s->process->peers[PROCESS_SIGNER][0], SIGNER_MSG_SIGN, payload,
			NULL, 0, SIGN_MS, on_signed, s);
	ipc_out_fini(&out);
	if (s->id == 0)
		on_signed(s, NULL);
}

void
signing_init(struct signing *s, struct process *p, signing_fn *done, void *arg)
{
	*s = (struct signing){.process = p, .done = done, .arg = arg};
	loop_timer_init(&s->timer, p->loop, ask_signer, s);
}

void
signing_begin(struct signing *s, const struct sign_request *requests, size_t n)
{
	s->requests = requests;
	s->n = n;
	s->again = true;
	ask_signer(s);
}

void
signing_cancel(struct signing *s)
{
	struct peer *signer = s->process->peers[PROCESS_SIGNER][0];
	loop_timer_clear(&s->timer);
	if (signer != NULL)
		peer_forget(signer, s->id);
	s->id = 0;
}
