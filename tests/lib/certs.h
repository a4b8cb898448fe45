/* Certificates for tests, made when they are needed. */
#ifndef TEST_CERTS_H
#define TEST_CERTS_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"

struct cert {
	EVP_PKEY *key;
	X509 *x509;
	struct buf cert_pem, key_pem;
};

enum { CERT_EC, CERT_RSA };

/* For these names (comma between them); signed by ca, or by itself where ca is NULL (then a
 * CA). Valid from an hour ago for `days`; negative: expired. */
void cert_make(struct cert *c, const char *names, int kind, int days, const struct cert *ca);
void cert_free(struct cert *c);

#endif
