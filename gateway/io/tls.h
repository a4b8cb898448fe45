/*
 * TLS contexts and what a handshake came to (RFC 3207, 8314, 8446). Certificates and keys are
 * read by the parent while it may; what is given here is PEM in memory, with the paths for
 * messages, so that a process in its sandbox needs no file. Contexts are counted: streams that
 * began with one keep it alive, so replacing a context (files changed) is making a new one and
 * freeing the old.
 *
 * TLS 1.2 and 1.3; AEAD ciphers with forward secrecy first, CBC with ECDHE last for old
 * senders; no compression, no renegotiation; the client's certificate is not asked for.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { TLS_TICKET_KEY_BYTES = 80 }; /* name 16, AES-256 32, HMAC-SHA256 32 */
enum { TLS_NAME_BYTES = 256, TLS_FILE_BYTES = 1024 * 1024 };

struct tls_server;
struct tls_client;

/* A file that is read again when it has changed. */
struct tls_file {
	const char *path; /* the caller's */
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint64_t inode;
	uint64_t size;
};

/* Reads the whole file, which may have TLS_FILE_BYTES, and keeps its stamp. */
int tls_file_read(struct tls_file *f, struct buf *out, struct err *err);
/* For a file that somebody else reads: as it is now. */
void tls_file_stamp(struct tls_file *f);
/* Is it another than the one that was read or stamped? Not there, or not to be read: no. */
bool tls_file_changed(const struct tls_file *f);

struct tls_server *tls_server_new(struct err *err);
void tls_server_free(struct tls_server **t);
/*
 * One certificate chain (leaf first) and its key. Chosen by SNI against the names of the leaf;
 * where none fits, and for clients without SNI, the first one added. A pair of another key type
 * for the same names (RSA beside ECDSA) stands beside the first. err names the path and
 * OpenSSL's words: not PEM, key does not belong to the certificate, key encrypted, expired (an
 * error only for what cannot be used: an expired certificate is taken; ask tls_server_expiry).
 */
int tls_server_add(struct tls_server *t, struct slice cert_pem, const char *cert_path,
	struct slice key_pem, const char *key_path, struct err *err);
int64_t
tls_server_expiry(const struct tls_server *t); /* of the leaf that ends first, s since 1970 */
/* What a certificate (PEM, the leaf first) shows to others, for people who look after it. */
struct tls_looks {
	int64_t from_s, until_s; /* of the leaf, s since 1970 */
	bool named;              /* it bears the name asked for */
	bool trusted;      /* with what stands behind it, the system's roots are reached */
	char problem[128]; /* where not: OpenSSL's words */
	char name[TLS_NAME_BYTES]; /* the first one of the leaf */
};
int
tls_look(struct slice cert_pem, const char *name, struct tls_looks *looks_out, struct err *err);
/*
 * Session tickets sealed by `now`, opened by both; the same keys in all session processes.
 * `before` is the key of the period before, or NULL. Without a call there are no tickets.
 */
void tls_server_tickets(struct tls_server *t, const uint8_t now[TLS_TICKET_KEY_BYTES],
	const uint8_t before[TLS_TICKET_KEY_BYTES]);

/* The trusted roots: PEM bytes, or empty for the system's bundle, read here (before the
 * sandbox). */
struct tls_client *tls_client_new(struct slice ca_pem, struct err *err);
void tls_client_free(struct tls_client **t);

enum tls_verify {
	TLS_VERIFY_NONE, /* opportunistic: any certificate, the result is only told (verified)
			  */
	TLS_VERIFY_NAME, /* the chain ends in a trusted root, the leaf bears name or address */
};

struct tls_peer {
	const char *name; /* SNI and the name to verify; NULL or an address: no SNI */
	enum tls_verify verify;
	const char *const *names; /* NAME: the leaf bears one of these instead; NULL: name */
	size_t n_names;
};

struct tls_info {
	const char *version; /* "TLSv1.3"; static, as cipher */
	const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
	int bits;
	bool resumed;
	bool verified; /* client: chain and name are good, also where that was not demanded */
	char sni[TLS_NAME_BYTES];       /* server: what the client asked for, lower case */
	char peer_name[TLS_NAME_BYTES]; /* client: first name of the peer's leaf */
	char problem[128];              /* client: why it is not verified, OpenSSL's words */
	uint64_t certificate; /* client: the first 8 bytes of the SHA-256 of the peer's leaf */
};

#endif
