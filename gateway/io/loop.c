/*
 * The event loop over libevent's core: epoll is its work, all else is small enough to be ours.
 * Signals come by signalfd, so that a child after fork shares no handler and no pipe with its
 * parent; timers stand in loop_timer.c. One libevent timer wakes the loop for the first of
 * ours.
 */
#include "io/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "io/loop_priv.h"

struct loop_signal_row {
	int signo;
	loop_signal_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	struct event tick; /* ends the wait when the first timer is due */
	uint64_t tick_ms;  /* for which it is set; 0: not */
	uint64_t now_ms;   /* 0: to be read */
	bool stop;
	struct loop_heap heap;
	struct loop_task tasks; /* heads of rings */
	struct loop_task orphans;
	int signal_fd; /* -1: none yet */
	struct loop_watch *signal_watch;
	sigset_t signal_set;
	size_t nsignals;
	struct loop_signal_row signals[LOOP_SIGNALS_MOST];
};

struct loop_watch {
	struct event read, write;
	unsigned wanted;
	loop_fd_fn *fn;
	void *arg;
};

static void
loop_on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	((struct loop *)arg)->tick_ms = 0;
}

struct loop *
loop_new(struct err *err)
{
	struct event_config *config = event_config_new();
	must(config != NULL);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL) {
		err_sys(err, "open the event loop");
		return NULL;
	}
	struct loop *l = MEM_NEW(struct loop);
	l->base = base;
	l->signal_fd = -1;
	sigemptyset(&l->signal_set);
	l->tasks.next = l->tasks.prev = &l->tasks;
	l->orphans.next = l->orphans.prev = &l->orphans;
	event_assign(&l->tick, base, -1, 0, loop_on_tick, l);
	return l;
}

/* One round: what is queued now, not what these tasks queue. */
static void
loop_run_tasks(struct loop *l)
{
	struct loop_task round = {.next = l->tasks.next, .prev = l->tasks.prev};
	if (round.next == &l->tasks)
		return;
	round.next->prev = round.prev->next = &round;
	l->tasks.next = l->tasks.prev = &l->tasks;
	while (round.next != &round) {
		struct loop_task *t = round.next;
		loop_task_clear(t);
		t->fn(t->arg);
	}
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;
	if (l == NULL)
		return;
	*lp = NULL;
	while (l->orphans.next != &l->orphans) {
		struct loop_task *t = l->orphans.next;
		loop_task_clear(t);
		t->fn(t->arg);
	}
	/* What was freed in the last turn frees its memory in a task. */
	for (int i = 0; i < LOOP_TASK_ROUNDS; i++)
		loop_run_tasks(l);
	if (l->signal_fd >= 0) {
		loop_watch_free(&l->signal_watch);
		close(l->signal_fd);
		sigprocmask(SIG_UNBLOCK, &l->signal_set, NULL);
	}
	must(l->tasks.next == &l->tasks);
	must(l->heap.n == 0);
	event_del(&l->tick);
	event_base_free(l->base);
	mem_free(l->heap.at);
	mem_free(l);
}

struct event_base *
loop_event_base(struct loop *l)
{
	return l->base;
}

struct loop_heap *
loop_heap_of(struct loop *l)
{
	return &l->heap;
}

uint64_t
loop_now(struct loop *l)
{
	if (l->now_ms == 0)
		l->now_ms = clock_ms();
	return l->now_ms;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

static void
loop_set_tick(struct loop *l)
{
	uint64_t next = loop_heap_next(&l->heap);
	if (next == l->tick_ms)
		return;
	l->tick_ms = next;
	event_del(&l->tick);
	if (next == 0)
		return;
	uint64_t now = loop_now(l), wait = next > now ? next - now : 0;
	struct timeval tv = {
		.tv_sec = (time_t)(wait / 1000),
		.tv_usec = (suseconds_t)(wait % 1000 * 1000),
	};
	event_add(&l->tick, &tv);
}

int
loop_run(struct loop *l, struct err *err)
{
	l->stop = false;
	while (!l->stop) {
		bool busy = l->tasks.next != &l->tasks;
		l->now_ms = 0; /* the turn before may have been long */
		loop_set_tick(l);
		l->now_ms = 0; /* read again after the wait */
		int flags =
			EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (busy ? EVLOOP_NONBLOCK : 0);
		if (event_base_loop(l->base, flags) < 0)
			return err_sys(err, "wait for events");
		loop_heap_run(&l->heap, loop_now(l));
		for (int i = 0; i < LOOP_TASK_ROUNDS && l->tasks.next != &l->tasks; i++)
			loop_run_tasks(l);
	}
	return 0;
}

static void
loop_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;
	(void)fd;
	(void)what;
	w->fn(w->arg, LOOP_READ);
}

static void
loop_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;
	(void)fd;
	(void)what;
	w->fn(w->arg, LOOP_WRITE);
}

struct loop_watch *
loop_watch_new(struct loop *l, int fd, loop_fd_fn *fn, void *arg)
{
	struct loop_watch *w = MEM_NEW(struct loop_watch);
	w->fn = fn;
	w->arg = arg;
	/* Two events: switching one on and off is one EPOLL_CTL_MOD. */
	event_assign(&w->read, l->base, fd, EV_READ | EV_PERSIST, loop_on_read, w);
	event_assign(&w->write, l->base, fd, EV_WRITE | EV_PERSIST, loop_on_write, w);
	return w;
}

static void
loop_watch_switch(struct event *e, bool on)
{
	/* epoll refuses only what is not a socket or pipe: a bug of ours. */
	must((on ? event_add(e, NULL) : event_del(e)) == 0);
}

void
loop_watch_set(struct loop_watch *w, unsigned wanted)
{
	unsigned change = w->wanted ^ wanted;
	w->wanted = wanted;
	if ((change & LOOP_READ) != 0)
		loop_watch_switch(&w->read, (wanted & LOOP_READ) != 0);
	if ((change & LOOP_WRITE) != 0)
		loop_watch_switch(&w->write, (wanted & LOOP_WRITE) != 0);
}

void
loop_watch_free(struct loop_watch **wp)
{
	struct loop_watch *w = *wp;
	if (w == NULL)
		return;
	*wp = NULL;
	loop_watch_set(w, 0);
	mem_free(w);
}

void
loop_task_init(struct loop_task *t, struct loop *l, loop_fn *fn, void *arg)
{
	*t = (struct loop_task){.loop = l, .fn = fn, .arg = arg};
}

static void
loop_link(struct loop_task *head, struct loop_task *t)
{
	if (t->next != NULL)
		return;
	t->next = head;
	t->prev = head->prev;
	head->prev->next = t;
	head->prev = t;
}

void
loop_task_queue(struct loop_task *t)
{
	loop_link(&t->loop->tasks, t);
}

void
loop_orphan(struct loop_task *t)
{
	loop_link(&t->loop->orphans, t);
}

void
loop_task_clear(struct loop_task *t)
{
	if (t->next == NULL)
		return;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->next = t->prev = NULL;
}

static void
loop_on_signals(void *arg, unsigned ready)
{
	struct loop *l = arg;
	struct signalfd_siginfo info;
	(void)ready;
	while (read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		for (size_t i = 0; i < l->nsignals; i++)
			if (l->signals[i].signo == (int)info.ssi_signo)
				l->signals[i].fn(l->signals[i].arg, l->signals[i].signo);
	}
}

int
loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg, struct err *err)
{
	must(l->nsignals < LOOP_SIGNALS_MOST);
	sigaddset(&l->signal_set, signo);
	if (sigprocmask(SIG_BLOCK, &l->signal_set, NULL) < 0)
		return err_sys(err, "block signal %d", signo);
	int fd = signalfd(l->signal_fd, &l->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "open a descriptor for signal %d", signo);
	if (l->signal_fd < 0) {
		l->signal_fd = fd;
		l->signal_watch = loop_watch_new(l, fd, loop_on_signals, l);
		loop_watch_set(l->signal_watch, LOOP_READ);
	}
	l->signals[l->nsignals++] = (struct loop_signal_row){signo, fn, arg};
	return 0;
}
