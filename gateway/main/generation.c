/*
 * One snapshot and what is opened for it. Nothing here changes a running generation: a reload
 * that fails half-way leaves the old one as it was.
 */
#include "main/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "delivery/failure.h"
#include "filters/facts.h"
#include "io/dns.h"
#include "io/ipc.h"
#include "io/listen.h"
#include "io/tls.h"

enum { GENERATION_ARENA_MOST = 256 * 1024 * 1024, BACKLOG = 1024, STAMP_MS = 20 };

static void
read_pem(struct generation *g, struct slice path, struct conf_at at, struct conf_report *report,
	struct slice *pem_out, struct tls_file *file_out)
{
	struct err err;
	struct buf pem;
	struct tls_file file = {.path = arena_text(g->arena, path)};
	buf_init(&pem, TLS_FILE_BYTES + 1);
	if (tls_file_read(&file, &pem, &err) < 0)
		conf_error(report, at, "%s", err.text);
	else
		*pem_out = arena_slice(g->arena, buf_slice(&pem));
	*file_out = file;
	mem_wipe(pem.data, pem.room);
	buf_fini(&pem);
}

/* Every pair is put into a context of its own, so that a wrong one is found before anything
 * starts. */
static void
check_pair(const struct session_certificate *c, struct conf_at at, struct conf_report *report)
{
	struct err err;
	struct tls_server *t = tls_server_new(&err);
	if (t == NULL ||
		tls_server_add(t, c->cert_pem, c->cert_path, c->key_pem, c->key_path, &err) < 0)
		conf_error(report, at, "%s", err.text);
	tls_server_free(&t);
}

static void
read_certificates(struct generation *g, struct conf_report *report)
{
	size_t n = 0;
	for (size_t i = 0; i < g->conf->n_listeners; i++)
		n += g->conf->listeners[i].n_certificates;
	g->certificates = arena_array(g->arena, n, sizeof(*g->certificates));
	for (size_t i = 0; i < g->conf->n_listeners; i++) {
		const struct conf_listener *l = &g->conf->listeners[i];
		for (size_t k = 0; k < l->n_certificates; k++) {
			struct session_certificate *c = &g->certificates[g->n_certificates++];
			size_t errors = report->n_errors;
			read_pem(g, l->certificates[k].certificate, l->at, report, &c->cert_pem,
				&c->cert_file);
			read_pem(g, l->certificates[k].key, l->at, report, &c->key_pem,
				&c->key_file);
			c->cert_path = c->cert_file.path;
			c->key_path = c->key_file.path;
			if (report->n_errors == errors)
				check_pair(c, l->at, report);
		}
	}
}

/* Read and parsed here, so that a wrong key is named with its line; signed with by the signer
 * only. */
static void
read_sign_keys(struct generation *g, struct conf_report *report)
{
	const struct conf *c = g->conf;
	g->sign_pems = arena_array(g->arena, c->n_signs, sizeof(*g->sign_pems));
	g->sign_keys = arena_array(g->arena, c->n_signs, sizeof(*g->sign_keys));
	for (size_t i = 0; i < c->n_signs; i++) {
		struct dkim_key *key;
		struct err err;
		struct tls_file file;
		size_t errors = report->n_errors;
		read_pem(g, c->signs[i].key, c->signs[i].at, report, &g->sign_pems[i], &file);
		if (report->n_errors != errors)
			continue;
		if (dkim_key_load(g->sign_pems[i], &key, &err) < 0) {
			conf_error(report, c->signs[i].at, "key %s: %s", file.path, err.text);
			continue;
		}
		g->sign_keys[i].algorithm = dkim_key_algorithm(key);
		dkim_key_free(&key);
	}
}

static void
wipe(struct slice secret)
{
	if (secret.n != 0)
		mem_wipe((void *)(uintptr_t)secret.p, secret.n);
}

/* The authenticator reads the users' files while it still may; here only their stamps are kept.
 */
static void
stamp_users(struct generation *g)
{
	g->users = arena_array(g->arena, g->conf->n_listeners, sizeof(*g->users));
	for (size_t i = 0; i < g->conf->n_listeners; i++) {
		struct slice path = g->conf->listeners[i].auth_file;
		if (path.n == 0)
			continue;
		g->users[g->n_users].path = arena_text(g->arena, path);
		tls_file_stamp(&g->users[g->n_users++]);
	}
}

/* One that changed while it was read, or just before, counts as changed at the next look. */
static void
stamp_tables(struct generation *g, int64_t began_ms)
{
	struct slice name;
	void *value;
	g->tables = arena_array(g->arena, map_count(g->conf->tables), sizeof(*g->tables));
	for (size_t i = 0; map_at(g->conf->tables, i, &name, &value); i++) {
		const struct conf_table *t = value;
		if (t->path.n == 0)
			continue;
		struct tls_file *file = &g->tables[g->n_tables++];
		file->path = arena_text(g->arena, t->path);
		tls_file_stamp(file);
		if (file->ctime_ns / 1000000 >= began_ms - STAMP_MS)
			*file = (struct tls_file){.path = file->path};
	}
}

void
generation_files_seen(struct generation *g)
{
	for (size_t i = 0; i < g->n_users; i++)
		tls_file_stamp(&g->users[i]);
	for (size_t i = 0; i < g->n_tables; i++)
		tls_file_stamp(&g->tables[i]);
	for (size_t i = 0; i < g->n_certificates; i++) {
		tls_file_stamp(&g->certificates[i].cert_file);
		tls_file_stamp(&g->certificates[i].key_file);
	}
}

bool
generation_files_changed(const struct generation *g)
{
	for (size_t i = 0; i < g->n_tables; i++)
		if (tls_file_changed(&g->tables[i]))
			return true;
	for (size_t i = 0; i < g->n_users; i++)
		if (tls_file_changed(&g->users[i]))
			return true;
	for (size_t i = 0; i < g->n_certificates; i++)
		if (tls_file_changed(&g->certificates[i].cert_file) ||
			tls_file_changed(&g->certificates[i].key_file))
			return true;
	return false;
}

void
generation_forget_keys(const struct generation *g, bool dkim, bool tls)
{
	for (size_t i = 0; dkim && g->sign_pems != NULL && i < g->conf->n_signs; i++)
		wipe(g->sign_pems[i]);
	for (size_t i = 0; tls && i < g->n_certificates; i++)
		wipe(g->certificates[i].key_pem);
}

void
generation_forget_directories(const struct generation *g)
{
	struct slice name;
	void *value;
	for (size_t i = 0; map_at(g->conf->tables, i, &name, &value); i++) {
		const struct conf_table *t = value;
		if (t->directory != NULL)
			wipe(t->directory->password);
	}
}

/* A resolver is opened and closed again: anchors that cannot be read are named before anything
 * starts. */
static void
check_resolver(const struct conf *c, struct conf_report *report)
{
	struct dns_config dc = {.insecure = c->resolver.insecure};
	struct err err;
	struct loop *loop = loop_new(&err);
	if (c->resolver.trust.n != 0)
		dc.trust_file = arena_text(c->arena, c->resolver.trust);
	for (size_t i = 0; i < c->resolver.n_servers && i < DNS_SERVERS_MOST; i++)
		dc.servers[dc.n++] = (struct dns_server){
			c->resolver.servers[i].ip, c->resolver.servers[i].port};
	struct dns *dns = loop != NULL ? dns_open(loop, &dc, &err) : NULL;
	if (dns == NULL)
		conf_error(report,
			c->resolver.at.file != NULL ? c->resolver.at
						    : (struct conf_at){.file = c->file},
			"%s", err.text);
	dns_close(&dns);
	loop_free(&loop);
}

/* Read and parsed here: a wrong rule is named before anything starts. */
static void
read_failure_rules(struct generation *g, struct conf_report *report)
{
	struct err err;
	struct tls_file file;
	struct conf_at at = {.file = g->conf->file};
	if (g->conf->queue.failure_rules.n == 0)
		return;
	size_t errors = report->n_errors;
	read_pem(g, g->conf->queue.failure_rules, at, report, &g->failure_rules, &file);
	struct failure_rules *rules =
		report->n_errors == errors ? failure_rules_new(&err) : NULL;
	if (rules != NULL &&
		failure_rules_add_text(rules, g->failure_rules, file.path, &err) < 0)
		conf_error(report, at, "%s", err.text);
	failure_rules_free(&rules);
}

struct generation *
generation_read(const char *path, struct conf_report *report)
{
	struct generation *g = MEM_NEW(struct generation);
	g->spill_dir = g->spool = g->hand = -1;
	for (size_t i = 0; i < SESSION_LISTENERS_MOST; i++)
		g->listen_fds[i] = -1;
	g->arena = arena_new(GENERATION_ARENA_MOST);
	int64_t began_ms = clock_wall_ms();
	g->conf = conf_read(path, report);
	if (g->conf != NULL) {
		filters_check(g->conf, report);
		for (int d = INBOUND; d <= OUTBOUND; d++) {
			if (conf_uses_block(g->conf, d == OUTBOUND))
				g->policy[d] = policy_compile(g->conf, (enum direction)d,
					facts_all(), g->arena, report);
			if (g->policy[d] != NULL)
				policy_check(g->policy[d], report);
		}
		if (g->conf->n_listeners > SESSION_LISTENERS_MOST)
			conf_error(report, g->conf->listeners[SESSION_LISTENERS_MOST].at,
				"more than %d listeners", SESSION_LISTENERS_MOST);
		read_certificates(g, report);
		read_sign_keys(g, report);
		check_resolver(g->conf, report);
		stamp_users(g);
		stamp_tables(g, began_ms);
		read_failure_rules(g, report);
	}
	if (report->n_errors != 0)
		generation_free(&g, NULL);
	return g;
}

bool
generation_same_address(const struct conf_listener *a, const struct conf_listener *b)
{
	return a->ip.family == b->ip.family && a->port == b->port &&
	       slice_eq(a->path, b->path) && ip_eq(&a->ip, &b->ip);
}

static int
inherited(const struct generation *old, const struct conf_listener *l)
{
	for (size_t i = 0; old != NULL && i < old->conf->n_listeners; i++)
		if (generation_same_address(&old->conf->listeners[i], l))
			return old->listen_fds[i];
	return -1;
}

/* A unix socket is for the account's group: an MTA's account is made a member of it. */
static int
give_socket(const struct generation *g, const char *path, struct err *err)
{
	const struct passwd *pw = g->user != NULL ? getpwnam(g->user) : NULL;
	if (pw != NULL && lchown(path, pw->pw_uid, pw->pw_gid) < 0)
		return err_sys(err, "give the socket %s to %s", path, g->user);
	return 0;
}

static int
open_listeners(struct generation *g, const struct generation *old, struct err *err)
{
	for (size_t i = 0; i < g->conf->n_listeners; i++) {
		const struct conf_listener *l = &g->conf->listeners[i];
		struct stream_addr a = {.ip = l->ip, .port = l->port};
		g->listen_fds[i] = l->through_libmilter ? -1 : inherited(old, l);
		if (l->through_libmilter || g->listen_fds[i] >= 0)
			continue;
		if (l->path.n >= sizeof(a.path))
			return err_set(err, "listen on %.*s: the path is too long",
				SLICE_ARG(l->path));
		if (l->path.n != 0)
			memcpy(a.path, l->path.p, l->path.n);
		g->listen_fds[i] = listen_open(&a, BACKLOG, 0660, err);
		if (g->listen_fds[i] < 0)
			return err_wrap(err, "listen on %.*s", SLICE_ARG(l->text));
		if (l->path.n != 0 && give_socket(g, a.path, err) < 0)
			return -1;
	}
	return 0;
}

/* POLICY.md: as root we run as `user`; without the setting as postern if it exists, else
 * nobody. */
static int
find_user(struct generation *g, struct err *err)
{
	if (geteuid() != 0)
		return 0;
	const char *want =
		g->conf->user.n != 0 ? arena_text(g->arena, g->conf->user) : "postern";
	if (getpwnam(want) != NULL) {
		g->user = want;
		return 0;
	}
	if (g->conf->user.n != 0)
		return err_set(err, "user \"%s\": no such account on this system", want);
	g->user = "nobody";
	struct log_line l;
	log_begin(&l, EV_WARNING, NULL);
	log_text(&l, "text", "there is no account postern: running as nobody");
	log_end(&l);
	return getpwnam("nobody") != NULL
		       ? 0
		       : err_set(err, "neither postern nor nobody is an account here");
}

/* Mails past 256 KiB lie in unlinked files where temporary files are ($TMPDIR, else /tmp). */
static int
open_spill(struct generation *g, struct err *err)
{
	const char *dir = getenv("TMPDIR");
	g->spill_path = dir != NULL && dir[0] == '/' ? dir : "/tmp";
	g->spill_dir = open(g->spill_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return g->spill_dir >= 0 ? 0
				 : err_sys(err, "open the spill directory %s", g->spill_path);
}

/* As the account that the children run as; 0, or -1 and err. Nothing happens where we are not
 * root. */
static int
become(const struct generation *g, struct err *err)
{
	const struct passwd *pw = g->user != NULL ? getpwnam(g->user) : NULL;
	if (pw != NULL && (setegid(pw->pw_gid) < 0 || seteuid(pw->pw_uid) < 0))
		return err_sys(err, "look at files as %s", g->user);
	return 0;
}

static void
be_root(const struct generation *g)
{
	if (g->user != NULL)
		must(seteuid(0) == 0 && setegid(getgid()) == 0);
}

/* By us, else by the account: its folder may be where only it may write. */
static int
make_folder(const struct generation *g, const char *path, struct err *err)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (become(g, err) < 0)
		return -1;
	int result = mkdir(path, 0700);
	if (result < 0)
		err_sys(err, "make the spool %s", path);
	be_root(g);
	return result;
}

/* The keeper's socket in it: made by the account, since without CAP_DAC_OVERRIDE it alone may,
 * through the open folder, since it may not be able to walk there. */
static int
open_hand(struct generation *g, struct err *err)
{
	char path[64];
	if (become(g, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/control", g->spool);
	g->hand = ipc_listen(path, 0660, err);
	be_root(g);
	return g->hand >= 0 ? 0 : -1;
}

/*
 * The spool is made here and given to the account that the keeper runs as. One keeper has it
 * through all generations: `spool` cannot be changed by a reload.
 */
static int
open_spool(struct generation *g, const struct generation *old, struct err *err)
{
	if (g->conf->spool.n == 0 && (old == NULL || old->conf->spool.n == 0))
		return 0;
	if (old != NULL && !slice_eq(old->conf->spool, g->conf->spool))
		return err_set(err, "the spool cannot be changed by a reload: restart");
	if (old != NULL) {
		g->spool = fcntl(old->spool, F_DUPFD_CLOEXEC, 0);
		g->hand = fcntl(old->hand, F_DUPFD_CLOEXEC, 0);
		return g->spool >= 0 && g->hand >= 0 ? 0 : err_sys(err, "open the spool");
	}
	const struct passwd *pw = g->user != NULL ? getpwnam(g->user) : NULL;
	const char *path = arena_text(g->arena, g->conf->spool);
	if (make_folder(g, path, err) < 0)
		return -1;
	g->spool = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (g->spool < 0 || (pw != NULL && fchown(g->spool, pw->pw_uid, pw->pw_gid) < 0))
		return err_sys(err, "open the spool %s", path);
	return open_hand(g, err);
}

/* Whether the account that the children run as may read it: found out as that account. */
static int
check_readable(const struct generation *g, struct slice path, struct err *err)
{
	if (g->user == NULL || path.n == 0)
		return 0;
	if (become(g, err) < 0)
		return -1;
	int result = faccessat(AT_FDCWD, arena_text(g->arena, path), R_OK, AT_EACCESS);
	if (result < 0)
		err_sys(err, "%.*s cannot be read by %s", SLICE_ARG(path), g->user);
	be_root(g);
	return result;
}

/* SQLite's files are opened by the account. */
static int
check_databases(const struct generation *g, struct err *err)
{
	struct slice name;
	void *value;
	for (size_t i = 0; map_at(g->conf->tables, i, &name, &value); i++) {
		const struct conf_table *t = value;
		if (t->directory != NULL && t->directory->kind == DIRECTORY_SQLITE &&
			check_readable(g, t->directory->database, err) < 0)
			return -1;
	}
	return 0;
}

int
generation_open(struct generation *g, const struct generation *old, struct err *err)
{
	if (old != NULL)
		memcpy(g->ticket_key, old->ticket_key, sizeof(g->ticket_key));
	else
		must(getrandom(g->ticket_key, sizeof(g->ticket_key), 0) ==
			(ssize_t)sizeof(g->ticket_key));
	if (find_user(g, err) < 0 || check_readable(g, g->conf->resolver.trust, err) < 0 ||
		open_spill(g, err) < 0 || open_spool(g, old, err) < 0)
		return -1;
	return check_databases(g, err) < 0 ? -1 : open_listeners(g, old, err);
}

static bool
uses_fd(const struct generation *others, int fd)
{
	for (const struct generation *g = others; g != NULL; g = g->next)
		for (size_t i = 0; i < g->conf->n_listeners; i++)
			if (g->listen_fds[i] == fd)
				return true;
	return false;
}

void
generation_free(struct generation **g, const struct generation *others)
{
	if (*g == NULL)
		return;
	for (size_t i = 0;
		(*g)->conf != NULL && i < (*g)->conf->n_listeners && i < SESSION_LISTENERS_MOST;
		i++)
		if ((*g)->listen_fds[i] >= 0 && !uses_fd(others, (*g)->listen_fds[i]))
			close((*g)->listen_fds[i]);
	if ((*g)->spill_dir >= 0)
		close((*g)->spill_dir);
	if ((*g)->spool >= 0)
		close((*g)->spool);
	if ((*g)->hand >= 0)
		close((*g)->hand);
	if ((*g)->conf != NULL) {
		generation_forget_keys(*g, true, true);
		generation_forget_directories(*g);
	}
	conf_free(&(*g)->conf);
	arena_free(&(*g)->arena);
	mem_free(*g);
	*g = NULL;
}
