/*
 * The kinds of process: how many of each, what each inherits, what it runs. What is not kept
 * here on purpose (a listener, a key, a channel) does not reach the process.
 */
#include "main/kinds.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "base/scan_report.h"
#include "delivery/delivery.h"
#include "delivery/signer.h"
#include "directory/directory.h"
#include "filters/filter.h"
#include "io/child.h"
#include "main/scanner_patterns.h"
#include "queue/keeper.h"
#include "session/append.h"
#include "session/authenticator.h"

/* What a child runs first: down from root, its name, no way back. */
struct child_run {
	enum process_kind kind;
	const struct kind_start *start;
};

static bool
uses_auth(const struct generation *g)
{
	for (size_t i = 0; i < g->conf->n_listeners; i++)
		if (g->conf->listeners[i].auth_file.n != 0)
			return true;
	return false;
}

static bool
uses_virus(const struct generation *g)
{
	for (int d = INBOUND; d <= OUTBOUND; d++)
		if (g->policy[d] != NULL && (policy_uses(g->policy[d], "virus") ||
						    policy_uses(g->policy[d], "virus.name")))
			return true;
	return false;
}

struct slice
virus_database(const struct conf *conf)
{
	const struct conf_filter *virus = conf_filter_find(conf, "virus");
	return virus != NULL && virus->database.n != 0 ? virus->database
						       : SLICE("/var/lib/clamav");
}

static bool
uses_scanner(const struct generation *g)
{
	for (int d = INBOUND; d <= OUTBOUND; d++)
		if (g->policy[d] != NULL &&
			(flt_scan_wants(g->policy[d]) != 0 || append_is_used(g->policy[d])))
			return true;
	return false;
}

/* A library beside our engines, or instead of one. */
static bool
uses_engine(const struct generation *g)
{
	for (size_t i = 0; i < g->conf->n_filters; i++)
		if (g->conf->filters[i].engine.n != 0 || g->conf->filters[i].compare.n != 0)
			return true;
	return false;
}

static unsigned
count_through(const struct generation *g)
{
	unsigned n = 0;
	for (size_t i = 0; i < g->conf->n_listeners; i++)
		n += g->conf->listeners[i].through_libmilter;
	return n;
}

const struct conf_listener *
kind_listener(const struct generation *g, unsigned index)
{
	for (size_t i = 0; i < g->conf->n_listeners; i++)
		if (g->conf->listeners[i].through_libmilter && index-- == 0)
			return &g->conf->listeners[i];
	return NULL;
}

unsigned
kind_count(enum process_kind k, const struct generation *g)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned some = cores < 1                      ? 1
			: cores > SESSION_SERVERS_MOST ? SESSION_SERVERS_MOST
						       : (unsigned)cores;
	switch (k) {
	case PROCESS_SESSION: return some;
	case PROCESS_SIGNER: return g->conf->n_signs != 0;
	case PROCESS_AUTH: return uses_auth(g);
	case PROCESS_SCANNER: return uses_scanner(g);
	case PROCESS_DELIVERY:
		return g->conf->send.way != SEND_NONE || g->conf->spool.n != 0 ? some : 0;
	case PROCESS_ENGINE: return uses_engine(g);
	case PROCESS_MILTER: return count_through(g);
	case PROCESS_KEEPER: return g->conf->spool.n != 0;
	case PROCESS_DIRECTORY: return directory_is_needed(g->conf);
	case PROCESS_KINDS: break;
	}
	return 0;
}

static int
run_session(const struct kind_start *s)
{
	const struct generation *g = s->generation;
	struct session_start start = {
		.conf = g->conf,
		.policy = {g->policy[INBOUND], g->policy[OUTBOUND]},
		.listen_fds = g->listen_fds,
		.certificates = g->certificates,
		.sign_keys = g->sign_keys,
		.control_fd = s->control_fd,
		.spill_dir = g->spill_dir,
		.spill_path = g->spill_path,
		.self = s->number,
		.account = s->account,
		.refusals = s->refusals,
		.notices = s->notices,
		.spam = s->spam,
	};
	for (unsigned k = PROCESS_DELIVERY; k < PROCESS_KINDS; k++)
		if (k != PROCESS_MILTER) /* it asks, we serve */
			start.servers[k] = kind_count((enum process_kind)k, g);
	for (size_t i = 0; i < sizeof(start.ticket_key); i++)
		start.ticket_key[i] = g->ticket_key[i];
	return session_main(&start);
}

static void
settings_of(const struct generation *g, struct arena *a, struct queue_settings *s_out)
{
	enum dkim_algorithm *algorithms = arena_array(a, g->conf->n_signs, sizeof(*algorithms));
	for (size_t i = 0; i < g->conf->n_signs; i++)
		algorithms[i] = g->sign_keys[i].algorithm;
	queue_settings_of(g->conf, algorithms, g->failure_rules,
		kind_count(PROCESS_DELIVERY, g), a, s_out);
	s_out->virus = uses_virus(g);
}

int
kind_settings(const struct generation *g, struct err *err)
{
	struct arena *a = arena_new(QUEUE_SETTINGS_MOST);
	struct queue_settings s;
	settings_of(g, a, &s);
	int fd = queue_settings_send(&s, err);
	arena_free(&a);
	return fd;
}

static int
run_keeper(const struct kind_start *s)
{
	struct queue_settings settings;
	struct keeper_start start = {.settings = &settings,
		.open = segments_open,
		.spool = s->generation->spool,
		.hand = s->generation->hand,
		.spam = s->spam,
		.user = s->generation->user,
		.control_fd = s->control_fd};
	settings_of(s->generation, s->generation->arena, &settings);
	return keeper_main(&start);
}

static int
run_signer(const struct kind_start *s)
{
	struct signer_start start = {.pems = s->generation->sign_pems,
		.n = s->generation->conf->n_signs,
		.control_fd = s->control_fd};
	int result = signer_main(&start);
	generation_forget_keys(s->generation, true, true);
	return result;
}

/* The child has a copy of the parent's memory: the keys of every generation that still ends. */
static void
forget_keys(const struct child_run *r)
{
	for (const struct generation *g = r->start->all; g != NULL; g = g->next) {
		bool own = g == r->start->generation;
		generation_forget_keys(g, !own || r->kind != PROCESS_SIGNER,
			!own || r->kind != PROCESS_SESSION);
		if (!own || r->kind != PROCESS_DIRECTORY)
			generation_forget_directories(g);
	}
}

static int
run_child(void *arg)
{
	const struct child_run *r = arg;
	struct err err;
	char title[64];
	struct authenticator *authenticator = NULL;
	log_open(r->start->generation->conf->log_syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR,
		process_kind_text(r->kind));
	forget_keys(r);
	snprintf(title, sizeof(title), "posternd: %s %u", process_kind_text(r->kind),
		r->start->index);
	child_title(title);
	if (r->kind == PROCESS_AUTH) { /* its files are read while we may */
		authenticator = authenticator_new(r->start->generation->conf, &err);
		if (authenticator == NULL) {
			log_error(EV_SYSTEM_ERROR, NULL, &err);
			return 1;
		}
	}
	if (child_drop_user(r->start->generation->user, NULL, &err) < 0 ||
		child_harden(&err) < 0) {
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		return 1;
	}
	if (r->kind == PROCESS_AUTH)
		return authenticator_main(authenticator, r->start->control_fd);
	if (r->kind == PROCESS_SIGNER)
		return run_signer(r->start);
	if (r->kind == PROCESS_KEEPER)
		return run_keeper(r->start);
	if (r->kind == PROCESS_DELIVERY)
		return delivery_main(
			&(struct delivery_start){.conf = r->start->generation->conf,
				.failure_rules = r->start->generation->failure_rules,
				.control_fd = r->start->control_fd});
	if (r->kind == PROCESS_DIRECTORY)
		return directory_main(
			&(struct directory_start){.conf = r->start->generation->conf,
				.control_fd = r->start->control_fd});
	must(r->kind == PROCESS_SESSION);
	return run_session(r->start);
}

/* What each program is told: its channel, whom to run as, where its lines go. */
static size_t
common_argv(const struct kind_start *s, const char *program, char **argv, struct arena *a)
{
	const struct generation *g = s->generation;
	size_t n = 0;
	argv[n++] = arena_text(a, slice_of(program));
	argv[n++] = arena_text(a, SLICE("-c"));
	argv[n++] = arena_text(a, arena_printf(a, "%d", s->control_fd));
	if (g->user != NULL) {
		argv[n++] = arena_text(a, SLICE("-u"));
		argv[n++] = arena_text(a, slice_of(g->user));
	}
	if (g->conf->log_syslog)
		argv[n++] = arena_text(a, SLICE("-s"));
	return n;
}

/* A worker for each core, as far as a pool goes. */
static size_t
add_workers(size_t n, char **argv, struct arena *a)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	argv[n++] = arena_text(a, SLICE("-w"));
	argv[n++] = arena_text(a, arena_printf(a, "%ld",
					  cores < 1    ? 1
					  : cores > 16 ? 16
						       : cores));
	return n;
}

/* postern-scanner's arguments: a program of its own, which reads no configuration. */
static char **
scanner_argv(const struct kind_start *s, int patterns, struct arena *a)
{
	const struct generation *g = s->generation;
	const struct conf_filter *virus = conf_filter_find(g->conf, "virus");
	char **argv = arena_array(a, 18, sizeof(*argv));
	size_t n = add_workers(common_argv(s, "postern-scanner", argv, a), argv, a);
	if (uses_virus(g)) {
		argv[n++] = arena_text(a, SLICE("-d"));
		argv[n++] = arena_text(a, virus_database(g->conf));
	}
	if (virus != NULL && virus->timeout_ms != 0) {
		argv[n++] = arena_text(a, SLICE("-t"));
		argv[n++] = arena_text(a, arena_printf(a, "%u", (unsigned)virus->timeout_ms));
	}
	if (patterns >= 0) {
		argv[n++] = arena_text(a, SLICE("-P"));
		argv[n++] = arena_text(a, arena_printf(a, "%d", patterns));
	}
	return argv;
}

/* postern-engine's, likewise. */
static char **
engine_argv(const struct kind_start *s, struct arena *a)
{
	char **argv = arena_array(a, 10, sizeof(*argv));
	add_workers(common_argv(s, "postern-engine", argv, a), argv, a);
	return argv;
}

/* postern-milter's, likewise; libmilter wants a unix socket named so. */
static char **
milter_argv(const struct kind_start *s, struct arena *a)
{
	const struct conf_listener *l = kind_listener(s->generation, s->index);
	char **argv = arena_array(a, 10, sizeof(*argv));
	size_t n = common_argv(s, "postern-milter", argv, a);
	argv[n++] = arena_text(a, SLICE("-l"));
	argv[n++] = arena_text(a,
		l->ip.family != 0 ? l->text : arena_printf(a, "unix:%.*s", SLICE_ARG(l->path)));
	return argv;
}

static char **
program_argv(enum process_kind k, const struct kind_start *s, int patterns, struct arena *a)
{
	return k == PROCESS_SCANNER  ? scanner_argv(s, patterns, a)
	       : k == PROCESS_MILTER ? milter_argv(s, a)
				     : engine_argv(s, a);
}

/* Beside posternd in the build tree; where both are installed, in libexec beside sbin. */
static struct slice
program_path(const char *programs, const char *kind, struct arena *a)
{
	struct slice beside = arena_printf(a, "%s/postern-%s", programs, kind);
	return access(beside.p, F_OK) == 0
		       ? beside
		       : arena_printf(a, "%s/" POSTERN_LIBEXEC "/postern-%s", programs, kind);
}

static pid_t
fork_program(enum process_kind k, const struct kind_start *s, struct err *err)
{
	int keep[] = {s->control_fd, -1};
	if (k == PROCESS_SCANNER && (keep[1] = scanner_patterns(s->generation, err)) < 0)
		return -1;
	struct arena *a = arena_new(4 * 1024 * 1024);
	const char *kind = process_kind_text(k);
	struct slice path = program_path(s->programs, kind, a);
	struct child_spec spec = {.kind = kind,
		.keep = keep,
		.nkeep = keep[1] >= 0 ? 2 : 1,
		.path = path.p,
		.argv = program_argv(k, s, keep[1], a)};
	pid_t pid = child_fork(&spec, err);
	arena_free(&a);
	if (keep[1] >= 0)
		close(keep[1]);
	return pid;
}

pid_t
kind_fork(enum process_kind k, const struct kind_start *start, struct err *err)
{
	if (k == PROCESS_SCANNER || k == PROCESS_ENGINE || k == PROCESS_MILTER)
		return fork_program(k, start, err);
	const struct generation *g = start->generation;
	struct child_run run = {k, start};
	int keep[SESSION_LISTENERS_MOST + 2];
	size_t n = 0;
	keep[n++] = start->control_fd;
	if (k == PROCESS_KEEPER) {
		keep[n++] = g->spool;
		keep[n++] = g->hand;
	}
	if (k == PROCESS_SESSION) {
		keep[n++] = g->spill_dir;
		for (size_t i = 0; i < g->conf->n_listeners; i++)
			if (g->listen_fds[i] >= 0)
				keep[n++] = g->listen_fds[i];
	}
	struct child_spec spec = {.kind = process_kind_text(k),
		.keep = keep,
		.nkeep = n,
		.run = run_child,
		.arg = &run};
	return child_fork(&spec, err);
}
