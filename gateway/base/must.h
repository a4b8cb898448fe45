/*
 * Assertions that stay in releases. A failed must() means that *we* are wrong: the process
 * ends, its parent starts it again, SMTP tries again. Never use it on what a peer or the world
 * did.
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#include <stdnoreturn.h>

noreturn void must_fail(const char *expr, const char *file, int line);

#define must(x) ((x) ? (void)0 : must_fail(#x, __FILE__, __LINE__))

#endif
