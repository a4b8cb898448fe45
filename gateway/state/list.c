/*
 * What people see of the state: a page of a space in the order of its keys. The disk has all
 * but what has changed since the last write; that is sorted beside it and merged in. Entries
 * that are over are not shown; however many of them lie between, one page looks at no more than
 * LOOKS_MOST.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "state/local_priv.h"

enum { LOOKS_MOST = 8192, ARENA_MOST = 4 * 1024 * 1024 };

struct page {
	struct moment at;
	struct arena *arena;
	struct state_item items[STATE_PAGE_MOST];
	size_t n, looks;
	struct slice next; /* where the page after it begins */
};

struct changes {
	struct entry **entries;
	size_t n, next;
};

static int
by_key(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;
	return slice_cmp(entry_key(*x), entry_key(*y));
}

static void
add_change(struct changes *c, struct entry *e, enum state_space space, struct slice prefix,
	struct slice from)
{
	struct slice key = entry_key(e);
	if (e->space == space && slice_starts(key, prefix) && slice_cmp(key, from) >= 0)
		c->entries[c->n++] = e;
}

/* What is not on disk as it is in memory: changed, or being written (and perhaps both). */
static void
find_changes(const struct local *l, enum state_space space, struct slice prefix,
	struct slice from, struct changes *c)
{
	const struct hot *h = &l->hot;
	size_t in_flight = l->under_way ? l->writer.n_records : 0;
	*c = (struct changes){
		.entries = mem_array(h->n_changed + in_flight, sizeof(struct entry *))};
	for (size_t i = 0; i < h->n_changed; i++)
		add_change(c, h->changed[i], space, prefix, from);
	for (size_t i = 0; i < in_flight; i++)
		if (!l->writer.flight[i]->changed)
			add_change(c, l->writer.flight[i], space, prefix, from);
	if (c->n != 0)
		qsort(c->entries, c->n, sizeof(struct entry *), by_key);
}

/* False: the page is full, and begins with it next time. */
static bool
show(struct page *p, const struct entry *e)
{
	if (p->n == STATE_PAGE_MOST || p->looks == LOOKS_MOST) {
		p->next = arena_slice(p->arena, entry_key(e));
		return false;
	}
	p->looks++;
	if (entry_is_over(e, &p->at))
		return true;
	struct state_item *item = &p->items[p->n++];
	entry_show(e, &p->at, item);
	item->key = arena_slice(p->arena, item->key);
	item->value = arena_slice(p->arena, item->value);
	return true;
}

/* Those of the changes that stand before the key; NULL: all. False: the page is full. */
static bool
show_changes(struct page *p, struct changes *c, const struct slice *before, bool *same_out)
{
	*same_out = false;
	for (; c->next < c->n; c->next++) {
		const struct entry *e = c->entries[c->next];
		int cmp = before != NULL ? slice_cmp(entry_key(e), *before) : -1;
		*same_out |= cmp == 0;
		if (cmp > 0)
			return true;
		if (!show(p, e))
			return false;
	}
	return true;
}

static bool
show_record(struct page *p, struct changes *c, struct slice key, struct slice record,
	struct entry *e)
{
	bool same;
	if (!show_changes(p, c, &key, &same))
		return false;
	if (same || key.n > KEY_MOST)
		return true;
	entry_clear(e);
	memcpy(e->key, key.p, key.n);
	e->key_n = (uint16_t)key.n;
	return !entry_unpack(record, e) || show(p, e);
}

/* 0, or a code of LMDB's. */
static int
show_disk(struct local *l, enum state_space space, struct slice prefix, struct slice from,
	struct changes *c, struct page *p)
{
	char start[KEY_MOST];
	MDB_txn *txn;
	MDB_cursor *cursor = NULL;
	MDB_val key = {from.n, start}, value;
	int code = disk_read_begin(&l->disk, &txn);
	if (code != 0)
		return code;
	if (from.n != 0)
		memcpy(start, from.p, from.n);
	struct entry *e = mem_new(sizeof(*e) + KEY_MOST);
	code = mdb_cursor_open(txn, l->disk.spaces[space], &cursor);
	if (code == 0)
		code = mdb_cursor_get(
			cursor, &key, &value, from.n != 0 ? MDB_SET_RANGE : MDB_FIRST);
	while (code == 0) {
		struct slice k = {key.mv_data, key.mv_size};
		if (!slice_starts(k, prefix) ||
			!show_record(p, c, k, (struct slice){value.mv_data, value.mv_size}, e))
			break;
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	disk_read_end(&l->disk);
	entry_clear(e);
	mem_free(e);
	return code == MDB_NOTFOUND ? 0 : code;
}

void
local_list(struct state *s, enum state_space space, struct slice prefix, struct slice from,
	state_page_fn *fn, void *arg)
{
	struct local *l = (struct local *)s;
	struct changes c;
	bool same;
	int code = 0;
	must(space < STATE_SPACES);
	if (slice_cmp(from, prefix) < 0)
		from = prefix;
	if (from.n > KEY_MOST) {
		fn(arg, NULL, 0, SLICE_NONE, false);
		return;
	}
	struct page *p = MEM_NEW(struct page);
	p->arena = arena_new(ARENA_MOST);
	local_moment(l, &p->at);
	find_changes(l, space, prefix, from, &c);
	if (l->disk.env != NULL && !l->broken)
		code = show_disk(l, space, prefix, from, &c, p);
	if (code == 0 && p->next.n == 0)
		(void)show_changes(p, &c, NULL, &same);
	if (code != 0)
		local_read_failed(l, code);
	fn(arg, p->items, code == 0 ? p->n : 0, p->next, code != 0);
	mem_free(c.entries);
	arena_free(&p->arena);
	mem_free(p);
}
