/*
 * The command line of `postern queue`: what it refuses before anybody is asked, and what it
 * says where nobody can be. What it does on a running gateway is tested live
 * (test_queue_hand.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "io/ipc.h"
#include "main/hand_client.h"
#include "tooling.h"

static void
check(const char *words, int status, const char *said)
{
	struct run r = tool_run(tool_queue, words, "y\n");
	if (r.status != status || strstr(r.err, said) == NULL)
		fail_msg("%s: %d, %s", words, r.status, r.err);
	assert_string_equal(r.out, "");
	tool_run_free(&r);
}

#define ID "0123456789abcdef0123456789abcdef"

static void
test_words(void **state)
{
	(void)state;
	const struct {
		const char *words, *said;
	} cases[] = {
		{"bogus", "there is no `queue bogus`"},
		{"--bogus", "\"--bogus\" cannot stand there"},
		{"--all", "no option of `queue `"},
		{"--yes", "no option of `queue `"},
		{"list --yes", "no option of `queue list`"},
		{"list --count 3", "no option of `queue list`"},
		{"list --sender", "\"--sender\" cannot stand there"},
		{"list --sender nobody", "\"nobody\" cannot stand there"},
		{"list --recipient x", "\"x\" cannot stand there"},
		{"list --reason weather", "\"weather\" cannot stand there"},
		{"list --kind lost", "\"lost\" cannot stand there"},
		{"list --older 5", "\"5\" cannot stand there"},
		{"list --older 5M", "\"5M\" cannot stand there"},
		{"list --older 0s", "\"0s\" cannot stand there"},
		{"list 0123", "\"0123\" cannot stand there"},
		{"list " ID " " ID, "cannot stand there"},
		{"show", "needs the ID"},
		{"why --all", "needs the ID"},
		{"body --json", "needs the ID"},
		{"drop", "needs a filter, or --all"},
		{"drop --yes", "needs a filter, or --all"},
		{"hold --count 3", "needs a filter, or --all"},
		{"expire --all --json", "no option of `queue expire`"},
		{"drop --all --count x", "\"x\" cannot stand there"},
		{"drop --all --count -1", "\"-1\" cannot stand there"},
	};
	write_config_least("");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check(cases[i].words, 2, cases[i].said);
		check(cases[i].words, 2, "usage: postern queue");
	}
}

/* Right words, and nobody to ask. */
static void
test_nobody(void **state)
{
	(void)state;
	const char *const words[] = {"", "--json", "list --sender <> --older 2h",
		"list --recipient @example.com --kind quarantine --held", "show " ID,
		"why " ID " --json", "body " ID,
		"drop --destination B\xc3\xbc"
		"cher.example --yes --count 3",
		"release --quarantine spam", "retry --reason greylisted", "hold --all"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		write_config_least("");
		check(words[i], 1, "the configuration names no `spool`");
		write_config_least("spool \"/tmp/main-queue-nowhere\"\n");
		check(words[i], 1, "posternd does not run: nobody listens at ");
	}
	unlink("test.conf");
	check("", 1, "test.conf is not right");
}

/* A keeper of another version, or none of ours: refused in words, never believed. */
static void
test_wrong_keeper(void **state)
{
	(void)state;
	struct hand_state s;
	struct err err;
	const struct {
		uint16_t type;
		uint32_t id;
		struct slice payload;
		const char *said;
	} cases[] = {
		{HAND_MSG_STATE, 1, SLICE("short"), "cannot be read"},
		{HAND_MSG_STATE, 2, SLICE(""), "something else than was asked"},
		{HAND_MSG_PAGE, 1, SLICE(""), "something else than was asked"},
		{HAND_MSG_ERROR, 0, SLICE("too many at once"), "too many at once"},
	};
	assert_int_equal(access("control", F_OK), -1);
	int listening = ipc_listen("control", 0600, &err);
	assert_true(listening >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hand_client *c = hand_client_open(SLICE("."), &err);
		assert_non_null(c);
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(ipc_write_blocking(fd, cases[i].type, cases[i].id,
					 cases[i].payload, &err),
			0);
		assert_int_equal(hand_client_state(c, &s, &err), -1);
		if (strstr(err.text, cases[i].said) == NULL)
			fail_msg("%zu: %s", i, err.text);
		close(fd);
		hand_client_close(&c);
	}
	/* Closed at once: what it said before is what counts. */
	struct hand_client *c = hand_client_open(SLICE("."), &err);
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(
		ipc_write_blocking(fd, HAND_MSG_ERROR, 0, SLICE("only root"), &err), 0);
	close(fd);
	assert_int_equal(hand_client_state(c, &s, &err), -1);
	assert_string_equal(err.text, "only root");
	hand_client_close(&c);
	close(listening);
	unlink("control");
}

int
main(void)
{
	char folder[] = "/tmp/main-queue-XXXXXX";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_wrong_keeper),
	};
	if (mkdtemp(folder) == NULL || chdir(folder) != 0)
		return 1;
	int status = cmocka_run_group_tests(tests, NULL, NULL);
	unlink("test.conf");
	if (chdir("/") == 0)
		rmdir(folder);
	return status;
}
