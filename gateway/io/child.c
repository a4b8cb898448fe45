/*
 * Children of the parent process: fork, close, name, die with the parent, and the way down from
 * root. What runs between fork and the child's own work stands in child_begin, in its order.
 */
#include "io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/must.h"

enum { CHILD_EXEC_FAILED = 127 };

static struct {
	char *room; /* argv and environment, as the kernel laid them out */
	size_t bytes;
} child_title_room;

extern char **environ;

void
child_title_init(int argc, char **argv)
{
	/* The kernel shows the bytes from argv[0] to the end of the last argument. */
	char *end = argc > 0 ? argv[0] : NULL;
	for (int i = 0; i < argc && argv[i] == end; i++)
		end = argv[i] + strlen(argv[i]) + 1;
	child_title_room.room = argc > 0 ? argv[0] : NULL;
	child_title_room.bytes = argc > 0 ? (size_t)(end - argv[0]) : 0;
}

void
child_title(const char *title)
{
	const char *name = strchr(title, ':');
	prctl(PR_SET_NAME, name != NULL && name[1] == ' ' ? name + 2 : title);
	if (child_title_room.bytes < 2)
		return;
	memset(child_title_room.room, 0, child_title_room.bytes);
	snprintf(child_title_room.room, child_title_room.bytes, "%s", title);
}

static int
child_compare_fd(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

/* Everything from 3 on but the kept ones; they lose close-on-exec where a program follows. */
static int
child_close_others(const struct child_spec *spec)
{
	int keep[CHILD_KEEP_MOST];
	unsigned from = 3;
	if (spec->nkeep != 0)
		memcpy(keep, spec->keep, spec->nkeep * sizeof(keep[0]));
	qsort(keep, spec->nkeep, sizeof(keep[0]), child_compare_fd);
	for (size_t i = 0; i < spec->nkeep; i++) {
		unsigned fd = (unsigned)keep[i];
		if (fd < from)
			continue;
		if (fd > from && close_range(from, fd - 1, 0) < 0)
			return -1;
		from = fd + 1;
	}
	return close_range(from, ~0U, 0);
}

static void
child_reset_signals(void)
{
	sigset_t none;
	for (int signo = 1; signo < NSIG; signo++) {
		struct sigaction now;
		/* Handlers of the sanitizers' own (SEGV and the like) stay: they are not
		 * ignored. */
		if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
			signal(signo, SIG_DFL);
	}
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C and `pkill -HUP` reach us too, but what they mean is the parent's to say. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
child_exec(const struct child_spec *spec)
{
	static const char *const passed[] = {"PATH", "TZ", "LANG"};
	char room[3][512];
	char *env[4] = {NULL};
	size_t n = 0;
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		const char *value = getenv(passed[i]);
		if (value == NULL)
			continue;
		int bytes = snprintf(room[n], sizeof(room[n]), "%s=%s", passed[i], value);
		if (bytes > 0 && (size_t)bytes < sizeof(room[n])) {
			env[n] = room[n];
			n++;
		}
	}
	for (size_t i = 0; i < spec->nkeep; i++)
		fcntl(spec->keep[i], F_SETFD, 0);
	execve(spec->path, spec->argv, env);
	fprintf(stderr, "%s: %s: %s\n", spec->kind, spec->path, strerror(errno));
	return CHILD_EXEC_FAILED;
}

static int
child_begin(const struct child_spec *spec, pid_t parent)
{
	char title[64];
	child_reset_signals();
	/* The parent may have died before the prctl: then somebody else has adopted us. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return 1;
	/* libc would go on writing to the parent's number, whatever that is by then. */
	closelog();
	if (child_close_others(spec) < 0)
		return 1;
	snprintf(title, sizeof(title), "posternd: %s", spec->kind);
	child_title(title);
	return spec->path != NULL ? child_exec(spec) : spec->run(spec->arg);
}

pid_t
child_fork(const struct child_spec *spec, struct err *err)
{
	must(spec->nkeep <= CHILD_KEEP_MOST);
	pid_t parent = getpid();
	fflush(NULL); /* or the child would write it again */
	pid_t pid = fork();
	if (pid < 0)
		err_sys(err, "fork for %s", spec->kind);
	if (pid != 0)
		return pid;
	/* Not _exit: a sanitizer looks for leaks in an exit handler, and there are no others.
	 */
	exit(child_begin(spec, parent));
}

bool
child_reap(pid_t *pid_out, int *status_out)
{
	pid_t pid;
	do
		pid = waitpid(-1, status_out, WNOHANG);
	while (pid < 0 && errno == EINTR);
	*pid_out = pid;
	return pid > 0;
}

void
child_wait_all(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

const char *
child_status_text(int status, char buf[CHILD_STATUS_BYTES])
{
	if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));
		snprintf(buf, CHILD_STATUS_BYTES, "killed by SIG%s%s",
			name != NULL ? name : "?", WCOREDUMP(status) ? " (core)" : "");
	} else
		snprintf(buf, CHILD_STATUS_BYTES, "exit %d", WEXITSTATUS(status));
	return buf;
}

int
child_drop_user(const char *user, const char *empty_root, struct err *err)
{
	if (user == NULL || geteuid() != 0)
		return 0;
	errno = 0;
	const struct passwd *pw = getpwnam(user);
	if (pw == NULL)
		return errno != 0 ? err_sys(err, "look up user %s", user)
				  : err_set(err, "there is no user %s", user);
	pid_t parent = getppid();
	uid_t uid = pw->pw_uid;
	gid_t gid = pw->pw_gid;
	if (uid == 0)
		return err_set(
			err, "user %s is root: the processes must run as somebody else", user);
	if (initgroups(user, gid) < 0)
		return err_sys(err, "take the groups of %s", user);
	if (empty_root != NULL && (chroot(empty_root) < 0 || chdir("/") < 0))
		return err_sys(err, "chroot to %s", empty_root);
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(err, "become user %s", user);
	if (setuid(0) == 0 || geteuid() != uid || getegid() != gid)
		return err_set(err, "user %s could become root again", user);
	/* A change of user clears it: PR_SET_PDEATHSIG in prctl(2). It may die in between. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(err, "ask to die with the parent");
	if (getppid() != parent)
		return err_set(err, "the parent has ended");
	return 0;
}

int
child_harden(struct err *err)
{
	const struct rlimit none = {0, 0};
	unsigned long dumpable = 0;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	dumpable = 1;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	dumpable = 1;
#endif
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, "give up new privileges");
	if (prctl(PR_SET_DUMPABLE, dumpable) < 0)
		return err_sys(err, "give up core dumps and ptrace");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(err, "give up core files");
	return 0;
}
