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

/* Every day of 1600 to 2400, as one after the other; and some that are known. */
static void
test_days(void **state)
{
	(void)state;
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t next = clock_days(1600, 1, 1);
	for (int year = 1600; year <= 2400; year++) {
		bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
		for (int month = 1; month <= 12; month++) {
			int days = lengths[month - 1] + (month == 2 && leap);
			for (int day = 1; day <= days; day++)
				assert_int_equal(clock_days(year, month, day), next++);
		}
	}
	assert_int_equal(clock_days(1970, 1, 1), 0);
	assert_int_equal(clock_days(2000, 2, 29), 951782400 / 86400);
	assert_int_equal(clock_days(1601, 1, 1), -134774);
	assert_int_equal(clock_days(0, 1, 1), -719528);
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
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
