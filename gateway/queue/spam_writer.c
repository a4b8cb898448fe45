/*
 * A write of a model beside the loop; see spam_writer.h. What the thread has is the thread's
 * until it was joined: nothing is locked.
 */
#include "queue/spam_writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"

struct spam_writer {
	struct loop_watch *watch;
	int wake_fd;
	spam_written_fn *fn;
	void *arg;
	bool busy;
	pthread_t thread;
	/* the thread's, while it is busy */
	int dir;
	char name[SPAM_NAME_BYTES];
	struct slice bytes;
	int result;
	struct err err;
};

static void *
writer_main(void *arg)
{
	static const uint64_t one = 1;
	struct spam_writer *w = arg;
	ssize_t n;
	w->result = spam_files_write(w->dir, w->name, w->bytes, &w->err);
	do
		n = write(w->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	must(n == (ssize_t)sizeof(one));
	return NULL;
}

static void
end_write(struct spam_writer *w)
{
	w->busy = false;
	mem_free((void *)(uintptr_t)w->bytes.p);
	w->bytes = SLICE_NONE;
	w->fn(w->arg, w->result < 0 ? &w->err : NULL);
}

static void
on_wake(void *arg, unsigned ready)
{
	struct spam_writer *w = arg;
	uint64_t count;
	(void)ready;
	if (read(w->wake_fd, &count, sizeof(count)) < 0) {
		must(errno == EAGAIN || errno == EINTR);
		return;
	}
	must(pthread_join(w->thread, NULL) == 0);
	end_write(w);
}

struct spam_writer *
spam_writer_new(struct loop *l, spam_written_fn *fn, void *arg, struct err *err)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0) {
		err_sys(err, "make an eventfd");
		return NULL;
	}
	struct spam_writer *w = MEM_NEW(struct spam_writer);
	w->wake_fd = fd;
	w->fn = fn;
	w->arg = arg;
	w->watch = loop_watch_new(l, fd, on_wake, w);
	loop_watch_set(w->watch, LOOP_READ);
	return w;
}

void
spam_writer_free(struct spam_writer **wp)
{
	struct spam_writer *w = *wp;
	if (w == NULL)
		return;
	must(!w->busy);
	*wp = NULL;
	loop_watch_free(&w->watch);
	close(w->wake_fd);
	mem_free(w);
}

void
spam_writer_wait(struct spam_writer *w)
{
	uint64_t count;
	must(w->busy);
	must(pthread_join(w->thread, NULL) == 0);
	must(read(w->wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count));
	end_write(w);
}

void
spam_writer_start(struct spam_writer *w, int dir, const char *name, void *bytes, size_t n)
{
	sigset_t all, before; /* signals are the loop's */
	must(!w->busy);
	w->busy = true;
	w->dir = dir;
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->bytes = (struct slice){bytes, n};
	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&w->thread, NULL, writer_main, w) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}
