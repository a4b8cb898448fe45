/*
 * DKIM (RFC 6376, 8301, 8463, 8616): a verifier and a signer, pure. Neither asks the DNS nor
 * holds a private key: the verifier says which TXT record it needs, the signer which digest to
 * have signed. Both canonicalise with filters/canon and read tags with filters/tag.
 */
#ifndef FILTERS_DKIM_H
#define FILTERS_DKIM_H

#include "base/arena.h"
#include "base/dns.h"
#include "filters/dkim_key.h"
#include "filters/message.h"

enum {
	DKIM_SIGNATURES_MOST =
		10,              /* verified; what stands below them is passed over (HDR-07) */
	DKIM_NAMES_MOST = 256,   /* in one h= */
	DKIM_SKEW_S = 24 * 3600, /* how far t= may lie in the future: clocks and time zones */
};

/* RFC 8601 2.7.1. */
enum dkim_result {
	DKIM_NONE, /* of a mail: no signature; of a signature: not decided yet */
	DKIM_PASS,
	DKIM_FAIL,
	DKIM_NEUTRAL,
	DKIM_POLICY,
	DKIM_PERMERROR,
	DKIM_TEMPERROR,
};
const char *dkim_result_text(enum dkim_result r); /* "pass" */

/* One DKIM-Signature field, read. Text borrows from the field or lies in the arena. */
struct dkim_signature {
	enum dkim_result result;
	const char *reason; /* in words, never the sender's; NULL on a plain pass */
	enum dkim_algorithm algorithm;
	struct slice algorithm_text; /* a= as it came; empty: none */
	struct slice domain;         /* d=, lower case; empty where it is not a domain */
	struct slice selector;       /* s=, likewise */
	struct slice identity;       /* i= as it came; empty: not there */
	struct slice b_text;         /* b= as it came, for header.b */
	struct slice key_name;       /* the TXT record it needs; empty: it needs none */
	bool relaxed_header, relaxed_body;
	bool testing;                /* t=y in the key */
	uint64_t length;             /* l=, or UINT64_MAX */
	int64_t signed_s, expires_s; /* t=, x=; -1: not there */
	unsigned key_bits;
};

/*
 * Verifying: begin with the parsed header, feed the body, end it, then give each signature that
 * has a key_name its answer. The bytes must be those that are forwarded. Everything is in the
 * arena; begin needs the fields, nothing after it does.
 */
struct dkim_verify;

struct dkim_verify *dkim_verify_begin(const struct message_field *fields, size_t n,
	bool smtputf8, int64_t wall_s, struct arena *a);
void dkim_verify_body(struct dkim_verify *v, struct slice piece);
void dkim_verify_body_end(struct dkim_verify *v);
size_t dkim_verify_count(const struct dkim_verify *v);
const struct dkim_signature *dkim_verify_signature(const struct dkim_verify *v, size_t i);
/* After body_end: decides signature i, which has a key_name; answer is for DNS_TXT. */
void dkim_verify_key(struct dkim_verify *v, size_t i, const struct dns_answer *answer);
/* Another engine's result instead of ours; reason is kept, not copied. */
void dkim_verify_replace(
	struct dkim_verify *v, size_t i, enum dkim_result result, const char *reason);
/* Of the mail: pass if any passes; else what is most worth knowing. All must be decided. */
enum dkim_result dkim_verify_overall(const struct dkim_verify *v);

/*
 * Signing: begin, feed the body as it is sent, end it; then for each (domain, selector,
 * algorithm) dkim_sign_digest gives the 32 bytes that the signer process signs, and
 * dkim_sign_field puts the signature into the complete field, which goes on top of the header
 * with nothing changed below. relaxed/relaxed, no l=, no x=; OUT-12 has the list of fields and
 * which are signed once more than they stand there.
 */
struct dkim_sign;

struct dkim_sign_request {
	struct slice domain, selector; /* A-labels */
	enum dkim_algorithm algorithm;
	unsigned char digest[DKIM_DIGEST_BYTES];
	struct slice text; /* dkim_sign_digest's own: the field up to "b=" */
};

struct dkim_sign *dkim_sign_begin(struct arena *a);
void dkim_sign_body(struct dkim_sign *s, struct slice piece);
void dkim_sign_body_end(struct dkim_sign *s);
/* fields: as they are sent, all other edits done. Fills r->digest. wall_s: t=. */
void dkim_sign_digest(struct dkim_sign *s, const struct message_field *fields, size_t n,
	int64_t wall_s, struct dkim_sign_request *r);
/* "DKIM-Signature: ...CRLF", folded at 78 columns. */
struct slice
dkim_sign_field(const struct dkim_sign_request *r, struct slice signature, struct arena *a);

#endif
