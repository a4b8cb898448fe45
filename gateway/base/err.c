/*
 * Errors of the world in words; see err.h. Filled where they happen, wrapped on the way up,
 * logged once, where it is decided what to do about them.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
err_set(struct err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	err->code = 0;
	return -1;
}

/* Adds ": words" behind the first n bytes, as far as there is room. */
static void
append(struct err *err, int n, const char *words)
{
	size_t at = n < 0 ? 0 : (size_t)n;
	if (at + 3 > sizeof(err->text))
		return;
	memcpy(err->text + at, ": ", 2);
	size_t room = sizeof(err->text) - at - 3;
	size_t bytes = strnlen(words, room);
	memcpy(err->text + at + 2, words, bytes);
	err->text[at + 2 + bytes] = '\0';
}

int
err_sys(struct err *err, const char *fmt, ...)
{
	int code = errno;
	char words[128];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	append(err, n, strerror_r(code, words, sizeof(words)));
	err->code = code;
	return -1;
}

int
err_wrap(struct err *err, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	memcpy(old, err->text, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	append(err, n, old);
	return -1;
}
