/*
 * Spans and points of time as people read them; see hand_words.h. Spans name two units, since
 * nobody plans by the seconds of a day; points are in UTC, as the log's.
 */
#include "queue/hand_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

const char *
hand_span(uint64_t ms, char buf[HAND_SPAN_BYTES])
{
	uint64_t s = ms / 1000, min = s / 60, h = min / 60, d = h / 24;
	if (d > 0 && h % 24 != 0)
		snprintf(buf, HAND_SPAN_BYTES, "%" PRIu64 " d %" PRIu64 " h", d, h % 24);
	else if (d > 0)
		snprintf(buf, HAND_SPAN_BYTES, "%" PRIu64 " d", d);
	else if (h > 0 && min % 60 != 0)
		snprintf(buf, HAND_SPAN_BYTES, "%" PRIu64 " h %" PRIu64 " min", h, min % 60);
	else if (h > 0)
		snprintf(buf, HAND_SPAN_BYTES, "%" PRIu64 " h", h);
	else if (min > 0)
		snprintf(buf, HAND_SPAN_BYTES, "%" PRIu64 " min", min);
	else
		snprintf(buf, HAND_SPAN_BYTES, "%" PRIu64 " s", s);
	return buf;
}

const char *
hand_until(uint64_t wall_ms, uint64_t now_ms, char buf[HAND_SPAN_BYTES])
{
	char span[HAND_SPAN_BYTES];
	if (wall_ms <= now_ms)
		return "now";
	snprintf(buf, HAND_SPAN_BYTES, "in %.28s", hand_span(wall_ms - now_ms, span));
	return buf;
}

const char *
hand_time(uint64_t wall_ms, char buf[HAND_TIME_BYTES])
{
	const uint64_t last_ms =
		UINT64_C(253402300799999); /* RFC 3339 has years of four digits */
	time_t at = (time_t)(wall_ms / 1000);
	struct tm tm;
	if (wall_ms == 0 || wall_ms > last_ms || gmtime_r(&at, &tm) == NULL ||
		strftime(buf, HAND_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(buf, HAND_TIME_BYTES, "-");
	return buf;
}
