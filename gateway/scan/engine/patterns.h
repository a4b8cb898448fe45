/*
 * Declared patterns on decoded text: PCRE2 with its machine code and match limits, lists of
 * words, and the checks `luhn` and `iban` on what matched (ISO/IEC 7812-1, ISO 13616). What
 * matched is counted and never kept.
 */
#ifndef ENGINE_PATTERNS_H
#define ENGINE_PATTERNS_H

#include "base/err.h"
#include "base/scan_report.h"
#include "base/slice.h"

enum pattern_kind { PATTERN_PLAIN_TEXT, PATTERN_WITH_LUHN, PATTERN_WITH_IBAN };

struct pattern_set;

struct pattern_set *pattern_set_new(void);
void pattern_set_free(struct pattern_set **s);
/* In the order in which they were declared to be asked for. -1: too many, or no regular
 * expression. */
int pattern_set_add(struct pattern_set *s, const char *regex, bool nocase,
	enum pattern_kind kind, struct err *err);
/* A list of words and phrases, one a line, in the place of an expression. */
int pattern_set_add_words(struct pattern_set *s, struct slice lines, struct err *err);
/* Adds the matches to counts, at most a thousand of one text. False: a limit was reached, the
 * count is not to be trusted. */
bool pattern_set_count(
	const struct pattern_set *s, struct slice utf8, unsigned counts[SCAN_PATTERNS_MOST]);

bool luhn_is_good(struct slice digits); /* other characters than digits are passed over */
/* Spaces are passed over; the length is that of its country, where that is known. */
bool iban_is_good(struct slice text);

#endif
