/*
 * The users' file of `auth "FILE"`: one account a line, written by `postern passwd`, read by
 * the process that checks passwords and by no other. It never holds a password:
 *
 *     NAME:CRYPT:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY
 *
 * NAME is UTF-8 without colon and control characters, at most 255 bytes, and compares byte for
 * byte. CRYPT is what crypt(3) makes ("$y$..."), for PLAIN and LOGIN; what follows is RFC 5803,
 * its parts in base64, for SCRAM-SHA-256. Either may be empty: that account then cannot use it.
 * Both are made from the password after SASLprep (RFC 4013), so whoever checks one prepares it
 * too. Empty lines and lines that begin with # are passed over. Whoever asks for an account
 * that is not there should take as long to say no as for one that is.
 */
#ifndef CONF_PASSWD_H
#define CONF_PASSWD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/slice.h"

enum {
	PASSWD_NAME_MOST = 255,
	PASSWD_PASSWORD_MOST = 255,
	PASSWD_FILE_MOST = 16 << 20,
	PASSWD_ITERATIONS_LEAST = 4096, /* RFC 7677 4 */
	PASSWD_ITERATIONS_MOST = 1000000,
	PASSWD_KEY_BYTES = 32,
};

struct passwd_entry {
	struct slice name;
	struct slice crypt; /* empty: no PLAIN and LOGIN */
	bool has_scram;
	unsigned iterations;
	struct slice salt, stored_key, server_key; /* bytes, not base64 */
};

bool passwd_name_ok(struct slice name);
/* One line without its end. NULL, or what is wrong with it, in words. */
const char *passwd_parse(struct slice line, struct arena *a, struct passwd_entry *entry_out);
/* The line of an entry, without its end. */
struct slice passwd_line(const struct passwd_entry *e, struct arena *a);
/* All accounts: name to struct passwd_entry. err names path and line. */
int passwd_read(const char *path, struct arena *a, struct map **users_out, struct err *err);
/* Puts the entry in, in place of one with its name; the file is replaced in one step (rename).
 */
int passwd_write(const char *path, const struct passwd_entry *e, struct err *err);

#endif
