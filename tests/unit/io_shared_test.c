/*
 * Memory that processes share: what one writes the others see, one at a time, and who dies with
 * the lock in its hands is told of to the next, once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/slice.h"
#include "io/shared.h"

enum { PROCESSES = 4, TIMES = 20000 };

struct table {
	struct shared_lock lock;
	uint64_t count, hash;
};

static struct table *table;

static void
wait_for(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
test_one_at_a_time(void **state)
{
	(void)state;
	pid_t pids[PROCESSES];
	for (size_t i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] != 0)
			continue;
		for (size_t k = 0; k < TIMES; k++) {
			if (!shared_lock(&table->lock))
				_exit(1);
			*(volatile uint64_t *)&table->count += 1;
			shared_unlock(&table->lock);
		}
		_exit(0);
	}
	for (size_t i = 0; i < PROCESSES; i++)
		wait_for(pids[i]);
	assert_int_equal(table->count, PROCESSES * TIMES);
}

static void
test_died_inside(void **state)
{
	(void)state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(shared_lock(&table->lock) ? 0 : 1);
	wait_for(pid);
	alarm(20); /* a lock that is never given back would wait for ever */
	assert_false(shared_lock(&table->lock));
	shared_unlock(&table->lock);
	assert_true(shared_lock(&table->lock));
	shared_unlock(&table->lock);
	alarm(0);
}

static void
test_same_hash(void **state)
{
	(void)state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		table->hash = slice_hash(SLICE("a key"));
		_exit(0);
	}
	wait_for(pid);
	assert_int_equal(table->hash, slice_hash(SLICE("a key")));
}

static int
make_table(void **state)
{
	struct err err;
	(void)state;
	table = shared_new(sizeof(*table), "a test's table", &err);
	if (table == NULL)
		return -1;
	shared_lock_init(&table->lock);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_hash),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_died_inside),
	};
	return cmocka_run_group_tests(tests, make_table, NULL);
}
