/*
 * The calendar of quotas: days, ISO weeks and months by the machine's local time, as numbers
 * that only grow. A day is numbered by its date, so the hours that a change of the clock takes
 * or gives make no period of their own. Where a period begins is searched for, with localtime_r
 * alone: mktime would look for the time zone's file again, which the keeper's sandbox does not
 * show.
 */
#include <time.h>

#include "base/clock.h"
#include "base/must.h"
#include "state/local_priv.h"

enum {
	WEEK_DAYS = 7,
	MONTHS = 12,
	EPOCH_WEEKDAY = 3
};                              /* 1970-01-01: a Thursday, from Monday */
enum { SEARCH_S = 70 * 86400 }; /* two months and more */

static void
numbers_of(uint64_t wall_ms, int64_t numbers[PERIODS])
{
	struct tm tm;
	time_t t = (time_t)(wall_ms / 1000);
	must(localtime_r(&t, &tm) != NULL);
	int64_t year = tm.tm_year + INT64_C(1900);
	numbers[PERIOD_DAY] = clock_days(year, tm.tm_mon + 1, tm.tm_mday);
	numbers[PERIOD_WEEK] = (numbers[PERIOD_DAY] + EPOCH_WEEKDAY) / WEEK_DAYS;
	numbers[PERIOD_MONTH] = year * MONTHS + tm.tm_mon;
}

void
calendar_set(struct calendar *c, uint64_t wall_ms)
{
	int64_t s = (int64_t)(wall_ms / 1000);
	if (c->of_s == s)
		return;
	numbers_of(wall_ms, c->now);
	c->of_s = s;
}

int64_t
calendar_number(enum state_period p, uint64_t wall_ms)
{
	int64_t numbers[PERIODS];
	numbers_of(wall_ms, numbers);
	return numbers[p];
}

uint64_t
calendar_start_ms(enum state_period p, int64_t number, uint64_t now_ms)
{
	uint64_t before = now_ms / 1000, from = before + SEARCH_S;
	if (calendar_number(p, now_ms) >= number)
		return now_ms;
	while (from - before > 1) {
		uint64_t middle = before + (from - before) / 2;
		if (calendar_number(p, middle * 1000) < number)
			before = middle;
		else
			from = middle;
	}
	return from * 1000;
}
