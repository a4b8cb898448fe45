/*
 * Time. Deadlines are on the monotonic clock in milliseconds; protocol engines never read a
 * clock, they are told. Wall time is only for what people and headers read.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/slice.h"

enum { CLOCK_DATE_BYTES = 40 };

uint64_t clock_ms(void);     /* monotonic */
int64_t clock_wall_ms(void); /* since 1970, UTC */
/* "Sun, 22 Nov 2026 03:04:05 +0000" (RFC 5322 3.3) in the caller's buffer, in UTC. */
struct slice clock_date(int64_t wall_ms, char buf[CLOCK_DATE_BYTES]);
/* Days from 1970-01-01 to a date of the Gregorian calendar; month and day from 1. */
int64_t clock_days(int64_t year, int64_t month, int64_t day);

#endif
