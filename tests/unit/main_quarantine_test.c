/*
 * The command line of `postern quarantine`: what it refuses before anybody is asked, and what
 * it says where nobody can be. What it does on a running gateway is tested live
 * (test_quarantine.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "tooling.h"

static void
check(const char *words, int status, const char *said, bool usage)
{
	struct run r = tool_run(tool_quarantine, words, "2\n");
	if (r.status != status || strstr(r.err, said) == NULL ||
		(strstr(r.err, "usage: postern quarantine") != NULL) != usage)
		fail_msg("%s: %d, %s", words, r.status, r.err);
	assert_string_equal(r.out, "");
	tool_run_free(&r);
}

#define ID    "0123456789abcdef0123456789abcdef"
#define OTHER "0123456789abcdef0123456789abcdee"

static void
test_words(void **state)
{
	(void)state;
	static const struct {
		const char *words, *said;
	} cases[] = {
		{"bogus", "\"bogus\" cannot stand there"},
		{"list --bogus", "\"--bogus\" cannot stand there"},
		{"list --from", "\"--from\" cannot stand there"},
		{"list --from nobody", "\"nobody\" cannot stand there"},
		{"list --client mx.example", "\"mx.example\" cannot stand there"},
		{"list --since 5", "\"5\" cannot stand there"},
		{"list --limit 0", "\"0\" cannot stand there"},
		{"list --older 0s", "\"0s\" cannot stand there"},
		{"release 0123", "\"0123\" cannot stand there"},
		{"release --all --count x", "\"x\" cannot stand there"},
		{"release " ID " to x@example.com", "\"to\" cannot stand there"},
		{"list " ID, "lists by a filter"},
		{"list --count 3", "that is no option of it"},
		{"list --by anna", "that is no option of it"},
		{"list --raw", "that is no option of it"},
		{"list --unscannable", "that is no option of it"},
		{"show", "needs the ID of one mail"},
		{"show " ID " " OTHER, "needs the ID of one mail"},
		{"show --all", "needs the ID of one mail"},
		{"show " ID " --raw --text", "one of --raw, --text and --json"},
		{"show " ID " --raw --json", "one of --raw, --text and --json"},
		{"release", "needs an ID, a filter, or --all"},
		{"release --count 3", "needs an ID, a filter, or --all"},
		{"delete --limit 3", "needs an ID, a filter, or --all"},
		{"delete " ID " --virus", "IDs or a filter, not both"},
		{"forward " ID, "needs `to ADDRESS`"},
		{"forward " ID " to", "\"to\" cannot stand there"},
		{"forward to x@example.com", "needs an ID, a filter, or --all"},
		{"release " ID " --text", "that is no option of it"},
		{"release " ID " --spam", "that is no option of it"},
		{"delete " ID " --no-learn", "that is no option of it"},
		{"learn", "needs `spam` or `ham`"},
		{"learn " ID, "needs `spam` or `ham`"},
		{"learn spam", "needs an ID, a filter, or --all"},
		{"learn ham " ID " --by anna", "that is no option of it"},
		{"learn ham " ID " spam", "\"spam\" cannot stand there"},
	};
	write_config_least("");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(cases[i].words, 2, cases[i].said, true);
}

/* Right words, and nobody to ask. */
static void
test_nobody(void **state)
{
	(void)state;
	static const char *const words[] = {"", "--json", "list",
		"list --name compliance --from <> --to @example.com --client 2001:db8::1 "
		"--virus",
		"list --since 2h --older 10m --rule postern.conf:31 --limit 5 --json",
		"show " ID, "show " ID " --raw --unscannable --by anna", "show " ID " --text",
		"release " ID " " OTHER " --by anna --unscannable", "release --all --count 37",
		"delete --virus --limit 3", "release " ID " --no-learn", "delete " ID " --spam",
		"learn spam " ID " " OTHER, "learn ham --name spam --json --unscannable",
		"forward " ID " to x@Example.COM"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		write_config_least("");
		check(words[i], 1, "the configuration names no `spool`", false);
		write_config_least("spool \"/tmp/main-quarantine-nowhere\"\n");
		check(words[i], 1, "posternd does not run: nobody listens at ", false);
	}
	check("forward " ID " to x@elsewhere.example", 1,
		"elsewhere.example is not a declared domain", false);
	check("forward " ID " to x", 1, "\"x\" is no address", false);
	unlink("test.conf");
	check("", 1, "test.conf is not right", false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_nobody),
	};
	return cmocka_run_group_tests_name("main_quarantine", tests, NULL, NULL);
}
