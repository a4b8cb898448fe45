/* Errors in words: wrapped to and fro they stay one text within its bounds, and keep their
 * code. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void
test_words(void **state)
{
	(void)state;
	struct err err;
	errno = ENOENT;
	assert_int_equal(err_sys(&err, "open %s", "file"), -1);
	assert_int_equal(err.code, ENOENT);
	assert_string_equal(err.text, "open file: No such file or directory");
	assert_int_equal(err_wrap(&err, "listener %d", 7), -1);
	assert_string_equal(err.text, "listener 7: open file: No such file or directory");
	assert_int_equal(err.code, ENOENT);
	assert_int_equal(err_set(&err, "plain"), -1);
	assert_string_equal(err.text, "plain");
	assert_int_equal(err.code, 0);
}

/* For each length around the end: always a NUL within the text, always the front of the words.
 */
static void
test_bounds(void **state)
{
	(void)state;
	enum { ROOM = sizeof(((struct err *)NULL)->text) };
	char words[ROOM + 20], all[2 * ROOM + 60];
	memset(words, 'w', sizeof(words));
	for (size_t n = ROOM - 12; n < ROOM + 12; n++) {
		struct err err;
		memset(&err, 'x', sizeof(err));
		err_set(&err, "%.*s", (int)n, words);
		assert_int_equal(strnlen(err.text, ROOM), n < ROOM - 1 ? n : ROOM - 1);
		for (int way = 0; way < 2; way++) {
			err_set(&err, "old");
			errno = EIO;
			if (way == 0)
				err_wrap(&err, "%.*s", (int)n, words);
			else
				err_sys(&err, "%.*s", (int)n, words);
			snprintf(all, sizeof(all), "%.*s: %s", (int)n, words,
				way == 0 ? "old" : strerror(EIO));
			size_t got = strnlen(err.text, ROOM);
			assert_true(got < ROOM && got >= (n < ROOM - 1 ? n : ROOM - 1));
			assert_memory_equal(err.text, all, got);
		}
		for (int i = 0; i < 50; i++)
			err_wrap(&err, "again and again");
		assert_true(strnlen(err.text, ROOM) < ROOM);
		assert_memory_equal(err.text, "again and again: again", 22);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
