/*
 * The clock of notices: one in a minute for each rule and address, over all processes; what was
 * left out is counted; a process that is killed inside locks nobody out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session/notify.h"

static struct notices *table;

static const struct rule one = {.at = {"a.conf", 3, 1}, .text = {"pm@example.com", 14}};
static const struct rule same = {.at = {"a.conf", 3, 1}, .text = {"PM@example.com", 14}};
static const struct rule line = {.at = {"a.conf", 4, 1}, .text = {"pm@example.com", 14}};
static const struct rule file = {.at = {"b.conf", 3, 1}, .text = {"pm@example.com", 14}};
static const struct rule other = {.at = {"a.conf", 3, 1}, .text = {"o@example.com", 13}};

static int
begin(void **state)
{
	struct err err;
	(void)state;
	table = notices_new(&err);
	return table == NULL;
}

static void
test_once_a_minute(void **state)
{
	(void)state;
	uint64_t left;
	assert_true(notices_take(table, &one, 1000, &left));
	assert_int_equal(left, 0);
	assert_false(notices_take(table, &one, 1000, &left));
	assert_false(notices_take(table, &same, 60000, &left));
	assert_false(notices_take(table, &one, 60999, &left));
	assert_true(notices_take(table, &one, 61000, &left));
	assert_int_equal(left, 3);
	assert_false(notices_take(table, &one, 100000, &left));
	assert_true(notices_take(table, &one, 500000, &left));
	assert_int_equal(left, 1);
}

static void
test_each_for_itself(void **state)
{
	(void)state;
	const struct rule *const rules[] = {&one, &line, &file, &other};
	uint64_t left;
	for (size_t i = 0; i < 4; i++)
		assert_true(notices_take(table, rules[i], 1000000, &left));
	for (size_t i = 0; i < 4; i++)
		assert_false(notices_take(table, rules[i], 1000001, &left));
}

/* What another process has taken is taken. */
static void
test_over_processes(void **state)
{
	(void)state;
	uint64_t left;
	int status = -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(notices_take(table, &one, 2000000, &left) &&
					!notices_take(table, &one, 2000001, &left)
				? 0
				: 1);
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_int_equal(status, 0);
	assert_false(notices_take(table, &one, 2000002, &left));
	assert_true(notices_take(table, &one, 2060000, &left));
	assert_int_equal(left, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_once_a_minute, begin),
		cmocka_unit_test_setup(test_each_for_itself, begin),
		cmocka_unit_test_setup(test_over_processes, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
