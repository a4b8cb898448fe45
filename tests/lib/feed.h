/*
 * Input for parser tests. Each input ends on an unreadable page, so that one byte read too far
 * faults even where a sanitizer would not see it.
 */
#ifndef TEST_FEED_H
#define TEST_FEED_H

#include "base/slice.h"

struct guarded {
	void *map;
	size_t map_bytes;
	struct slice in;
};

/* A copy of `in` whose last byte is the last readable one. */
struct guarded guarded_new(struct slice in);
void guarded_free(struct guarded *g);

/*
 * Calls fn(arg, pieces, n) for the input whole, byte by byte, and split in two at every offset.
 * The pieces of one call are in order; each is guarded on its own.
 */
typedef void feed_fn(void *arg, const struct slice *pieces, size_t n);
void feed_every_way(struct slice in, feed_fn *fn, void *arg);

#endif
