/*
 * DKIM-signing of a mail on its way out: which keys, over which bytes. The digests go to the
 * signer; the fields that it makes possible stand on top of the header, after all other edits.
 */
#ifndef SESSION_SIGN_H
#define SESSION_SIGN_H

#include "filters/dkim.h"
#include "session/pipeline.h"

/* A `sign` of the configuration; the private key is the signer's alone. */
struct sign_key {
	enum dkim_algorithm algorithm;
};

enum { SIGN_MOST = 16 };

struct sign_request {
	size_t key; /* its place among conf->signs */
	struct dkim_sign_request dkim;
};

/* Whether a rule of the block signs: then bodies are hashed as they come. */
bool sign_is_used(const struct policy *p);
/*
 * The requests for the domains that the rules named: each key of a domain, each once. A domain
 * without a key is told in the log and goes unsigned: there is nothing to sign with.
 */
size_t sign_make(struct dkim_sign *s, const struct gate_config *config,
	const struct flt_mail *mail, const struct edits *e, int64_t wall_ms, struct arena *a,
	const struct log_context *log, struct sign_request **requests_out);

#endif
