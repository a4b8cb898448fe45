/*
 * Patterns on their way to the scanner: what is sent comes out again, what is cut or claims too
 * much is refused, and the file cannot be changed by who reads it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scan/pattern_list.h"

static const struct scan_pattern some[] = {
	{.set = 0, .kind = SCAN_PATTERN_LUHN, .nocase = true, .text = {"[0-9]+", 6}},
	{.set = 1, .kind = SCAN_PATTERN_WORDS, .text = {"one\ntwo\n", 8}},
	{.set = 1, .kind = SCAN_PATTERN_PLAIN, .text = {"", 0}},
};

static void
test_there_and_back(void **state)
{
	(void)state;
	struct err err;
	struct arena *a = arena_new(1 << 20);
	struct scan_pattern *p;
	size_t n;
	int fd = scan_pattern_list_send(some, 3, &err);
	assert_true(fd >= 0);
	assert_true(write(fd, "x", 1) < 0); /* sealed */
	assert_int_equal(scan_pattern_list_receive(fd, a, &p, &n, &err), 0);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		assert_true(p[i].set == some[i].set && p[i].kind == some[i].kind &&
			    p[i].nocase == some[i].nocase && slice_eq(p[i].text, some[i].text));
		assert_int_equal(p[i].text.p[p[i].text.n], '\0');
	}
	arena_free(&a);
}

static void
test_damaged(void **state)
{
	(void)state;
	struct err err;
	char bytes[200];
	int fd = scan_pattern_list_send(some, 3, &err);
	ssize_t all = pread(fd, bytes, sizeof(bytes), 0);
	close(fd);
	assert_true(all > 20 && all < (ssize_t)sizeof(bytes));
	for (size_t cut = 0; cut <= (size_t)all; cut++) {
		struct arena *a = arena_new(1 << 20);
		struct scan_pattern *p;
		size_t n;
		fd = memfd_create("cut", 0);
		assert_true(write(fd, bytes, cut) == (ssize_t)cut);
		int result = scan_pattern_list_receive(fd, a, &p, &n, &err);
		assert_int_equal(result, cut == (size_t)all ? 0 : -1);
		arena_free(&a);
	}
	static const unsigned char wrong[][2] = {{4, 2}, {5, 9}, {6, 7}, {0, 200}, {10, 255}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct scan_pattern *p;
		size_t n;
		char changed[sizeof(bytes)];
		memcpy(changed, bytes, sizeof(bytes));
		changed[wrong[i][0]] = (char)wrong[i][1];
		fd = memfd_create("wrong", 0);
		assert_true(write(fd, changed, (size_t)all) == all);
		assert_int_equal(scan_pattern_list_receive(fd, a, &p, &n, &err), -1);
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
