/*
 * Memory that dies together: a chain of growing blocks; see arena.h. A session, a mail and an
 * evaluation have one each; its maximum is what one of them can cost the process.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

enum { BLOCK_FIRST = 256, BLOCK_LARGEST = 64 * 1024 };

struct block {
	struct block *next;
	size_t bytes;
	alignas(max_align_t) char data[];
};

struct deferred {
	struct deferred *next;
	void (*fn)(void *arg);
	void *arg;
};

struct arena {
	struct deferred *deferred; /* newest first */
	struct block *head;        /* newest first; only it has room */
	size_t head_used;
	size_t used; /* given out, over all blocks */
	size_t max;
};

struct arena *
arena_new(size_t max_bytes)
{
	struct arena *a = MEM_NEW(struct arena);
	a->max = max_bytes;
	return a;
}

static void
free_blocks(struct block *b)
{
	while (b != NULL) {
		struct block *next = b->next;
		mem_free(b);
		b = next;
	}
}

void
arena_defer(struct arena *a, void (*fn)(void *arg), void *arg)
{
	struct deferred *d = ARENA_NEW(a, struct deferred);
	*d = (struct deferred){.next = a->deferred, .fn = fn, .arg = arg};
	a->deferred = d;
}

static void
run_deferred(struct arena *a)
{
	for (struct deferred *d = a->deferred; d != NULL; d = d->next)
		d->fn(d->arg);
	a->deferred = NULL;
}

void
arena_free(struct arena **a)
{
	if (*a == NULL)
		return;
	run_deferred(*a);
	free_blocks((*a)->head);
	mem_free(*a);
	*a = NULL;
}

void
arena_reset(struct arena *a)
{
	run_deferred(a);
	struct block *keep = a->head;
	if (keep != NULL) {
		free_blocks(keep->next);
		keep->next = NULL;
		if (keep->bytes > BLOCK_FIRST) {
			mem_free(keep);
			keep = NULL;
		}
	}
	a->head = keep;
	a->head_used = 0;
	a->used = 0;
}

static void
add_block(struct arena *a, size_t bytes)
{
	size_t size = a->head != NULL ? a->head->bytes * 2 : BLOCK_FIRST;
	if (size > BLOCK_LARGEST)
		size = BLOCK_LARGEST;
	if (size < bytes)
		size = bytes;
	struct block *b = mem_resize(NULL, sizeof(*b) + size);
	b->next = a->head;
	b->bytes = size;
	a->head = b;
	a->head_used = 0;
}

void *
arena_try(struct arena *a, size_t bytes)
{
	const size_t align = alignof(max_align_t);
	if (bytes > SIZE_MAX - align)
		return NULL;
	bytes = (bytes + align - 1) & ~(align - 1);
	if (bytes > a->max - a->used)
		return NULL;
	if (a->head == NULL || a->head->bytes - a->head_used < bytes)
		add_block(a, bytes);
	void *p = a->head->data + a->head_used;
	a->head_used += bytes;
	a->used += bytes;
	return memset(p, 0, bytes);
}

void *
arena_alloc(struct arena *a, size_t bytes)
{
	void *p = arena_try(a, bytes);
	must(p != NULL);
	return p;
}

void *
arena_array(struct arena *a, size_t n, size_t bytes)
{
	size_t all;
	must(!__builtin_mul_overflow(n, bytes, &all));
	return arena_alloc(a, all);
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}

size_t
arena_room(const struct arena *a)
{
	return a->max - a->used;
}

char *
arena_text(struct arena *a, struct slice s)
{
	char *copy = arena_alloc(a, s.n + 1);
	if (s.n != 0)
		memcpy(copy, s.p, s.n);
	return copy;
}

struct slice
arena_slice(struct arena *a, struct slice s)
{
	return (struct slice){arena_text(a, s), s.n};
}

struct slice
arena_lower(struct arena *a, struct slice s)
{
	char *copy = arena_text(a, s);
	for (size_t i = 0; i < s.n; i++)
		copy[i] = ascii_lower(copy[i]);
	return (struct slice){copy, s.n};
}

struct slice
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	char *text = arena_alloc(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return (struct slice){text, (size_t)n};
}
