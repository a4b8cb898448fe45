/* Certificates for tests: P-256 or RSA-2048, one minute of code instead of files that expire.
 */
#include "certs.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/ip.h"

static void
cert_extension(struct cert *c, const struct cert *ca, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, ca->x509, c->x509, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(c->x509, e, -1), 1);
	X509_EXTENSION_free(e);
}

static void
cert_keep(BIO *b, struct buf *out)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);
	buf_init(out, 64 * 1024);
	assert_int_equal(buf_add(out, (struct slice){p, (size_t)n}), 0);
	BIO_free(b);
}

/* "a.example,192.0.2.1" as OpenSSL wants it. */
static void
cert_names(const char *names, char *out, size_t room)
{
	struct slice rest = slice_of(names);
	size_t n = 0;
	while (rest.n != 0) {
		struct slice one;
		struct ip ip;
		slice_cut(rest, ',', &one, &rest);
		n += (size_t)snprintf(out + n, room - n, "%s%s:%.*s", n != 0 ? "," : "",
			ip_parse(one, &ip) ? "IP" : "DNS", SLICE_ARG(one));
	}
}

void
cert_make(struct cert *c, const char *names, int kind, int days, const struct cert *ca)
{
	static long serial = 1;
	char alt[1024] = "";
	struct slice first;
	const struct cert *issuer = ca != NULL ? ca : c;
	c->key = kind == CERT_RSA ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	c->x509 = X509_new();
	assert_true(c->key != NULL && c->x509 != NULL);
	X509_set_version(c->x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x509), serial++);
	X509_gmtime_adj(X509_getm_notBefore(c->x509), days < 0 ? days * 172800L : -3600);
	X509_gmtime_adj(X509_getm_notAfter(c->x509), days * 86400L);
	X509_set_pubkey(c->x509, c->key);
	slice_cut(slice_of(names), ',', &first, &(struct slice){0});
	X509_NAME *name = X509_get_subject_name(c->x509);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)first.p, (int)first.n, -1, 0);
	X509_set_issuer_name(c->x509, X509_get_subject_name(issuer->x509));
	cert_names(names, alt, sizeof(alt));
	cert_extension(c, issuer, NID_subject_alt_name, alt);
	cert_extension(
		c, issuer, NID_basic_constraints, ca == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	assert_true(X509_sign(c->x509, issuer->key, EVP_sha256()) > 0);
	BIO *b = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(b, c->x509), 1);
	cert_keep(b, &c->cert_pem);
	b = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PrivateKey(b, c->key, NULL, NULL, 0, NULL, NULL), 1);
	cert_keep(b, &c->key_pem);
}

void
cert_free(struct cert *c)
{
	EVP_PKEY_free(c->key);
	X509_free(c->x509);
	buf_fini(&c->cert_pem);
	buf_fini(&c->key_pem);
}
