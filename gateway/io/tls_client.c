/*
 * The client's side of TLS: trusted roots, SNI, and verification where it is demanded; see
 * tls.h. Roots are read before the sandbox closes the file system.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/mem.h"
#include "base/must.h"
#include "io/tls_priv.h"

struct tls_client {
	SSL_CTX *ctx;
};

/* Where systems keep all roots in one file; read at once, since a sandbox follows. */
static const char *const tls_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static int
tls_trust_system(X509_STORE *store, struct err *err)
{
	for (size_t i = 0; i < sizeof(tls_bundles) / sizeof(tls_bundles[0]); i++) {
		if (access(tls_bundles[i], R_OK) < 0)
			continue;
		if (X509_STORE_load_file(store, tls_bundles[i]) != 1)
			return tls_error(err, "%s: read the trusted roots", tls_bundles[i]);
		return 0;
	}
	return 0; /* no roots: opportunistic TLS works, verification says why it does not */
}

static int
tls_trust_pem(X509_STORE *store, struct slice pem, struct err *err)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	size_t count = 0;
	must(b != NULL);
	ERR_clear_error();
	for (X509 *root; (root = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL; count++) {
		X509_STORE_add_cert(store, root);
		X509_free(root);
	}
	BIO_free(b);
	if (count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return tls_error(err, "read the trusted roots");
	ERR_clear_error();
	return 0;
}

struct tls_client *
tls_client_new(struct slice ca_pem, struct err *err)
{
	must(ca_pem.n <= TLS_FILE_BYTES);
	SSL_CTX *ctx = tls_context(TLS_client_method(), err);
	if (ctx == NULL)
		return NULL;
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	int trust = ca_pem.n != 0 ? tls_trust_pem(store, ca_pem, err)
				  : tls_trust_system(store, err);
	if (trust < 0) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	struct tls_client *t = MEM_NEW(struct tls_client);
	t->ctx = ctx;
	return t;
}

void
tls_client_free(struct tls_client **tp)
{
	struct tls_client *t = *tp;
	if (t == NULL)
		return;
	*tp = NULL;
	SSL_CTX_free(t->ctx);
	mem_free(t);
}

SSL *
tls_client_session(const struct tls_client *t, const struct tls_peer *peer, struct err *err)
{
	struct ip ip;
	bool address = peer->name == NULL || ip_parse(slice_of(peer->name), &ip);
	if (peer->verify == TLS_VERIFY_NAME && peer->name == NULL && peer->n_names == 0) {
		err_set(err, "verified TLS needs a name");
		return NULL;
	}
	SSL *ssl = SSL_new(t->ctx);
	must(ssl != NULL);
	SSL_set_connect_state(ssl);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	ERR_clear_error();
	/* SSL_set_tlsext_host_name, whose cast throws const away. */
	void *sni = (void *)(uintptr_t)peer->name;
	if (!address && (SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
				 sni) != 1 ||
				SSL_set1_host(ssl, peer->name) != 1)) {
		tls_error(err, "TLS with %s", peer->name);
		SSL_free(ssl);
		return NULL;
	}
	for (size_t i = 0; i < peer->n_names; i++) {
		int set = i == 0 ? SSL_set1_host(ssl, peer->names[i])
				 : SSL_add1_host(ssl, peer->names[i]);
		if (set != 1) {
			tls_error(err, "TLS with %s", peer->names[i]);
			SSL_free(ssl);
			return NULL;
		}
	}
	/* A next hop that is an address stands as one in the certificate (RFC 5280 4.2.1.6). */
	if (address && peer->name != NULL && peer->n_names == 0)
		must(X509_VERIFY_PARAM_set1_ip(
			     SSL_get0_param(ssl), ip.bytes, ip.family == 4 ? 4 : 16) == 1);
	/* Without SSL_VERIFY_PEER the handshake goes on, and the result is there to be told. */
	SSL_set_verify(
		ssl, peer->verify == TLS_VERIFY_NAME ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return ssl;
}
