/*
 * The directory process from its fork to its end: a pool for each table, its sandbox, the
 * sessions' messages in and their answers out; see directory.h.
 */
#include "directory/directory.h"

#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "directory/pool.h"
#include "io/control.h"
#include "io/sandbox.h"

enum { PATHS_MOST = 128 };

struct directory {
	const struct conf *conf;
	struct loop *loop;
	struct service *service;
	struct dns *dns;
	struct tls_client *tls;
	struct source_env env;
	struct pool **pools; /* by the order of the configuration's tables; NULL: of items */
	size_t n;
};

static const struct conf_filter *
settings(const struct conf *conf)
{
	return conf_filter_find(conf, "directory");
}

uint32_t
directory_timeout_ms(const struct conf *conf)
{
	const struct conf_filter *f = settings(conf);
	return f != NULL && f->timeout_ms != 0 ? (uint32_t)f->timeout_ms : DIRECTORY_TIMEOUT_MS;
}

static const struct conf_table *
table_at(const struct conf *conf, size_t i)
{
	struct slice name;
	void *value;
	return map_at(conf->tables, i, &name, &value) ? value : NULL;
}

bool
directory_is_needed(const struct conf *conf)
{
	const struct conf_table *t;
	for (size_t i = 0; (t = table_at(conf, i)) != NULL; i++)
		if (t->directory != NULL)
			return true;
	return false;
}

/* --- questions and answers */

static void
on_answer(void *arg, uint32_t id, enum directory_found found, const char *why)
{
	struct directory_answer a = {.found = found, .why = slice_of(why)};
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	directory_answer_pack(&a, &out);
	if (ipc_out_ok(&out, &payload)) /* a full channel: the asker's time will be over */
		(void)service_answer(arg, DIRECTORY_MSG_ANSWER, id, payload);
	ipc_out_fini(&out);
}

static struct pool *
pool_of(const struct directory *d, struct slice name)
{
	for (size_t i = 0; i < d->n; i++)
		if (slice_eq(table_at(d->conf, i)->name, name))
			return d->pools[i];
	return NULL;
}

static size_t
character_bytes(unsigned char c)
{
	return c < 0x80                ? 1
	       : c >= 0xc2 && c < 0xe0 ? 2
	       : c >= 0xe0 && c < 0xf0 ? 3
	       : c >= 0xf0 && c < 0xf5 ? 4
				       : 0;
}

/* What a database can hold as text: UTF-8 without NUL; anything else is in none. */
static bool
is_text(struct slice s)
{
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i],
			      second = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
		size_t n = character_bytes(c);
		if (c == 0 || n == 0 || i + n > s.n)
			return false;
		for (size_t k = 1; k < n; k++)
			if (((unsigned char)s.p[i + k] & 0xc0) != 0x80)
				return false;
		if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
			(c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
			return false;
		i += n;
	}
	return true;
}

static void
on_message(void *arg, struct service_client *from, struct ipc_msg *m)
{
	struct directory *d = arg;
	struct directory_lookup l;
	if (m->type != DIRECTORY_MSG_LOOKUP || !directory_lookup_unpack(m->payload, &l)) {
		on_answer(from, m->id, DIRECTORY_FAILED, "a message that is none");
		return;
	}
	struct pool *p = pool_of(d, l.table);
	if (p == NULL)
		on_answer(from, m->id, DIRECTORY_FAILED, "there is no such table");
	else if (l.value.n == 0 || !is_text(l.value))
		on_answer(from, m->id, DIRECTORY_NO, NULL);
	else
		pool_ask(p, l.value, from, m->id);
}

static void
on_gone(void *arg, struct service_client *client)
{
	struct directory *d = arg;
	for (size_t i = 0; i < d->n; i++)
		if (d->pools[i] != NULL)
			pool_forget(d->pools[i], client);
}

/* --- from the fork to the end */

static int
open_dns(struct directory *d, struct err *err)
{
	const struct conf_resolver *r = &d->conf->resolver;
	struct dns_config c = {.insecure = r->insecure};
	if (r->trust.n != 0)
		c.trust_file = arena_text(d->conf->arena, r->trust);
	for (size_t i = 0; i < r->n_servers && i < DNS_SERVERS_MOST; i++)
		c.servers[c.n++] = (struct dns_server){r->servers[i].ip, r->servers[i].port};
	d->dns = dns_open(d->loop, &c, err);
	return d->dns != NULL ? 0 : -1;
}

static const struct source_kind *
kind_of(enum directory_kind k)
{
	switch (k) {
	case DIRECTORY_LDAP: return &source_ldap;
	case DIRECTORY_POSTGRESQL: return &source_postgresql;
	case DIRECTORY_SQLITE: break;
	}
	return &source_sqlite;
}

static void
open_pools(struct directory *d)
{
	const struct conf_filter *f = settings(d->conf);
	d->n = map_count(d->conf->tables);
	d->pools = mem_array(d->n, sizeof(struct pool *));
	for (size_t i = 0; i < d->n; i++) {
		const struct conf_table *t = table_at(d->conf, i);
		if (t->directory == NULL)
			continue;
		struct pool_config c = {.kind = kind_of(t->directory->kind),
			.env = &d->env,
			.table = t,
			.dns = d->dns,
			.connections = f != NULL && f->connections != 0
					       ? (unsigned)f->connections
					       : DIRECTORY_CONNECTIONS,
			.cache_ms = f != NULL && f->cache_ms != 0 ? f->cache_ms
								  : DIRECTORY_CACHE_MS};
		if (t->directory->kind == DIRECTORY_SQLITE)
			c.connections = 1; /* it answers at once, one after the other */
		d->pools[i] = pool_new(&c, on_answer);
	}
}

/* A file's folder: its journal lies beside it, and a new file is put in its place there. */
static int
enter_sandbox(const struct directory *d, struct err *err)
{
	struct arena *a = arena_new(256 * 1024);
	struct sandbox_spec spec;
	const char *readable[PATHS_MOST + 2] = {0};
	size_t n = 0;
	sandbox_spec_of(SANDBOX_DIRECTORY, &spec);
	if (access("/etc/ssl/certs", F_OK) == 0)
		readable[n++] = "/etc/ssl/certs";
	for (size_t i = 0; i < d->n && n < PATHS_MOST; i++) {
		const struct conf_directory *t = table_at(d->conf, i)->directory;
		if (t == NULL || t->kind != DIRECTORY_SQLITE)
			continue;
		size_t slash = slice_find_last(t->database, '/');
		readable[n++] = arena_text(a, slice_first(t->database, slash + (slash == 0)));
	}
	spec.readable = readable;
	int result = sandbox_lock(&spec, err);
	arena_free(&a);
	return result;
}

static int
directory_open(struct directory *d, const struct directory_start *start, struct err *err)
{
	d->conf = start->conf;
	d->loop = loop_new(err);
	if (d->loop == NULL || open_dns(d, err) < 0)
		return -1;
	d->tls = tls_client_new(SLICE_NONE, err);
	if (d->tls == NULL)
		return -1;
	source_ldap_prepare();
	d->env = (struct source_env){d->loop, d->tls, directory_timeout_ms(d->conf)};
	open_pools(d);
	d->service = service_new(d->loop, start->control_fd, on_message, on_gone, d);
	return enter_sandbox(d, err);
}

static void
directory_close(struct directory *d)
{
	service_free(&d->service);
	for (size_t i = 0; i < d->n; i++)
		pool_free(&d->pools[i]);
	mem_free(d->pools);
	tls_client_free(&d->tls);
	dns_close(&d->dns);
	loop_free(&d->loop);
}

int
directory_main(void *arg)
{
	struct directory d = {0};
	struct err err;
	int result = directory_open(&d, arg, &err);
	if (result == 0) {
		service_ready(d.service);
		result = loop_run(d.loop, &err);
	}
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	directory_close(&d);
	return result < 0 ? 1 : 0;
}
