/*
 * What verifier and signer hash, and which header fields they choose; see dkim_priv.h. RFC
 * 6376 3.7 and 5.4.2 in one place, so that what we sign and what we verify cannot differ.
 */
#include <openssl/evp.h>
#include <string.h>

#include "base/must.h"
#include "filters/dkim_priv.h"

static void
free_md(void *md)
{
	EVP_MD_CTX_free(md);
}

static void
field_sink(void *arg, struct slice bytes)
{
	must(EVP_DigestUpdate(arg, bytes.p, bytes.n) == 1);
}

void
dkim_hash_init(struct dkim_hash *h, struct arena *a)
{
	h->md = EVP_MD_CTX_new();
	must(h->md != NULL);
	arena_defer(a, free_md, h->md);
	dkim_hash_start(h);
}

void
dkim_hash_start(struct dkim_hash *h)
{
	canon_out_init(&h->out, field_sink, h->md);
	must(EVP_DigestInit_ex2(h->md, EVP_sha256(), NULL) == 1);
}

void
dkim_hash_sink(void *arg, struct slice bytes)
{
	const struct dkim_hash *h = arg;
	must(EVP_DigestUpdate(h->md, bytes.p, bytes.n) == 1);
}

void
dkim_hash_field(struct dkim_hash *h, bool relaxed, struct slice name, struct slice value)
{
	struct canon_field c;
	canon_field_begin(&c, relaxed, &h->out, name);
	canon_field_feed(&c, value);
	canon_field_end(&c, true);
}

void
dkim_hash_own(
	struct dkim_hash *h, bool relaxed, const struct message_field *f, struct slice gap)
{
	struct canon_field c;
	size_t before = (size_t)(gap.p - f->value.p);
	canon_field_begin(&c, relaxed, &h->out, f->name);
	canon_field_feed(&c, slice_first(f->value, before));
	canon_field_feed(&c, slice_from(f->value, before + gap.n));
	canon_field_end(&c, false);
}

void
dkim_hash_end(struct dkim_hash *h, unsigned char digest_out[DKIM_DIGEST_BYTES])
{
	canon_out_flush(&h->out);
	must(EVP_DigestFinal_ex(h->md, digest_out, NULL) == 1);
}

static uint32_t
name_hash(struct slice name)
{
	return (uint32_t)slice_hash_nocase(slice_trim(name));
}

void
dkim_fields_init(
	struct dkim_fields *f, const struct message_field *fields, size_t n, struct arena *a)
{
	f->fields = fields;
	f->n = n;
	f->hash = arena_array(a, n + 1, sizeof(*f->hash));
	f->used = arena_array(a, n + 1, sizeof(*f->used));
	for (size_t i = 0; i < n; i++)
		f->hash[i] = name_hash(fields[i].name);
}

void
dkim_fields_start(struct dkim_fields *f)
{
	memset(f->used, 0, f->n * sizeof(*f->used));
}

static bool
is_field(const struct dkim_fields *f, size_t i, uint32_t hash, struct slice name)
{
	return f->hash[i] == hash && slice_eq_nocase(slice_trim(f->fields[i].name), name);
}

size_t
dkim_fields_count(const struct dkim_fields *f, struct slice name)
{
	uint32_t hash = name_hash(name);
	size_t count = 0;
	for (size_t i = 0; i < f->n; i++)
		count += is_field(f, i, hash, name);
	return count;
}

const struct message_field *
dkim_fields_take(struct dkim_fields *f, struct slice name)
{
	uint32_t hash = name_hash(name);
	for (size_t i = f->n; i > 0; i--) {
		if (!f->used[i - 1] && is_field(f, i - 1, hash, name)) {
			f->used[i - 1] = true;
			return &f->fields[i - 1];
		}
	}
	return NULL;
}
