/*
 * JSON (RFC 8259) to a file, value by value, for the commands' --json. Keys are ours; texts of
 * strangers are escaped, and what is no UTF-8 becomes U+FFFD, so that the output is valid
 * whatever came in a mail.
 */
#ifndef MAIN_JSON_H
#define MAIN_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "base/slice.h"

struct json {
	FILE *f;
	bool comma; /* a value stands before */
};

void json_init(struct json *j, FILE *f);
/* key NULL: an element of an array, or the outermost value. kind: '{' or '['. */
void json_begin(struct json *j, const char *key, char kind);
void json_end(struct json *j, char kind); /* '}' or ']' */
void json_text(struct json *j, const char *key, struct slice text);
void json_number(struct json *j, const char *key, uint64_t value);
/* Six significant digits; what is no number (RFC 8259 6) is null. */
void json_real(struct json *j, const char *key, double value);
void json_null(struct json *j, const char *key);
void json_bool(struct json *j, const char *key, bool value);
/* "2026-11-29T07:02:08Z"; 0: null. */
void json_time(struct json *j, const char *key, uint64_t wall_ms);
void json_line(struct json *j); /* the end of one value a line */

#endif
