/*
 * Memory that lives and dies together: one arena per session, per mail and per evaluation.
 * Nothing in an arena is freed singly. Every arena has a maximum given at birth; what grows
 * with a peer's input asks arena_room() or uses arena_try, all else is bounded by its caller's
 * limits and a full arena there is a bug of ours (must).
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/slice.h"

struct arena;

struct arena *arena_new(size_t max_bytes);
void arena_free(struct arena **a);                /* takes NULL, clears */
void arena_reset(struct arena *a);                /* all that was given out is gone */
void *arena_alloc(struct arena *a, size_t bytes); /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t n, size_t bytes);
void *arena_try(struct arena *a, size_t bytes); /* NULL where it would pass the maximum */
/*
 * Runs fn(arg) when the arena is reset or freed, the last one first: for what a library has
 * allocated for something in here (a hash context). fn must not use the arena.
 */
void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg);
size_t arena_used(const struct arena *a);
size_t arena_room(const struct arena *a);
struct slice arena_slice(struct arena *a, struct slice s); /* a copy, with a NUL behind it */
char *arena_text(struct arena *a, struct slice s);         /* a copy as C string */
struct slice
arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct slice arena_lower(struct arena *a, struct slice s); /* a copy, ASCII lower case */

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))

#endif
