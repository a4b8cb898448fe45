/*
 * libldap, without its sockets: it speaks to one end of a pair of sockets, and what passes
 * there is handed on to a stream of io/, which connects and does the TLS. So nothing waits but
 * the event loop, and certificates are verified as everywhere here. StartTLS is asked for by
 * libldap, and done by the stream when the server has agreed.
 *
 *   libldap - inner_fd | near - far -> server
 */
#include <ldap.h>
#include <openldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "directory/ldap_filter.h"
#include "directory/source.h"
#include "io/stream.h"

enum { PIPE_BYTES = 256 * 1024, FILTER_BYTES_MOST = 16 * 1024 };

enum phase { PHASE_CONNECT, PHASE_START_TLS, PHASE_SECURE, PHASE_BIND, PHASE_READY };

struct source {
	const struct source_env *env;
	const struct conf_directory *directory;
	const struct source_calls *calls;
	void *arg;
	enum phase phase;
	struct stream *near, *far;
	struct loop_watch *watch; /* of libldap's end */
	LDAP *ldap;               /* owns its end of the pair */
	int id;                   /* of the operation under way */
	struct loop_task task;    /* something failed inside a call */
	char host[TLS_NAME_BYTES];
	char why[200];
};

void
source_ldap_prepare(void)
{
	int version = LDAP_VERSION3;
	setenv("LDAPNOINIT", "1", 1); /* postern.conf says all, not the system's ldap.conf */
	ldap_set_option(NULL, LDAP_OPT_PROTOCOL_VERSION, &version);
}

/* Told from the loop. */
static void
fail_later(struct source *s, const char *what, const char *why)
{
	snprintf(s->why, sizeof(s->why), "%s: %s", what, why);
	loop_task_queue(&s->task);
}

static void
on_task(void *arg)
{
	struct source *s = arg;
	s->calls->on_gone(s->arg, s->why);
}

static void
gone(struct source *s, const char *what, const char *why)
{
	char text[200];
	snprintf(text, sizeof(text), "%s: %s", what, why);
	s->calls->on_gone(s->arg, text);
}

/* --- what comes on one side goes out on the other */

/* What there is no room for comes again when the other side has drained. */
static size_t
pass(struct stream *to, struct slice in)
{
	struct slice some = slice_first(in, stream_room(to));
	return some.n != 0 && stream_write(to, some) == 0 ? some.n : 0;
}

static size_t
on_near_bytes(void *arg, struct slice in)
{
	struct source *s = arg;
	return pass(s->far, in);
}

static size_t
on_far_bytes(void *arg, struct slice in)
{
	struct source *s = arg;
	return pass(s->near, in);
}

static void
on_near_drained(void *arg)
{
	struct source *s = arg;
	stream_resume(s->far);
}

static void
on_far_drained(void *arg)
{
	struct source *s = arg;
	stream_resume(s->near);
}

static void
on_near_end(void *arg)
{
	(void)arg; /* libldap closes its end: after an error that it tells by itself */
}

static void
on_near_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	gone(arg, "libldap", err->text);
}

static void
on_far_end(void *arg)
{
	gone(arg, "LDAP", "the server closed the connection");
}

static void
on_far_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	gone(arg, "LDAP", err->text);
}

/* --- the steps to a connection that may be asked */

static void
begin_bind(struct source *s)
{
	const struct conf_directory *d = s->directory;
	struct berval password = {d->password.n, (char *)(uintptr_t)d->password.p};
	if (d->user.n == 0) {
		s->phase = PHASE_READY;
		s->calls->on_ready(s->arg);
		return;
	}
	s->phase = PHASE_BIND;
	int result = ldap_sasl_bind(
		s->ldap, d->user.p, LDAP_SASL_SIMPLE, &password, NULL, NULL, &s->id);
	if (result != LDAP_SUCCESS)
		gone(s, "LDAP bind", ldap_err2string(result));
}

static void
begin_tls(struct source *s)
{
	struct tls_peer peer = {.name = s->host, .verify = TLS_VERIFY_NAME};
	struct err err;
	s->phase = PHASE_SECURE;
	if (stream_start_tls_client(s->far, s->env->tls, &peer, s->env->timeout_ms, &err) < 0)
		gone(s, "LDAP TLS", err.text);
}

static void
on_connected(void *arg)
{
	struct source *s = arg;
	if (s->directory->tls_implicit) {
		begin_tls(s);
		return;
	}
	if (!s->directory->tls_required) {
		begin_bind(s);
		return;
	}
	s->phase = PHASE_START_TLS;
	int result =
		ldap_extended_operation(s->ldap, LDAP_EXOP_START_TLS, NULL, NULL, NULL, &s->id);
	if (result != LDAP_SUCCESS)
		gone(s, "LDAP StartTLS", ldap_err2string(result));
}

static void
on_secure(void *arg)
{
	begin_bind(arg);
}

/* --- results */

static void
on_search(struct source *s, int code, int entries)
{
	if (code == LDAP_SUCCESS || (code == LDAP_SIZELIMIT_EXCEEDED && entries > 0))
		s->calls->on_answer(s->arg, entries > 0 ? DIRECTORY_YES : DIRECTORY_NO, NULL);
	else
		s->calls->on_answer(s->arg, DIRECTORY_FAILED, ldap_err2string(code));
}

static void
on_result(struct source *s, int code, int entries)
{
	s->id = -1;
	switch (s->phase) {
	case PHASE_START_TLS:
		if (code == LDAP_SUCCESS)
			begin_tls(s);
		else
			gone(s, "LDAP StartTLS", ldap_err2string(code));
		return;
	case PHASE_BIND:
		if (code != LDAP_SUCCESS) {
			gone(s, "LDAP bind", ldap_err2string(code));
			return;
		}
		s->phase = PHASE_READY;
		s->calls->on_ready(s->arg);
		return;
	case PHASE_READY: on_search(s, code, entries); return;
	case PHASE_CONNECT:
	case PHASE_SECURE: gone(s, "LDAP", "an answer that nobody asked for");
	}
}

/* One result is taken at a time, since what it leads to may close all; what libldap has not
 * read calls again. */
static void
on_readable(void *arg, unsigned ready)
{
	struct source *s = arg;
	struct timeval now = {0, 0};
	LDAPMessage *m = NULL;
	int code = LDAP_OTHER;
	(void)ready;
	int type = ldap_result(s->ldap, LDAP_RES_ANY, LDAP_MSG_ALL, &now, &m);
	if (type == 0)
		return;
	if (type < 0) {
		gone(s, "LDAP", "the connection ended");
		return;
	}
	int entries = ldap_count_entries(s->ldap, m);
	bool ours = s->id >= 0 && ldap_msgid(m) == s->id;
	if (ldap_parse_result(s->ldap, m, &code, NULL, NULL, NULL, NULL, 0) != LDAP_SUCCESS)
		code = LDAP_DECODING_ERROR;
	ldap_msgfree(m);
	if (ours)
		on_result(s, code, entries);
	else /* the server says that it ends (RFC 4511 4.4.1), or something worse */
		gone(s, "LDAP", "the server takes its leave");
}

/* --- the interface */

static void
ldap_close(struct source *s)
{
	loop_watch_free(&s->watch);
	if (s->ldap != NULL)
		ldap_unbind_ext(s->ldap, NULL, NULL);
	stream_free(&s->near);
	stream_free(&s->far);
	loop_task_clear(&s->task);
	mem_free(s);
}

static const struct stream_calls near_calls = {.on_bytes = on_near_bytes,
	.on_end = on_near_end,
	.on_drained = on_near_drained,
	.on_lost = on_near_lost};
static const struct stream_calls far_calls = {.on_connected = on_connected,
	.on_secure = on_secure,
	.on_bytes = on_far_bytes,
	.on_end = on_far_end,
	.on_drained = on_far_drained,
	.on_lost = on_far_lost};

static int
open_inner(struct source *s, struct err *err)
{
	int fds[2], version = LDAP_VERSION3;
	if (stream_pair(fds, err) < 0)
		return -1;
	s->near = stream_new(s->env->loop, fds[0], PIPE_BYTES, &near_calls, s);
	int result = ldap_init_fd(fds[1], LDAP_PROTO_TCP, "ldap://directory", &s->ldap);
	if (result != LDAP_SUCCESS) {
		close(fds[1]);
		s->ldap = NULL;
		return err_set(err, "libldap: %s", ldap_err2string(result));
	}
	ldap_set_option(s->ldap, LDAP_OPT_PROTOCOL_VERSION, &version);
	ldap_set_option(s->ldap, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	s->watch = loop_watch_new(s->env->loop, fds[1], on_readable, s);
	loop_watch_set(s->watch, LOOP_READ);
	return 0;
}

static struct source *
ldap_open(const struct source_env *env, const struct conf_directory *d,
	const struct ip *address, const struct source_calls *calls, void *arg, struct err *err)
{
	struct stream_addr to = {.ip = *address, .port = d->port};
	struct source *s = MEM_NEW(struct source);
	s->env = env;
	s->directory = d;
	s->calls = calls;
	s->arg = arg;
	s->id = -1;
	snprintf(s->host, sizeof(s->host), "%.*s", SLICE_ARG(d->host));
	loop_task_init(&s->task, env->loop, on_task, s);
	s->far = stream_connect(
		env->loop, &to, NULL, env->timeout_ms, PIPE_BYTES, &far_calls, s, err);
	if (s->far == NULL || open_inner(s, err) < 0) {
		ldap_close(s);
		return NULL;
	}
	return s;
}

static void
ldap_ask(struct source *s, struct slice value)
{
	static char none[] = LDAP_NO_ATTRS;
	char *attributes[] = {none, NULL};
	struct arena *a = arena_new(FILTER_BYTES_MOST);
	struct slice filter = ldap_filter(s->directory->query, value, a);
	int result = ldap_search_ext(s->ldap, s->directory->base.p, LDAP_SCOPE_SUBTREE,
		filter.p, attributes, 1, NULL, NULL, NULL, 1, &s->id);
	arena_free(&a);
	if (result != LDAP_SUCCESS)
		fail_later(s, "LDAP search", ldap_err2string(result));
}

const struct source_kind source_ldap = {
	.open = ldap_open, .ask = ldap_ask, .close = ldap_close};
