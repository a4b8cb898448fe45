/*
 * `postern passwd USER [FILE]`: asks for a password, twice without echo at a terminal or one
 * line from standard input, and writes its hashes into the users' file (conf/passwd.h):
 * yescrypt for PLAIN and LOGIN, StoredKey and ServerKey for SCRAM-SHA-256. The password itself
 * is written nowhere and wiped. FILE is the one that the configuration's listeners name, where
 * they name one.
 */
#include <crypt.h>
#include <gsasl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/passwd.h"
#include "main/tool.h"

/* RFC 7677 asks for 4096 at least; the client pays for them, once a log-in. */
enum { ITERATIONS = 10000, SALT_BYTES = 16, LINE_BYTES = PASSWD_PASSWORD_MOST + 3 };

static int
read_line(FILE *f, char line[LINE_BYTES], struct err *err)
{
	if (fgets(line, LINE_BYTES, f) == NULL)
		return err_set(err, "no password was given");
	size_t n = strcspn(line, "\r\n");
	if (n > PASSWD_PASSWORD_MOST)
		return err_set(err, "a password has at most %d bytes", PASSWD_PASSWORD_MOST);
	line[n] = '\0';
	return n != 0 ? 0 : err_set(err, "the password is empty");
}

/* Signals wait until the echo is back: nobody is left with a terminal that shows nothing. */
static int
read_secretly(const struct tool *t, const char *prompt, char line[LINE_BYTES], struct err *err)
{
	struct termios old, quiet;
	sigset_t all, before;
	int fd = fileno(t->in);
	if (tcgetattr(fd, &old) < 0)
		return err_sys(err, "look at the terminal");
	quiet = old;
	quiet.c_lflag &= (tcflag_t)~ECHO;
	fprintf(t->err, "%s: ", prompt);
	fflush(t->err);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	int result = tcsetattr(fd, TCSAFLUSH, &quiet) < 0 ? err_sys(err, "switch the echo off")
							  : read_line(t->in, line, err);
	tcsetattr(fd, TCSAFLUSH, &old);
	sigprocmask(SIG_SETMASK, &before, NULL);
	fputc('\n', t->err);
	return result;
}

static int
read_password(const struct tool *t, char password[LINE_BYTES], struct err *err)
{
	char again[LINE_BYTES];
	int fd = fileno(t->in);
	if (fd < 0 || !isatty(fd))
		return read_line(t->in, password, err);
	int result = read_secretly(t, "password", password, err);
	if (result == 0)
		result = read_secretly(t, "again", again, err);
	if (result == 0 && strcmp(password, again) != 0)
		result = err_set(err, "the two are not equal");
	mem_wipe(again, sizeof(again));
	return result;
}

static int
hash_crypt(const char *password, struct arena *a, struct passwd_entry *e, struct err *err)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) == NULL)
		return err_sys(err, "make a salt for yescrypt");
	struct crypt_data *data = MEM_NEW(struct crypt_data);
	const char *hash = crypt_rn(password, setting, data, sizeof(*data));
	if (hash != NULL)
		e->crypt = arena_slice(a, slice_of(hash));
	else
		err_sys(err, "hash the password with yescrypt");
	mem_wipe(data, sizeof(*data));
	mem_free(data);
	return e->crypt.n != 0 ? 0 : -1;
}

static int
hash_scram(const char *password, struct arena *a, struct passwd_entry *e, struct err *err)
{
	char salted[PASSWD_KEY_BYTES], client[PASSWD_KEY_BYTES];
	char server[PASSWD_KEY_BYTES], stored[PASSWD_KEY_BYTES], salt[SALT_BYTES];
	if (getrandom(salt, sizeof(salt), 0) != (ssize_t)sizeof(salt))
		return err_sys(err, "make a salt");
	int code = gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, password, ITERATIONS,
		salt, sizeof(salt), salted, client, server, stored);
	mem_wipe(salted, sizeof(salted));
	mem_wipe(client, sizeof(client));
	if (code != GSASL_OK)
		return err_set(err, "SCRAM-SHA-256: %s", gsasl_strerror(code));
	e->has_scram = true;
	e->iterations = ITERATIONS;
	e->salt = arena_slice(a, (struct slice){salt, sizeof(salt)});
	e->stored_key = arena_slice(a, (struct slice){stored, sizeof(stored)});
	e->server_key = arena_slice(a, (struct slice){server, sizeof(server)});
	return 0;
}

/* Both hashes, of the password as clients prepare it (RFC 4013). */
static int
hash_password(const char *password, struct arena *a, struct passwd_entry *e, struct err *err)
{
	char *prepared = NULL;
	int code = gsasl_saslprep(password, (Gsasl_saslprep_flags)0, &prepared, NULL);
	if (code != GSASL_OK)
		return err_set(err, "the password has characters that SASL forbids: %s",
			gsasl_strerror(code));
	int result = hash_crypt(prepared, a, e, err);
	if (result == 0)
		result = hash_scram(prepared, a, e, err);
	mem_wipe(prepared, strlen(prepared));
	gsasl_free(prepared);
	return result;
}

/* The file that all outbound listeners with accounts name. */
static int
configured_file(const struct tool *t, struct arena *a, const char **path_out, struct err *err)
{
	struct conf_report report;
	struct slice found = SLICE_NONE;
	int result = 0;
	conf_report_init(&report);
	struct conf *c = conf_read(t->config, &report);
	conf_report_fini(&report);
	if (c == NULL)
		return err_set(err, "%s is not right (postern check): name the users' file",
			t->config);
	for (size_t i = 0; i < c->n_listeners; i++) {
		struct slice file = c->listeners[i].auth_file;
		if (file.n == 0)
			continue;
		if (found.n != 0 && !slice_eq(found, file))
			result = err_set(err, "the listeners have different files: name one");
		found = file;
	}
	if (found.n == 0)
		result = err_set(
			err, "no listener of %s says `auth`: name the users' file", t->config);
	*path_out = arena_text(a, found);
	conf_free(&c);
	return result;
}

static int
set_password(const struct tool *t, struct slice name, const char *path, struct arena *a,
	struct err *err)
{
	char password[LINE_BYTES] = "";
	struct passwd_entry e = {.name = name};
	if (path == NULL && configured_file(t, a, &path, err) < 0)
		return -1;
	int result = read_password(t, password, err);
	if (result == 0)
		result = hash_password(password, a, &e, err);
	mem_wipe(password, sizeof(password));
	return result == 0 ? passwd_write(path, &e, err) : -1;
}

int
tool_passwd(const struct tool *t, int n, char *const words[])
{
	struct err err;
	if (n < 1 || n > 2 || words[0][0] == '-')
		return tool_usage(t, "passwd USER [FILE]");
	struct slice name = slice_of(words[0]);
	if (!passwd_name_ok(name)) {
		fprintf(t->err, "postern: \"%s\" is no name of a user\n", words[0]);
		return 1;
	}
	struct arena *a = arena_new(1 << 20);
	int result = set_password(t, name, n > 1 ? words[1] : NULL, a, &err);
	if (result < 0)
		fprintf(t->err, "postern: %s\n", err.text);
	arena_free(&a);
	return result < 0 ? 1 : 0;
}
