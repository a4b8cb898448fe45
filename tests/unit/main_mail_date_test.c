/*
 * When a mail came: dates as RFC 5322 has them and as old programs write them, and which one
 * of a header is meant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <time.h>

#include "base/clock.h"
#include "feed.h"
#include "main/mail_date.h"

struct date_case {
	const char *text;
	int64_t seconds; /* -1: no date */
};

static const struct date_case dates[] = {
	{"Thu, 01 Jan 1970 00:00:00 +0000", 0},
	{"Fri, 21 Nov 1997 09:55:06 -0600", 880127706},
	{" Sat, 1 Jan 2005 09:05:00 +0100 (CET)", 1104566700},
	{"1 Jan 2005 09:05 +0100", 1104566700},
	{"Saturday, 1-January-05 03:05:00 EST", 1104566700},
	{"sat 1 jan 105 08:05:00 GMT", 1104566700},
	{"Sat, 1 Jan 2005 08:05:00", 1104566700},
	{"Sat, 1 Jan 2005 08:05:00 XYZ", 1104566700},
	{"Sat, 1 Jan 2005 08:05:00 +01", 1104566700},
	{"Tue, 29 Feb 2000 00:00:00 Z", 951782400},
	{"31 Dec 49 23:59:59 PDT", 2524633199},
	{"1 Jan 99 00:00:00 UT", 915148800},
	{"\r\n\tSat,\r\n\t1 Jan 2005\r\n 08:05:00", 1104566700},
	{"", -1},
	{"now", -1},
	{"Sat", -1},
	{"Sat, 1", -1},
	{"Sat, 1 Jan", -1},
	{"Sat, 1 Jan 2005", -1},
	{"Sat, 1 Jan 2005 24:00:00", -1},
	{"Sat, 1 Jan 2005 08:60:00", -1},
	{"Sat, 32 Jan 2005 08:05:00", -1},
	{"Sat, 0 Jan 2005 08:05:00", -1},
	{"Sat, 1 Foo 2005 08:05:00", -1},
	{"Sat, 1 Jan 1969 08:05:00", -1},
	{"Sat, 1 Jan 2005 08:05:", -1},
};

static void
test_dates(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		struct guarded g = guarded_new(slice_of(dates[i].text));
		int64_t ms = mail_date(g.in);
		if (ms != (dates[i].seconds < 0 ? -1 : dates[i].seconds * 1000))
			fail_msg("\"%s\": %lld", dates[i].text, (long long)ms);
		guarded_free(&g);
	}
}

/* Every day of 130 years, as the clock writes it and as libc counts it. */
static void
test_days(void **state)
{
	(void)state;
	char buf[CLOCK_DATE_BYTES], iso[32];
	for (int64_t day = 0; day < 365 * 130; day++) {
		int64_t ms = (day * 86400 + day % 86400) * 1000;
		time_t t = (time_t)(ms / 1000);
		struct tm tm;
		assert_int_equal(mail_date(clock_date(ms, buf)), ms);
		assert_non_null(gmtime_r(&t, &tm));
		assert_true(strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%M:%SZ", &tm) != 0);
		assert_int_equal(mail_date_iso(slice_of(iso)), ms);
	}
	assert_int_equal(mail_date_iso(SLICE("2005-01-01")), INT64_C(1104537600000));
	assert_int_equal(mail_date_iso(SLICE("2005-01-01 08:05")), INT64_C(1104566700000));
	assert_int_equal(mail_date_iso(SLICE("2005-13-01")), -1);
	assert_int_equal(mail_date_iso(SLICE("2005-01-01Tx")), -1);
	assert_int_equal(mail_date_iso(SLICE("")), -1);
}

#define D1 "Thu, 1 Jan 1970 00:00:01 +0000"
#define D2 "Thu, 1 Jan 1970 00:00:02 +0000"
#define D3 "Thu, 1 Jan 1970 00:00:03 +0000"

static void
test_of_mail(void **state)
{
	static const struct {
		const char *mail;
		int64_t received, date;
	} cases[] = {
		{"Received: from a; b\r\n by c; " D1 "\r\nReceived: x; " D2 "\r\nDate: " D3
		 "\r\nDate: " D1 "\r\n\r\n",
			1000, 3000},
		{"date:" D3 "\nRECEIVED: from a by b;\n\t" D2 "\n\nhello", 2000, 3000},
		{"\n\nDate:\n " D3, -1, 3000},
		{"X: 1\n\nDate: " D3 "\nReceived: x; " D1 "\n", -1, -1},
		{"Received: no date\nReceived: x; " D1 "\nDate: today\nDate: " D1 "\n", -1, -1},
		{"", -1, -1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guarded g = guarded_new(slice_of(cases[i].mail));
		struct mail_dates d = mail_dates_of(g.in);
		assert_int_equal(d.received, cases[i].received);
		assert_int_equal(d.date, cases[i].date);
		guarded_free(&g);
	}
}

/* Cut at each byte, nothing behind the end is read. */
static void
test_cut(void **state)
{
	static const struct slice mail =
		SLICE("Received: from a by b;\r\n\tSat, 1 Jan 2005 09:05:00 +0100 (CET)\r\n"
		      "Date: Saturday, 1-January-05 03:05:00 EST\r\n\r\n");
	(void)state;
	for (size_t n = 0; n <= mail.n; n++) {
		struct guarded g = guarded_new(slice_first(mail, n));
		struct mail_dates d = mail_dates_of(g.in);
		assert_true(d.received >= -1 && d.date >= -1);
		guarded_free(&g);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_of_mail),
		cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
