/*
 * How good TLS to a next hop must be, and who says so. A way has one for all of its hops; each
 * address that is tried carries its own, so that what is known of a single host (TLSA records,
 * an MTA-STS policy) can fill in another (OUT-05).
 *
 * Connections are kept for mails of an equal policy only.
 */
#ifndef RELAY_TLS_POLICY_H
#define RELAY_TLS_POLICY_H

#include "base/slice.h"

enum { TLS_POLICY_NAMES_MOST = 16, TLS_POLICY_KEY_BYTES = 4200 };

enum tls_level {
	TLS_LEVEL_OPPORTUNISTIC, /* as good as can be, in clear where a handshake fails */
	TLS_LEVEL_REQUIRED,      /* encrypted, any certificate */
	TLS_LEVEL_VERIFIED,      /* the chain is good and the leaf bears a name */
	TLS_LEVEL_NEVER,         /* in clear: a socket of this machine */
};

struct tls_policy {
	enum tls_level level;
	/* VERIFIED: the leaf bears one of these; none: the host's name. At most
	 * TLS_POLICY_NAMES_MOST names of the DNS, C strings, the caller's. */
	const char *const *names;
	size_t n_names;
	const char *source; /* for people: "tls required"; NULL: nobody asked for it. Static. */
};

#endif
