/*
 * libpq without waiting: its connection is polled when the loop says that its socket is ready.
 * The value travels beside the query (PQsendQueryParams) and is never a part of it; the session
 * is read-only. Rows come one by one, since whether there is one is all that is asked.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "directory/source.h"

enum { WHY_BYTES = 200 };

static const char roots[] = "/etc/ssl/certs/ca-certificates.crt";

struct source {
	const struct source_env *env;
	const struct conf_directory *directory;
	const struct source_calls *calls;
	void *arg;
	PGconn *pg;
	struct loop_watch *watch;
	int fd;
	bool ready, asked;
	enum directory_found found;
	struct loop_task task; /* something failed inside a call */
	char why[WHY_BYTES];
};

/* libpq's words end in a newline and may have several: the first one. */
static void
keep_why(struct source *s, const char *text)
{
	snprintf(s->why, sizeof(s->why), "PostgreSQL: %.*s", (int)strcspn(text, "\n"), text);
}

static void
on_task(void *arg)
{
	struct source *s = arg;
	s->calls->on_gone(s->arg, s->why);
}

static void
gone(struct source *s)
{
	char why[WHY_BYTES];
	if (s->why[0] == '\0')
		keep_why(s, PQerrorMessage(s->pg));
	memcpy(why, s->why, sizeof(why));
	loop_watch_free(&s->watch);
	s->calls->on_gone(s->arg, why);
}

static void on_ready(void *arg, unsigned ready);

/* libpq may go on with another socket while it connects. */
static void
wait_for(struct source *s, unsigned wanted)
{
	if (s->watch == NULL || s->fd != PQsocket(s->pg)) {
		loop_watch_free(&s->watch);
		s->fd = PQsocket(s->pg);
		s->watch = loop_watch_new(s->env->loop, s->fd, on_ready, s);
	}
	loop_watch_set(s->watch, wanted);
}

static void
connecting(struct source *s)
{
	loop_watch_free(&s->watch); /* before libpq may close what it watches */
	switch (PQconnectPoll(s->pg)) {
	case PGRES_POLLING_READING: wait_for(s, LOOP_READ); return;
	case PGRES_POLLING_WRITING: wait_for(s, LOOP_WRITE); return;
	case PGRES_POLLING_OK:
		if (PQsetnonblocking(s->pg, 1) != 0)
			break;
		wait_for(s, LOOP_READ);
		s->ready = true;
		s->calls->on_ready(s->arg);
		return;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE: break;
	}
	gone(s);
}

/* One result, or row. False: the connection is of no more use. */
static bool
take(struct source *s, const PGresult *r)
{
	switch (PQresultStatus(r)) {
	case PGRES_SINGLE_TUPLE: s->found = DIRECTORY_YES; return true;
	case PGRES_TUPLES_OK:
		if (PQntuples(r) > 0)
			s->found = DIRECTORY_YES;
		return true;
	case PGRES_EMPTY_QUERY:
	case PGRES_COMMAND_OK:
	case PGRES_COPY_OUT:
	case PGRES_COPY_IN:
	case PGRES_BAD_RESPONSE:
	case PGRES_NONFATAL_ERROR:
	case PGRES_FATAL_ERROR:
	case PGRES_COPY_BOTH:
	case PGRES_PIPELINE_SYNC:
	case PGRES_PIPELINE_ABORTED: break;
	}
	s->found = DIRECTORY_FAILED;
	keep_why(s, PQresultErrorMessage(r));
	return PQstatus(s->pg) == CONNECTION_OK;
}

static void
answer(struct source *s)
{
	char why[WHY_BYTES];
	memcpy(why, s->why, sizeof(why));
	s->asked = false;
	s->why[0] = '\0';
	s->calls->on_answer(s->arg, s->found, why);
}

static void
reading(struct source *s)
{
	if (PQconsumeInput(s->pg) == 0) {
		gone(s);
		return;
	}
	while (s->asked && PQisBusy(s->pg) == 0) {
		PGresult *r = PQgetResult(s->pg);
		if (r == NULL) {
			answer(s); /* the last act: it may have closed all */
			return;
		}
		bool good = take(s, r);
		PQclear(r);
		if (!good) {
			gone(s);
			return;
		}
	}
}

static void
on_ready(void *arg, unsigned ready)
{
	struct source *s = arg;
	if (!s->ready) {
		connecting(s);
		return;
	}
	if ((ready & LOOP_WRITE) != 0) {
		int left = PQflush(s->pg);
		if (left < 0) {
			gone(s);
			return;
		}
		loop_watch_set(s->watch, left > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
	}
	if ((ready & LOOP_READ) != 0)
		reading(s);
}

static void
postgresql_ask(struct source *s, struct slice value)
{
	struct arena *a = arena_new(16 * 1024);
	const char *values[] = {arena_text(a, value)};
	s->asked = true;
	s->found = DIRECTORY_NO;
	s->why[0] = '\0';
	if (PQsendQueryParams(s->pg, s->directory->query.p, 1, NULL, values, NULL, NULL, 0) ==
			0 ||
		PQsetSingleRowMode(s->pg) == 0) {
		keep_why(s, PQerrorMessage(s->pg));
		loop_task_queue(&s->task);
	} else {
		loop_watch_set(s->watch, LOOP_READ | LOOP_WRITE);
	}
	arena_free(&a);
}

static void
postgresql_close(struct source *s)
{
	loop_watch_free(&s->watch);
	PQfinish(s->pg);
	loop_task_clear(&s->task);
	mem_free(s);
}

/* What the server says besides: libpq would write it to our log as it is. */
static void
on_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

static PGconn *
start(const struct conf_directory *d, const struct ip *address)
{
	struct arena *a = arena_new(32 * 1024);
	char ip[IP_TEXT_BYTES];
	struct slice ip_words = ip_text(address, ip);
	const char *const names[] = {"host", "hostaddr", "port", "dbname", "user", "password",
		"sslmode", "sslrootcert", "gssencmode", "client_encoding", "application_name",
		"passfile", "options", NULL};
	const char *const values[] = {arena_text(a, d->host), arena_text(a, ip_words),
		arena_printf(a, "%u", d->port).p, arena_text(a, d->database),
		arena_text(a, d->user), arena_text(a, d->password),
		d->tls_required ? "verify-full" : "prefer", d->tls_required ? roots : "",
		"disable", "UTF8", "postern", "/dev/null",
		"-c default_transaction_read_only=on", NULL};
	PGconn *pg = PQconnectStartParams(names, values, 0);
	arena_free(&a);
	return pg;
}

static struct source *
postgresql_open(const struct source_env *env, const struct conf_directory *d,
	const struct ip *address, const struct source_calls *calls, void *arg, struct err *err)
{
	struct source *s = MEM_NEW(struct source);
	s->env = env;
	s->directory = d;
	s->calls = calls;
	s->arg = arg;
	s->fd = -1;
	loop_task_init(&s->task, env->loop, on_task, s);
	s->pg = start(d, address);
	if (s->pg == NULL || PQstatus(s->pg) == CONNECTION_BAD) {
		keep_why(s, s->pg != NULL ? PQerrorMessage(s->pg) : "out of memory");
		err_set(err, "%s", s->why);
		postgresql_close(s);
		return NULL;
	}
	PQsetNoticeReceiver(s->pg, on_notice, NULL);
	wait_for(s, LOOP_WRITE); /* as libpq wants its connections begun */
	return s;
}

const struct source_kind source_postgresql = {
	.open = postgresql_open, .ask = postgresql_ask, .close = postgresql_close};
