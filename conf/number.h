/*
 * Numbers with units as POLICY.md writes them: sizes 64K 25M 2G, durations 500ms 10s 5m 2h 3d,
 * rates 200/hour. At most 1e15, so that a double holds every one exactly.
 */
#ifndef CONF_NUMBER_H
#define CONF_NUMBER_H

#include "base/arena.h"
#include "base/slice.h"

/* unit_out: 0 plain, 's' size in bytes, 'd' duration in ms. Only plain numbers may be negative.
 */
bool number_parse(struct slice s, double *number_out, char *unit_out);
/* span 0: a week or a month, as the calendar has them. */
bool number_rate_parse(struct slice s, double *number_out, uint64_t *span_ms_out);

/* The shortest way to write them: "50M", "5m". */
struct slice number_size_text(uint64_t bytes, struct arena *a);
struct slice number_duration_text(uint64_t ms, struct arena *a);

#endif
