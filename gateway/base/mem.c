/*
 * The heap: checked allocation; see mem.h. Out of memory ends the process, its parent starts
 * it again and SMTP tries again: a half-built answer to it would be tried by nobody.
 */
#include "base/mem.h"

#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

void *
mem_new(size_t bytes)
{
	return mem_array(1, bytes);
}

void *
mem_array(size_t n, size_t bytes)
{
	void *p = calloc(n != 0 ? n : 1, bytes != 0 ? bytes : 1);
	must(p != NULL);
	return p;
}

void *
mem_resize(void *p, size_t bytes)
{
	void *q = realloc(p, bytes != 0 ? bytes : 1);
	must(q != NULL);
	return q;
}

char *
mem_text(const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = mem_new(n);
	memcpy(copy, text, n);
	return copy;
}

void
mem_free(void *p)
{
	free(p);
}

void
mem_wipe(void *p, size_t bytes)
{
	explicit_bzero(p, bytes);
}

void
mem_keep_freed(size_t bytes)
{
	must(bytes <= INT_MAX);
	/* Where the C library has no such setting it is as if it had not been asked. */
#ifdef M_TRIM_THRESHOLD
	mallopt(M_TRIM_THRESHOLD, (int)bytes);
	mallopt(M_MMAP_THRESHOLD, (int)bytes); /* else what is above 128 KB is never kept */
#endif
}
