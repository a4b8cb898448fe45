/* Children: what they keep, how they end, how they are named. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/child.h"

enum { REAP_TURNS = 500 };

/* Waits for the one child there is. */
static int
reap(pid_t expected)
{
	int status = -1;
	pid_t pid = 0;
	for (int i = 0; i < REAP_TURNS && !child_reap(&pid, &status); i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	assert_int_equal(pid, expected);
	assert_false(child_reap(&pid, &status) && pid != 0);
	return status;
}

struct fds {
	int keep[2], other;
};

/* In the child: the exit status says what was found. */
static int
child_look(void *arg)
{
	const struct fds *f = arg;
	char name[16] = "";
	int bad = 0;
	prctl(PR_GET_NAME, name);
	bad |= fcntl(f->keep[0], F_GETFD) < 0 ? 1 : 0;
	bad |= fcntl(f->keep[1], F_GETFD) < 0 ? 2 : 0;
	bad |= fcntl(f->other, F_GETFD) >= 0 ? 4 : 0;
	bad |= fcntl(2, F_GETFD) < 0 ? 8 : 0;
	bad |= strcmp(name, "session 1") != 0 ? 16 : 0;
	int signo = 0;
	prctl(PR_GET_PDEATHSIG, &signo);
	bad |= signo != SIGKILL ? 32 : 0;
	sigset_t mask;
	sigprocmask(SIG_BLOCK, NULL, &mask);
	bad |= sigismember(&mask, SIGHUP) != 0 ? 64 : 0;
	return bad;
}

static void
only_what_was_named_is_kept(void **state)
{
	struct err err;
	struct fds f;
	sigset_t hup, old;
	(void)state;
	f.keep[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	f.other = open("/dev/null", O_RDONLY);
	f.keep[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int keep[] = {f.keep[1], f.keep[0]};
	struct child_spec spec = {
		.kind = "session 1", .keep = keep, .nkeep = 2, .run = child_look, .arg = &f};
	sigemptyset(&hup);
	sigaddset(&hup, SIGHUP);
	sigprocmask(SIG_BLOCK, &hup, &old);
	pid_t pid = child_fork(&spec, &err);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_true(pid > 0);
	assert_int_equal(reap(pid), 0);
	close(f.keep[0]);
	close(f.keep[1]);
	close(f.other);
}

static int
child_kill_self(void *arg)
{
	kill(getpid(), *(int *)arg);
	return 3;
}

static void
the_end_in_words(void **state)
{
	static const struct {
		int signo;
		const char *text;
	} rows[] = {
		{0, "exit 3"}, {SIGTERM, "killed by SIGTERM"}, {SIGKILL, "killed by SIGKILL"}};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err;
		char text[CHILD_STATUS_BYTES];
		int signo = rows[i].signo;
		struct child_spec spec = {.kind = "x", .run = child_kill_self, .arg = &signo};
		pid_t pid = child_fork(&spec, &err);
		assert_true(pid > 0);
		assert_string_equal(child_status_text(reap(pid), text), rows[i].text);
	}
}

static void
a_program_gets_fds_and_little_environment(void **state)
{
	struct err err;
	int p[2];
	char got[200] = "", script[100];
	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(setenv("POSTERN_SECRET", "x", 1), 0);
	snprintf(script, sizeof(script), "echo ${POSTERN_SECRET-unset} >&%d", p[1]);
	char sh[] = "sh", dash_c[] = "-c";
	char *argv[] = {sh, dash_c, script, NULL};
	struct child_spec spec = {
		.kind = "sh", .keep = &p[1], .nkeep = 1, .path = "/bin/sh", .argv = argv};
	pid_t pid = child_fork(&spec, &err);
	assert_true(pid > 0);
	assert_int_equal(reap(pid), 0);
	close(p[1]);
	assert_true(read(p[0], got, sizeof(got) - 1) > 0);
	assert_string_equal(got, "unset\n");
	close(p[0]);
	spec.path = "/nonexistent/program";
	spec.nkeep = 0;
	pid = child_fork(&spec, &err);
	int status = reap(pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 127);
}

static int
child_drop(void *arg)
{
	struct err err;
	if (child_drop_user(arg, NULL, &err) < 0 || child_harden(&err) < 0)
		return 1;
	if (geteuid() == 0 || getegid() == 0 || setuid(0) == 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	int signo = 0;
	prctl(PR_GET_PDEATHSIG, &signo);
	return signo == SIGKILL ? 0 : 4;
}

static void
down_from_root_for_good(void **state)
{
	struct err err;
	char nobody[] = "nobody";
	struct child_spec spec = {.kind = "x", .run = child_drop, .arg = nobody};
	(void)state;
	if (geteuid() != 0)
		skip();
	pid_t pid = child_fork(&spec, &err);
	assert_true(pid > 0);
	assert_int_equal(reap(pid), 0);
	assert_int_equal(child_drop_user("no-such-user", NULL, &err), -1);
	assert_non_null(strstr(err.text, "no-such-user"));
	assert_int_equal(child_drop_user("root", NULL, &err), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_was_named_is_kept),
		cmocka_unit_test(the_end_in_words),
		cmocka_unit_test(a_program_gets_fds_and_little_environment),
		cmocka_unit_test(down_from_root_for_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
