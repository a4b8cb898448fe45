/*
 * What every engine of custody promises (custody.h), by one suite over all of them: the segment
 * store, and the engine with faults while none is set. Ends with a long random run beside a
 * model, over small segments, so that files are filled, collected and used again meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spool.h"

enum { SMALL = 64 * 1024, BIG_BODY = 300 * 1000 };

static int
make(void **state, bool with_fault)
{
	struct spool *s = calloc(1, sizeof(*s));
	spool_make(s, SMALL);
	spool_close(s);
	s->with_fault = with_fault;
	spool_open(s);
	*state = s;
	return 0;
}

static int
make_segments(void **state)
{
	return make(state, false);
}

static int
make_fault(void **state)
{
	return make(state, true);
}

static int
drop(void **state)
{
	spool_drop_all(*state);
	free(*state);
	return 0;
}

static void
reopen(struct spool *s)
{
	spool_close(s);
	spool_open(s);
}

static void
check_item(struct spool *s, struct custody_id id, const char *envelope, const char *note,
	const char *body)
{
	struct spool_item item;
	assert_int_equal(spool_get(s, id, &item), 1);
	assert_true(custody_id_eq(&item.id, &id));
	assert_true(slice_eq(buf_slice(&item.envelope), slice_of(envelope)));
	assert_true(slice_eq(buf_slice(&item.note), slice_of(note)));
	assert_int_equal(item.body_bytes, strlen(body));
	spool_item_fini(&item);
	spool_check_body(s, id, slice_of(body));
	assert_true(spool_there(s, id));
}

static void
check_gone(struct spool *s, struct custody_id id)
{
	struct spool_item item;
	struct buf none;
	buf_init(&none, 1);
	assert_int_equal(spool_get(s, id, &item), 0);
	assert_false(spool_there(s, id));
	assert_int_equal(spool_body(s, id, 0, 1, &none), CUSTODY_FAILED);
	buf_fini(&none);
}

static void
test_ids(void **state)
{
	(void)state;
	char text[CUSTODY_ID_TEXT];
	struct custody_id a = custody_id_new(), b = custody_id_new(), c;
	assert_false(custody_id_eq(&a, &b));
	custody_id_text(&a, text);
	assert_int_equal(strlen(text), 32);
	assert_true(custody_id_parse(slice_of(text), &c));
	assert_true(custody_id_eq(&a, &c));
	assert_false(custody_id_parse(slice_first(slice_of(text), 31), &c));
	text[7] = 'A';
	assert_false(custody_id_parse(slice_of(text), &c));
	text[7] = 'g';
	assert_false(custody_id_parse(slice_of(text), &c));
	for (int r = CUSTODY_OK; r <= CUSTODY_UNKNOWN; r++)
		assert_non_null(custody_result_text((enum custody_result)r));
}

/* PUT, NOTE and DROP, of what is there and of what is not, before and after a restart. */
static void
test_changes(void **state)
{
	struct spool *s = *state;
	struct custody_id a = spool_id(1), b = spool_id(2), c = spool_id(3);
	check_gone(s, a);
	assert_int_equal(
		spool_put(s, a, SLICE("ea"), SLICE("n1"), SLICE("body a")), CUSTODY_OK);
	assert_int_equal(spool_put(s, b, SLICE("eb"), SLICE(""), SLICE("")), CUSTODY_OK);
	check_item(s, a, "ea", "n1", "body a");
	check_item(s, b, "eb", "", "");
	/* The same id again changes nothing. */
	assert_int_equal(spool_put(s, a, SLICE("xx"), SLICE("xx"), SLICE("xx")), CUSTODY_OK);
	check_item(s, a, "ea", "n1", "body a");
	assert_int_equal(spool_note(s, a, SLICE("the second note")), CUSTODY_OK);
	assert_int_equal(spool_note(s, c, SLICE("of nobody")), CUSTODY_OK);
	assert_int_equal(spool_drop(s, c), CUSTODY_OK);
	check_gone(s, c);
	assert_int_equal(spool_drop(s, b), CUSTODY_OK);
	for (int round = 0; round < 3; round++) {
		check_item(s, a, "ea", "the second note", "body a");
		check_gone(s, b);
		reopen(s);
	}
	assert_int_equal(spool_put(s, b, SLICE("again"), SLICE("n"), SLICE("b")), CUSTODY_OK);
	assert_int_equal(spool_note(s, a, SLICE("")), CUSTODY_OK);
	reopen(s);
	check_item(s, a, "ea", "", "body a");
	check_item(s, b, "again", "n", "b");
}

/* Many changes in one commit, in their order. */
static void
test_one_commit(void **state)
{
	struct spool *s = *state;
	struct custody_change changes[CUSTODY_CHANGES_MOST];
	for (size_t i = 0; i < CUSTODY_CHANGES_MOST; i++)
		changes[i] = (struct custody_change){.op = CUSTODY_PUT,
			.id = spool_id(i / 4),
			.envelope = SLICE("e"),
			.note = SLICE("1")};
	for (size_t i = 0; i < CUSTODY_CHANGES_MOST; i += 4) {
		changes[i + 1].op = CUSTODY_NOTE;
		changes[i + 1].note = SLICE("2");
		if (i % 8 == 0)
			changes[i + 2].op = CUSTODY_DROP;
		if (i % 16 == 0)
			changes[i + 3].note = SLICE("3");
		else
			changes[i + 3].op = CUSTODY_NOTE;
	}
	assert_int_equal(spool_commit(s, changes, CUSTODY_CHANGES_MOST), CUSTODY_OK);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < CUSTODY_CHANGES_MOST / 4; i += 5) {
			if (i % 4 == 0)
				check_item(s, spool_id(i), "e", "3", "");
			else if (i % 2 == 0)
				check_gone(s, spool_id(i));
			else
				check_item(s, spool_id(i), "e", "1", "");
		}
		reopen(s);
	}
}

/* Bodies of memory and of files, around the size of a block, larger than a segment; their
 * parts. */
static void
test_bodies(void **state)
{
	static const size_t sizes[] = {
		0, 1, 63, 64, 65535, 65536, 65537, 131072, SMALL + 1, BIG_BODY};
	struct spool *s = *state;
	char *bytes = malloc(BIG_BODY), path[] = "/tmp/custody-body-XXXXXX";
	spool_bytes(bytes, BIG_BODY, 3);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, BIG_BODY), BIG_BODY);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i], third = n / 3;
		struct arena *a = arena_new(65536);
		struct relay_body b;
		relay_body_init(&b, a);
		relay_body_add(&b, (struct slice){bytes, third});
		relay_body_add_file(&b, fd, third, third);
		relay_body_add(&b, (struct slice){bytes + 2 * third, n - 2 * third});
		struct custody_change c = {.op = CUSTODY_PUT,
			.id = spool_id(i),
			.envelope = SLICE("e"),
			.body = &b};
		assert_int_equal(spool_commit(s, &c, 1), CUSTODY_OK);
		arena_free(&a);
	}
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct slice all = {bytes, sizes[i]};
			spool_check_body(s, spool_id(i), all);
			for (size_t at = 0; at < all.n + 10; at += 1 + all.n / 7) {
				struct buf part;
				buf_init(&part, 70000);
				assert_int_equal(spool_body(s, spool_id(i), at, 70000, &part),
					CUSTODY_OK);
				struct slice wanted = slice_first(slice_from(all, at), 70000);
				assert_true(slice_eq(buf_slice(&part), wanted));
				buf_fini(&part);
			}
		}
		reopen(s);
	}
	close(fd);
	unlink(path);
	free(bytes);
}

/* A body that cannot be read fails its own commit, and nothing else. */
static void
test_unreadable_body(void **state)
{
	static const uint64_t lengths[] = {100, 5 * 1024 * 1024};
	struct spool *s = *state;
	char path[] = "/tmp/custody-body-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	for (size_t i = 0; i < 2; i++) {
		/* The second is met when a part of it has been written already. */
		assert_int_equal(ftruncate(fd, (off_t)lengths[i] - 1), 0);
		struct arena *a = arena_new(65536);
		struct relay_body b;
		relay_body_init(&b, a);
		relay_body_add_file(&b, fd, 0, lengths[i]);
		struct custody_change changes[2] = {
			{.op = CUSTODY_PUT, .id = spool_id(2 * i), .envelope = SLICE("whole")},
			{.op = CUSTODY_PUT, .id = spool_id(2 * i + 1), .body = &b}};
		assert_int_equal(spool_commit(s, changes, 2), CUSTODY_FAILED);
		arena_free(&a);
		assert_int_equal(
			spool_put(s, spool_id(10 + i), SLICE("e"), SLICE("n"), SLICE("b")),
			CUSTODY_OK);
	}
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < 4; i++)
			check_gone(s, spool_id(i));
		check_item(s, spool_id(10), "e", "n", "b");
		check_item(s, spool_id(11), "e", "n", "b");
		reopen(s);
	}
	struct custody_space space;
	custody_space(s->custody, &space);
	assert_false(space.failing);
	close(fd);
	unlink(path);
}

struct many {
	struct spool *s;
	size_t open, answered, order[400];
	struct many_call {
		struct many *many;
		size_t number;
	} calls[400];
};

static void
on_many(void *arg, enum custody_result r, struct slice why)
{
	struct many_call *c = arg;
	(void)why;
	assert_int_equal(r, CUSTODY_OK);
	c->many->order[c->many->answered++] = c->number;
	if (c->many->answered == c->many->open && c->many->s->loop != NULL)
		loop_stop(c->many->s->loop);
}

static void
start_many(struct many *m, struct spool *s, size_t n)
{
	static char bytes[2000];
	spool_bytes(bytes, sizeof(bytes), 5);
	*m = (struct many){.s = s, .open = n};
	for (size_t i = 0; i < n; i++) {
		struct custody_change c = {
			.op = CUSTODY_PUT, .id = spool_id(i), .envelope = {bytes, 1 + i}};
		m->calls[i] = (struct many_call){m, i};
		custody_commit(s->custody, &c, 1, on_many, &m->calls[i]);
		/* The array was copied. */
		memset(&c, 0xa5, sizeof(c));
	}
	assert_int_equal(m->answered, 0); /* never from inside */
}

static void
check_many(struct spool *s, const struct many *m)
{
	struct spool_item item;
	assert_int_equal(m->answered, m->open);
	for (size_t i = 0; i < m->open; i++) {
		assert_int_equal(m->order[i], i);
		assert_int_equal(spool_get(s, spool_id(i), &item), 1);
		assert_int_equal(item.envelope.used, 1 + i);
		spool_item_fini(&item);
	}
}

/* Many commits under way at once, also while the store is closed. */
static void
test_many_commits(void **state)
{
	struct spool *s = *state;
	static struct many m;
	struct err err;
	start_many(&m, s, 400);
	while (m.answered < m.open)
		assert_int_equal(loop_run(s->loop, &err), 0);
	check_many(s, &m);
	for (size_t i = 0; i < 400; i++)
		assert_int_equal(spool_drop(s, spool_id(i)), CUSTODY_OK);
	start_many(&m, s, 300);
	spool_close(s);
	spool_open(s);
	check_many(s, &m);
}

struct closing {
	struct spool *s;
	unsigned commits, scans;
	bool closed;
};

static void
on_closing(void *arg, enum custody_result r, struct slice why)
{
	struct closing *c = arg;
	(void)why;
	assert_int_equal(r, CUSTODY_OK);
	assert_false(c->closed);
	if (c->commits++ > 0)
		return;
	/* From a callback: what is open is answered from inside, then it is gone. */
	spool_close(c->s);
	c->closed = true;
	loop_stop(c->s->loop);
}

static void
on_closing_scan(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct closing *c = arg;
	(void)items, (void)n, (void)next, (void)end;
	assert_int_equal(r, CUSTODY_OK);
	assert_false(c->closed);
	c->scans++;
}

static void
test_close_from_a_callback(void **state)
{
	struct spool *s = *state;
	struct closing c = {.s = s};
	for (uint64_t i = 0; i < 20; i++) {
		struct custody_change change = {.op = CUSTODY_PUT, .id = spool_id(i)};
		custody_commit(s->custody, &change, 1, on_closing, &c);
		if (i % 5 == 0)
			custody_scan(s->custody, 0, 10, on_closing_scan, &c);
	}
	spool_wait(s, &c.closed);
	assert_int_equal(c.commits, 20);
	assert_int_equal(c.scans, 4);
	spool_open(s);
	for (uint64_t i = 0; i < 20; i++)
		check_item(s, spool_id(i), "", "", "");
}

static void
test_empty_commit(void **state)
{
	struct spool *s = *state;
	struct custody_space before, after;
	custody_space(s->custody, &before);
	assert_int_equal(spool_commit(s, NULL, 0), CUSTODY_OK);
	custody_space(s->custody, &after);
	assert_true(after.syncs > before.syncs);
	assert_int_equal(after.items, 0);
	assert_false(after.failing);
}

/* Every item once, whatever the size of the parts. */
static void
test_scan(void **state)
{
	struct spool *s = *state;
	static const size_t mosts[] = {1, 2, 7, 99, 100, 101, CUSTODY_SCAN_MOST};
	char note[8];
	for (uint64_t i = 0; i < 150; i++) {
		int n = snprintf(note, sizeof(note), "%u", (unsigned)i);
		assert_int_equal(spool_put(s, spool_id(i), SLICE("e"),
					 (struct slice){note, (size_t)n}, SLICE("bb")),
			CUSTODY_OK);
	}
	for (uint64_t i = 0; i < 150; i += 3)
		assert_int_equal(spool_drop(s, spool_id(i)), CUSTODY_OK);
	for (size_t k = 0; k < sizeof(mosts) / sizeof(mosts[0]); k++) {
		struct spool_items l;
		bool seen[150] = {0};
		spool_scan(s, mosts[k], &l);
		assert_int_equal(l.n, 100);
		for (size_t i = 0; i < l.n; i++) {
			uint64_t number = 0;
			assert_true(slice_u64(buf_slice(&l.p[i].note), &number));
			assert_true(number % 3 != 0 && number < 150 && !seen[number]);
			seen[number] = true;
			struct custody_id id = spool_id(number);
			assert_true(custody_id_eq(&l.p[i].id, &id));
			assert_int_equal(l.p[i].body_bytes, 2);
		}
		spool_items_fini(&l);
	}
	struct custody_space space;
	custody_space(s->custody, &space);
	assert_int_equal(space.items, 100);
	/* "e", "bb", and the numbers: 6 of one digit, 60 of two, 34 of three */
	assert_int_equal(space.live_bytes, 100 * 3 + 6 + 60 * 2 + 34 * 3);
}

/* Envelopes and notes as large as they may be. */
static void
test_large_texts(void **state)
{
	struct spool *s = *state;
	char *bytes = malloc(CUSTODY_NOTE_MOST);
	spool_bytes(bytes, CUSTODY_NOTE_MOST, 11);
	struct slice envelope = {bytes, CUSTODY_ENVELOPE_MOST},
		     note = {bytes, CUSTODY_NOTE_MOST};
	struct spool_item item;
	assert_int_equal(spool_put(s, spool_id(1), envelope, note, SLICE("b")), CUSTODY_OK);
	assert_int_equal(spool_put(s, spool_id(2), SLICE("e"), SLICE("n"), SLICE("b")), 0);
	assert_int_equal(spool_note(s, spool_id(2), note), CUSTODY_OK);
	reopen(s);
	for (uint64_t i = 1; i <= 2; i++) {
		assert_int_equal(spool_get(s, spool_id(i), &item), 1);
		assert_true(
			slice_eq(buf_slice(&item.envelope), i == 1 ? envelope : SLICE("e")));
		assert_true(slice_eq(buf_slice(&item.note), note));
		spool_item_fini(&item);
		spool_check_body(s, spool_id(i), SLICE("b"));
	}
	struct spool_items l;
	spool_scan(s, CUSTODY_SCAN_MOST, &l); /* in several answers */
	assert_int_equal(l.n, 2);
	spool_items_fini(&l);
	free(bytes);
}

enum { MODEL = 60, STEPS = 2000 };

struct model {
	bool there;
	uint64_t seed, note_seed;
	size_t n, note_n;
};

static void
check_model(struct spool *s, const struct model *model)
{
	static char bytes[20000];
	struct spool_items l;
	size_t there = 0;
	spool_scan(s, 17, &l);
	for (uint64_t i = 0; i < MODEL; i++) {
		struct spool_item item;
		there += model[i].there;
		assert_int_equal(spool_get(s, spool_id(i), &item), model[i].there);
		if (!model[i].there)
			continue;
		assert_true(slice_eq(buf_slice(&item.envelope),
			spool_bytes(bytes, model[i].n / 10, model[i].seed)));
		assert_true(slice_eq(buf_slice(&item.note),
			spool_bytes(bytes, model[i].note_n, model[i].note_seed)));
		spool_item_fini(&item);
		spool_check_body(
			s, spool_id(i), spool_bytes(bytes, model[i].n, model[i].seed + 1));
	}
	assert_int_equal(l.n, there);
	spool_items_fini(&l);
}

static void
model_step(struct spool *s, struct model *m, uint64_t i, unsigned long r, uint64_t seed)
{
	static char envelope[2000], body[20000], note[300];
	if (r % 5 < 2) {
		size_t n = r / 16 % 20000, note_n = r / 64 % 300;
		assert_int_equal(spool_put(s, spool_id(i), spool_bytes(envelope, n / 10, seed),
					 spool_bytes(note, note_n, seed + 2),
					 spool_bytes(body, n, seed + 1)),
			CUSTODY_OK);
		if (!m->there)
			*m = (struct model){true, seed, seed + 2, n, note_n};
	} else if (r % 5 < 4) {
		size_t n = r / 16 % 300;
		assert_int_equal(
			spool_note(s, spool_id(i), spool_bytes(note, n, seed)), CUSTODY_OK);
		m->note_seed = seed;
		m->note_n = n;
	} else {
		assert_int_equal(spool_drop(s, spool_id(i)), CUSTODY_OK);
		m->there = false;
	}
}

static void
test_random(void **state)
{
	struct spool *s = *state;
	struct model model[MODEL] = {0};
	uint64_t x = 88172645463325252u, collected = 0;
	struct custody_space space;
	for (uint64_t step = 0; step < STEPS; step++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		uint64_t i = x / 7 % MODEL;
		model_step(s, &model[i], i, (unsigned long)(x >> 12), step * 4);
		if (step % 100 == 0)
			spool_run(s, 60); /* collection has its time */
		if (step % 500 == 499) {
			check_model(s, model);
			custody_space(s->custody, &space);
			collected += space.collected_bytes;
			/* 60 items of at most 24 KB; what is dead goes. */
			assert_true(space.used_bytes < 12 * 1024 * 1024);
			reopen(s);
			check_model(s, model);
		}
	}
	assert_true(collected > 0);
}

#define CASES(setup)                                                                      \
	cmocka_unit_test_setup_teardown(test_changes, setup, drop),                       \
		cmocka_unit_test_setup_teardown(test_one_commit, setup, drop),            \
		cmocka_unit_test_setup_teardown(test_bodies, setup, drop),                \
		cmocka_unit_test_setup_teardown(test_unreadable_body, setup, drop),       \
		cmocka_unit_test_setup_teardown(test_many_commits, setup, drop),          \
		cmocka_unit_test_setup_teardown(test_close_from_a_callback, setup, drop), \
		cmocka_unit_test_setup_teardown(test_empty_commit, setup, drop),          \
		cmocka_unit_test_setup_teardown(test_scan, setup, drop),                  \
		cmocka_unit_test_setup_teardown(test_large_texts, setup, drop),           \
		cmocka_unit_test_setup_teardown(test_random, setup, drop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids), CASES(make_segments), CASES(make_fault)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
