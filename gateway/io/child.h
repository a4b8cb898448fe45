/*
 * Child processes for the parent: fork with everything closed that was not meant, a name that
 * ps shows, death with the parent, and the way down from root. When and how often one is
 * started again is the parent's business elsewhere.
 */
#ifndef IO_CHILD_H
#define IO_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

enum { CHILD_KEEP_MOST = 80, CHILD_STATUS_BYTES = 64 };

struct child_spec {
	const char *kind; /* "session": name in ps, at most 15 bytes are seen by the kernel */
	const int *keep;  /* descriptors that stay open, under their numbers, besides 0, 1, 2 */
	size_t nkeep;     /* at most CHILD_KEEP_MOST */
	int (*run)(void *arg); /* runs in the child; its result is the exit status */
	void *arg;
	/* Instead of run: a program, argv ended by NULL, with an empty environment but PATH,
	 * TZ, LANG; the kept descriptors stay open across it. */
	const char *path;
	char *const *argv;
};

/*
 * The child: signals at default and unblocked, SIGPIPE, SIGINT and SIGHUP ignored, all other
 * descriptors closed, killed by SIGKILL when the parent dies (checked, so that no gap is left),
 * then run and exit. The parent's loop is nothing the child may touch; it makes its own. In the
 * parent: the pid, or -1 and err. exec failures are told as exit status 127.
 */
pid_t child_fork(const struct child_spec *spec, struct err *err);
/* One child that has ended, without waiting: true and its status. On SIGCHLD, until false. */
bool child_reap(pid_t *pid_out, int *status_out);
/* Waits until no child is left. */
void child_wait_all(void);
/* "exit 1", "killed by SIGSEGV". */
const char *child_status_text(int status, char buf[CHILD_STATUS_BYTES]);

/* Once, first thing in main: remembers argv's room, so that child_title can write there. */
void child_title_init(int argc, char **argv);
void child_title(const char *title); /* "posternd: session 1": argv and PR_SET_NAME */

/*
 * For good to that user and all its supplementary groups; checked that there is no way back. A
 * user of NULL, or a process that is not root: nothing happens. empty_root: chroot there first
 * (NULL: not). Look up and open everything before it.
 */
int child_drop_user(const char *user, const char *empty_root, struct err *err);
/* PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE 0 (1 in sanitizer builds: LeakSanitizer needs it), no
 * core. */
int child_harden(struct err *err);

#endif
