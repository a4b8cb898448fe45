/*
 * The spam filter in the commands of `postern`: the table of its evidence, what `explain` says
 * of a mail, and that the site's models out of the spool are heard there as at the gate.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "filters/spam_evidence.h"
#include "filters/spam_model.h"
#include "queue/spam_files.h"
#include "tooling.h"

#define WHO "--client 192.0.2.1 --from a@sender.example --to c@example.com "

/* All evidence, weighed as the configuration says; without one, as shipped. */
static void
test_facts_spam(void **state)
{
	(void)state;
	unlink("test.conf");
	struct run r = tool_run(tool_facts, "spam", "");
	assert_int_equal(r.status, 0);
	for (size_t i = 0; i < SPAM_EVIDENCES; i++) {
		const struct spam_evidence *e = &spam_evidence_table[i];
		const struct spam_group_bound *group = &spam_group_bounds[e->group];
		char line[100];
		snprintf(line, sizeof(line), "\n%-26s %+7.2f %+7.2f %+7.2f ", e->name,
			e->weight, e->weight, e->weight < 0 ? group->least : group->most);
		assert_non_null(strstr(r.out, line));
		assert_non_null(strstr(r.out, spam_evidence_table[i].text));
	}
	tool_run_free(&r);
	write_config(
		RIGHT "filter spam { weight \"list.client\" -2.5 }\ninbound {\n\taccept\n}\n");
	r = tool_run(tool_facts, "spam", "");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "\nlist.client                  -2.50   +1.00  +20.00 "));
	assert_non_null(strstr(r.out, "\nlist.link                    +1.00   +1.00  +20.00 "));
	tool_run_free(&r);
	write_config(
		RIGHT "filter spam {\n\tweight \"list.cleint\" 1\n}\ninbound {\n\taccept\n}\n");
	r = tool_run(tool_facts, "spam", "");
	assert_int_equal(r.status, 1);
	assert_string_equal(r.err,
		"test.conf:5:9: error: there is no evidence \"list.cleint\" (did "
		"you mean \"list.client\"?)\n");
	assert_string_equal(r.out, "");
	tool_run_free(&r);
	r = tool_run(tool_check, "", "");
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "there is no evidence \"list.cleint\""));
	tool_run_free(&r);
	r = tool_run(tool_facts, "spma", "");
	assert_int_equal(r.status, 2);
	tool_run_free(&r);
}

/* What speaks for spam stands behind the fact. */
static void
test_explain_spam(void **state)
{
	(void)state;
	write_config(RIGHT "filter spam { client list \"zen.example\" weight 3 }\ninbound {\n"
			   "\treject if spam.why contains \"nothing of the kind\"\n"
			   "\ttag \"X-Spam: yes\" if spam > 0.001\n\taccept\n}\n");
	write_file("dns", "1.2.0.192.zen.example A 127.0.0.2\nsilent.example FAIL\n");
	write_file("m.eml", "From: a@sender.example\nTo: c@example.com\n"
			    "Date: Sun, 22 Nov 2026 03:00:00 +0000\n\nbody\n");
	for (int silent = 0; silent < 2; silent++) {
		struct run r = tool_run(tool_explain,
			silent ? WHO "--dns nobody m.eml" : WHO "--dns dns m.eml", "");
		assert_string_equal(r.err, "");
		assert_int_equal(r.status, 0);
		const char *spam = strstr(r.out, "\n\tspam=0.");
		assert_non_null(spam);
		const char *listed =
			strstr(spam, "list.client +3.00 (192.0.2.1 on zen.example)");
		assert_int_equal(listed != NULL, silent == 0);
		assert_non_null(strstr(r.out, "true        tag \"X-Spam: yes\""));
		assert_non_null(strstr(r.out, "decision: accept by test.conf:8\n"));
		tool_run_free(&r);
		write_file("nobody", "1.2.0.192.zen.example FAIL\nsender.example FAIL\n");
	}
	unlink("nobody");
	unlink("dns");
	unlink("m.eml");
}

static void
teach(struct spam_model *m, int i, bool spam)
{
	struct arena *a = arena_new(64 << 20);
	struct spam_view view;
	struct spam_features features;
	struct slice mail = arena_printf(a,
		"From: a%d@sender.example\nTo: c@example.com\nSubject: %s number %d\n\n%s %d\n",
		i, spam ? "cheap watches" : "minutes of the meeting", i,
		spam ? "buy cheap watches" : "the minutes of our meeting are below", i);
	spam_view_of_mail(mail, SLICE("mx.example.com"), a, &view);
	spam_features_of(&view, a, &features);
	assert_int_equal(spam_model_learn(m, &features, spam), SPAM_LEARNED);
	arena_free(&a);
}

static void
store_model(int dir, const char *name, const struct spam_model *m)
{
	struct err err;
	size_t n = spam_model_file_bytes(m);
	uint8_t *bytes = mem_new(n);
	spam_model_pack(m, bytes);
	assert_int_equal(
		spam_files_write(dir, name, (struct slice){(char *)bytes, n}, &err), 0);
	mem_free(bytes);
}

/* What the site has taught counts, and what a domain has taught for its recipients. */
static void
test_explain_models(void **state)
{
	char cwd[2000], text[4000];
	struct err err;
	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(text, sizeof(text),
		"spool \"%s/spool\"\n" RIGHT
		"domain \"example.org\" deliver to \"127.0.0.1:26\"\n"
		"filter spam { model for { \"example.org\" } }\n"
		"inbound {\n\ttag \"X-A: b\" if spam > 2 or spam.domain > 2\n\taccept\n}\n",
		cwd);
	write_config(text);
	write_file("dns", "");
	write_file("m.eml",
		"From: z@sender.example\nTo: c@example.com\nSubject: cheap watches\n"
		"Date: Sun, 22 Nov 2026 03:00:00 +0000\n\nbuy cheap watches\n");
	static const char words[] = "--client 192.0.2.1 --from a@sender.example --to "
				    "c@example.com --to c@example.org --dns dns m.eml";
	struct run r = tool_run(tool_explain, words, ""); /* nothing was taught */
	assert_int_equal(r.status, 0);
	assert_null(strstr(r.out, "model.site"));
	assert_null(strstr(r.out, "left out"));
	tool_run_free(&r);
	struct spam_model *m = spam_model_new();
	for (int i = 0; i < 60; i++)
		teach(m, i, i % 2 != 0);
	assert_int_equal(mkdir("spool", 0700), 0);
	int spool = open("spool", O_RDONLY | O_DIRECTORY), dir = spam_files_open(spool, &err);
	assert_true(dir >= 0);
	store_model(dir, "site.model", m);
	store_model(dir, "domain/example.org.model", m);
	r = tool_run(tool_explain, words, "");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "spam=0."));
	assert_non_null(strstr(r.out, "model.site +"));
	const char *second = strstr(r.out, "recipient c@example.org");
	assert_non_null(second);
	assert_non_null(strstr(second, "model.domain +"));
	assert_true(strstr(r.out, "model.domain") > second);
	tool_run_free(&r);
	assert_int_equal(spam_files_write(dir, "site.model", SLICE("nonsense"), &err), 0);
	r = tool_run(tool_explain, words, "");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "what was taught is left out: "));
	tool_run_free(&r);
	close(dir);
	close(spool);
	spam_model_free(&m);
	unlink("spool/spam/site.model");
	unlink("spool/spam/domain/example.org.model");
	rmdir("spool/spam/domain");
	rmdir("spool/spam");
	rmdir("spool");
	unlink("dns");
	unlink("m.eml");
}

static int
enter_folder(void **state)
{
	static char folder[] = "/tmp/postern_tool.XXXXXX";
	*state = folder;
	return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int
leave_folder(void **state)
{
	unlink("test.conf");
	return chdir("/") != 0 || rmdir(*state) != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts_spam),
		cmocka_unit_test(test_explain_spam),
		cmocka_unit_test(test_explain_models),
	};
	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
