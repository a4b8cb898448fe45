/* A store of custody for a test; see spool.h. */
#include "spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LATE_MS = 20000 };

struct wait {
	struct spool *s;
	bool done;
	enum custody_result result;
	struct buf *bytes;
	struct spool_items *items;
	uint64_t next;
	bool end, there;
};

static void
too_late(void *arg)
{
	(void)arg;
	fail_msg("the store does not answer");
}

static void
stop(void *arg)
{
	loop_stop(arg);
}

void
spool_wait(struct spool *s, const bool *done)
{
	struct err err;
	loop_timer_set(&s->late, LATE_MS);
	while (!*done)
		assert_int_equal(loop_run(s->loop, &err), 0);
	loop_timer_clear(&s->late);
}

void
spool_run(struct spool *s, uint64_t ms)
{
	struct loop_timer t;
	struct err err;
	loop_timer_init(&t, s->loop, stop, s->loop);
	loop_timer_set(&t, ms);
	assert_int_equal(loop_run(s->loop, &err), 0);
	loop_timer_clear(&t);
}

int
spool_try_open(struct spool *s, struct err *err)
{
	struct segments_config config = {.loop = s->loop,
		.dir_fd = s->dir_fd,
		.segment_bytes = s->segment_bytes,
		.kept_bytes = s->kept_bytes};
	s->custody = segments_open(&config, err);
	if (s->custody == NULL)
		return -1;
	if (s->with_fault)
		s->custody = fault_new(s->loop, s->custody);
	return 0;
}

void
spool_open(struct spool *s)
{
	struct err err;
	if (spool_try_open(s, &err) < 0)
		fail_msg("%s", err.text);
}

void
spool_make_at(struct spool *s, const char *path, uint64_t segment_bytes)
{
	struct err err;
	*s = (struct spool){.segment_bytes = segment_bytes};
	snprintf(s->path, sizeof(s->path), "%s", path);
	s->dir_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->dir_fd >= 0);
	s->loop = loop_new(&err);
	assert_non_null(s->loop);
	loop_timer_init(&s->late, s->loop, too_late, s);
}

void
spool_folder(char path_out[64])
{
	/* In memory where that is to be had: thousands of starts, with syncs in each. */
	bool memory = access("/dev/shm", W_OK) == 0;
	snprintf(path_out, 64, "%s/postern-spool-XXXXXX", memory ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(path_out));
}

void
spool_make(struct spool *s, uint64_t segment_bytes)
{
	char path[64];
	spool_folder(path);
	spool_make_at(s, path, segment_bytes);
	spool_open(s);
}

void
spool_close(struct spool *s)
{
	custody_close(&s->custody);
}

void
spool_drop_all(struct spool *s)
{
	spool_close(s);
	loop_timer_clear(&s->late);
	loop_free(&s->loop);
	DIR *d = fdopendir(s->dir_fd);
	assert_non_null(d);
	rewinddir(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			assert_int_equal(unlinkat(s->dir_fd, e->d_name, 0), 0);
	closedir(d);
	assert_int_equal(rmdir(s->path), 0);
}

static void
finished(struct wait *w, enum custody_result r)
{
	assert_false(w->done);
	w->done = true;
	w->result = r;
	loop_stop(w->s->loop);
}

static void
on_commit(void *arg, enum custody_result r, struct slice why)
{
	assert_int_equal(why.n == 0, r == CUSTODY_OK);
	finished(arg, r);
}

enum custody_result
spool_commit(struct spool *s, const struct custody_change *changes, size_t n)
{
	struct wait w = {.s = s};
	custody_commit(s->custody, changes, n, on_commit, &w);
	assert_false(w.done);
	spool_wait(s, &w.done);
	return w.result;
}

enum custody_result
spool_put(struct spool *s, struct custody_id id, struct slice envelope, struct slice note,
	struct slice body)
{
	struct arena *a = arena_new(65536);
	struct relay_body b;
	relay_body_init(&b, a);
	assert_int_equal(relay_body_add(&b, body), 0);
	struct custody_change c = {
		.op = CUSTODY_PUT, .id = id, .envelope = envelope, .note = note, .body = &b};
	enum custody_result r = spool_commit(s, &c, 1);
	arena_free(&a);
	return r;
}

enum custody_result
spool_note(struct spool *s, struct custody_id id, struct slice note)
{
	struct custody_change c = {.op = CUSTODY_NOTE, .id = id, .note = note};
	return spool_commit(s, &c, 1);
}

enum custody_result
spool_drop(struct spool *s, struct custody_id id)
{
	struct custody_change c = {.op = CUSTODY_DROP, .id = id};
	return spool_commit(s, &c, 1);
}

static void
on_body(void *arg, enum custody_result r, struct slice bytes)
{
	struct wait *w = arg;
	assert_true(r == CUSTODY_OK || bytes.n == 0);
	assert_int_equal(buf_add(w->bytes, bytes), 0);
	finished(w, r);
}

enum custody_result
spool_body(
	struct spool *s, struct custody_id id, uint64_t offset, size_t length, struct buf *out)
{
	struct wait w = {.s = s, .bytes = out};
	custody_body_read(s->custody, &id, offset, length, on_body, &w);
	assert_false(w.done);
	spool_wait(s, &w.done);
	return w.result;
}

void
spool_check_body(struct spool *s, struct custody_id id, struct slice wanted)
{
	struct buf all;
	buf_init(&all, wanted.n + 1);
	size_t before;
	do {
		before = all.used;
		size_t most = wanted.n + 1 - before;
		assert_int_equal(spool_body(s, id, before,
					 most < 1024 * 1024 ? most : 1024 * 1024, &all),
			CUSTODY_OK);
	} while (all.used > before && all.used < wanted.n + 1);
	assert_true(slice_eq(buf_slice(&all), wanted));
	buf_fini(&all);
}

static void
copy(struct buf *to, struct slice from)
{
	buf_init(to, from.n);
	assert_int_equal(buf_add(to, from), 0);
}

static void
on_items(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct wait *w = arg;
	struct spool_items *l = w->items;
	if (n > 0)
		l->p = realloc(l->p, (l->n + n) * sizeof(*l->p));
	for (size_t i = 0; i < n; i++) {
		struct spool_item *to = &l->p[l->n++];
		to->id = items[i].id;
		to->body_bytes = items[i].body_bytes;
		copy(&to->envelope, items[i].envelope);
		copy(&to->note, items[i].note);
	}
	w->next = next;
	w->end = end;
	finished(w, r);
}

int
spool_get(struct spool *s, struct custody_id id, struct spool_item *item_out)
{
	struct spool_items l = {0};
	struct wait w = {.s = s, .items = &l};
	custody_get(s->custody, &id, on_items, &w);
	assert_false(w.done);
	spool_wait(s, &w.done);
	assert_true(w.end && l.n <= 1);
	if (w.result != CUSTODY_OK)
		return -1;
	if (l.n == 1) {
		*item_out = l.p[0];
		free(l.p);
		return 1;
	}
	return 0;
}

void
spool_scan(struct spool *s, size_t most, struct spool_items *items_out)
{
	struct wait w = {.s = s, .items = items_out};
	*items_out = (struct spool_items){0};
	do {
		size_t before = items_out->n;
		w.done = false;
		custody_scan(s->custody, w.next, most, on_items, &w);
		assert_false(w.done);
		spool_wait(s, &w.done);
		assert_int_equal(w.result, CUSTODY_OK);
		assert_true(items_out->n - before <= most);
	} while (!w.end);
}

void
spool_item_fini(struct spool_item *i)
{
	buf_fini(&i->envelope);
	buf_fini(&i->note);
}

void
spool_items_fini(struct spool_items *l)
{
	for (size_t i = 0; i < l->n; i++)
		spool_item_fini(&l->p[i]);
	free(l->p);
	*l = (struct spool_items){0};
}

static void
on_resolve(void *arg, enum custody_result r, const bool *there, size_t n)
{
	struct wait *w = arg;
	assert_int_equal(n, 1);
	w->there = there[0];
	finished(w, r);
}

bool
spool_there(struct spool *s, struct custody_id id)
{
	struct wait w = {.s = s};
	custody_resolve(s->custody, &id, 1, on_resolve, &w);
	assert_false(w.done);
	spool_wait(s, &w.done);
	assert_int_equal(w.result, CUSTODY_OK);
	return w.there;
}

struct custody_id
spool_id(uint64_t number)
{
	struct custody_id id;
	spool_bytes((char *)id.bytes, sizeof(id.bytes), number * 2 + 1);
	memcpy(id.bytes, &number, sizeof(number));
	return id;
}

struct slice
spool_bytes(char *to, size_t n, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		to[i] = (char)(x >> 24);
	}
	return (struct slice){to, n};
}
