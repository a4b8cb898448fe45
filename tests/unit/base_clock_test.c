/* Dates of header fields (RFC 5322 3.3), in UTC whatever the system's zone and language are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void
test_date(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *date;
	} rows[] = {
		{0, "Thu, 1 Jan 1970 00:00:00 +0000"},
		{999, "Thu, 1 Jan 1970 00:00:00 +0000"},
		{951782400000, "Tue, 29 Feb 2000 00:00:00 +0000"},
		{1795316645000, "Sun, 22 Nov 2026 03:04:05 +0000"},
		{2147483648000, "Tue, 19 Jan 2038 03:14:08 +0000"},
		{4102444799999, "Thu, 31 Dec 2099 23:59:59 +0000"},
	};
	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[CLOCK_DATE_BYTES];
		struct slice s = clock_date(rows[i].ms, buf);
		assert_string_equal(buf, rows[i].date);
		assert_int_equal(s.n, strlen(rows[i].date));
	}
}

static void
test_runs(void **state)
{
	(void)state;
	uint64_t before = clock_ms();
	int64_t wall = clock_wall_ms();
	nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
	assert_true(clock_ms() >= before + 2 && clock_ms() < before + 60000);
	assert_true(wall / 1000 >= time(NULL) - 60 && wall / 1000 <= time(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
