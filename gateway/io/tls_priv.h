/* What stream.c needs of tls.c: contexts become sessions. OpenSSL's types stay in this folder.
 */
#ifndef IO_TLS_PRIV_H
#define IO_TLS_PRIV_H

#include <openssl/ssl.h>

#include "io/tls.h"

/* What every context has in common; NULL: err. */
SSL_CTX *tls_context(const SSL_METHOD *method, struct err *err);
SSL *tls_server_session(struct tls_server *t);
SSL *
tls_client_session(const struct tls_client *t, const struct tls_peer *peer, struct err *err);
void tls_session_info(SSL *ssl, struct tls_info *info_out);
/* OpenSSL's error queue in words, emptied; returns -1. */
int tls_error(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
