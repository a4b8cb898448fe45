/*
 * Where a mail lies while a session has it: in memory, then in a file; the file when another
 * process needs one; and no directory (SRV-06). Other processes get a descriptor that can only
 * be read (DESIGN.md, "Processes").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session/spill.h"

static char dir[] = "/tmp/spill-test-XXXXXX";
static int dir_fd = -1;
static char bytes[3 * SPILL_MEMORY_MOST];

static void
assert_file(struct spill *s, size_t n)
{
	static char got[sizeof(bytes) + 1];
	struct err err;
	int fd = spill_file(s, &err);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, got, sizeof(got), 0), n);
	assert_memory_equal(got, bytes, n);
	assert_int_equal(spill_file(s, &err), fd);
}

static void
add(struct spill *s, size_t from, size_t n)
{
	struct err err;
	assert_int_equal(spill_add(s, (struct slice){bytes + from, n}, &err), 0);
}

static void
test_memory(void **state)
{
	(void)state;
	struct slice in_memory;
	struct spill *s = spill_new(-1);
	assert_true(spill_memory(s, &in_memory));
	assert_int_equal(in_memory.n, 0);
	add(s, 0, 0);
	add(s, 0, 1000);
	add(s, 1000, SPILL_MEMORY_MOST - 1000);
	assert_int_equal(spill_bytes(s), SPILL_MEMORY_MOST);
	assert_true(spill_memory(s, &in_memory));
	assert_true(slice_eq(in_memory, (struct slice){bytes, SPILL_MEMORY_MOST}));
	spill_free(&s);
	assert_null(s);
	spill_free(&s);
}

/* Without a directory the bound is where the mail ends, and what is there stays. */
static void
test_no_directory(void **state)
{
	(void)state;
	struct slice in_memory;
	struct err err;
	struct spill *s = spill_new(-1);
	add(s, 0, SPILL_MEMORY_MOST);
	assert_int_equal(spill_add(s, SLICE("x"), &err), -1);
	assert_non_null(strstr(err.text, "directory"));
	assert_int_equal(spill_file(s, &err), -1);
	assert_int_equal(spill_bytes(s), SPILL_MEMORY_MOST);
	assert_true(spill_memory(s, &in_memory));
	spill_free(&s);
}

static void
test_past_the_bound(void **state)
{
	(void)state;
	static const size_t firsts[] = {0, 1, SPILL_MEMORY_MOST - 1, SPILL_MEMORY_MOST};
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		struct slice in_memory;
		struct spill *s = spill_new(dir_fd);
		add(s, 0, firsts[i]);
		add(s, firsts[i], SPILL_MEMORY_MOST + 1 - firsts[i]);
		assert_false(spill_memory(s, &in_memory));
		add(s, SPILL_MEMORY_MOST + 1, sizeof(bytes) - SPILL_MEMORY_MOST - 1);
		assert_int_equal(spill_bytes(s), sizeof(bytes));
		assert_file(s, sizeof(bytes));
		spill_free(&s);
	}
}

/* A file on demand leaves the bytes in memory where they are; what comes later goes to it. */
static void
test_on_demand(void **state)
{
	(void)state;
	struct slice before, after;
	struct spill *s = spill_new(dir_fd);
	add(s, 0, 70000);
	assert_true(spill_memory(s, &before));
	assert_file(s, 70000);
	assert_true(spill_memory(s, &after));
	assert_ptr_equal(before.p, after.p);
	assert_true(slice_eq(after, (struct slice){bytes, 70000}));
	add(s, 70000, 10);
	assert_false(spill_memory(s, &after));
	assert_file(s, 70010);
	spill_free(&s);
	s = spill_new(dir_fd);
	assert_file(s, 0);
	spill_free(&s);
}

/* What another process gets cannot change the mail, nor where the session writes on. */
static void
test_reader(void **state)
{
	(void)state;
	struct err err;
	struct stat st;
	struct spill *s = spill_new(dir_fd);
	add(s, 0, 1000);
	int fd = spill_file(s, &err);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	add(s, 1000, 1000);
	assert_file(s, 2000);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	spill_free(&s);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* A full disk is an error, and the mail is as it was before (SRV-06). */
static void
test_full(void **state)
{
	(void)state;
	struct err err;
	struct slice in_memory;
	int full = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct spill *s = spill_new(full);
	add(s, 0, SPILL_MEMORY_MOST);
	assert_int_equal(spill_add(s, SLICE("x"), &err), -1);
	assert_true(err.code != 0);
	assert_true(spill_memory(s, &in_memory));
	assert_true(slice_eq(in_memory, (struct slice){bytes, SPILL_MEMORY_MOST}));
	spill_free(&s);
	close(full);
}

static int
make_dir(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 31 + i / 251);
	if (mkdtemp(dir) == NULL)
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd >= 0 ? 0 : -1;
}

/* Nothing has stayed: the folder can be removed. */
static int
remove_dir(void **state)
{
	(void)state;
	close(dir_fd);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_no_directory),
		cmocka_unit_test(test_past_the_bound),
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
