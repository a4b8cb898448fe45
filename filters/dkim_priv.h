/* What the verifier and the signer share: hashes of bodies and header fields. */
#ifndef FILTERS_DKIM_PRIV_H
#define FILTERS_DKIM_PRIV_H

#include "filters/canon.h"
#include "filters/dkim.h"

/* SHA-256 of canonical bytes; OpenSSL's context is freed with the arena. */
struct dkim_hash {
	void *md;             /* EVP_MD_CTX */
	struct canon_out out; /* of header fields */
};

void dkim_hash_init(struct dkim_hash *h, struct arena *a);
void dkim_hash_start(struct dkim_hash *h);
void dkim_hash_field(struct dkim_hash *h, bool relaxed, struct slice name, struct slice value);
/* A signature's own field, last: the value of b= (gap) taken out, no CRLF. */
void dkim_hash_own(
	struct dkim_hash *h, bool relaxed, const struct message_field *f, struct slice gap);
void dkim_hash_end(struct dkim_hash *h, unsigned char digest_out[DKIM_DIGEST_BYTES]);
canon_sink dkim_hash_sink; /* arg: struct dkim_hash; past `out`, for bodies */

/*
 * The fields of a header by name, from the bottom, each given once (RFC 6376 5.4.2). n * names
 * comparisons are of numbers, so that no list of names costs much (HDR-11).
 */
struct dkim_fields {
	const struct message_field *fields;
	size_t n;
	uint32_t *hash; /* of the lower-case name */
	bool *used;
};

void dkim_fields_init(
	struct dkim_fields *f, const struct message_field *fields, size_t n, struct arena *a);
void dkim_fields_start(struct dkim_fields *f);
size_t dkim_fields_count(const struct dkim_fields *f, struct slice name);
const struct message_field *dkim_fields_take(struct dkim_fields *f, struct slice name);

/* A signature as it is being verified. */
struct dkim_parsed {
	struct dkim_signature sig; /* result DKIM_NONE, or why it cannot be verified */
	struct slice names;        /* h= */
	struct slice gap;          /* of b= */
	struct slice body_hash;    /* bh=, decoded */
	struct slice signature;    /* b=, decoded */
	size_t from_signed;        /* how often h= names From */
	bool identity_below;       /* i= lies below d=, not in it */
};

/* Reads one field by RFC 6376 3.5 and 6.1.1. */
void dkim_signature_parse(const struct message_field *f, bool smtputf8, int64_t wall_s,
	struct arena *a, struct dkim_parsed *out);

#endif
