/*
 * `postern limits`: its words, and what it shows and resets of a state that is served as the
 * keeper serves it, over a real socket by another process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/must.h"
#include "queue/hand.h"
#include "queue/hand_limits.h"
#include "queue/state_desk.h"
#include "state/local.h"
#include "tooling.h"

enum { OUT_MOST = 64 * 1024, MANY = 2 * HAND_LIMITS_MOST + 1 };

static struct run r;

static void
run(const char *words)
{
	tool_run_free(&r);
	r = tool_run(tool_limits, words, "");
}

static void
test_words(void **state)
{
	(void)state;
	static const struct {
		const char *words, *bad;
	} cases[] = {
		{"--bogus", "\"--bogus\""},
		{"list --user", "\"--user\""},
		{"list --user a b", "\"b\""},
		{"list x --user a", "\"--user\""},
		{"list x --yes", "\"--yes\""},
		{"reset", "\"reset\""},
		{"reset --json", "\"--json\""},
		{"reset --user a", "\"--user\""},
	};
	write_config_least("");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run(cases[i].words);
		if (r.status != 2 || strstr(r.err, cases[i].bad) == NULL ||
			strstr(r.err, "usage: postern limits") == NULL)
			fail_msg("%s: %d, %s", cases[i].words, r.status, r.err);
	}
	static const char *const right[] = {"", "list", "rate", "list quota greylist --json",
		"--user alice", "rate user al", "reset user alice 5/hour"};
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		run(right[i]);
		if (r.status != 1 || strstr(r.err, "names no `spool`") == NULL)
			fail_msg("%s: %d, %s", right[i], r.status, r.err);
	}
	write_config_least("spool \"nowhere\"\n");
}

/* ---- a state, and who serves it ---- */

static void
ask(struct state *s, struct state_op op)
{
	s->calls->ask(s, &op, 1, NULL, NULL);
}

static void
fill(void)
{
	struct err err;
	char key[64];
	assert_int_equal(mkdir("spool", 0700) | mkdir("spool/state", 0700), 0);
	int dir = open("spool/state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct state *s = local_open(&(struct local_config){.dir_fd = dir}, &err);
	assert_non_null(s);
	struct state_op take = {.kind = STATE_TAKE,
		.space = STATE_RATE,
		.key = SLICE("user alice 200/hour"),
		.limit = 200,
		.span_ms = 3600 * 1000,
		.n = 20};
	ask(s, take);
	take.key = SLICE("sender \"a\x1b[2J\"@x.example 200/hour");
	ask(s, take);
	struct state_op count = {.kind = STATE_COUNT,
		.space = STATE_QUOTA,
		.key = SLICE("user alice 50000/month"),
		.limit = 50000,
		.period = PERIOD_MONTH,
		.n = 120};
	ask(s, count);
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "user u%05d 50000/month", i);
		count.key = slice_of(key);
		ask(s, count);
	}
	struct state_op pass = {.kind = STATE_PASS,
		.space = STATE_GREY,
		.key = SLICE("net 192.0.2.0/24 a.example"),
		.passer = SLICE("net 192.0.2.0/24"),
		.ttl_ms = 36 * UINT64_C(86400000)};
	ask(s, pass);
	s->calls->close(&s);
	close(dir);
}

static pid_t
serve(void)
{
	struct err err;
	int fd = ipc_listen("spool/control", 0600, &err);
	assert_true(fd >= 0);
	pid_t pid = fork();
	if (pid != 0) {
		close(fd);
		return pid;
	}
	struct loop *l = loop_new(&err);
	int spool = open("spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(l != NULL && spool >= 0);
	struct state_desk *desk = state_desk_new(l, spool);
	must(hand_new(&(struct hand_config){
		     .loop = l, .listen_fd = fd, .other = state_desk_hand, .arg = desk}) !=
		NULL);
	(void)loop_run(l, &err);
	_exit(1);
}

static void
check_out(const char *words, const char *expected)
{
	run(words);
	if (r.status != 0 || strcmp(r.out, expected) != 0)
		fail_msg("%s: %d\n%s%s", words, r.status, r.out, r.err);
}

static size_t
lines(void)
{
	size_t n = 0;
	for (const char *p = r.out; *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

static void
test_list(void **state)
{
	(void)state;
	check_out("rate --user alice", "rate      user alice 200/hour                       20 "
				       "of 200, empty in 5 min\n");
	check_out("rate sender", "rate      sender \"a?[2J\"@x.example 200/hour         "
				 "20 of 200, empty in 5 min\n");
	run("--user alice");
	assert_int_equal(r.status, 0);
	assert_int_equal(lines(), 2);
	assert_non_null(strstr(r.out, "quota     user alice 50000/month"));
	assert_non_null(strstr(r.out, "  120 of 50000, empty in "));
	check_out("greylist",
		"greylist  net 192.0.2.0/24 a.example                passed, gone "
		"in 35 d 23 h\n"
		"greylist  passer net 192.0.2.0/24                   1 passed, gone "
		"in 35 d 23 h\n");
	run("quota user u");
	assert_int_equal(lines(), MANY);
	run("list");
	assert_int_equal(lines(), MANY + 5);
	check_out("quota nobody", "nothing is in use\n");
	run("rate sender --json");
	assert_non_null(strstr(r.out, "\"kind\":\"rate\""));
	assert_non_null(strstr(r.out, "\\u001b[2J"));
	assert_non_null(strstr(r.out, "\"used\":20"));
	assert_non_null(strstr(r.out, "\"limit\":200"));
	check_out("quota nobody --json", "");
}

static void
test_reset(void **state)
{
	(void)state;
	check_out("reset user alice 200/hour", "reset\n");
	check_out("rate --user alice", "nothing is in use\n");
	run("reset user alice 200/hour");
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "nothing is in use under that key"));
	check_out("reset passer net 192.0.2.0/24", "reset\n");
	run("greylist");
	assert_int_equal(lines(), 1);
	run("--user alice");
	assert_int_equal(lines(), 1);
}

int
main(void)
{
	char folder[] = "/tmp/main-limits-XXXXXX";
	const struct CMUnitTest of_words[] = {cmocka_unit_test(test_words)};
	const struct CMUnitTest served[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_reset),
	};
	if (mkdtemp(folder) == NULL || chdir(folder) < 0)
		return 1;
	int failed = cmocka_run_group_tests(of_words, NULL, NULL);
	fill();
	write_config_least("spool \"/proc/self/cwd/spool\"\n");
	pid_t pid = serve();
	failed += cmocka_run_group_tests(served, NULL, NULL);
	kill(pid, SIGKILL);
	must(waitpid(pid, NULL, 0) == pid);
	tool_run_free(&r);
	static const char *const files[] = {
		"spool/state/data.mdb", "spool/state/lock.mdb", "spool/control", "test.conf"};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	rmdir("spool/state");
	rmdir("spool");
	if (rmdir(folder) < 0)
		failed++;
	return failed;
}
