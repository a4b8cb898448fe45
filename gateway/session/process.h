/*
 * The session process: one event loop with the listeners, the sessions and the connections to
 * the protected servers. It is forked by the parent with everything open that it will need,
 * enters its sandbox, and lives until it is told to stop or the parent is gone.
 */
#ifndef SESSION_PROCESS_H
#define SESSION_PROCESS_H

#include "conf/conf.h"
#include "io/control.h"
#include "io/tls.h"
#include "policy/policy.h"
#include "session/account.h"

enum { SESSION_LISTENERS_MOST = 64, SESSION_CERTIFICATES_MOST = 64, SESSION_SERVERS_MOST = 16 };

/* A certificate and key in memory, read by the parent, with its paths for messages. */
struct session_certificate {
	struct slice cert_pem, key_pem;
	const char *cert_path, *key_path;
	/* the parent's: stamps of both files */
	struct tls_file cert_file, key_file;
};

struct refusals;
struct notices;
struct spam_shared;

struct session_start {
	const struct conf *conf;
	const struct policy *policy[2]; /* by enum direction; NULL where no listener needs it */
	const int *listen_fds;          /* by listener of conf */
	struct session_certificate *certificates; /* of all listeners, in their order */
	const struct sign_key *sign_keys;         /* by the order of conf->signs */
	uint8_t ticket_key[80];
	int control_fd;
	int spill_dir;          /* or -1 */
	const char *spill_path; /* for the sandbox */
	unsigned self;          /* its number, for the shared counters */
	struct account *account;
	struct notices *notices;
	struct refusals *refusals;
	const struct spam_shared *spam;  /* the site's models */
	unsigned servers[PROCESS_KINDS]; /* how many of each kind serve this generation */
};

/* Runs in the child: the exit status. arg is a struct session_start. */
int session_main(void *arg);

#endif
