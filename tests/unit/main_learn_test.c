/*
 * `postern learn` and `postern unlearn`: their words, and what they teach to models that are
 * served as the keeper serves them, over a real socket by another process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "queue/hand.h"
#include "queue/spam_desk.h"
#include "queue/spam_files.h"
#include "tooling.h"
#include "tree.h"

enum { MAILS = 40 };

static struct run r;
static pid_t keeper;

static void
learn(const char *words)
{
	tool_run_free(&r);
	r = tool_run(tool_learn, words, "");
}

static void
unlearn(const char *words)
{
	tool_run_free(&r);
	r = tool_run(tool_unlearn, words, "");
}

static void
has(const char *text)
{
	if (strstr(r.out, text) == NULL && strstr(r.err, text) == NULL)
		fail_msg("no \"%s\" in\n%s%s", text, r.out, r.err);
}

static void
test_words(void **state)
{
	(void)state;
	static const struct {
		const char *words, *why;
	} cases[] = {
		{"", "usage: postern learn"},
		{"eggs a", "usage: postern learn"},
		{"spam", "needs a PATH"},
		{"spam --json", "needs a PATH"},
		{"spam --domain", "\"--domain\""},
		{"spam --domain a..b x", "\"a..b\""},
		{"spam --domain a.example --domain b.example x", "\"b.example\""},
		{"spam --quick x", "\"--quick\""},
		{"spam - -", "\"-\""},
		{"status x", "shows all"},
		{"status --domain a.example", "shows all"},
	};
	write_config_least("");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		learn(cases[i].words);
		if (r.status != 2 || strstr(r.err, cases[i].why) == NULL ||
			strstr(r.err, "usage: postern learn") == NULL)
			fail_msg("%s: %d, %s", cases[i].words, r.status, r.err);
	}
	unlearn("");
	assert_int_equal(r.status, 2);
	static const char *const right[] = {"status", "status --json", "spam x",
		"ham --json x y", "spam -- -x", "spam -", "spam --domain a.example x"};
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		learn(right[i]);
		if (r.status != 1 || strstr(r.err, "names no `spool`") == NULL)
			fail_msg("%s: %d, %s", right[i], r.status, r.err);
	}
	write_config_least("spool \"/nowhere\"\n");
	learn("spam x");
	assert_int_equal(r.status, 1);
	has("posternd does not run");
}

/* ---- mails, and who learns them ---- */

static const char *
mail(bool spam, int number, char text[600])
{
	static const char *const words[2][4] = {
		{"minutes of the board", "the build is green again", "lunch on tuesday",
			"your review of the patch"},
		{"cheap watches", "you have won", "click to claim", "pills without receipt"}};
	const char *const *w = words[spam];
	snprintf(text, 600,
		"Received: from mx.a.example by mx.b.example; Sun, 29 Nov 2026 10:%02d:00 "
		"+0000\n"
		"From: <u%d@%s.example>\nTo: <x@own.example>\nSubject: %s %d\n"
		"Message-ID: <%s%d@a.example>\n\n%s, %s and %s: number %d.\n",
		number, number % 7, spam ? "offers" : "colleagues", w[number % 4], number,
		spam ? "s" : "h", number, w[number % 4], w[(number + 1) % 4],
		w[(number / 4) % 4], number * 37);
	return text;
}

/* spam.mbox, and a Maildir "ham". */
static void
write_mails(void)
{
	char text[600], path[64];
	FILE *box = fopen("spam.mbox", "w");
	assert_non_null(box);
	assert_int_equal(mkdir("ham", 0700) | mkdir("ham/cur", 0700) | mkdir("ham/new", 0700) |
				 mkdir("ham/tmp", 0700),
		0);
	for (int i = 0; i < MAILS; i++) {
		fprintf(box, "From u@offers.example Sun Nov 29 10:00:00 2026\n%s\n",
			mail(true, i, text));
		snprintf(path, sizeof(path), "ham/%s/%d", i % 3 == 0 ? "new" : "cur", i);
		write_file(path, mail(false, i, text));
	}
	fclose(box);
	write_file("ham/cur/empty", "");
	write_file("one", mail(true, 1000, text));
}

/* While a file "full" is there, the disk is. */
static ssize_t
disk_write(int fd, const void *bytes, size_t n)
{
	if (access("full", F_OK) == 0) {
		errno = ENOSPC;
		return -1;
	}
	return write(fd, bytes, n);
}

static void
serve(void)
{
	struct err err;
	int fd = ipc_listen("spool/control", 0600, &err);
	assert_true(fd >= 0);
	keeper = fork();
	if (keeper != 0) {
		close(fd);
		return;
	}
	struct slice own = SLICE("own.example");
	struct loop *l = loop_new(&err);
	int spool = open("spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(l != NULL && spool >= 0);
	spam_files_calls.write = disk_write;
	struct spam_desk *desk = spam_desk_new(l, spool, NULL, &err);
	must(desk != NULL);
	spam_desk_domains(desk, &own, 1);
	must(hand_new(&(struct hand_config){
		     .loop = l, .listen_fd = fd, .other = spam_desk_hand, .arg = desk}) !=
		NULL);
	(void)loop_run(l, &err);
	_exit(1);
}

static void
kill_keeper(void)
{
	kill(keeper, SIGKILL);
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
}

static void
test_taught(void **state)
{
	(void)state;
	learn("status");
	assert_int_equal(r.status, 0);
	has("the site");
	has("own.example");
	learn("spam spam.mbox");
	assert_int_equal(r.status, 0);
	has("taught as spam: 40 new, 0 known already, 0 changed from ham\n");
	has("the site's model: 0 ham, 0 spam before; 0 ham, 40 spam now\n");
	has("warning: it has learned 0 ham");
	learn("ham ham");
	assert_int_equal(r.status, 0);
	has("taught as ham: 40 new, 0 known already, 0 changed from spam, 1 skipped\n");
	has("skipped: 1: ");
	has("ham/cur/empty)");
	has("of this ham judged above 0.9: ");
	learn("spam spam.mbox one");
	has("taught as spam: 1 new, 40 known already");
	learn("status --json");
	assert_int_equal(r.status, 0);
	has("{\"domain\":\"\",\"ham\":40,\"spam\":41,");
	has("\"stored\":true}");
	has("{\"domain\":\"own.example\",\"ham\":0,\"spam\":0,\"bytes\":0,\"taught\":null,");
}

static unsigned
number_behind(const char *text)
{
	const char *at = strstr(r.out, text);
	if (at == NULL)
		fail_msg("no %s in %s", text, r.out);
	return (unsigned)strtoul(at + strlen(text), NULL, 10);
}

/* What was taught is judged otherwise now; who dies has it on disk. */
static void
test_judged(void **state)
{
	(void)state;
	unlearn("spam.mbox");
	learn("spam --json spam.mbox");
	assert_int_equal(r.status, 0);
	assert_int_equal(number_behind("\"judged_before\":{\"mails\":"), MAILS);
	assert_int_equal(number_behind("\"judged_now\":{\"mails\":"), MAILS);
	unsigned before = number_behind("\"judged_before\":{\"mails\":40,\"above_0.9\":"),
		 now = number_behind("\"judged_now\":{\"mails\":40,\"above_0.9\":");
	assert_true(before == 0 && now > MAILS / 2);
	learn("ham --json ham");
	has("\"judged_now\":{\"mails\":40,\"above_0.9\":0,\"above_0.99\":0}");
	kill_keeper();
	serve();
	learn("ham --json ham");
	has("\"known\":40,");
	has("\"before\":{\"ham\":40,\"spam\":41}");
	has("\"stopped\":false");
}

static void
test_changed_and_back(void **state)
{
	(void)state;
	learn("ham one");
	has("taught as ham: 0 new, 0 known already, 1 changed from spam\n");
	has("40 ham, 41 spam before; 41 ham, 40 spam now\n");
	unlearn("one ham");
	assert_int_equal(r.status, 0);
	has("taken back: 41 mails, 0 that it did not know, 1 skipped\n");
	has("the site's model: 41 ham, 40 spam before; 0 ham, 40 spam now\n");
	unlearn("--json one");
	has("\"as\":\"unlearn\"");
	has("\"unknown\":1");
	unlearn("spam.mbox");
	has("0 ham, 40 spam before; 0 ham, 0 spam now\n");
}

static void
test_domain(void **state)
{
	(void)state;
	learn("spam --domain other.example one");
	assert_int_equal(r.status, 1);
	has("other.example has no model of its own");
	learn("spam --domain OWN.example one");
	assert_int_equal(r.status, 0);
	has("the model of own.example: 0 ham, 0 spam before; 0 ham, 1 spam now\n");
	assert_int_equal(access("spool/spam/domain/own.example.model", F_OK), 0);
	learn("status");
	has("the site                                0          0");
}

static void
test_standard_input(void **state)
{
	(void)state;
	char text[600], box[1400];
	snprintf(box, sizeof(box), "From a@b.example Sun Nov 29 10:00:00 2026\n%s\n",
		mail(true, 1, text));
	size_t n = strlen(box);
	snprintf(box + n, sizeof(box) - n, "From a@b.example Sun Nov 29 10:00:00 2026\n%s\n",
		mail(true, 2, text));
	tool_run_free(&r);
	r = tool_run(tool_learn, "spam -", box);
	assert_int_equal(r.status, 0);
	has("taught as spam: 2 new");
	has("by its own model alone, each before it was learned");
	tool_run_free(&r);
	r = tool_run(tool_unlearn, "-", mail(true, 1, text));
	has("taken back: 1 mails");
}

static void
test_nothing(void **state)
{
	(void)state;
	assert_int_equal(mkdir("nothing", 0700), 0);
	learn("spam nowhere nothing one");
	assert_int_equal(r.status, 1);
	has("nowhere: No such file");
	has("1 new"); /* the other one is taught all the same */
	learn("spam ham/cur/empty");
	assert_int_equal(r.status, 1);
	has("0 new, 0 known already, 0 changed from ham, 1 skipped\n");
}

static void
test_full_disk(void **state)
{
	(void)state;
	write_file("full", "");
	learn("spam spam.mbox");
	assert_int_equal(r.status, 1);
	has("learned, and not on disk: ");
	has(strerror(ENOSPC));
	learn("status");
	has("not on disk");
	learn("ham ham"); /* and what was not on disk before is told of */
	has("no figures of how these mails are judged");
	unlink("full");
	learn("spam spam.mbox");
	assert_int_equal(r.status, 0);
	has("known already");
}

/* The keeper dies while mails are taught. */
static void
test_keeper_gone(void **state)
{
	(void)state;
	int ends[2];
	char text[600];
	assert_int_equal(pipe(ends), 0);
	pid_t tool = fork();
	if (tool == 0) {
		close(ends[1]);
		struct tool t = {.config = "test.conf",
			.in = fdopen(ends[0], "r"),
			.out = tmpfile(),
			.err = fopen("said", "w")};
		char spam[] = "spam", in[] = "-";
		char *words[] = {spam, in, NULL};
		int status = tool_learn(&t, 2, words);
		fclose(t.err);
		_exit(status == 1 ? 7 : 8);
	}
	close(ends[0]);
	FILE *f = fdopen(ends[1], "w");
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 2000; i++) {
		if (i == 1000) {
			fflush(f);
			kill_keeper();
		}
		fprintf(f, "From a@b.example Sun Nov 29 10:00:00 2026\n%s\n",
			mail(true, 2000 + i, text));
	}
	fclose(f);
	int status;
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	char said[1000] = "";
	f = fopen("said", "r");
	assert_true(fread(said, 1, sizeof(said) - 1, f) > 0);
	fclose(f);
	assert_non_null(strstr(said, "teach the same again"));
	serve();
	learn("status");
	assert_int_equal(r.status, 0);
}

/* ^C: what was taught is kept. */
static void
test_interrupted(void **state)
{
	(void)state;
	int ends[2];
	char text[600], path[] = "said";
	assert_int_equal(pipe(ends), 0);
	unlearn("spam.mbox");
	pid_t tool = fork();
	if (tool == 0) {
		close(ends[1]);
		struct tool t = {.config = "test.conf",
			.in = fdopen(ends[0], "r"),
			.out = fopen(path, "w"),
			.err = stderr};
		char spam[] = "spam", in[] = "-", json[] = "--json";
		char *words[] = {spam, json, in, NULL};
		int status = tool_learn(&t, 3, words);
		fclose(t.out);
		_exit(status == 1 ? 7 : 8);
	}
	close(ends[0]);
	FILE *f = fdopen(ends[1], "w");
	for (int i = 0; i < 1000; i++)
		fprintf(f, "From a@b.example Sun Nov 29 10:00:00 2026\n%s\n",
			mail(true, i, text));
	fflush(f); /* and there it waits for more */
	usleep(500 * 1000);
	kill(tool, SIGINT);
	int status;
	assert_int_equal(waitpid(tool, &status, 0), tool);
	fclose(f);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	char said[2000] = "";
	f = fopen(path, "r");
	assert_true(fread(said, 1, sizeof(said) - 1, f) > 0);
	fclose(f);
	assert_non_null(strstr(said, "\"stopped\":true"));
	assert_non_null(strstr(said, "\"stored\":true"));
	const char *fresh = strstr(said, "\"new\":");
	assert_non_null(fresh);
	assert_in_range(strtol(fresh + 6, NULL, 10), 500, 999);
}

int
main(void)
{
	char folder[] = "/tmp/main-learn-XXXXXX";
	const struct CMUnitTest of_words[] = {cmocka_unit_test(test_words)};
	const struct CMUnitTest served[] = {
		cmocka_unit_test(test_taught),
		cmocka_unit_test(test_judged),
		cmocka_unit_test(test_changed_and_back),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_standard_input),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_keeper_gone),
		cmocka_unit_test(test_interrupted),
	};
	if (mkdtemp(folder) == NULL || chdir(folder) < 0)
		return 1;
	int failed = cmocka_run_group_tests(of_words, NULL, NULL);
	must(mkdir("spool", 0700) == 0);
	write_mails();
	write_config_least("spool \"/proc/self/cwd/spool\"\n");
	serve();
	failed += cmocka_run_group_tests(served, NULL, NULL);
	kill_keeper();
	tool_run_free(&r);
	return failed + (tree_remove(folder) != 0);
}
