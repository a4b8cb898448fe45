/*
 * Whether the time that a regular expression takes can be bounded at all: a backtracking
 * matcher tries every way in which a text can be divided over the repeats of an expression, and
 * for some expressions the number of ways doubles with each character. Such a one is refused
 * where it is written, so that no mail meets its match limit.
 */
#ifndef CONF_REGEX_BOUND_H
#define CONF_REGEX_BOUND_H

#include "base/slice.h"

/*
 * NULL: bounded. Else what is wrong and what to write instead, and where in the expression, in
 * bytes. For what PCRE2 has compiled.
 */
const char *regex_bound(struct slice regex, bool nocase, size_t *at_out);

#endif
