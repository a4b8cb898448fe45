/*
 * A file in memory: what went in comes out, nobody can change it any more, and of a file that
 * another process made only what fits is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/memfile.h"

enum { LARGE = 3 * 1024 * 1024 };

static char large[LARGE];

static void
test_there_and_back(void **state)
{
	(void)state;
	const struct slice rows[] = {SLICE("x"), SLICE("a few bytes\n"), {large, LARGE}};
	memset(large, 'y', sizeof(large));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_new(2 * LARGE);
		struct slice bytes;
		struct err err;
		int fd = memfile_new("a test", rows[i], &err);
		assert_true(fd >= 0);
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
		assert_true(memfile_read(fd, rows[i].n, a, &bytes));
		assert_true(slice_eq(bytes, rows[i]));
		assert_false(memfile_read(fd, rows[i].n - 1, a, &bytes));
		close(fd);
		arena_free(&a);
	}
}

static void
test_sealed(void **state)
{
	(void)state;
	struct err err;
	int fd = memfile_new("a test", SLICE("as it is"), &err);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), -1);
	close(fd);
}

static void
test_refused(void **state)
{
	(void)state;
	struct arena *a = arena_new(64 * 1024);
	struct slice bytes;
	struct err err;
	int pipe_fds[2], empty = memfile_new("a test", SLICE_NONE, &err);
	int more = memfile_new("a test", (struct slice){large, LARGE}, &err);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_true(empty >= 0 && more >= 0);
	assert_false(memfile_read(empty, 10, a, &bytes));
	assert_false(memfile_read(more, LARGE, a, &bytes)); /* no room in the arena */
	assert_false(memfile_read(pipe_fds[0], 10, a, &bytes));
	close(empty);
	close(more);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	assert_false(memfile_read(more, 10, a, &bytes)); /* it is closed */
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
