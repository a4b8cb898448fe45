/*
 * The verifier, see dkim.h. The header is hashed at begin, the body as it streams by, once for
 * each distinct form of it; what remains for the end is comparing and one public-key operation
 * for each signature whose body hash is right.
 */
#include <string.h>

#include "base/must.h"
#include "filters/dkim_priv.h"
#include "filters/tag.h"

struct body_hash {
	bool relaxed;
	uint64_t length;
	struct canon_body canon;
	struct dkim_hash hash;
	unsigned char digest[DKIM_DIGEST_BYTES];
};

struct one {
	struct dkim_parsed parsed;
	struct body_hash *body;
	unsigned char header[DKIM_DIGEST_BYTES];
};

struct dkim_verify {
	struct arena *arena;
	struct one one[DKIM_SIGNATURES_MOST];
	size_t n;
	struct body_hash *body[DKIM_SIGNATURES_MOST];
	size_t n_body;
	bool ended;
};

const char *
dkim_result_text(enum dkim_result r)
{
	switch (r) {
	case DKIM_NONE: return "none";
	case DKIM_PASS: return "pass";
	case DKIM_FAIL: return "fail";
	case DKIM_NEUTRAL: return "neutral";
	case DKIM_POLICY: return "policy";
	case DKIM_PERMERROR: return "permerror";
	case DKIM_TEMPERROR: return "temperror";
	}
	return "none";
}

static void
decide(struct dkim_signature *s, enum dkim_result result, const char *reason)
{
	s->result = result;
	s->reason = reason;
	s->key_name = SLICE_NONE;
}

/* One hash serves all signatures of the same form. */
static struct body_hash *
body_for(struct dkim_verify *v, const struct dkim_signature *s)
{
	for (size_t i = 0; i < v->n_body; i++) {
		if (v->body[i]->relaxed == s->relaxed_body && v->body[i]->length == s->length)
			return v->body[i];
	}
	struct body_hash *b = ARENA_NEW(v->arena, struct body_hash);
	b->relaxed = s->relaxed_body;
	b->length = s->length;
	dkim_hash_init(&b->hash, v->arena);
	canon_body_init(&b->canon, b->relaxed, b->length, dkim_hash_sink, &b->hash);
	return v->body[v->n_body++] = b;
}

static void
hash_header(struct one *one, struct dkim_fields *fields, size_t own, struct dkim_hash *hash)
{
	const struct dkim_signature *s = &one->parsed.sig;
	struct slice rest = one->parsed.names, name;
	dkim_hash_start(hash);
	dkim_fields_start(fields);
	fields->used[own] = true; /* it was not there yet when the signer chose */
	while (tag_list_next(&rest, ':', &name)) {
		const struct message_field *f = dkim_fields_take(fields, name);
		if (f != NULL)
			dkim_hash_field(hash, s->relaxed_header, f->name, f->value);
	}
	dkim_hash_own(hash, s->relaxed_header, &fields->fields[own], one->parsed.gap);
	dkim_hash_end(hash, one->header);
}

static bool
is_signature(const struct message_field *f)
{
	return slice_eq_nocase(slice_trim(f->name), SLICE("dkim-signature"));
}

/* What hangs on the field and the header alone; the rest waits for the body and the key. */
static void
begin_one(struct dkim_verify *v, struct dkim_fields *fields, size_t own, struct dkim_hash *hash,
	size_t from)
{
	struct one *one = &v->one[v->n - 1];
	if (one->parsed.sig.result != DKIM_NONE)
		return;
	/* A From above the signed one is what a reader sees (RFC 6376 8.15, HDR-07). */
	if (from > one->parsed.from_signed) {
		decide(&one->parsed.sig, DKIM_POLICY, "a From field is not signed");
		return;
	}
	hash_header(one, fields, own, hash);
	one->body = body_for(v, &one->parsed.sig);
}

struct dkim_verify *
dkim_verify_begin(const struct message_field *fields, size_t n, bool smtputf8, int64_t wall_s,
	struct arena *a)
{
	struct dkim_verify *v = ARENA_NEW(a, struct dkim_verify);
	struct dkim_fields index;
	struct dkim_hash hash;
	size_t i = 0, from;
	v->arena = a;
	while (i < n && !is_signature(&fields[i]))
		i++;
	if (i == n)
		return v;
	dkim_fields_init(&index, fields, n, a);
	dkim_hash_init(&hash, a);
	from = dkim_fields_count(&index, SLICE("from"));
	for (; i < n && v->n < DKIM_SIGNATURES_MOST; i++) {
		if (!is_signature(&fields[i]))
			continue;
		dkim_signature_parse(&fields[i], smtputf8, wall_s, a, &v->one[v->n++].parsed);
		begin_one(v, &index, i, &hash, from);
	}
	return v;
}

void
dkim_verify_body(struct dkim_verify *v, struct slice piece)
{
	must(!v->ended);
	for (size_t i = 0; i < v->n_body; i++)
		canon_body_feed(&v->body[i]->canon, piece);
}

void
dkim_verify_body_end(struct dkim_verify *v)
{
	must(!v->ended);
	v->ended = true;
	for (size_t i = 0; i < v->n_body; i++) {
		canon_body_end(&v->body[i]->canon);
		dkim_hash_end(&v->body[i]->hash, v->body[i]->digest);
	}
}

size_t
dkim_verify_count(const struct dkim_verify *v)
{
	return v->n;
}

const struct dkim_signature *
dkim_verify_signature(const struct dkim_verify *v, size_t i)
{
	must(i < v->n);
	return &v->one[i].parsed.sig;
}

/* The first record that reads as a key; several are undefined (RFC 6376 3.6.2.2). */
static const char *
choose_record(struct dkim_verify *v, const struct dns_answer *answer, struct dkim_record *out)
{
	const char *first = NULL;
	for (size_t i = 0; i < answer->n; i++) {
		const char *fault = dkim_record_parse(answer->rr[i].text, v->arena, out);
		if (fault == NULL)
			return NULL;
		if (first == NULL)
			first = fault;
	}
	return first != NULL ? first : "there is no key";
}

/* RFC 6376 6.1.2 steps 3 to 9: whether this key may have made this signature. */
static bool
record_fits(struct one *one, const struct dkim_record *r)
{
	struct dkim_signature *s = &one->parsed.sig;
	s->testing = r->testing;
	if (r->key.n == 0)
		decide(s, DKIM_PERMERROR, "the key is revoked");
	else if (r->ed25519 != (s->algorithm == DKIM_ED25519_SHA256))
		decide(s, DKIM_PERMERROR, "the key is of another type than the signature");
	else if (!r->sha256)
		decide(s, DKIM_PERMERROR, "the key does not allow SHA-256");
	else if (!r->email)
		decide(s, DKIM_PERMERROR, "the key is not for mail");
	else if (r->strict && one->parsed.identity_below)
		decide(s, DKIM_PERMERROR, "the key does not allow subdomains in i=");
	return s->result == DKIM_NONE;
}

/* A domain that tests must not be treated worse than one that does not sign (3.6.1, t=y). */
static void
decide_fail(struct dkim_signature *s, const char *reason)
{
	decide(s, s->testing ? DKIM_NEUTRAL : DKIM_FAIL, reason);
}

static void
check(struct one *one, const struct dkim_record *r)
{
	struct dkim_signature *s = &one->parsed.sig;
	const struct body_hash *b = one->body;
	if (s->length != UINT64_MAX && s->length > b->canon.total) {
		decide_fail(s, "l= is longer than the body");
		return;
	}
	if (memcmp(b->digest, one->parsed.body_hash.p, DKIM_DIGEST_BYTES) != 0) {
		decide_fail(s, "the body was changed");
		return;
	}
	switch (dkim_record_check(r, one->header, one->parsed.signature, &s->key_bits)) {
	case DKIM_CHECK_GOOD: break;
	case DKIM_CHECK_BAD: decide_fail(s, "the signature does not verify"); return;
	case DKIM_CHECK_KEY: decide(s, DKIM_PERMERROR, "the key cannot be read"); return;
	case DKIM_CHECK_WEAK:
		decide(s, DKIM_POLICY, "the key is shorter than 1024 bits");
		return;
	case DKIM_CHECK_LARGE:
		decide(s, DKIM_POLICY, "the key is larger than is checked");
		return;
	}
	if (s->length != UINT64_MAX && s->length < b->canon.total)
		decide(s, DKIM_NEUTRAL, "l= leaves a part of the body unsigned");
	else
		decide(s, DKIM_PASS, s->testing ? "the key is in test mode" : NULL);
}

void
dkim_verify_key(struct dkim_verify *v, size_t i, const struct dns_answer *answer)
{
	must(v->ended && i < v->n && v->one[i].parsed.sig.key_name.n > 0);
	struct dkim_signature *s = &v->one[i].parsed.sig;
	struct dkim_record record;
	const char *fault;
	switch (answer->status) {
	case DNS_OK: break;
	case DNS_NODATA:
	case DNS_NXDOMAIN: decide(s, DKIM_PERMERROR, "there is no key"); return;
	case DNS_FAIL: decide(s, DKIM_TEMPERROR, "the key could not be looked up"); return;
	case DNS_BOGUS: decide(s, DKIM_TEMPERROR, "DNSSEC says that the key is forged"); return;
	}
	if ((fault = choose_record(v, answer, &record)) != NULL)
		decide(s, DKIM_PERMERROR, fault);
	else if (record_fits(&v->one[i], &record))
		check(&v->one[i], &record);
}

void
dkim_verify_replace(
	struct dkim_verify *v, size_t i, enum dkim_result result, const char *reason)
{
	must(i < v->n && v->one[i].parsed.sig.result != DKIM_NONE && result != DKIM_NONE);
	decide(&v->one[i].parsed.sig, result, reason);
}

enum dkim_result
dkim_verify_overall(const struct dkim_verify *v)
{
	/* What may still become a pass, then what says most about the mail. */
	static const enum dkim_result order[] = {DKIM_PASS, DKIM_TEMPERROR, DKIM_FAIL,
		DKIM_POLICY, DKIM_NEUTRAL, DKIM_PERMERROR};
	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
		for (size_t i = 0; i < v->n; i++) {
			if (v->one[i].parsed.sig.result == order[k])
				return order[k];
		}
	}
	return DKIM_NONE;
}
