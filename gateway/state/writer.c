/*
 * The thread that writes: a batch of entries as they were at a flush, in the order of their
 * keys, in one transaction; within it a bounded walk that deletes what is over, and, where more
 * is kept than may be, what changed longest ago of samples (local.h). While it is busy the
 * batch is its own; the loop fills the next one only after it has looked at the outcome.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "state/local_priv.h"

enum {
	SWEEP_MOST = 4096,   /* entries of a space looked at by one transaction */
	SAMPLE = 64,         /* of which the older half goes, where room is short */
	SAMPLES_MOST = 1024, /* and as many as the batch needs besides */
	MAP_PART = 4,        /* of the map may be in use: a transaction writes beside it */
	PIECE = 64,          /* records of a transaction, where one is too large for the map */
	GROW_BYTES = 64 * 1024,
};

/* ---- the loop's side ---- */

void
writer_add(struct writer *w, struct entry *e, const struct moment *at)
{
	char record[RECORD_MOST];
	size_t n = entry_is_over(e, at) ? 0 : entry_pack(e, record), all = e->key_n + n;
	if (w->room_bytes - w->n_bytes < all) {
		w->room_bytes = 2 * w->room_bytes + all + GROW_BYTES;
		w->bytes = mem_resize(w->bytes, w->room_bytes);
	}
	if (w->n_records == w->room_records) {
		w->room_records = 2 * w->room_records + PIECE;
		w->records = mem_resize(w->records, w->room_records * sizeof(*w->records));
		w->flight = mem_resize(w->flight, w->room_records * sizeof(struct entry *));
	}
	w->flight[w->n_records] = e;
	w->records[w->n_records++] = (struct record){.at = w->n_bytes,
		.key_n = e->key_n,
		.record_n = (uint16_t)n,
		.space = e->space};
	memcpy(w->bytes + w->n_bytes, e->key, e->key_n);
	memcpy(w->bytes + w->n_bytes + e->key_n, record, n);
	w->n_bytes += all;
}

void
writer_go(struct writer *w, const struct moment *at)
{
	w->calendar = *at->calendar;
	w->at = (struct moment){at->ms, &w->calendar};
	must(pthread_mutex_lock(&w->lock) == 0);
	must(!w->busy);
	w->busy = true;
	pthread_cond_signal(&w->to_do);
	pthread_mutex_unlock(&w->lock);
}

bool
writer_is_busy(struct writer *w)
{
	must(pthread_mutex_lock(&w->lock) == 0);
	bool busy = w->busy;
	pthread_mutex_unlock(&w->lock);
	return busy;
}

void
writer_wait(struct writer *w)
{
	must(pthread_mutex_lock(&w->lock) == 0);
	while (w->busy)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* ---- the thread's side ---- */

static struct slice
key_of(const struct writer *w, const struct record *r)
{
	return (struct slice){w->bytes + r->at, r->key_n};
}

static int
by_key(const void *a, const void *b, void *arg)
{
	const struct record *x = a, *y = b;
	if (x->space != y->space)
		return x->space < y->space ? -1 : 1;
	return slice_cmp(key_of(arg, x), key_of(arg, y));
}

static int
write_record(struct writer *w, MDB_txn *txn, const struct record *r)
{
	MDB_dbi tree = w->disk->spaces[r->space];
	MDB_val key = {r->key_n, w->bytes + r->at};
	MDB_val value = {r->record_n, w->bytes + r->at + r->key_n};
	if (r->record_n != 0)
		return mdb_put(txn, tree, &key, &value, 0);
	int code = mdb_del(txn, tree, &key, NULL);
	return code == MDB_NOTFOUND ? 0 : code;
}

/* Above how the disk is bounded; then *tree_out is the space that has most. */
static int
is_over(struct writer *w, MDB_txn *txn, enum state_space *space_out, bool *over_out)
{
	uint64_t entries = 0, pages = 0, most = 0;
	for (int s = 0; s < STATE_SPACES; s++) {
		MDB_stat stat;
		int code = mdb_stat(txn, w->disk->spaces[s], &stat);
		if (code != 0)
			return code;
		if (stat.ms_entries >= most) {
			most = stat.ms_entries;
			*space_out = (enum state_space)s;
		}
		entries += stat.ms_entries;
		pages += stat.ms_branch_pages + stat.ms_leaf_pages;
	}
	w->disk_entries = entries;
	*over_out = entries > w->entries_most ||
		    pages * w->disk->page_bytes > w->disk->map_bytes / MAP_PART;
	return 0;
}

/* The first one at or behind where the walk stands; at the end it begins again. */
static int
walk_begin(struct walk *at, MDB_txn *txn, MDB_dbi tree, MDB_cursor **cursor_out, MDB_val *key,
	MDB_val *value)
{
	*cursor_out = NULL;
	int code = mdb_cursor_open(txn, tree, cursor_out);
	if (code != 0)
		return code;
	*key = (MDB_val){at->key_n, at->key};
	code = MDB_NOTFOUND;
	if (at->key_n != 0)
		code = mdb_cursor_get(*cursor_out, key, value, MDB_SET_RANGE);
	if (code == MDB_NOTFOUND)
		code = mdb_cursor_get(*cursor_out, key, value, MDB_FIRST);
	return code;
}

static void
walk_end(struct walk *at, MDB_cursor *cursor, int code, const MDB_val *key)
{
	at->key_n = 0;
	if (code == 0 && key->mv_size <= sizeof(at->key)) {
		memcpy(at->key, key->mv_data, key->mv_size);
		at->key_n = key->mv_size;
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
}

/* Deletes what is over, and what is no record of ours, among the next SWEEP_MOST. */
static int
sweep(struct writer *w, MDB_txn *txn, enum state_space s)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int code = walk_begin(&w->sweep[s], txn, w->disk->spaces[s], &cursor, &key, &value);
	int result = 0;
	for (size_t i = 0; i < SWEEP_MOST && code == 0; i++) {
		struct entry e = {.type = ENTRY_NONE};
		struct slice record = {value.mv_data, value.mv_size};
		if (!entry_unpack(record, &e) || entry_is_over(&e, &w->at))
			code = mdb_cursor_del(cursor, 0);
		entry_clear(&e);
		if (code == 0)
			code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	if (code != 0 && code != MDB_NOTFOUND)
		result = code;
	walk_end(&w->sweep[s], cursor, code, &key);
	return result;
}

struct aged {
	uint64_t age;
	char key[KEY_MOST];
	size_t key_n;
};

static int
by_age(const void *a, const void *b)
{
	const struct aged *x = a, *y = b;
	return x->age > y->age ? -1 : x->age < y->age;
}

/* How long ago it changed, either way of a clock that was wrong; a tuple that waits: the
 * oldest. */
static uint64_t
age_of(const struct writer *w, struct slice record)
{
	struct entry e = {.type = ENTRY_NONE};
	uint64_t age = UINT64_MAX;
	if (entry_unpack(record, &e) && !entry_is_over(&e, &w->at)) {
		age = e.at_ms > w->at.ms ? e.at_ms - w->at.ms : w->at.ms - e.at_ms;
		if (e.type == ENTRY_TUPLE && !e.u.kept.passed)
			age += UINT64_MAX / 2;
	}
	entry_clear(&e);
	return age;
}

/* Of the next SAMPLE entries the older half is deleted. */
static int
evict(struct writer *w, MDB_txn *txn, enum state_space s, struct aged sample[SAMPLE])
{
	MDB_cursor *cursor;
	MDB_val key, value;
	size_t n = 0;
	int code = walk_begin(&w->samples[s], txn, w->disk->spaces[s], &cursor, &key, &value);
	while (code == 0 && n < SAMPLE) {
		struct aged *a = &sample[n++];
		a->key_n = key.mv_size < sizeof(a->key) ? key.mv_size : sizeof(a->key);
		memcpy(a->key, key.mv_data, a->key_n);
		a->age = age_of(w, (struct slice){value.mv_data, value.mv_size});
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	walk_end(&w->samples[s], cursor, code, &key);
	if (code == MDB_NOTFOUND)
		code = 0;
	qsort(sample, n, sizeof(*sample), by_age);
	for (size_t i = 0; i < (n + 1) / 2 && code == 0; i++) {
		key = (MDB_val){sample[i].key_n, sample[i].key};
		code = mdb_del(txn, w->disk->spaces[s], &key, NULL);
		if (code == 0)
			w->evicted++;
	}
	return code;
}

static int
keep_bounds(struct writer *w, MDB_txn *txn)
{
	struct aged *sample = NULL;
	enum state_space space = STATE_RATE;
	bool over = false;
	int code = is_over(w, txn, &space, &over);
	size_t most = SAMPLES_MOST + 2 * w->n_records / SAMPLE;
	for (size_t i = 0; i < most && code == 0 && over; i++) {
		if (sample == NULL)
			sample = mem_array(SAMPLE, sizeof(*sample));
		code = evict(w, txn, space, sample);
		if (code == 0)
			code = is_over(w, txn, &space, &over);
	}
	mem_free(sample);
	return code;
}

/* One transaction: these records, then what is due of the rest. */
static int
write_some(struct writer *w, size_t from, size_t n)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(w->disk->env, NULL, 0, &txn);
	if (code != 0)
		return code;
	for (size_t i = from; i < from + n && code == 0; i++)
		code = write_record(w, txn, &w->records[i]);
	for (int s = 0; s < STATE_SPACES && code == 0; s++)
		code = sweep(w, txn, (enum state_space)s);
	if (code == 0)
		code = keep_bounds(w, txn);
	if (code != 0) {
		mdb_txn_abort(txn);
		return code;
	}
	w->writes++;
	return mdb_txn_commit(txn);
}

static void
write_batch(struct writer *w)
{
	if (w->n_records != 0)
		qsort_r(w->records, w->n_records, sizeof(*w->records), by_key, w);
	w->code = write_some(w, 0, w->n_records);
	if (w->code != MDB_MAP_FULL)
		return;
	/* Pages that a transaction frees are there for the ones after it: many small ones need
	 * less room than a large one. */
	w->code = 0;
	for (size_t i = 0; i < w->n_records && w->code == 0; i += PIECE) {
		size_t left = w->n_records - i;
		w->code = write_some(w, i, left < PIECE ? left : PIECE);
	}
}

static void *
thread_main(void *arg)
{
	struct writer *w = arg;
	must(pthread_mutex_lock(&w->lock) == 0);
	for (;;) {
		while (!w->busy && !w->end)
			pthread_cond_wait(&w->to_do, &w->lock);
		if (!w->busy)
			break;
		pthread_mutex_unlock(&w->lock);
		write_batch(w);
		must(pthread_mutex_lock(&w->lock) == 0);
		w->busy = false;
		pthread_cond_signal(&w->done);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void
writer_start(struct writer *w, struct disk *d, size_t entries_most)
{
	sigset_t all, before;
	*w = (struct writer){.disk = d, .entries_most = entries_most, .running = true};
	must(pthread_mutex_init(&w->lock, NULL) == 0);
	must(pthread_cond_init(&w->to_do, NULL) == 0 && pthread_cond_init(&w->done, NULL) == 0);
	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0); /* signals are the loop's */
	must(pthread_create(&w->thread, NULL, thread_main, w) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

void
writer_stop(struct writer *w)
{
	if (!w->running)
		return;
	must(pthread_mutex_lock(&w->lock) == 0);
	w->end = true;
	pthread_cond_signal(&w->to_do);
	pthread_mutex_unlock(&w->lock);
	must(pthread_join(w->thread, NULL) == 0);
	pthread_cond_destroy(&w->to_do);
	pthread_cond_destroy(&w->done);
	pthread_mutex_destroy(&w->lock);
	mem_free(w->bytes);
	mem_free(w->records);
	mem_free(w->flight);
	w->running = false;
}
