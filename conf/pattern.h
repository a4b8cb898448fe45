/*
 * Regular expressions on texts of facts, of `pattern NAME /regex/` and of tables: PCRE2, with
 * limits on steps and memory. Its machine code is made where the expression is compiled, before
 * the sandbox, which allows none to be made; where there is none it is interpreted. `body
 * contains NAME` is not here: the scanner runs it where the text is.
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
/* YES: one of n does; GAVE_UP: none does, and one reached a limit. */
enum pattern_result pattern_match_any(
	struct pattern *const *patterns, size_t n, struct slice text, struct arena *scratch);

#endif
