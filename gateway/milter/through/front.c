/*
 * postern-milter from its socket to its end; see front.h. libmilter opens the socket while we
 * are root, then the process goes down to its account and into its sandbox, then come threads.
 *
 * libmilter ends for SIGHUP, SIGTERM and SIGINT, which it takes in a thread by sigwait; the
 * kernel gives them to no thread where the first one ignores them, or dies of them.
 */
#include "through/front.h"

#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/child.h"
#include "io/control.h"
#include "io/sandbox.h"
#include "through/callbacks.h"

enum { SOCKET_MASK = 0117 };

struct front {
	struct loop *loop;
	struct control *control;
	struct channels *channels;
	struct loop_watch *watch;
	int ended[2];   /* closed by the library's thread when it ends */
	bool by_itself; /* it ended without having been asked */
};

static void
on_peer(void *arg, enum process_kind kind, unsigned index, int fd)
{
	struct front *f = arg;
	if (kind == PROCESS_SESSION && index < CHANNELS_MOST)
		channels_set(f->channels, index, fd);
	else
		close(fd);
}

static void
on_stop(void *arg)
{
	struct front *f = arg;
	loop_stop(f->loop);
}

static void
on_ended(void *arg, unsigned ready)
{
	struct front *f = arg;
	(void)ready;
	f->by_itself = true;
	loop_stop(f->loop);
}

static void *
run_library(void *arg)
{
	struct front *f = arg;
	library_run();
	close(f->ended[1]);
	return NULL;
}

static int
start_library(struct front *f, struct err *err)
{
	pthread_t thread;
	sigset_t all, before;
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	int result = pthread_create(&thread, NULL, run_library, f);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	if (result != 0)
		return err_set(err, "start a thread: %s", strerrordesc_np(result));
	must(pthread_detach(thread) == 0);
	return 0;
}

static int
run_loop(struct front *f, struct err *err)
{
	if (start_library(f, err) < 0)
		return -1;
	f->watch = loop_watch_new(f->loop, f->ended[0], on_ended, f);
	loop_watch_set(f->watch, LOOP_READ);
	control_ready(f->control);
	int result = loop_run(f->loop, err);
	loop_watch_free(&f->watch);
	if (result == 0 && f->by_itself)
		result = err_set(err, "libmilter ended by a fault");
	return result;
}

/* Where it is a unix socket, for the account's group, as our own listeners are. */
static int
give_socket(const struct front_start *s, struct err *err)
{
	const char *path = strncmp(s->connection, "unix:", 5) == 0 ? s->connection + 5 : NULL;
	const struct passwd *pw = s->user != NULL ? getpwnam(s->user) : NULL;
	if (path != NULL && pw != NULL && lchown(path, pw->pw_uid, pw->pw_gid) < 0)
		return err_sys(err, "give the socket %s to %s", path, s->user);
	return 0;
}

static int
lock_in(struct err *err)
{
	struct sandbox_spec spec;
	sandbox_spec_of(SANDBOX_MILTER, &spec);
	return sandbox_lock(&spec, err);
}

static int
front_open(struct front *f, const struct front_start *s, struct err *err)
{
	static const struct control_calls calls = {.on_peer = on_peer, .on_stop = on_stop};
	mode_t before = umask(SOCKET_MASK);
	int opened = library_open(s->connection, f->channels, err);
	umask(before);
	if (opened < 0 || give_socket(s, err) < 0 || child_drop_user(s->user, NULL, err) < 0 ||
		child_harden(err) < 0)
		return -1;
	if (pipe2(f->ended, O_CLOEXEC) < 0)
		return err_sys(err, "make a pipe");
	f->loop = loop_new(err);
	if (f->loop == NULL)
		return -1;
	f->control = control_new(f->loop, s->control_fd, &calls, f);
	return lock_in(err);
}

/*
 * The library is not asked to stop: it destroys a lock that its own stop waits for. Its threads
 * wait for MTAs or for session processes that have gone before us, and end with the process;
 * what they look at stays until then.
 */
int
front_main(const struct front_start *s, struct err *err)
{
	static struct front f;
	f.channels = channels_new();
	int result = front_open(&f, s, err);
	if (result == 0)
		result = run_loop(&f, err);
	channels_close(f.channels);
	control_free(&f.control);
	loop_free(&f.loop);
	return result < 0 ? 1 : 0;
}
