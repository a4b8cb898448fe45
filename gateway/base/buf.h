/*
 * A buffer owns bytes and has a maximum given at birth. Full is a verdict (the call returns -1
 * and nothing was added), never a crash. Consumed from the front, appended at the end; empty
 * buffers hold no memory, so that an idle connection costs none.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
	char *data;
	size_t start; /* the first byte not consumed */
	size_t used;  /* bytes held from start on */
	size_t room;  /* bytes allocated */
	size_t max;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b);                /* frees; may be initialised again */
void buf_clear(struct buf *b);               /* drops the bytes and the memory */
struct slice buf_slice(const struct buf *b); /* valid until the next call that changes b */
size_t buf_left(const struct buf *b);        /* bytes that may still be added */
int buf_add(struct buf *b, struct slice s);  /* 0, or -1 where it would pass the maximum */
int buf_add_text(struct buf *b, const char *text);
int buf_add_byte(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n); /* at most what is there */
/* Room for at least n bytes to be written at the pointer, then buf_commit(what came). NULL:
 * full. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

#endif
