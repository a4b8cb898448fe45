/*
 * Wildcards of `matches "*.{exe,scr,js}"`: `*` any bytes, `?` one character (UTF-8), `{a,b}`
 * one of several, `\` takes the next as it is. ASCII letters compare without case. Braces are
 * expanded when compiled (at most 256 ways); a match takes at most text × pattern steps for
 * each.
 */
#ifndef CONF_GLOB_H
#define CONF_GLOB_H

#include "base/arena.h"
#include "base/slice.h"

enum { GLOB_WAYS_MOST = 256, GLOB_BYTES_MOST = 1000 };

struct glob;

/* NULL: *why_out says what is wrong with it. The glob lives in the arena. */
struct glob *glob_compile(struct slice pattern, struct arena *a, const char **why_out);
bool glob_match(const struct glob *g, struct slice text);
/* They were written the same, but for case. */
bool glob_same(const struct glob *a, const struct glob *b);

#endif
