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
#include "main/tool.h"

enum { WORDS_MOST = 16 };

static void
check(const char *words, int status, const char *said, bool usage)
{
	char *out, *err, *list[WORDS_MOST + 1] = {NULL};
	char input[] = "2\n";
	size_t out_bytes, err_bytes;
	int n = 0;
	struct tool t = {.config = "quarantine.conf"};
	struct arena *a = arena_new(65536);
	struct slice word, rest = slice_of(words);
	while (rest.n != 0) {
		slice_cut(rest, ' ', &word, &rest);
		assert_true(n < WORDS_MOST);
		list[n++] = arena_text(a, word);
	}
	t.in = fmemopen(input, sizeof(input) - 1, "r");
	t.out = open_memstream(&out, &out_bytes);
	t.err = open_memstream(&err, &err_bytes);
	int got = tool_quarantine(&t, n, list);
	fclose(t.in);
	fclose(t.out);
	fclose(t.err);
	if (got != status || strstr(err, said) == NULL ||
		(strstr(err, "usage: postern quarantine") != NULL) != usage)
		fail_msg("%s: %d, %s", words, got, err);
	assert_string_equal(out, "");
	free(out);
	free(err);
	arena_free(&a);
}

static void
write_config(const char *spool)
{
	FILE *f = fopen("quarantine.conf", "w");
	assert_non_null(f);
	fprintf(f,
		"hostname \"mx.example.com\"\n%s"
		"listen inbound on \"127.0.0.1:25\"\n"
		"domain \"example.com\" deliver to \"127.0.0.1:26\"\n"
		"inbound { accept }\n",
		spool);
	fclose(f);
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
	};
	write_config("");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(cases[i].words, 2, cases[i].said, true);
	/* By its name, without a word on how to call it. */
	check("learn spam " ID, 2, "`quarantine learn` comes with the spam filter", false);
	check("learn ham " ID " " OTHER, 2, "there is none yet", false);
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
		"delete --virus --limit 3", "forward " ID " to x@Example.COM"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		write_config("");
		check(words[i], 1, "the configuration names no `spool`", false);
		write_config("spool \"/tmp/main-quarantine-nowhere\"\n");
		check(words[i], 1, "posternd does not run: nobody listens at ", false);
	}
	check("forward " ID " to x@elsewhere.example", 1,
		"elsewhere.example is not a declared domain", false);
	check("forward " ID " to x", 1, "\"x\" is no address", false);
	unlink("quarantine.conf");
	check("", 1, "quarantine.conf is not right", false);
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
