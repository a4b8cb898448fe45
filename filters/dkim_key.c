/*
 * DKIM keys, see dkim_key.h. Private keys are loaded once and signed with as they are:
 * OpenSSL's PEM decoders cost more than the signature. Public keys come with each mail from the
 * DNS, mostly the same few hundred, so they are kept parsed in a table of fixed size; a newer
 * key takes the slot of an older one, and no sender can make it grow.
 */
#include "filters/dkim_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/must.h"
#include "filters/tag.h"

enum { CACHE_SLOTS = 256, EXPONENT_BITS_MOST = 64, ED25519_BYTES = 32, RECORD_RSA_MOST = 2100 };

struct dkim_key {
	EVP_PKEY *pkey;
	enum dkim_algorithm algorithm;
};

const char *
dkim_algorithm_text(enum dkim_algorithm a)
{
	switch (a) {
	case DKIM_RSA_SHA256: return "rsa-sha256";
	case DKIM_ED25519_SHA256: return "ed25519-sha256";
	case DKIM_RSA_SHA1: return "rsa-sha1";
	}
	return "unknown";
}

/* OpenSSL's own words, as the last thing it said, behind ours. */
static int
fail(struct err *err, const char *what)
{
	char words[200];
	ERR_error_string_n(ERR_peek_last_error(), words, sizeof(words));
	ERR_clear_error();
	return err_set(err, "%s: %s", what, words);
}

/* A key with a password is refused, not asked for on a terminal. */
static int
no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf, (void)size, (void)writing, (void)arg;
	return -1;
}

static int
adopt(EVP_PKEY *pkey, struct dkim_key **key_out, struct err *err)
{
	int bits = EVP_PKEY_get_bits(pkey);
	bool rsa = EVP_PKEY_is_a(pkey, "RSA") == 1;
	if (!rsa && EVP_PKEY_is_a(pkey, "ED25519") != 1) {
		EVP_PKEY_free(pkey);
		return err_set(err, "the key is neither RSA nor Ed25519");
	}
	if (rsa && (bits < DKIM_RSA_BITS_LEAST || bits > DKIM_RSA_BITS_MOST)) {
		EVP_PKEY_free(pkey);
		return err_set(err, "an RSA key of %d bits: 1024 to 4096 are allowed", bits);
	}
	*key_out = MEM_NEW(struct dkim_key);
	(*key_out)->pkey = pkey;
	(*key_out)->algorithm = rsa ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
	return 0;
}

int
dkim_key_load(struct slice pem, struct dkim_key **key_out, struct err *err)
{
	*key_out = NULL;
	if (pem.n == 0 || pem.n > 64 * 1024)
		return err_set(err, "no PEM private key in it");
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	must(bio != NULL);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	if (pkey == NULL)
		return fail(err, "no PEM private key without a password in it");
	return adopt(pkey, key_out, err);
}

int
dkim_key_generate(enum dkim_algorithm algorithm, unsigned bits, struct dkim_key **key_out,
	struct err *err)
{
	*key_out = NULL;
	must(algorithm != DKIM_RSA_SHA1);
	if (bits == 0)
		bits = 2048;
	if (algorithm == DKIM_RSA_SHA256 &&
		(bits < DKIM_RSA_BITS_LEAST || bits > DKIM_RSA_BITS_MOST))
		return err_set(err, "an RSA key of %u bits: 1024 to 4096 are allowed", bits);
	EVP_PKEY *pkey = algorithm == DKIM_RSA_SHA256
				 ? EVP_RSA_gen(bits)
				 : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (pkey == NULL)
		return fail(err, "make a key");
	return adopt(pkey, key_out, err);
}

void
dkim_key_free(struct dkim_key **key)
{
	if (*key == NULL)
		return;
	EVP_PKEY_free((*key)->pkey);
	mem_free(*key);
	*key = NULL;
}

enum dkim_algorithm
dkim_key_algorithm(const struct dkim_key *key)
{
	return key->algorithm;
}

int
dkim_key_pem(const struct dkim_key *key, struct buf *pem_out, struct err *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	must(bio != NULL);
	int rc = 0;
	char *text = NULL;
	if (PEM_write_bio_PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) != 1)
		rc = fail(err, "write the key as PEM");
	long n = BIO_get_mem_data(bio, &text);
	if (rc == 0 && buf_add(pem_out, (struct slice){text, (size_t)n}) < 0)
		rc = err_set(err, "the PEM of the key is longer than its buffer");
	BIO_free(bio);
	return rc;
}

struct slice
dkim_key_record(const struct dkim_key *key, struct arena *a)
{
	unsigned char *der = NULL;
	struct slice p;
	if (key->algorithm == DKIM_ED25519_SHA256) {
		unsigned char raw[ED25519_BYTES];
		size_t n = sizeof(raw);
		must(EVP_PKEY_get_raw_public_key(key->pkey, raw, &n) == 1);
		p = base64_encode((struct slice){(char *)raw, n}, a);
		return arena_printf(a, "v=DKIM1; k=ed25519; p=%.*s", SLICE_ARG(p));
	}
	int n = i2d_PUBKEY(key->pkey, &der);
	must(n > 0 && n < RECORD_RSA_MOST);
	p = base64_encode((struct slice){(char *)der, (size_t)n}, a);
	OPENSSL_free(der);
	return arena_printf(a, "v=DKIM1; k=rsa; p=%.*s", SLICE_ARG(p));
}

int
dkim_key_sign(const struct dkim_key *key, const unsigned char digest[DKIM_DIGEST_BYTES],
	unsigned char signature_out[DKIM_SIGNATURE_BYTES_MOST], size_t *bytes_out,
	struct err *err)
{
	size_t n = DKIM_SIGNATURE_BYTES_MOST;
	int ok;
	if (key->algorithm == DKIM_ED25519_SHA256) {
		EVP_MD_CTX *md = EVP_MD_CTX_new();
		must(md != NULL);
		ok = EVP_DigestSignInit(md, NULL, NULL, NULL, key->pkey) == 1 &&
		     EVP_DigestSign(md, signature_out, &n, digest, DKIM_DIGEST_BYTES) == 1;
		EVP_MD_CTX_free(md);
	} else {
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
		must(ctx != NULL);
		ok = EVP_PKEY_sign_init(ctx) == 1 &&
		     EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		     EVP_PKEY_sign(ctx, signature_out, &n, digest, DKIM_DIGEST_BYTES) == 1;
		EVP_PKEY_CTX_free(ctx);
	}
	*bytes_out = n;
	return ok ? 0 : fail(err, "sign");
}

/* Whether a colon-separated list has one of two items. */
static bool
list_has(struct slice list, const char *one, const char *other)
{
	struct slice item;
	while (tag_list_next(&list, ':', &item)) {
		if (slice_eq_nocase(item, slice_of(one)) ||
			slice_eq_nocase(item, slice_of(other)))
			return true;
	}
	return false;
}

const char *
dkim_record_parse(struct slice text, struct arena *a, struct dkim_record *record_out)
{
	struct dkim_record r = {.sha256 = true, .email = true};
	struct tags tags;
	const struct tag *tag;
	*record_out = r;
	if (tags_parse(slice_trim(text), false, &tags) != TAG_OK)
		return "the key record is not a tag list";
	tag = tags_find(&tags, "v");
	if (tag != NULL && (tag != &tags.tag[0] || !slice_eq(tag->value, SLICE("DKIM1"))))
		return "the key record is of another version";
	tag = tags_find(&tags, "k");
	if (tag != NULL && !slice_eq_nocase(tag->value, SLICE("rsa"))) {
		if (!slice_eq_nocase(tag->value, SLICE("ed25519")))
			return "the key is of an unknown type";
		r.ed25519 = true;
	}
	if ((tag = tags_find(&tags, "h")) != NULL)
		r.sha256 = list_has(tag->value, "sha256", "sha256");
	if ((tag = tags_find(&tags, "s")) != NULL)
		r.email = list_has(tag->value, "*", "email");
	if ((tag = tags_find(&tags, "t")) != NULL) {
		r.testing = list_has(tag->value, "y", "y");
		r.strict = list_has(tag->value, "s", "s");
	}
	if ((tag = tags_find(&tags, "p")) == NULL)
		return "the key record has no p=";
	if (tag->value.n > 0 && (!base64_decode_fws(tag->value, a, &r.key) || r.key.n == 0))
		return "the key is not base64";
	*record_out = r;
	return NULL;
}

/* The SubjectPublicKeyInfo that all publish, or the bare RSAPublicKey of RFC 6376's text
 * (erratum 3017). */
static EVP_PKEY *
read_public(bool ed25519, struct slice key)
{
	const unsigned char *p = (const unsigned char *)key.p, *end = p + key.n;
	if (ed25519)
		return key.n == ED25519_BYTES
			       ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p, key.n)
			       : NULL;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, (long)key.n);
	if (pkey == NULL) {
		p = (const unsigned char *)key.p;
		pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)key.n);
	}
	if (pkey != NULL && (p != end || EVP_PKEY_is_a(pkey, "RSA") != 1)) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	return pkey;
}

struct cached {
	EVP_PKEY *pkey;
	bool ed25519;
	struct slice key;
};

static struct cached cache[CACHE_SLOTS];
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

/* The caller's own reference, or NULL: it cannot be read. */
static EVP_PKEY *
public_key(bool ed25519, struct slice key)
{
	struct cached *slot = &cache[slice_hash(key) % CACHE_SLOTS];
	pthread_mutex_lock(&cache_lock);
	if (slot->pkey == NULL || slot->ed25519 != ed25519 || !slice_eq(slot->key, key)) {
		EVP_PKEY *pkey = read_public(ed25519, key);
		if (pkey == NULL) {
			pthread_mutex_unlock(&cache_lock);
			ERR_clear_error();
			return NULL;
		}
		char *copy = mem_new(key.n);
		memcpy(copy, key.p, key.n);
		EVP_PKEY_free(slot->pkey);
		mem_free((void *)(uintptr_t)slot->key.p);
		*slot = (struct cached){pkey, ed25519, {copy, key.n}};
	}
	EVP_PKEY *pkey = slot->pkey;
	EVP_PKEY_up_ref(pkey);
	pthread_mutex_unlock(&cache_lock);
	return pkey;
}

static enum dkim_check
check_rsa_size(EVP_PKEY *pkey, unsigned bits)
{
	BIGNUM *e = NULL;
	if (bits < DKIM_RSA_BITS_LEAST)
		return DKIM_CHECK_WEAK;
	if (bits > DKIM_RSA_BITS_MOST)
		return DKIM_CHECK_LARGE;
	if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
		return DKIM_CHECK_KEY;
	int exponent_bits = BN_num_bits(e);
	BN_free(e);
	return exponent_bits > EXPONENT_BITS_MOST ? DKIM_CHECK_LARGE : DKIM_CHECK_GOOD;
}

static bool
verify(EVP_PKEY *pkey, bool ed25519, const unsigned char *digest, struct slice signature)
{
	const unsigned char *s = (const unsigned char *)signature.p;
	bool ok;
	if (ed25519) {
		EVP_MD_CTX *md = EVP_MD_CTX_new();
		must(md != NULL);
		ok = EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
		     EVP_DigestVerify(md, s, signature.n, digest, DKIM_DIGEST_BYTES) == 1;
		EVP_MD_CTX_free(md);
	} else {
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
		must(ctx != NULL);
		ok = EVP_PKEY_verify_init(ctx) == 1 &&
		     EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		     EVP_PKEY_verify(ctx, s, signature.n, digest, DKIM_DIGEST_BYTES) == 1;
		EVP_PKEY_CTX_free(ctx);
	}
	ERR_clear_error();
	return ok;
}

enum dkim_check
dkim_record_check(const struct dkim_record *record,
	const unsigned char digest[DKIM_DIGEST_BYTES], struct slice signature,
	unsigned *bits_out)
{
	*bits_out = 0;
	EVP_PKEY *pkey = public_key(record->ed25519, record->key);
	if (pkey == NULL)
		return DKIM_CHECK_KEY;
	*bits_out = (unsigned)EVP_PKEY_get_bits(pkey);
	enum dkim_check check = DKIM_CHECK_GOOD;
	if (!record->ed25519)
		check = check_rsa_size(pkey, *bits_out);
	if (check == DKIM_CHECK_GOOD && !verify(pkey, record->ed25519, digest, signature))
		check = DKIM_CHECK_BAD;
	EVP_PKEY_free(pkey);
	return check;
}
