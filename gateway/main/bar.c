/*
 * The bar; see bar.h. When it is due, its caller says: some work is worth one from its second
 * step on, some from its first tenth of a second.
 */
#include "main/bar.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"

enum { WORDS_WIDTH = 60 };

void
bar_init(struct bar *b, FILE *f)
{
	int fd = fileno(f);
	*b = (struct bar){.f = fd >= 0 && isatty(fd) ? f : NULL, .last_ms = clock_ms()};
}

void
bar_draw(struct bar *b, size_t full, const char *words, ...)
{
	char bar[BAR_WIDTH + 1];
	va_list ap;
	must(full <= BAR_WIDTH);
	memset(bar, '#', full);
	memset(bar + full, '.', BAR_WIDTH - full);
	bar[BAR_WIDTH] = '\0';
	fprintf(b->f, "\r[%s] ", bar);
	va_start(ap, words);
	vfprintf(b->f, words, ap);
	va_end(ap);
	fflush(b->f);
	b->last_ms = clock_ms();
	b->shown = true;
}

void
bar_end(struct bar *b)
{
	if (b->shown)
		fprintf(b->f, "\r%*s\r", BAR_WIDTH + WORDS_WIDTH, "");
	b->shown = false;
}
