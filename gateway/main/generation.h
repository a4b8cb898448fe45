/*
 * A generation: one snapshot of the configuration with everything opened for it. The parent
 * makes one at start and one for each reload; the processes of a generation see no other.
 */
#ifndef MAIN_GENERATION_H
#define MAIN_GENERATION_H

#include "conf/conf.h"
#include "policy/policy.h"
#include "session/process.h"
#include "session/sign.h"

struct generation {
	struct generation *next; /* older */
	unsigned number;         /* from 1 */
	struct conf *conf;
	struct arena *arena; /* policies and certificates */
	struct policy *policy[2];
	int listen_fds[SESSION_LISTENERS_MOST]; /* -1: libmilter's, in its own process */
	struct session_certificate *certificates;
	size_t n_certificates;
	/* as they were when they were read: the users' files, the files of tables */
	struct tls_file *users, *tables;
	size_t n_users, n_tables;
	struct slice *sign_pems; /* private keys of DKIM, by the order of conf->signs */
	struct sign_key *sign_keys;
	int spool, hand; /* the spool's folder and the socket in it; -1: there is none */
	struct slice failure_rules; /* the text of `failure rules` */
	int spill_dir;
	const char *spill_path;
	const char *user; /* to run as; NULL: as we are */
	uint8_t ticket_key[80];
	bool stopping; /* its sessions were told to stop */
};

/*
 * Reads and checks everything, opens nothing that `posternd -n` must not: NULL and the report
 * (and for what is no fault of the file, err with a text). Everything that is wrong is in the
 * report.
 */
struct generation *generation_read(const char *path, struct conf_report *report);
/*
 * Opens sockets (those of `old` are taken over where the address is the same), the spill
 * directory, looks the user up. -1: nothing of `old` has changed.
 */
int generation_open(struct generation *g, const struct generation *old, struct err *err);
bool generation_same_address(const struct conf_listener *a, const struct conf_listener *b);
/* A certificate, key, users' file or table's file is another than the one that was read: time
 * for a new generation.
 */
bool generation_files_changed(const struct generation *g);
/* They made none: from now on a change is one from what they are now. */
void generation_files_seen(struct generation *g);
/* In a child that must not have them: the private keys of DKIM, of TLS. */
void generation_forget_keys(const struct generation *g, bool dkim, bool tls);
/* The same for the passwords of directories and databases. */
void generation_forget_directories(const struct generation *g);
/* Closes what none of the others, a chain by next, listens on too. */
void generation_free(struct generation **g, const struct generation *others);

#endif
