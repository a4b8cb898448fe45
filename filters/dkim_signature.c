/*
 * Reads a DKIM-Signature field: every rule of RFC 6376 3.5 and 6.1.1 that needs neither the key
 * nor the mail. One bad signature spoils nothing but itself. What comes out of here as domain
 * and selector is a plain name in lower case, safe for DNS names, logs and
 * Authentication-Results (HDR-05).
 */
#include "base/base64.h"
#include "filters/dkim_priv.h"
#include "filters/tag.h"
#include "smtp/address.h"

enum { NAME_BYTES_MOST = 253, LABEL_BYTES_MOST = 63 };

static bool
set(struct dkim_parsed *p, enum dkim_result result, const char *reason)
{
	p->sig.result = result;
	p->sig.reason = reason;
	return false;
}

static bool
bad(struct dkim_parsed *p, const char *reason)
{
	return set(p, DKIM_PERMERROR, reason);
}

/* Labels of letters, digits, '-' and '_' (some selectors and domains have it); at least
 * `least`. */
static bool
name_plain(struct slice s, unsigned least)
{
	unsigned labels = 1;
	size_t length = 0;
	if (s.n == 0 || s.n > NAME_BYTES_MOST)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.') {
			if (length == 0)
				return false;
			length = 0;
			labels++;
		} else if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' &&
			   s.p[i] != '_') {
			return false;
		} else if (++length > LABEL_BYTES_MOST) {
			return false;
		}
	}
	return length > 0 && labels >= least;
}

/* RFC 8616: U-labels where the mail needs SMTPUTF8. */
static bool
read_name(struct slice text, bool smtputf8, unsigned least, struct arena *a, struct slice *out)
{
	bool ascii = true;
	for (size_t i = 0; i < text.n; i++)
		ascii = ascii && (unsigned char)text.p[i] < 0x80;
	if (!ascii &&
		(!smtputf8 || text.n > NAME_BYTES_MOST || !domain_to_ascii(text, a, &text)))
		return false;
	if (!name_plain(text, least))
		return false;
	*out = arena_lower(a, text);
	return true;
}

static bool
parse_algorithm(struct dkim_parsed *p, struct slice a)
{
	p->sig.algorithm_text = a;
	for (enum dkim_algorithm i = DKIM_RSA_SHA256; i <= DKIM_RSA_SHA1; i++) {
		if (slice_eq_nocase(a, slice_of(dkim_algorithm_text(i)))) {
			p->sig.algorithm = i;
			return true;
		}
	}
	p->sig.algorithm_text = SLICE_NONE;
	return bad(p, "unknown algorithm");
}

static bool
canon_word(struct slice word, bool *relaxed_out)
{
	*relaxed_out = slice_eq_nocase(word, SLICE("relaxed"));
	return *relaxed_out || slice_eq_nocase(word, SLICE("simple"));
}

static bool
parse_canon(struct dkim_parsed *p, const struct tag *c)
{
	struct slice header, body;
	if (c == NULL)
		return true;
	if (!slice_cut(c->value, '/', &header, &body))
		body = SLICE("simple");
	if (!canon_word(header, &p->sig.relaxed_header) ||
		!canon_word(body, &p->sig.relaxed_body))
		return bad(p, "unknown canonicalisation");
	return true;
}

static bool
parse_names(struct dkim_parsed *p, struct slice h)
{
	struct slice rest = h, name;
	unsigned count = 0;
	p->names = h;
	while (tag_list_next(&rest, ':', &name)) {
		if (name.n == 0 || slice_has(name, ' ') || slice_has(name, '\t'))
			return bad(p, "h= is not a list of field names");
		if (++count > DKIM_NAMES_MOST)
			return bad(p, "h= names too many fields");
		p->from_signed += slice_eq_nocase(name, SLICE("from"));
	}
	if (p->from_signed == 0)
		return bad(p, "From is not signed");
	return true;
}

static bool
parse_identity(struct dkim_parsed *p, const struct tag *i, bool smtputf8, struct arena *a)
{
	struct slice domain;
	if (i == NULL)
		return true;
	p->sig.identity = i->value;
	size_t at = slice_find_last(i->value, '@');
	if (at >= i->value.n ||
		!read_name(slice_from(i->value, at + 1), smtputf8, 2, a, &domain))
		return bad(p, "i= has no domain");
	p->identity_below = !slice_eq(domain, p->sig.domain);
	if (p->identity_below && !domain_is_below(domain, p->sig.domain))
		return bad(p, "i= is not within d=");
	return true;
}

static bool
parse_time(const struct tag *tag, int64_t *out)
{
	uint64_t value;
	*out = -1;
	if (tag == NULL)
		return true;
	if (tag->value.n > 12 || !slice_u64(tag->value, &value))
		return false;
	*out = (int64_t)value;
	return true;
}

static bool
parse_numbers(struct dkim_parsed *p, const struct tags *tags, int64_t wall_s)
{
	const struct tag *l = tags_find(tags, "l");
	if (l != NULL && !slice_u64(l->value, &p->sig.length))
		return bad(p, "l= is not a length");
	if (!parse_time(tags_find(tags, "t"), &p->sig.signed_s) ||
		!parse_time(tags_find(tags, "x"), &p->sig.expires_s))
		return bad(p, "t= or x= is not a time");
	if (p->sig.expires_s >= 0 && p->sig.expires_s < p->sig.signed_s)
		return bad(p, "x= is before t=");
	if (p->sig.expires_s >= 0 && p->sig.expires_s < wall_s)
		return set(p, DKIM_FAIL, "the signature has expired");
	if (p->sig.signed_s > wall_s + DKIM_SKEW_S)
		return set(p, DKIM_FAIL, "the signature is from the future");
	return true;
}

static bool
query_ok(const struct tag *q)
{
	struct slice rest, item;
	if (q == NULL)
		return true;
	rest = q->value;
	while (tag_list_next(&rest, ':', &item)) {
		if (slice_eq_nocase(item, SLICE("dns/txt")))
			return true;
	}
	return false;
}

static bool
parse_hashes(struct dkim_parsed *p, const struct tag *b, const struct tag *bh, struct arena *a)
{
	p->gap = b->gap;
	p->sig.b_text = b->value;
	if (!base64_decode_fws(b->value, a, &p->signature) || p->signature.n == 0)
		return bad(p, "b= is not base64");
	if (!base64_decode_fws(bh->value, a, &p->body_hash) || p->body_hash.n == 0)
		return bad(p, "bh= is not base64");
	if (p->body_hash.n != DKIM_DIGEST_BYTES)
		return bad(p, "bh= is not a SHA-256");
	return true;
}

static bool
parse_tags(struct dkim_parsed *p, const struct tags *tags, bool smtputf8, int64_t wall_s,
	struct arena *a)
{
	const struct tag *v = tags_find(tags, "v"), *alg = tags_find(tags, "a");
	const struct tag *b = tags_find(tags, "b"), *bh = tags_find(tags, "bh");
	const struct tag *d = tags_find(tags, "d"), *s = tags_find(tags, "s");
	const struct tag *h = tags_find(tags, "h");
	/* Who signed is read first, so that every result can be laid at somebody's door. */
	if (d != NULL && !read_name(d->value, smtputf8, 2, a, &p->sig.domain))
		return bad(p, "d= is not a domain");
	if (s != NULL && !read_name(s->value, smtputf8, 1, a, &p->sig.selector))
		return bad(p, "s= is not a selector");
	if (v == NULL || alg == NULL || b == NULL || bh == NULL || d == NULL || s == NULL ||
		h == NULL)
		return bad(p, "a required tag is missing");
	if (!slice_eq(v->value, SLICE("1")))
		return bad(p, "unknown version");
	if (!parse_algorithm(p, alg->value) || !parse_canon(p, tags_find(tags, "c")))
		return false;
	if (p->sig.algorithm == DKIM_RSA_SHA1)
		return set(p, DKIM_POLICY, "rsa-sha1 is not accepted");
	if (!query_ok(tags_find(tags, "q")))
		return bad(p, "unknown query method");
	if (!parse_hashes(p, b, bh, a) || !parse_names(p, h->value) ||
		!parse_identity(p, tags_find(tags, "i"), smtputf8, a))
		return false;
	return parse_numbers(p, tags, wall_s);
}

void
dkim_signature_parse(const struct message_field *f, bool smtputf8, int64_t wall_s,
	struct arena *a, struct dkim_parsed *out)
{
	struct tags tags;
	*out = (struct dkim_parsed){
		.sig = {.length = UINT64_MAX, .signed_s = -1, .expires_s = -1}};
	switch (tags_parse(f->value, smtputf8, &tags)) {
	case TAG_OK: break;
	case TAG_DUPLICATE: bad(out, "a tag stands twice"); return;
	case TAG_TOO_LONG: bad(out, "too many tags"); return;
	case TAG_SYNTAX: bad(out, "it is not a tag list"); return;
	}
	if (!parse_tags(out, &tags, smtputf8, wall_s, a))
		return;
	struct slice name = arena_printf(a, "%.*s._domainkey.%.*s",
		SLICE_ARG(out->sig.selector), SLICE_ARG(out->sig.domain));
	if (name.n > NAME_BYTES_MOST)
		bad(out, "the name of the key is too long");
	else
		out->sig.key_name = name;
}
