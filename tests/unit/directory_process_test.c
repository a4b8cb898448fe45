/*
 * The directory process as posternd starts it, sandbox and all, with a database of SQLite and
 * directories that are not there: what it answers, to whom, and that nothing ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "conf_text.h"
#include "directory/directory.h"
#include "directory/messages.h"
#include "serving.h"

static struct serving server;
static struct conf *conf;
static char folder[] = "/tmp/directory-test-XXXXXX";
static char database[64];

static void
sql(const char *text)
{
	sqlite3 *db;
	char *error = NULL;
	assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", text, error);
	sqlite3_close(db);
}

static int
run(void *arg)
{
	return directory_main(arg);
}

static int
set_up(void **state)
{
	static struct directory_start start;
	char text[2000];
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(database, sizeof(database), "%s/people.db", folder);
	sql("CREATE TABLE people (mail TEXT); INSERT INTO people VALUES ('bob@example.com');"
	    "INSERT INTO people VALUES ('o''brien@example.com')");
	snprintf(text, sizeof(text),
		"hostname \"mx.example.com\"\n"
		"listen inbound on \"127.0.0.1:25\"\n"
		"resolver \"127.0.0.1:9\" insecure\n"
		"domain \"example.com\" deliver to \"10.0.0.5\"\n"
		"table lite sql \"sqlite:%s\" query \"SELECT 1 FROM people WHERE mail = ?1\"\n"
		"table slow sql \"sqlite:%s\" query \"WITH RECURSIVE c(x) AS (SELECT ?1 UNION "
		"ALL SELECT x FROM c) SELECT 1 FROM c WHERE x = 'never'\"\n"
		"table wrong sql \"sqlite:%s\" query \"SELECT 1 FROM absent WHERE mail = "
		"?1\"\n"
		"table ldap ldap \"ldap://127.0.0.1:9/dc=x\" filter \"(mail=%%s)\"\n"
		"table pg sql \"postgresql://a@127.0.0.1:9/x\" query \"SELECT 1 WHERE 'x' = "
		"$1\"\n"
		"table items { \"a\" }\n"
		"filter directory { timeout 1s cache 1s }\n"
		"inbound { accept }\n",
		database, database, database);
	conf = conf_text(text);
	start.conf = conf;
	start.control_fd = serving_prepare(&server);
	struct child_spec spec = {.kind = "directory", .run = run, .arg = &start};
	serving_start(&server, &spec, start.control_fd);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	serving_stop(&server);
	unlink(database);
	rmdir(folder);
	conf_free(&conf);
	return 0;
}

/* "yes", "no", or why it failed. */
static void
expect(const char *table, struct slice value, const char *want)
{
	struct directory_lookup l = {slice_of(table), value};
	struct directory_answer a;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	directory_lookup_pack(&l, &out);
	assert_true(ipc_out_ok(&out, &payload));
	const struct serving_answer *got =
		serving_ask_and_wait(&server, DIRECTORY_MSG_LOOKUP, payload, -1);
	ipc_out_fini(&out);
	assert_false(got->lost);
	assert_int_equal(got->type, DIRECTORY_MSG_ANSWER);
	assert_true(directory_answer_unpack(buf_slice(&got->payload), &a));
	const char *word = a.found == DIRECTORY_YES  ? "yes"
			   : a.found == DIRECTORY_NO ? "no"
						     : "failed";
	bool right = strcmp(word, want) == 0 ||
		     (a.found == DIRECTORY_FAILED &&
			     slice_find_slice(a.why, slice_of(want)) < a.why.n);
	if (!right)
		fail_msg("%s %.*s: %s %.*s, not %s", table, SLICE_ARG(value), word,
			SLICE_ARG(a.why), want);
	serving_clear(&server);
}

static void
test_answers(void **state)
{
	static const struct {
		const char *table;
		struct slice value;
		const char *want;
	} cases[] = {
		{"lite", {"bob@example.com", 15}, "yes"},
		{"lite", {"bob@example.con", 15}, "no"},
		{"lite", {"o'brien@example.com", 19}, "yes"},
		{"lite", {"' OR 1=1 --", 11}, "no"},
		{"lite", {"?1", 2}, "no"},
		{"lite", {"%", 1}, "no"},
		{"lite", {"", 0}, "no"},
		{"lite", {"bob@example.com\0", 16}, "no"},
		{"lite", {"\xff\xfe", 2}, "no"},
		{"lite", {"\xc0\x80", 2}, "no"},
		{"lite", {"\xed\xa0\x80", 3}, "no"},
		{"lite", {"\xe2\x82", 2}, "no"},
		{"slow", {"x", 1}, "longer than 200 ms"},
		{"wrong", {"x", 1}, "no such table: absent"},
		{"ldap", {"x", 1}, "refused"},
		{"pg", {"x", 1}, "refused"},
		{"items", {"a", 1}, "no such table"},
		{"nobody", {"a", 1}, "no such table"},
		{"lite", {"bob@example.com", 15}, "yes"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i].table, cases[i].value, cases[i].want);
}

/* What changes in the file is seen when what was kept is over. */
static void
test_changes(void **state)
{
	(void)state;
	expect("lite", SLICE("new@example.com"), "no");
	sql("INSERT INTO people VALUES ('new@example.com')");
	expect("lite", SLICE("new@example.com"), "no");
	serving_run_for(&server, 1100);
	expect("lite", SLICE("new@example.com"), "yes");
}

static void
test_a_message_that_is_none(void **state)
{
	(void)state;
	struct directory_answer a;
	const struct serving_answer *got =
		serving_ask_and_wait(&server, DIRECTORY_MSG_LOOKUP, SLICE("x"), -1);
	assert_true(directory_answer_unpack(buf_slice(&got->payload), &a));
	assert_int_equal(a.found, DIRECTORY_FAILED);
	serving_clear(&server);
	got = serving_ask_and_wait(&server, 77, SLICE(""), -1);
	assert_true(directory_answer_unpack(buf_slice(&got->payload), &a));
	assert_int_equal(a.found, DIRECTORY_FAILED);
	serving_clear(&server);
	expect("lite", SLICE("bob@example.com"), "yes");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_a_message_that_is_none),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
