/*
 * Declared patterns (`pattern NAME /regex/`) on texts of facts: PCRE2, without its machine code
 * (the sandbox allows none), with limits on steps and memory. `body contains NAME` is not here:
 * the scanner runs it where the text is.
 */
#ifndef CONF_PATTERN_H
#define CONF_PATTERN_H

#include "base/arena.h"
#include "base/slice.h"

struct pattern;

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_GAVE_UP /* a limit was reached */ };

/* NULL: why (of why_bytes) says what is wrong with it. The pattern lives in the arena. */
struct pattern *
pattern_compile(struct slice regex, bool nocase, struct arena *a, char *why, size_t why_bytes);
/* scratch: what a match needs, freed with it. */
enum pattern_result
pattern_match(const struct pattern *p, struct slice text, struct arena *scratch);

#endif
