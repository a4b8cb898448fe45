/*
 * A bar for work that takes its time: for a person at a terminal alone, at most some times a
 * second, gone when the work is.
 */
#ifndef MAIN_BAR_H
#define MAIN_BAR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { BAR_EVERY_MS = 100, BAR_WIDTH = 30 };

struct bar {
	FILE *f; /* NULL: nobody looks on */
	bool shown;
	uint64_t last_ms; /* when it was drawn, or begun */
};

void bar_init(struct bar *b, FILE *f);
/* full: of BAR_WIDTH; f is not NULL. The words stand behind it. */
void bar_draw(struct bar *b, size_t full, const char *words, ...)
	__attribute__((format(printf, 3, 4)));
void bar_end(struct bar *b);

#endif
