/*
 * The clock of notices in shared memory, under a mutex that outlives its holder; see notify.h.
 * Asked when the parcels of a mail are made.
 */
#include "session/notify.h"

#include <string.h>

#include "io/shared.h"

struct entry {
	uint64_t key; /* of rule and address; 0: free */
	uint64_t last_ms, left_out;
};

struct notices {
	struct shared_lock lock;
	struct entry entries[NOTICES_MOST];
};

struct notices *
notices_new(struct err *err)
{
	struct notices *t = shared_new(sizeof(*t), "the table of notices", err);
	if (t != NULL)
		shared_lock_init(&t->lock);
	return t;
}

/* Of the rule's place and address: a reload that changes neither changes nothing here. */
static uint64_t
key_of(const struct rule *r)
{
	uint64_t words[3] = {
		slice_hash(slice_of(r->at.file)), r->at.line, slice_hash_nocase(r->text)};
	uint64_t key = slice_hash((struct slice){(const char *)words, sizeof(words)});
	return key != 0 ? key : 1;
}

/* At most one entry was half-written by who died inside: all are forgotten. */
static void
lock(struct notices *t)
{
	if (!shared_lock(&t->lock))
		memset(t->entries, 0, sizeof(t->entries));
}

bool
notices_take(struct notices *t, const struct rule *r, uint64_t now_ms, uint64_t *left_out_out)
{
	uint64_t key = key_of(r);
	lock(t);
	struct entry *e = &t->entries[key % NOTICES_MOST];
	bool known = e->key == key;
	bool due = !known || now_ms - e->last_ms >= NOTICE_EVERY_MS;
	*left_out_out = known && due ? e->left_out : 0;
	if (due)
		*e = (struct entry){.key = key, .last_ms = now_ms};
	else
		e->left_out++;
	shared_unlock(&t->lock);
	return due;
}
