/*
 * One connection to a directory or database, whatever it speaks: ldap.c, postgresql.c,
 * sqlite.c. It is asked one value at a time. Callbacks come from the loop, never from inside
 * open or ask; after on_gone nothing more comes. The owner closes it in every case, also inside
 * a callback as its last act on it.
 */
#ifndef DIRECTORY_SOURCE_H
#define DIRECTORY_SOURCE_H

#include "conf/conf.h"
#include "directory/messages.h"
#include "io/loop.h"
#include "io/tls.h"

struct source;

struct source_calls {
	void (*on_ready)(void *arg); /* it may be asked; once */
	/* why: FAILED, what the directory said of the question. The connection is good. */
	void (*on_answer)(void *arg, enum directory_found found, const char *why);
	void (*on_gone)(void *arg, const char *why); /* it came to nothing, or ended */
};

/* What connections share. */
struct source_env {
	struct loop *loop;
	const struct tls_client *tls;
	uint32_t timeout_ms; /* for a connection, and for a look-up */
};

struct source_kind {
	/* address: of the host, family 0 for a file. NULL and err: not even begun. */
	struct source *(*open)(const struct source_env *env, const struct conf_directory *d,
		const struct ip *address, const struct source_calls *calls, void *arg,
		struct err *err);
	void (*ask)(struct source *s, struct slice value);
	void (*close)(struct source *s);
};

extern const struct source_kind source_ldap, source_postgresql, source_sqlite;

/* Before the sandbox: what the libraries read at their first use. */
void source_ldap_prepare(void);

#endif
