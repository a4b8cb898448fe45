/*
 * A certificate as its visitors will see it: how long it lasts, whether it bears a name, and
 * whether what stands behind it leads to the system's roots. For `postern doctor`; the gateway
 * itself never judges its own certificates.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "io/tls_priv.h"

enum { CHAIN_MOST = 16 };

static int64_t
seconds_of(const ASN1_TIME *t)
{
	int days = 0, seconds = 0;
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	if (epoch == NULL || ASN1_TIME_diff(&days, &seconds, epoch, t) != 1)
		days = seconds = 0;
	ASN1_TIME_free(epoch);
	return (int64_t)days * 86400 + seconds;
}

/* The first DNS name; else the common name. */
static void
first_name(X509 *leaf, char name[TLS_NAME_BYTES])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int n = names != NULL ? sk_GENERAL_NAME_num(names) : 0;
	name[0] = '\0';
	for (int i = 0; i < n && name[0] == '\0'; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type == GEN_DNS)
			snprintf(name, TLS_NAME_BYTES, "%.*s", ASN1_STRING_length(g->d.dNSName),
				(const char *)ASN1_STRING_get0_data(g->d.dNSName));
	}
	GENERAL_NAMES_free(names);
	if (name[0] == '\0')
		X509_NAME_get_text_by_NID(
			X509_get_subject_name(leaf), NID_commonName, name, TLS_NAME_BYTES);
}

/* False: the words are in problem. */
static bool
is_trusted(X509 *leaf, STACK_OF(X509) * others, char problem[128])
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool good = store != NULL && ctx != NULL && X509_STORE_set_default_paths(store) == 1 &&
		    X509_STORE_CTX_init(ctx, store, leaf, others) == 1;
	snprintf(problem, 128, "the system's roots cannot be read");
	if (good && X509_verify_cert(ctx) != 1) {
		snprintf(problem, 128, "%s",
			X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
		good = false;
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	if (good)
		problem[0] = '\0';
	return good;
}

int
tls_look(struct slice pem, const char *name, struct tls_looks *looks, struct err *err)
{
	BIO *in = pem.n < INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	X509 *leaf = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	STACK_OF(X509) *others = sk_X509_new_null();
	X509 *next;
	*looks = (struct tls_looks){0};
	if (leaf == NULL || others == NULL) {
		sk_X509_free(others);
		BIO_free(in);
		return tls_error(err, "read the certificate");
	}
	while (sk_X509_num(others) < CHAIN_MOST &&
		(next = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
		sk_X509_push(others, next);
	looks->from_s = seconds_of(X509_get0_notBefore(leaf));
	looks->until_s = seconds_of(X509_get0_notAfter(leaf));
	looks->named = X509_check_host(leaf, name, strlen(name), 0, NULL) == 1;
	looks->trusted = is_trusted(leaf, others, looks->problem);
	first_name(leaf, looks->name);
	ERR_clear_error(); /* the end of the file is an error to OpenSSL */
	sk_X509_pop_free(others, X509_free);
	X509_free(leaf);
	BIO_free(in);
	return 0;
}
