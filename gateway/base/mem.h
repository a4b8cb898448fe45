/*
 * The heap. The only folder that calls malloc is this one; out of memory ends the process,
 * since what grows with a peer's input has a bound elsewhere (struct buf, struct arena,
 * limits).
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_new(size_t bytes);             /* zeroed; never NULL */
void *mem_array(size_t n, size_t bytes); /* zeroed, n * bytes checked */
void *mem_resize(void *p, size_t bytes); /* grown part is not zeroed */
char *mem_text(const char *text);        /* a copy of a C string */
void mem_free(void *p);                  /* NULL is fine */
void mem_wipe(void *p, size_t bytes);    /* zeroes secrets, never optimised away */

/*
 * Freed memory of up to so many bytes stays with the process: for one that does the same work
 * again and again, and would give it back and ask for it each time.
 */
void mem_keep_freed(size_t bytes);

#define MEM_NEW(type) ((type *)mem_new(sizeof(type)))

#endif
