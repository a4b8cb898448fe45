/*
 * TLS contexts: the server's certificates and tickets, what every context has in common, and
 * what a handshake came to. The client's side stands in tls_client.c, files in tls_file.c.
 * Sessions are driven by stream_tls.c.
 */
#include "io/tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/must.h"
#include "io/tls_priv.h"

enum { TLS_PAIRS_MOST = 64 };

struct tls_ticket_key {
	uint8_t name[16], aes[32], mac[32];
};

_Static_assert(
	sizeof(struct tls_ticket_key) == TLS_TICKET_KEY_BYTES, "a ticket key is its bytes");

/* Counted: each session keeps its server, with all contexts that SNI may choose from. */
struct tls_server {
	size_t n;
	SSL_CTX *ctx[TLS_PAIRS_MOST];
	X509 *leaf[TLS_PAIRS_MOST]; /* for SNI; the first of its context */
	int64_t expiry;
	size_t nkeys; /* 0: no tickets */
	struct tls_ticket_key keys[2];
	size_t users; /* the owner, and each session */
};

int
tls_error(struct err *err, const char *fmt, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
	const char *data = NULL;
	int flags = 0;
	ERR_peek_last_error_data(&data, &flags);
	bool words = (flags & ERR_TXT_STRING) != 0 && data != NULL && data[0] != '\0';
	err_set(err, "%s: %s%s%.100s", text, reason != NULL ? reason : "no reason given",
		words ? ": " : "", words ? data : "");
	ERR_clear_error();
	return -1;
}

SSL_CTX *
tls_context(const SSL_METHOD *method, struct err *err)
{
	static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:"
				      "ECDHE+AES:AES256-GCM-SHA384:"
				      "AES128-GCM-SHA256:!aNULL:!eNULL:!PSK:!SRP:!CAMELLIA:!"
				      "ARIA:!aDSS:!AESCCM:!AESCCM8";
	SSL_CTX *ctx = SSL_CTX_new(method);
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
		tls_error(err, "make a TLS context");
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

struct tls_server *
tls_server_new(struct err *err)
{
	(void)err;
	struct tls_server *t = MEM_NEW(struct tls_server);
	t->users = 1;
	return t;
}

static void
tls_server_release(struct tls_server *t)
{
	if (--t->users != 0)
		return;
	for (size_t i = 0; i < t->n; i++) {
		X509_free(t->leaf[i]);
		SSL_CTX_free(t->ctx[i]);
	}
	mem_wipe(t->keys, sizeof(t->keys));
	mem_free(t);
}

static void
tls_session_gone(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	if (ptr != NULL)
		tls_server_release(ptr);
}

/* Where a session keeps its tls_server. */
static int
tls_session_index(void)
{
	static int index = -1;
	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, tls_session_gone);
	must(index >= 0);
	return index;
}

void
tls_server_free(struct tls_server **tp)
{
	struct tls_server *t = *tp;
	if (t == NULL)
		return;
	*tp = NULL;
	tls_server_release(t);
}

static int
tls_sni_chosen(SSL *ssl, int *alert, void *arg)
{
	struct tls_server *t = SSL_get_ex_data(ssl, tls_session_index());
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	(void)alert;
	(void)arg;
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < t->n; i++) {
		if (X509_check_host(t->leaf[i], name, 0, 0, NULL) != 1)
			continue;
		SSL_set_SSL_CTX(ssl, t->ctx[i]);
		return SSL_TLSEXT_ERR_OK;
	}
	/* RFC 6066 3 allows it: mail clients would rather have a wrong name than no TLS. */
	return SSL_TLSEXT_ERR_OK;
}

static int
tls_ticket_init(EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const struct tls_ticket_key *k,
	const unsigned char *iv, int encrypt)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	if (EVP_MAC_init(mac, k->mac, sizeof(k->mac), params) != 1 ||
		EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, encrypt) != 1)
		return -1;
	return 1;
}

/* RFC 5077 4: sealed with the present key; opened with it, or with the one before and renewed.
 */
static int
tls_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_server *t = SSL_get_ex_data(ssl, tls_session_index());
	if (t->nkeys == 0)
		return 0;
	if (encrypt != 0) {
		memcpy(name, t->keys[0].name, sizeof(t->keys[0].name));
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
			return -1;
		return tls_ticket_init(cipher, mac, &t->keys[0], iv, 1);
	}
	for (size_t i = 0; i < t->nkeys; i++) {
		if (memcmp(name, t->keys[i].name, sizeof(t->keys[i].name)) != 0)
			continue;
		if (tls_ticket_init(cipher, mac, &t->keys[i], iv, 0) < 0)
			return -1;
		return i == 0 ? 1 : 2;
	}
	return 0;
}

static SSL_CTX *
tls_server_context(struct tls_server *t, struct err *err)
{
	SSL_CTX *ctx = tls_context(TLS_server_method(), err);
	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_dh_auto(ctx, 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	/* Resumed sessions must come back to the same kind of service. */
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"postern", 7);
	SSL_CTX_set_tlsext_servername_callback(ctx, tls_sni_chosen);
	if (t->nkeys == 0) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
	}
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_ticket);
	return ctx;
}

void
tls_server_tickets(struct tls_server *t, const uint8_t now[TLS_TICKET_KEY_BYTES],
	const uint8_t before[TLS_TICKET_KEY_BYTES])
{
	memcpy(&t->keys[0], now, TLS_TICKET_KEY_BYTES);
	if (before != NULL)
		memcpy(&t->keys[1], before, TLS_TICKET_KEY_BYTES);
	t->nkeys = before != NULL ? 2 : 1;
	for (size_t i = 0; i < t->n; i++) {
		SSL_CTX_clear_options(t->ctx[i], SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(t->ctx[i], 1);
	}
}

/* The passphrase of an encrypted key is nothing that a daemon could ask for. */
static int
tls_no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

/* The leaf, and behind it its chain, from PEM. */
static X509 *
tls_read_chain(struct slice pem, const char *path, STACK_OF(X509) * chain, struct err *err)
{
	BIO *b = BIO_new_mem_buf(pem.n != 0 ? pem.p : "", (int)pem.n);
	must(b != NULL);
	ERR_clear_error();
	X509 *leaf = PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL);
	if (leaf == NULL)
		tls_error(err, "%s: read the certificate", path);
	while (leaf != NULL) {
		X509 *next = PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL);
		if (next == NULL) {
			/* The end of the file is "no start line"; anything else is a broken
			 * certificate. */
			if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
				tls_error(err, "%s: read the certificate's chain", path);
				X509_free(leaf);
				leaf = NULL;
			}
			break;
		}
		must(sk_X509_push(chain, next) > 0);
	}
	ERR_clear_error();
	BIO_free(b);
	return leaf;
}

static EVP_PKEY *
tls_read_key(struct slice pem, const char *path, struct err *err)
{
	BIO *b = BIO_new_mem_buf(pem.n != 0 ? pem.p : "", (int)pem.n);
	must(b != NULL);
	ERR_clear_error();
	EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, tls_no_passphrase, NULL);
	if (key == NULL)
		tls_error(err, "%s: read the private key", path);
	BIO_free(b);
	return key;
}

/* A pair for the same names with a key of another type stands in the same context. */
static SSL_CTX *
tls_find_sibling(const struct tls_server *t, X509 *leaf)
{
	for (size_t i = 0; i < t->n; i++) {
		STACK_OF(GENERAL_NAME) *a =
			X509_get_ext_d2i(t->leaf[i], NID_subject_alt_name, NULL, NULL);
		bool same = a != NULL && sk_GENERAL_NAME_num(a) > 0;
		for (int k = 0; same && k < sk_GENERAL_NAME_num(a); k++) {
			const GENERAL_NAME *g = sk_GENERAL_NAME_value(a, k);
			same = g->type == GEN_DNS &&
			       X509_check_host(leaf,
				       (const char *)ASN1_STRING_get0_data(g->d.dNSName),
				       (size_t)ASN1_STRING_length(g->d.dNSName), 0, NULL) == 1;
		}
		sk_GENERAL_NAME_pop_free(a, GENERAL_NAME_free);
		const EVP_PKEY *one = X509_get0_pubkey(t->leaf[i]),
			       *two = X509_get0_pubkey(leaf);
		if (same && one != NULL && two != NULL &&
			EVP_PKEY_get_base_id(one) != EVP_PKEY_get_base_id(two))
			return t->ctx[i];
	}
	return NULL;
}

static int
tls_server_use(struct tls_server *t, X509 *leaf, STACK_OF(X509) * chain, EVP_PKEY *key,
	const char *cert_path, const char *key_path, struct err *err)
{
	SSL_CTX *sibling = tls_find_sibling(t, leaf);
	if (sibling == NULL && t->n == TLS_PAIRS_MOST)
		return err_set(err, "%s: more than %d certificates on one listener", cert_path,
			TLS_PAIRS_MOST);
	SSL_CTX *ctx = sibling != NULL ? sibling : tls_server_context(t, err);
	if (ctx == NULL)
		return -1;
	ERR_clear_error();
	if (X509_check_private_key(leaf, key) != 1) {
		err_set(err, "%s: the key does not belong to the certificate in %s", key_path,
			cert_path);
		ERR_clear_error();
	} else if (SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 0) != 1)
		tls_error(err, "%s with the key %s", cert_path, key_path);
	else {
		if (sibling == NULL) {
			X509_up_ref(leaf);
			t->leaf[t->n] = leaf;
			t->ctx[t->n++] = ctx;
		}
		return 0;
	}
	if (sibling == NULL)
		SSL_CTX_free(ctx);
	return -1;
}

static void
tls_note_expiry(struct tls_server *t, const X509 *leaf)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) != 1)
		return;
	int64_t at = timegm(&tm);
	if (t->expiry == 0 || at < t->expiry)
		t->expiry = at;
}

int
tls_server_add(struct tls_server *t, struct slice cert_pem, const char *cert_path,
	struct slice key_pem, const char *key_path, struct err *err)
{
	int result = -1;
	must(cert_pem.n <= TLS_FILE_BYTES && key_pem.n <= TLS_FILE_BYTES);
	STACK_OF(X509) *chain = sk_X509_new_null();
	must(chain != NULL);
	X509 *leaf = tls_read_chain(cert_pem, cert_path, chain, err);
	EVP_PKEY *key = leaf != NULL ? tls_read_key(key_pem, key_path, err) : NULL;
	if (key != NULL)
		result = tls_server_use(t, leaf, chain, key, cert_path, key_path, err);
	if (result == 0)
		tls_note_expiry(t, leaf);
	EVP_PKEY_free(key);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return result;
}

int64_t
tls_server_expiry(const struct tls_server *t)
{
	return t->expiry;
}

SSL *
tls_server_session(struct tls_server *t)
{
	must(t->n != 0);
	SSL *ssl = SSL_new(t->ctx[0]);
	must(ssl != NULL && SSL_set_ex_data(ssl, tls_session_index(), t) == 1);
	t->users++;
	SSL_set_accept_state(ssl);
	return ssl;
}

static void
tls_copy_lower(char to[TLS_NAME_BYTES], const char *from)
{
	size_t i = 0;
	for (; from != NULL && from[i] != '\0' && i < TLS_NAME_BYTES - 1; i++)
		to[i] = ascii_lower(from[i]);
	to[i] = '\0';
}

/* The first dNSName of the leaf, or its common name. */
static void
tls_first_name(X509 *leaf, char to[TLS_NAME_BYTES])
{
	STACK_OF(GENERAL_NAME) *names =
		X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_DNS)
			continue;
		int n = ASN1_STRING_length(g->d.dNSName);
		snprintf(to, TLS_NAME_BYTES, "%.*s", n,
			(const char *)ASN1_STRING_get0_data(g->d.dNSName));
		break;
	}
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	if (to[0] == '\0')
		X509_NAME_get_text_by_NID(
			X509_get_subject_name(leaf), NID_commonName, to, TLS_NAME_BYTES);
}

static uint64_t
tls_fingerprint(const X509 *leaf)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	uint64_t first = 0;
	must(X509_digest(leaf, EVP_sha256(), digest, NULL) == 1);
	for (size_t i = 0; i < sizeof(first); i++)
		first = first << 8 | digest[i];
	return first;
}

void
tls_session_info(SSL *ssl, struct tls_info *info_out)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	*info_out = (struct tls_info){
		.version = SSL_get_version(ssl),
		.cipher = SSL_CIPHER_get_name(cipher),
		.bits = SSL_CIPHER_get_bits(cipher, NULL),
		.resumed = SSL_session_reused(ssl) == 1,
	};
	if (SSL_is_server(ssl)) {
		tls_copy_lower(
			info_out->sni, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
		return;
	}
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	long result = SSL_get_verify_result(ssl);
	char *address = X509_VERIFY_PARAM_get1_ip_asc(SSL_get0_param(ssl));
	info_out->verified = leaf != NULL && result == X509_V_OK &&
			     (address != NULL || SSL_get0_peername(ssl) != NULL);
	OPENSSL_free(address);
	if (leaf != NULL) {
		tls_first_name(leaf, info_out->peer_name);
		info_out->certificate = tls_fingerprint(leaf);
	}
	if (!info_out->verified)
		snprintf(info_out->problem, sizeof(info_out->problem), "%s",
			result != X509_V_OK ? X509_verify_cert_error_string(result)
					    : "no name to verify");
}
