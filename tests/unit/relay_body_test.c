/* The pieces of a mail: added, cut and read in pieces of every size (MIM-09). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay/body.h"

#define HEADER "A: 1\r\nB: 2\r\nC: 3\r\n\r\n"
#define TEXT   "in memory\r\n"
#define REST   "in the spill file\r\n"

static int
spill_file(void)
{
	char path[] = "/tmp/relay-body-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, "xx" REST, sizeof("xx" REST) - 1), sizeof("xx" REST) - 1);
	return fd;
}

static void
check(const struct relay_body *b, const char *wanted)
{
	assert_int_equal(b->bytes, slice_of(wanted).n);
	for (size_t most = 1; most <= b->bytes + 1; most++) {
		struct relay_reader r;
		struct buf all, scratch;
		struct err err;
		buf_init(&all, 4096);
		buf_init(&scratch, 7);
		relay_reader_init(&r, b);
		struct slice piece;
		do {
			assert_int_equal(
				relay_reader_next(&r, most, &scratch, &piece, &err), 0);
			assert_true(piece.n <= most);
			assert_int_equal(buf_add(&all, piece), 0);
		} while (piece.n > 0);
		assert_true(slice_eq(buf_slice(&all), slice_of(wanted)));
		buf_fini(&all);
		buf_fini(&scratch);
	}
}

struct cut {
	uint64_t offset, length;
	const char *left;
};

static void
test_cuts(void **state)
{
	static const struct cut cuts[] = {
		{0, 0, HEADER TEXT REST},
		{0, 6, "B: 2\r\nC: 3\r\n\r\n" TEXT REST},
		{6, 6, "A: 1\r\nC: 3\r\n\r\n" TEXT REST},
		{12, 6, "A: 1\r\nB: 2\r\n\r\n" TEXT REST},
		{18, 4, "A: 1\r\nB: 2\r\nC: 3\r\n memory\r\n" REST},
		{20, sizeof(TEXT) - 1, HEADER REST},
		{26, 10, HEADER "in meme spill file\r\n"},
		{20 + sizeof(TEXT) - 1 + 3, 4, HEADER TEXT "in spill file\r\n"},
		{20 + sizeof(TEXT) - 1, sizeof(REST) - 1, HEADER TEXT},
		{0, 20 + sizeof(TEXT REST) - 1, ""},
	};
	(void)state;
	int fd = spill_file();
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct arena *a = arena_new(65536);
		struct relay_body b;
		relay_body_init(&b, a);
		assert_int_equal(relay_body_add(&b, SLICE(HEADER)), 0);
		assert_int_equal(relay_body_add(&b, SLICE(TEXT)), 0);
		assert_int_equal(relay_body_add_file(&b, fd, 2, sizeof(REST) - 1), 0);
		assert_int_equal(relay_body_cut(&b, cuts[i].offset, cuts[i].length), 0);
		check(&b, cuts[i].left);
		arena_free(&a);
	}
	close(fd);
}

static void
test_prefix_and_many_cuts(void **state)
{
	(void)state;
	struct arena *a = arena_new(65536);
	struct relay_body b;
	relay_body_init(&b, a);
	relay_body_add(&b, SLICE(HEADER));
	relay_body_add(&b, SLICE_NONE);
	relay_body_cut(&b, 12, 6);
	relay_body_cut(&b, 0, 6);
	relay_body_prefix(&b, SLICE("Received: us\r\n"));
	check(&b, "Received: us\r\nB: 2\r\n\r\n");
	arena_free(&a);
}

/* Between any two bytes, in memory and in the file, and at both ends. */
static void
test_insert(void **state)
{
	static const char all[] = HEADER TEXT REST;
	(void)state;
	int fd = spill_file();
	for (size_t at = 0; at < sizeof(all); at++) {
		struct arena *a = arena_new(65536);
		struct relay_body b;
		char wanted[sizeof(all) + 8];
		snprintf(wanted, sizeof(wanted), "%.*s[new]%s", (int)at, all, all + at);
		relay_body_init(&b, a);
		assert_int_equal(relay_body_add(&b, SLICE(HEADER)), 0);
		assert_int_equal(relay_body_add(&b, SLICE(TEXT)), 0);
		assert_int_equal(relay_body_add_file(&b, fd, 2, sizeof(REST) - 1), 0);
		assert_int_equal(relay_body_insert(&b, at, SLICE("[new]")), 0);
		assert_int_equal(relay_body_insert(&b, at, SLICE_NONE), 0);
		assert_int_equal(b.bytes, sizeof(all) - 1 + 5);
		check(&b, wanted);
		arena_free(&a);
	}
	close(fd);
}

static void
test_add_all(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct relay_body one, other, many;
	int fd = spill_file();
	relay_body_init(&one, a);
	relay_body_init(&other, a);
	relay_body_init(&many, a);
	assert_int_equal(relay_body_add(&one, SLICE(HEADER)), 0);
	assert_int_equal(relay_body_add(&other, SLICE(TEXT)), 0);
	assert_int_equal(relay_body_add_file(&other, fd, 2, sizeof(REST) - 1), 0);
	assert_int_equal(relay_body_add_all(&one, &other), 0);
	check(&one, HEADER TEXT REST);
	check(&other, TEXT REST);
	for (size_t i = 0; i < RELAY_PARTS_MOST; i++)
		assert_int_equal(relay_body_add(&many, SLICE("x")), 0);
	assert_int_equal(relay_body_add_all(&many, &other), -1);
	close(fd);
	arena_free(&a);
}

static void
test_too_many_parts(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct relay_body b;
	relay_body_init(&b, a);
	for (size_t i = 0; i < RELAY_PARTS_MOST; i++)
		assert_int_equal(relay_body_add(&b, SLICE("ab")), 0);
	assert_int_equal(relay_body_add(&b, SLICE("ab")), -1);
	assert_int_equal(relay_body_cut(&b, 1, 1), -1);
	assert_int_equal(relay_body_insert(&b, 2, SLICE("x")), -1);
	arena_free(&a);
}

/* A spill file that lost its end is an error, never a mail that ends too soon. */
static void
test_short_file(void **state)
{
	(void)state;
	int fd = spill_file();
	struct arena *a = arena_new(65536);
	struct relay_body b;
	struct relay_reader r;
	struct buf scratch;
	struct slice piece;
	struct err err;
	buf_init(&scratch, 4096);
	relay_body_init(&b, a);
	relay_body_add_file(&b, fd, 2, sizeof(REST) + 5);
	relay_reader_init(&r, &b);
	assert_int_equal(relay_reader_next(&r, 4096, &scratch, &piece, &err), 0);
	assert_int_equal(piece.n, sizeof(REST) - 1);
	assert_int_equal(relay_reader_next(&r, 4096, &scratch, &piece, &err), -1);
	buf_fini(&scratch);
	arena_free(&a);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_prefix_and_many_cuts),
		cmocka_unit_test(test_insert),
		cmocka_unit_test(test_add_all),
		cmocka_unit_test(test_too_many_parts),
		cmocka_unit_test(test_short_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
