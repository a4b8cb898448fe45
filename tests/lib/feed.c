/* Input on guarded pages, and every way to cut it in pieces; see feed.h. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"

struct guarded
guarded_new(struct slice in)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t body = (in.n + page - 1) / page * page;
	struct guarded g = {.map_bytes = body + page};
	g.map = mmap(
		NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(g.map != MAP_FAILED);
	char *end = (char *)g.map + body;
	must(mprotect(end, page, PROT_NONE) == 0);
	if (in.n > 0)
		memcpy(end - in.n, in.p, in.n);
	g.in = (struct slice){end - in.n, in.n};
	return g;
}

void
guarded_free(struct guarded *g)
{
	munmap(g->map, g->map_bytes);
	*g = (struct guarded){0};
}

static void
feed_split(struct slice in, size_t at, feed_fn *fn, void *arg)
{
	struct guarded a = guarded_new(slice_first(in, at));
	struct guarded b = guarded_new(slice_from(in, at));
	struct slice pieces[] = {a.in, b.in};
	fn(arg, pieces, 2);
	guarded_free(&a);
	guarded_free(&b);
}

static void
feed_bytes(struct slice in, feed_fn *fn, void *arg)
{
	struct guarded g = guarded_new(in);
	struct slice *pieces = calloc(in.n + 1, sizeof(*pieces));
	must(pieces != NULL);
	for (size_t i = 0; i < in.n; i++)
		pieces[i] = (struct slice){g.in.p + i, 1};
	fn(arg, pieces, in.n);
	free(pieces);
	guarded_free(&g);
}

void
feed_every_way(struct slice in, feed_fn *fn, void *arg)
{
	struct guarded whole = guarded_new(in);
	fn(arg, &whole.in, 1);
	guarded_free(&whole);
	feed_bytes(in, fn, arg);
	for (size_t at = 0; at <= in.n; at++)
		feed_split(in, at, fn, arg);
}
