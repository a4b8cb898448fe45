/*
 * DKIM keys (RFC 6376 3.6, 8301, 8463): private ones, as the signer and `postern dkim keygen`
 * use them, and public ones from the DNS. OpenSSL stays behind this header. Signatures are made
 * and checked over a SHA-256 digest, never over a mail.
 */
#ifndef FILTERS_DKIM_KEY_H
#define FILTERS_DKIM_KEY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum dkim_algorithm {
	DKIM_RSA_SHA256,
	DKIM_ED25519_SHA256,
	DKIM_RSA_SHA1, /* known by name only: it is neither made nor accepted (RFC 8301 3.1) */
};

enum {
	DKIM_DIGEST_BYTES = 32,
	DKIM_SIGNATURE_BYTES_MOST = 512, /* RSA-4096 */
	DKIM_RSA_BITS_LEAST = 1024,
	DKIM_RSA_BITS_MOST = 4096,
};

const char *dkim_algorithm_text(enum dkim_algorithm a); /* "rsa-sha256" */

/* A private key. One thread at a time. */
struct dkim_key;

/* PEM text (PKCS#8 or PKCS#1, without a password), RSA of 1024 to 4096 bits or Ed25519. */
int dkim_key_load(struct slice pem, struct dkim_key **key_out, struct err *err);
/* bits: of RSA, 0 for 2048. */
int dkim_key_generate(enum dkim_algorithm algorithm, unsigned bits, struct dkim_key **key_out,
	struct err *err);
void dkim_key_free(struct dkim_key **key);
enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *key);
/* The private key as PKCS#8 PEM: secret, for a file of mode 0600; buf_fini after mem_wipe. */
int dkim_key_pem(const struct dkim_key *key, struct buf *pem_out, struct err *err);
/* What stands in the TXT record at SELECTOR._domainkey.DOMAIN: "v=DKIM1; k=rsa; p=...". */
struct slice dkim_key_record(const struct dkim_key *key, struct arena *a);
/* Signs one SHA-256 digest; Ed25519 signs the 32 bytes themselves (RFC 8463 3). */
int dkim_key_sign(const struct dkim_key *key, const unsigned char digest[DKIM_DIGEST_BYTES],
	unsigned char signature_out[DKIM_SIGNATURE_BYTES_MOST], size_t *bytes_out,
	struct err *err);

/* A TXT record as a public key. */
struct dkim_record {
	bool ed25519;
	bool sha256;      /* h= allows it, or is not there */
	bool email;       /* s= allows it, or is not there */
	bool testing;     /* t=y */
	bool strict;      /* t=s: i= must be in d= itself, not below */
	struct slice key; /* p= decoded, in the arena; empty: revoked */
};

/* NULL, or what is wrong with it, in words. */
const char *
dkim_record_parse(struct slice text, struct arena *a, struct dkim_record *record_out);

enum dkim_check {
	DKIM_CHECK_GOOD,
	DKIM_CHECK_BAD,   /* the signature does not verify */
	DKIM_CHECK_KEY,   /* the key cannot be read */
	DKIM_CHECK_WEAK,  /* RSA below 1024 bits (RFC 8301 3.2) */
	DKIM_CHECK_LARGE, /* RSA above 4096 bits, or an exponent of more than 64: costs too much
			   */
};

/*
 * Checks a signature over a digest. Keys are kept parsed, a few hundred in each process, by
 * their bytes. *bits_out: size of the key where it could be read. Any thread.
 */
enum dkim_check dkim_record_check(const struct dkim_record *record,
	const unsigned char digest[DKIM_DIGEST_BYTES], struct slice signature,
	unsigned *bits_out);

#endif
