/*
 * Bytes with a maximum; see buf.h. All that grows with the input grows in one of these; full
 * is told to the caller and never exceeded.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

enum { ROOM_LEAST = 256 };

void
buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){.max = max_bytes};
}

void
buf_fini(struct buf *b)
{
	mem_free(b->data);
	b->data = NULL;
	b->start = b->used = b->room = 0;
}

void
buf_clear(struct buf *b)
{
	buf_fini(b);
}

struct slice
buf_slice(const struct buf *b)
{
	return b->used != 0 ? (struct slice){b->data + b->start, b->used} : SLICE_NONE;
}

size_t
buf_left(const struct buf *b)
{
	return b->max - b->used;
}

/* As buf_reserve, without a word about the maximum. */
static char *
make_room(struct buf *b, size_t n)
{
	if (b->room - b->start - b->used >= n && b->data != NULL)
		return b->data + b->start + b->used;
	if (b->start != 0) {
		memmove(b->data, b->data + b->start, b->used);
		b->start = 0;
	}
	if (b->room - b->used < n || b->data == NULL) {
		size_t room = b->room != 0 ? b->room : ROOM_LEAST;
		while (room < b->used + n)
			room *= 2;
		b->data = mem_resize(b->data, room);
		b->room = room;
	}
	return b->data + b->used;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	return n <= b->max - b->used ? make_room(b, n) : NULL;
}

void
buf_commit(struct buf *b, size_t n)
{
	must(b->start + b->used + n <= b->room && b->used + n <= b->max);
	b->used += n;
}

int
buf_add(struct buf *b, struct slice s)
{
	if (s.n == 0)
		return 0;
	char *to = buf_reserve(b, s.n);
	if (to == NULL)
		return -1;
	memcpy(to, s.p, s.n);
	buf_commit(b, s.n);
	return 0;
}

int
buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, slice_of(text));
}

int
buf_add_byte(struct buf *b, char c)
{
	return buf_add(b, (struct slice){&c, 1});
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	int result = -1;
	if (n == 0)
		result = 0; /* and an empty buffer holds no memory */
	else if ((size_t)n <= b->max - b->used) {
		/* the NUL that it writes is no part of what is held */
		vsnprintf(make_room(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
		buf_commit(b, (size_t)n);
		result = 0;
	}
	va_end(again);
	return result;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= b->used) {
		buf_clear(b);
		return;
	}
	b->start += n;
	b->used -= n;
}
