/* Times in the words of people, for `postern queue` and for the keeper's answers to it. */
#ifndef QUEUE_HAND_WORDS_H
#define QUEUE_HAND_WORDS_H

#include "base/slice.h"

enum { HAND_SPAN_BYTES = 32, HAND_TIME_BYTES = 32 };

/* "40 s", "12 min", "3 h 20 min", "4 d 2 h": two units at most, rounded down. */
const char *hand_span(uint64_t ms, char buf[HAND_SPAN_BYTES]);
/* "in 12 min", "now" where it is past. */
const char *hand_until(uint64_t wall_ms, uint64_t now_ms, char buf[HAND_SPAN_BYTES]);
/* "2026-11-29T07:02:08Z" (RFC 3339); of 0 "-". */
const char *hand_time(uint64_t wall_ms, char buf[HAND_TIME_BYTES]);

#endif
