/*
 * The parent's bookkeeping. No mail passes through it: it forks, hands channels round, and
 * starts again what ends. A process that ends soon after its start is started with growing
 * delay.
 */
#include "main/family.h"

#include <signal.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "filters/spam_shared.h"
#include "io/child.h"
#include "io/shared.h"
#include "main/kinds.h"
#include "session/notify.h"
#include "session/refusals.h"

enum { BACKOFF_FIRST_MS = 250, BACKOFF_MOST_MS = 30 * 1000, STABLE_MS = 10 * 1000 };

struct member {
	TAILQ_ENTRY(member) link;
	struct family *family;
	struct generation *generation;
	enum process_kind kind;
	unsigned index;  /* among its kind */
	unsigned number; /* of sessions: in the shared counters */
	pid_t pid;       /* 0: not running */
	struct ipc *control;
	bool ready, stopping;
	uint64_t started_ms;
	uint64_t backoff_ms;
	struct loop_timer again;
};

TAILQ_HEAD(member_list, member);

struct family {
	struct loop *loop;
	const char *programs;
	struct account *account;
	struct refusals *refusals;
	struct notices *notices;
	struct spam_shared *spam; /* the keeper writes, sessions read */
	struct member_list members;
	struct generation *current; /* older ones behind it */
	unsigned generations;
	bool stopping, told_ready;
	bool numbers[ACCOUNT_PROCESSES_MOST];
};

static void member_start(struct member *m);
static void settle(struct family *f);

struct family *
family_new(struct loop *l, const char *programs, struct err *err)
{
	struct account *account = account_new(err);
	struct refusals *refusals = account != NULL ? refusals_new(err) : NULL;
	struct notices *notices = refusals != NULL ? notices_new(err) : NULL;
	void *spam = notices != NULL ? shared_new(spam_shared_bytes(),
					       "the models of the spam filter", err)
				     : NULL;
	if (spam == NULL)
		return NULL;
	struct family *f = MEM_NEW(struct family);
	f->loop = l;
	f->programs = programs;
	f->account = account;
	f->refusals = refusals;
	f->notices = notices;
	f->spam = spam;
	TAILQ_INIT(&f->members);
	return f;
}

const struct generation *
family_generation(const struct family *f)
{
	return f->current;
}

void
family_files_seen(struct family *f)
{
	generation_files_seen(f->current);
}

static void
log_member(const struct member *m, enum log_event ev, const char *status)
{
	struct log_line l;
	log_begin(&l, ev, NULL);
	log_text(&l, "kind", process_kind_text(m->kind));
	log_number(&l, "index", m->index);
	log_number(&l, "generation", m->generation->number);
	log_number(&l, "child", m->pid);
	if (status != NULL)
		log_text(&l, "status", status);
	log_end(&l);
}

static unsigned
take_number(struct family *f)
{
	for (unsigned i = 0; i < ACCOUNT_PROCESSES_MOST; i++) {
		if (!f->numbers[i]) {
			f->numbers[i] = true;
			return i;
		}
	}
	must_fail("a free number for a session process", __FILE__, __LINE__);
}

static void
on_again(void *arg)
{
	member_start(arg);
}

static void
member_add(struct family *f, struct generation *g, enum process_kind kind, unsigned index)
{
	struct member *m = MEM_NEW(struct member);
	*m = (struct member){.family = f, .generation = g, .kind = kind, .index = index};
	if (kind == PROCESS_SESSION)
		m->number = take_number(f);
	loop_timer_init(&m->again, f->loop, on_again, m);
	TAILQ_INSERT_TAIL(&f->members, m, link);
	member_start(m);
}

static void
member_free(struct member *m)
{
	struct family *f = m->family;
	if (m->kind == PROCESS_SESSION) {
		account_clear(f->account, m->number);
		f->numbers[m->number] = false;
	}
	ipc_free(&m->control);
	loop_timer_clear(&m->again);
	TAILQ_REMOVE(&f->members, m, link);
	mem_free(m);
}

static void
on_control(void *arg, struct ipc_msg *msg)
{
	struct member *m = arg;
	if (msg->type != CONTROL_READY)
		return;
	m->ready = true;
	settle(m->family);
}

static void
on_control_gone(void *arg, const struct err *err)
{
	struct member *m = arg;
	(void)err; /* SIGCHLD tells the rest */
	ipc_free(&m->control);
}

/* One end to each: the session asks, the other serves. */
static void
connect_pair(struct member *session, struct member *server)
{
	struct err err;
	int fds[2];
	if (session->control == NULL || server->control == NULL)
		return;
	if (ipc_pair(fds, &err) < 0) {
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		return;
	}
	if (control_send_peer(session->control, server->kind, server->index, fds[0]) < 0 ||
		control_send_peer(server->control, session->kind, session->index, fds[1]) < 0) {
		err_set(&err, "a control channel is full");
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	}
	close(fds[0]);
	close(fds[1]);
}

/*
 * Who asks whom: a session has one channel to each kind of server of its generation (of several
 * of a kind, one to each) and to the keeper, which serves all generations; the keeper asks the
 * newest generation's delivery processes, signer and scanner.
 */
static bool
asks(const struct member *m, const struct member *o)
{
	if (m->kind == PROCESS_SESSION)
		return o->kind == PROCESS_KEEPER ||
		       (o->kind != PROCESS_SESSION && o->generation == m->generation);
	return m->kind == PROCESS_KEEPER && o->generation == m->generation &&
	       (o->kind == PROCESS_DELIVERY || o->kind == PROCESS_SIGNER ||
		       o->kind == PROCESS_SCANNER);
}

static void
connect_member(struct member *m)
{
	struct member *o;
	TAILQ_FOREACH (o, &m->family->members, link) {
		if (o == m || m->stopping || o->stopping)
			continue;
		if (asks(m, o))
			connect_pair(m, o);
		else if (asks(o, m))
			connect_pair(o, m);
	}
}

static void
try_again(struct member *m)
{
	uint64_t lived = loop_now(m->family->loop) - m->started_ms;
	if (lived >= STABLE_MS || m->backoff_ms == 0)
		m->backoff_ms = lived >= STABLE_MS ? 1 : BACKOFF_FIRST_MS;
	else if (m->backoff_ms < BACKOFF_MOST_MS)
		m->backoff_ms *= 2;
	loop_timer_set(&m->again, m->backoff_ms);
}

static void
member_start(struct member *m)
{
	static const struct ipc_calls calls = {
		.on_message = on_control, .on_gone = on_control_gone};
	struct err err;
	int fds[2];
	m->ready = false;
	m->started_ms = loop_now(m->family->loop);
	if (ipc_pair(fds, &err) < 0) {
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		try_again(m);
		return;
	}
	struct kind_start start = {.generation = m->generation,
		.all = m->family->current,
		.index = m->index,
		.number = m->number,
		.control_fd = fds[1],
		.account = m->family->account,
		.refusals = m->family->refusals,
		.notices = m->family->notices,
		.spam = m->family->spam,
		.programs = m->family->programs};
	m->pid = kind_fork(m->kind, &start, &err);
	close(fds[1]);
	if (m->pid < 0) {
		m->pid = 0;
		close(fds[0]);
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		try_again(m);
		return;
	}
	ipc_free(&m->control);
	m->control = ipc_new(m->family->loop, fds[0], 64 * 1024, &calls, m);
	log_member(m, EV_CHILD_START, NULL);
	connect_member(m);
}

bool
family_has_room(const struct family *f, const struct generation *g)
{
	unsigned left = 0;
	for (unsigned i = 0; i < ACCOUNT_PROCESSES_MOST; i++)
		left += !f->numbers[i];
	return left >= kind_count(PROCESS_SESSION, g);
}

/*
 * A process of libmilter has its listener's socket, the keeper has the spool, which no second
 * one can open: they go over from one generation to the next that has the listener, the spool,
 * when that one is ready.
 */
static bool
fits(const struct member *m, const struct generation *g, unsigned index)
{
	if (m->generation == g || m->stopping)
		return false;
	return m->kind == PROCESS_KEEPER ||
	       (m->kind == PROCESS_MILTER &&
		       generation_same_address(kind_listener(m->generation, m->index),
			       kind_listener(g, index)));
}

static bool
will_adopt(const struct family *f, const struct generation *g, enum process_kind kind,
	unsigned index)
{
	const struct member *m;
	TAILQ_FOREACH (m, &f->members, link)
		if (m->kind == kind && fits(m, g, index))
			return true;
	return false;
}

/* The sessions of all generations have their channels to it already. */
static void
reconnect_keeper(struct member *keeper)
{
	struct member *o;
	TAILQ_FOREACH (o, &keeper->family->members, link)
		if (asks(keeper, o) && !o->stopping)
			connect_pair(keeper, o);
}

/* A keeper that does not get them goes on with those that it has. */
static void
send_settings(struct member *keeper)
{
	struct err err;
	int fd = kind_settings(keeper->generation, &err);
	if (fd < 0 || keeper->control == NULL ||
		control_send_settings(keeper->control, fd) < 0) {
		if (fd >= 0)
			err_set(&err, "the keeper does not take its new settings now");
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	}
	if (fd >= 0)
		close(fd);
}

/* Sessions of the MTA that are open stay with the session processes that they have. */
static void
adopt(struct family *f)
{
	struct member *m;
	TAILQ_FOREACH (m, &f->members, link) {
		for (unsigned i = 0; i < kind_count(m->kind, f->current); i++) {
			if (!fits(m, f->current, i))
				continue;
			m->generation = f->current;
			m->index = i;
			if (m->kind == PROCESS_KEEPER) {
				if (m->pid != 0)
					send_settings(m);
				reconnect_keeper(m);
			} else {
				connect_member(m);
			}
		}
	}
}

void
family_start(struct family *f, struct generation *g)
{
	g->number = ++f->generations;
	g->next = f->current;
	f->current = g;
	f->told_ready = false;
	for (unsigned k = PROCESS_KINDS; k-- > 0;) { /* those that serve first, sessions last */
		unsigned n = kind_count((enum process_kind)k, g);
		for (unsigned i = 0; i < n; i++)
			if (!will_adopt(f, g, (enum process_kind)k, i))
				member_add(f, g, (enum process_kind)k, i);
	}
}

static void
member_stop(struct member *m)
{
	if (m->stopping)
		return;
	m->stopping = true;
	loop_timer_clear(&m->again);
	if (m->control != NULL)
		(void)control_send_stop(m->control);
	if (m->pid == 0)
		member_free(m);
}

static unsigned
count(const struct family *f, const struct generation *g, bool sessions)
{
	const struct member *m;
	unsigned n = 0;
	TAILQ_FOREACH (m, &f->members, link)
		n += m->generation == g && (m->kind == PROCESS_SESSION) == sessions;
	return n;
}

static void
stop_members(struct family *f, const struct generation *g, bool sessions)
{
	struct member *m, *next;
	for (m = TAILQ_FIRST(&f->members); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		if (m->generation == g && (m->kind == PROCESS_SESSION) == sessions)
			member_stop(m);
	}
}

/* A stopping generation: sessions first, those that serve them when no session is left. */
static void
wind_down(struct family *f)
{
	for (struct generation **at = &f->current; *at != NULL;) {
		struct generation *g = *at;
		if (g->stopping && count(f, g, true) == 0)
			stop_members(f, g, false);
		if (g->stopping && count(f, g, true) + count(f, g, false) == 0 &&
			(g != f->current || f->stopping)) {
			*at = g->next;
			generation_free(&g, f->current);
		} else {
			at = &g->next;
		}
	}
	if (f->stopping && f->current == NULL)
		loop_stop(f->loop);
}

static bool
all_ready(const struct family *f)
{
	const struct member *m;
	TAILQ_FOREACH (m, &f->members, link)
		if (m->generation == f->current && !m->ready)
			return false;
	return true;
}

static void
generation_stop(struct family *f, struct generation *g)
{
	g->stopping = true;
	stop_members(f, g, true);
}

/* So that nobody forgets them. */
static void
log_modes(const struct conf *c)
{
	struct log_line l;
	for (size_t i = 0; i < c->n_listeners; i++) {
		if (c->listeners[i].mode == MODE_RULES)
			continue;
		log_begin(&l, EV_MODE, NULL);
		log_text(&l, "mode", conf_mode_text(c->listeners[i].mode));
		log_slice(&l, "listener", c->listeners[i].text);
		log_end(&l);
	}
}

/* After every change: is the newest generation ready, may older ones go, is something over? */
static void
settle(struct family *f)
{
	if (!f->stopping && !f->told_ready && all_ready(f)) {
		struct log_line l;
		f->told_ready = true;
		adopt(f);
		for (struct generation *g = f->current->next; g != NULL; g = g->next)
			generation_stop(f, g);
		log_begin(&l, f->generations == 1 ? EV_READY : EV_RELOAD, NULL);
		log_number(&l, "generation", f->current->number);
		log_number(&l, "listeners", (int64_t)f->current->conf->n_listeners);
		log_end(&l);
		log_modes(f->current->conf);
	}
	wind_down(f);
}

void
family_stop(struct family *f)
{
	struct member *m;
	if (f->stopping) { /* asked twice: no more waiting */
		TAILQ_FOREACH (m, &f->members, link)
			if (m->pid > 0)
				kill(m->pid, SIGTERM);
		return;
	}
	f->stopping = true;
	for (struct generation *g = f->current; g != NULL; g = g->next)
		generation_stop(f, g);
	wind_down(f);
}

static struct member *
member_of(struct family *f, pid_t pid)
{
	struct member *m;
	TAILQ_FOREACH (m, &f->members, link)
		if (m->pid == pid)
			return m;
	return NULL;
}

void
family_reap(struct family *f)
{
	char words[CHILD_STATUS_BYTES];
	pid_t pid;
	int status;
	while (child_reap(&pid, &status)) {
		struct member *m = member_of(f, pid);
		if (m == NULL)
			continue;
		bool clean = m->stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0;
		if (!clean)
			log_member(m, EV_CHILD_EXIT, child_status_text(status, words));
		m->pid = 0;
		ipc_free(&m->control);
		if (m->kind == PROCESS_SESSION) {
			if (WIFSIGNALED(status))
				account_blame(f->account, m->number, clock_ms());
			account_clear(f->account, m->number);
		}
		if (m->stopping)
			member_free(m);
		else
			try_again(m);
	}
	settle(f);
}

void
family_free(struct family **f)
{
	if (*f == NULL)
		return;
	struct member *m;
	while ((m = TAILQ_FIRST(&(*f)->members)) != NULL)
		member_free(m);
	while ((*f)->current != NULL) {
		struct generation *g = (*f)->current;
		(*f)->current = g->next;
		generation_free(&g, (*f)->current);
	}
	mem_free(*f);
	*f = NULL;
}
