/*
 * The end of a process that found itself wrong: one line to stderr, then abort(). In releases
 * too: a process that goes on with a broken promise is worse than a mail tried again.
 */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

noreturn void
must_fail(const char *expr, const char *file, int line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "event=bug pid=%d at=%s:%d must=\"%s\"\n",
		(int)getpid(), file, line, expr);
	if (n > 0 && write(STDERR_FILENO, text,
			     (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1) < 0)
		abort();
	abort();
}
