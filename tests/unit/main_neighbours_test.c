/*
 * `postern explain` and the scanners beside us: nobody is asked, so a score is what the caller
 * says it would be, and has failed where nothing is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tooling.h"

#define WHO "--client 192.0.2.1 --from a@sender.example --to c@example.com "

static void
test_explain_neighbours(void **state)
{
	static const struct {
		const char *words, *out;
	} cases[] = {
		{"m.eml", "rspamd.score=failed (Rspamd: nobody was asked; say --rspamd SCORE "
			  "ACTION)"},
		{"--rspamd 1 greylist m.eml",
			"spamassassin.score=failed (SpamAssassin: nobody was asked; say "
			"--spamassassin SCORE)"},
		{"m.eml", "decision: defer"},
		{"--rspamd 15.5 greylist m.eml", "decision: reject by test.conf:7"},
		{"--rspamd 15.5 reject m.eml",
			"rspamd.score=15.5 (15.50, reject, says --rspamd)"},
		{"--rspamd -3 reject m.eml", "decision: reject by test.conf:8"},
		{"--spamassassin 5.1 --rspamd 1 greylist m.eml",
			"decision: reject by test.conf:9"},
		{"--spamassassin 4.9 m.eml --rspamd 1 greylist",
			"decision: accept by test.conf:10"},
	};
	(void)state;
	write_file("test.conf", RIGHT "filter rspamd { server \"127.0.0.1\" }\n"
				      "filter spamassassin { server \"127.0.0.1\" }\n"
				      "inbound {\n\treject if rspamd.score > 15\n"
				      "\treject if rspamd.action is \"reject\"\n"
				      "\treject if spamassassin.score > 5\n\taccept\n}\n");
	write_file("dns", "silent.example FAIL\n");
	write_file("m.eml", "From: a@sender.example\nTo: c@example.com\n"
			    "Date: Sun, 22 Nov 2026 03:00:00 +0000\n\nbody\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char words[300];
		snprintf(words, sizeof(words), WHO "--dns dns %s", cases[i].words);
		struct run r = tool_run(tool_explain, words, "");
		if (strstr(r.out, cases[i].out) == NULL)
			fail_msg("%s: %s%s", cases[i].words, r.out, r.err);
		tool_run_free(&r);
	}
	static const char *const wrong[] = {WHO "m.eml --rspamd 15",
		WHO "--rspamd high reject m.eml", WHO "--spamassassin 1e9 m.eml",
		WHO "m.eml --spamassassin"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct run r = tool_run(tool_explain, wrong[i], "");
		assert_int_equal(r.status, 2);
		assert_non_null(strstr(r.err, "usage"));
		tool_run_free(&r);
	}
	unlink("dns");
	unlink("m.eml");
}

int
main(void)
{
	char folder[] = "/tmp/main-neighbours-XXXXXX";
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_explain_neighbours)};
	if (mkdtemp(folder) == NULL || chdir(folder) != 0)
		return 1;
	int status = cmocka_run_group_tests(tests, NULL, NULL);
	unlink("test.conf");
	if (chdir("/") == 0)
		rmdir(folder);
	return status;
}
