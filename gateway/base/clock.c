/*
 * Monotonic and wall time; see clock.h. The only place that asks the system for the time:
 * engines are told it, so that tests and plays set it.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/must.h"

static int64_t
read_ms(clockid_t id)
{
	struct timespec t;
	must(clock_gettime(id, &t) == 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t
clock_ms(void)
{
	return (uint64_t)read_ms(CLOCK_MONOTONIC);
}

int64_t
clock_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

struct slice
clock_date(int64_t wall_ms, char buf[CLOCK_DATE_BYTES])
{
	static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
		"Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	must(gmtime_r(&t, &tm) != NULL);
	int n = snprintf(buf, CLOCK_DATE_BYTES, "%s, %d %s %d %02d:%02d:%02d +0000",
		day[tm.tm_wday], tm.tm_mday, month[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
		tm.tm_min, tm.tm_sec);
	must(n > 0 && n < CLOCK_DATE_BYTES);
	return (struct slice){buf, (size_t)n};
}

/* Years from March: the leap day is their last. */
int64_t
clock_days(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}
