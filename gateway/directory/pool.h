/*
 * One table's look-ups: equal ones at once are one, answers are kept for a while, at most so
 * many connections are open, each look-up ends in its time. A directory that is not there is
 * tried again after 1 s, then 2 s, up to a minute; until then a look-up has failed at once.
 */
#ifndef DIRECTORY_POOL_H
#define DIRECTORY_POOL_H

#include "directory/source.h"
#include "io/dns.h"

enum { POOL_WAITING_MOST = 4096, POOL_BACKOFF_FIRST_MS = 1000, POOL_BACKOFF_MOST_MS = 60000 };

struct pool;

struct pool_config {
	const struct source_kind *kind;
	const struct source_env *env;
	const struct conf_table *table;
	struct dns *dns; /* NULL: the table's host is an address, or a file */
	unsigned connections;
	uint64_t cache_ms;
};

/* why: FAILED. Valid in the call. */
typedef void pool_fn(void *arg, uint32_t id, enum directory_found found, const char *why);

struct pool *pool_new(const struct pool_config *c, pool_fn *fn);
void pool_free(struct pool **p); /* what is open gets no answer */
/* fn is called once, from the loop or at once, unless the asker (arg) is forgotten before. */
void pool_ask(struct pool *p, struct slice value, void *arg, uint32_t id);
void pool_forget(struct pool *p, const void *arg);

#endif
