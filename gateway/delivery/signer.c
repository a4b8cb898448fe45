/*
 * Digests in, signatures out; see signer.h. The keys are parsed once, at the start. Between
 * the edits of a mail and its way out; the mail itself never comes here.
 */
#include "delivery/signer.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/control.h"
#include "io/sandbox.h"

struct signer {
	struct loop *loop;
	struct service *service;
	struct dkim_key **keys;
	size_t n;
};

void
signer_jobs_pack(const struct signer_job *jobs, size_t n, struct ipc_out *out)
{
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		ipc_put_u32(out, jobs[i].key);
		ipc_put_slice(
			out, (struct slice){(const char *)jobs[i].digest, DKIM_DIGEST_BYTES});
	}
}

bool
signer_jobs_unpack(
	struct slice payload, struct signer_job jobs_out[SIGNER_BATCH_MOST], size_t *n_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*n_out = ipc_get_count(&in, SIGNER_BATCH_MOST, 8 + DKIM_DIGEST_BYTES);
	for (size_t i = 0; i < *n_out; i++) {
		jobs_out[i].key = ipc_get_u32(&in);
		struct slice digest = ipc_get_slice(&in);
		if (digest.n != DKIM_DIGEST_BYTES)
			return false;
		memcpy(jobs_out[i].digest, digest.p, DKIM_DIGEST_BYTES);
	}
	return ipc_in_done(&in) && *n_out != 0;
}

void
signer_signatures_pack(const struct slice *signatures, size_t n, struct ipc_out *out)
{
	for (size_t i = 0; i < n; i++)
		ipc_put_slice(out, signatures[i]);
}

bool
signer_signatures_unpack(
	struct slice payload, struct arena *a, struct slice *signatures_out, size_t n)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	for (size_t i = 0; i < n; i++) {
		struct slice s = ipc_get_slice(&in);
		if (s.n == 0 || s.n > DKIM_SIGNATURE_BYTES_MOST)
			return false;
		signatures_out[i] = arena_slice(a, s);
	}
	return ipc_in_done(&in);
}

/* All signatures of a mail, or none. */
static int
sign_all(struct signer *s, const struct signer_job *jobs, size_t n, struct ipc_out *out,
	struct err *err)
{
	static unsigned char bytes[SIGNER_BATCH_MOST][DKIM_SIGNATURE_BYTES_MOST];
	struct slice signatures[SIGNER_BATCH_MOST];
	for (size_t i = 0; i < n; i++) {
		size_t length;
		if (jobs[i].key >= s->n)
			return err_set(err, "there is no key number %u", (unsigned)jobs[i].key);
		if (dkim_key_sign(
			    s->keys[jobs[i].key], jobs[i].digest, bytes[i], &length, err) < 0)
			return -1;
		signatures[i] = (struct slice){(const char *)bytes[i], length};
	}
	signer_signatures_pack(signatures, n, out);
	return 0;
}

static void
on_message(void *arg, struct service_client *from, struct ipc_msg *m)
{
	struct signer *s = arg;
	struct signer_job jobs[SIGNER_BATCH_MOST];
	struct ipc_out out;
	struct slice payload = SLICE_NONE;
	struct err err;
	size_t n;
	uint16_t answer = SIGNER_MSG_SIGNED;
	ipc_out_init(&out);
	int result = m->type == SIGNER_MSG_SIGN && signer_jobs_unpack(m->payload, jobs, &n)
			     ? sign_all(s, jobs, n, &out, &err)
			     : err_set(&err, "a message that is no signing job");
	if (result < 0 || !ipc_out_ok(&out, &payload)) {
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		answer = SIGNER_MSG_FAILED;
		payload = SLICE_NONE;
	}
	(void)service_answer(
		from, answer, m->id, payload); /* full: the session's time will be over */
	ipc_out_fini(&out);
}

static int
load_keys(struct signer *s, const struct signer_start *start, struct err *err)
{
	s->keys = mem_array(start->n, sizeof(*s->keys));
	for (s->n = 0; s->n < start->n; s->n++)
		if (dkim_key_load(start->pems[s->n], &s->keys[s->n], err) < 0)
			return -1;
	return 0;
}

static int
signer_open(struct signer *s, const struct signer_start *start, struct err *err)
{
	struct sandbox_spec spec;
	if (load_keys(s, start, err) < 0 || (s->loop = loop_new(err)) == NULL)
		return -1;
	s->service = service_new(s->loop, start->control_fd, on_message, NULL, s);
	sandbox_spec_of(SANDBOX_SIGNER, &spec);
	return sandbox_lock(&spec, err);
}

int
signer_main(void *arg)
{
	struct signer s = {0};
	struct err err;
	int result = signer_open(&s, arg, &err);
	if (result == 0) {
		service_ready(s.service);
		result = loop_run(s.loop, &err);
	}
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	service_free(&s.service);
	for (size_t i = 0; i < s.n; i++)
		dkim_key_free(&s.keys[i]);
	mem_free(s.keys);
	loop_free(&s.loop);
	return result < 0 ? 1 : 0;
}
