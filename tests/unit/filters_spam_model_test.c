/*
 * The model of a site: taught once for each mail, taken back to the bit in any order, bounded
 * in what it remembers; its file, whole, cut at places and damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "filters/spam_weigh.h"

enum { MAILS = 60, MOST = 400 };

struct mail {
	struct spam_features f;
	uint32_t raw[MOST], text[MOST];
};

/* Mail i: some features of its own, some of its kind, some that all share. */
static void
mail_make(struct mail *m, uint32_t i, bool spam)
{
	size_t n = 100 + i * 37 % 300;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t kind = spam ? 150000 : 100000;
		uint32_t base = k % 3 == 0 ? 7 : k % 3 == 1 ? kind : 1000 * (i + 1);
		m->raw[k] = (base + k) % SPAM_WEIGHTS;
		m->text[k] = (base + 3 * k) % SPAM_WEIGHTS;
	}
	m->f = (struct spam_features){
		.raw = m->raw, .text = m->text, .n_raw = n, .n_text = n / 2};
	memcpy(m->f.id, &i, sizeof(i));
	m->f.id[15] = 1;
}

static struct mail mails[MAILS];

static void
mails_make(void)
{
	for (uint32_t i = 0; i < MAILS; i++)
		mail_make(&mails[i], i, i % 3 == 0);
}

static struct spam_model *
taught(void)
{
	mails_make();
	struct spam_model *m = spam_model_new();
	for (uint32_t i = 0; i < MAILS; i++)
		assert_int_equal(spam_model_learn(m, &mails[i].f, i % 3 == 0), SPAM_LEARNED);
	return m;
}

static bool
equal(const struct spam_model *a, const struct spam_model *b)
{
	return memcmp(spam_model_weights(a), spam_model_weights(b),
		       sizeof(struct spam_weights)) == 0;
}

static void
test_learns(void **state)
{
	(void)state;
	struct spam_model *m = taught();
	const struct spam_weights *w = spam_model_weights(m);
	assert_int_equal(w->spam, 20);
	assert_int_equal(w->ham, 40);
	for (uint32_t i = 0; i < MAILS; i++) {
		struct spam_logits l = spam_weigh(w, &mails[i].f);
		assert_true(i % 3 == 0 ? l.raw > 1 && l.text > 1 : l.raw + l.text < -1);
	}
	struct mail other; /* never seen, of a known kind */
	mail_make(&other, 1000, true);
	assert_true(spam_weigh(w, &other.f).raw > 0.5);
	spam_model_free(&m);
	assert_null(m);
}

static void
test_once(void **state)
{
	(void)state;
	struct spam_model *m = taught(), *again = taught();
	for (uint32_t i = 0; i < MAILS; i++)
		assert_int_equal(spam_model_learn(again, &mails[i].f, i % 3 == 0), SPAM_KNOWN);
	assert_true(equal(m, again));
	struct mail stranger;
	mail_make(&stranger, 500, true);
	assert_int_equal(spam_model_unlearn(again, &stranger.f), SPAM_UNKNOWN);
	assert_true(equal(m, again));
	/* The other label: taken back and learned anew. */
	assert_int_equal(spam_model_learn(again, &mails[MAILS - 1].f, true), SPAM_CHANGED);
	assert_int_equal(spam_model_weights(again)->spam, 21);
	assert_int_equal(spam_model_weights(again)->ham, 39);
	assert_false(equal(m, again));
	assert_int_equal(spam_model_learn(again, &mails[MAILS - 1].f, true), SPAM_KNOWN);
	assert_int_equal(spam_model_learn(again, &mails[MAILS - 1].f, false), SPAM_CHANGED);
	assert_int_equal(spam_model_weights(again)->spam, 20);
	spam_model_free(&m);
	spam_model_free(&again);
}

static void
test_taken_back(void **state)
{
	(void)state;
	struct spam_model *empty = spam_model_new();
	/* 7, 11, 13, 17: no divisor of 60, so each is another order of all mails. */
	static const uint32_t strides[] = {1, 7, 11, 13, 17, 59};
	for (size_t s = 0; s < sizeof(strides) / sizeof(strides[0]); s++) {
		struct spam_model *m = taught();
		assert_false(equal(m, empty));
		for (uint32_t i = 0; i < MAILS; i++)
			assert_int_equal(
				spam_model_unlearn(m, &mails[i * strides[s] % MAILS].f),
				SPAM_LEARNED);
		assert_true(equal(m, empty));
		assert_int_equal(spam_model_unlearn(m, &mails[0].f), SPAM_UNKNOWN);
		spam_model_free(&m);
	}
	/* One of one kind alone has no other beside it: as if it had never been. */
	struct spam_model *m = spam_model_new(), *without = spam_model_new();
	for (uint32_t i = 0; i < MAILS; i += 3) {
		assert_int_equal(spam_model_learn(m, &mails[i].f, true), SPAM_LEARNED);
		assert_int_equal(spam_model_learn(without, &mails[i].f, true), SPAM_LEARNED);
	}
	struct mail late;
	mail_make(&late, 2000, true);
	assert_int_equal(spam_model_learn(m, &late.f, true), SPAM_LEARNED);
	assert_int_equal(spam_model_unlearn(m, &late.f), SPAM_LEARNED);
	assert_true(equal(m, without));
	spam_model_free(&m);
	spam_model_free(&without);
	spam_model_free(&empty);
}

/* What others know of the mail already is not learned again; where they are wrong, more is. */
static void
test_known(void **state)
{
	(void)state;
	static const struct {
		int32_t shipped, evidence;
		double least, most; /* what the model says of the mail, taught as spam once */
	} rows[] = {{0, 0, 7.6, 7.8}, {4, 6, 0, 0}, {-2, -4, 9.9, 10}, {0, -6, 9.9, 10},
		{2, 0, 3, 3.2}, {INT32_MIN / SPAM_ONE, INT32_MIN / SPAM_ONE, 9.9, 10},
		{INT32_MAX / SPAM_ONE, INT32_MAX / SPAM_ONE, 0, 0}};
	mails_make();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spam_model *m = spam_model_new();
		struct spam_features f = mails[0].f;
		f.shipped = rows[i].shipped * SPAM_ONE;
		f.evidence = rows[i].evidence * SPAM_ONE;
		f.n_text = f.n_raw;
		assert_int_equal(spam_model_learn(m, &f, true), SPAM_LEARNED);
		struct spam_logits l = spam_weigh(spam_model_weights(m), &f);
		assert_true(l.raw + l.text >= rows[i].least && l.raw + l.text <= rows[i].most);
		spam_model_free(&m);
	}
}

/* A mail of one feature that says ever the same, and no weight goes over its edge. */
static void
test_bounded_weights(void **state)
{
	(void)state;
	struct spam_model *m = spam_model_new();
	uint32_t one = 5;
	struct spam_features f = {.raw = &one, .text = &one, .n_raw = 1, .n_text = 1};
	for (uint32_t i = 1; i <= 20000; i++) {
		memcpy(f.id, &i, sizeof(i));
		assert_int_equal(spam_model_learn(m, &f, true), SPAM_LEARNED);
	}
	int32_t top = spam_model_weights(m)->raw[one];
	assert_true(top > 0 && top <= 1 << 30);
	struct spam_features none = {.id = {[15] = 9}};
	assert_int_equal(spam_model_learn(m, &none, true), SPAM_LEARNED);
	struct spam_logits l = spam_weigh(spam_model_weights(m), &none);
	assert_true(l.raw == 0 && l.text == 0);
	spam_model_free(&m);
}

/* What is of a mail's kind alone, in logits: of a mail that was never taught. */
static double
heard(const struct spam_model *m, bool spam)
{
	struct mail stranger;
	mail_make(&stranger, 3000, spam);
	struct spam_logits l = spam_weigh(spam_model_weights(m), &stranger.f);
	return l.raw + l.text;
}

/*
 * Runs of one kind: what all mails share does not end on the side of the last run, as it does
 * where the mails gone over again are of no kind but the run's own.
 */
static void
test_long_runs(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct spam_model *m = spam_model_new();
		struct mail one;
		for (uint32_t i = 0; i < 400; i++) {
			bool spam = (i < 200) == (first == 1);
			mail_make(&one, i, spam);
			assert_int_equal(spam_model_learn(m, &one.f, spam), SPAM_LEARNED);
		}
		assert_true(heard(m, true) > 2);
		assert_true(heard(m, false) < -1);
		/* All steps are some mail's own, and go with it. */
		for (uint32_t i = 0; i < 400; i++) {
			mail_make(&one, i, (i < 200) == (first == 1));
			assert_int_equal(spam_model_unlearn(m, &one.f), SPAM_LEARNED);
		}
		struct spam_model *empty = spam_model_new();
		assert_true(equal(m, empty));
		assert_int_equal(spam_model_file_bytes(m), spam_model_file_bytes(empty));
		spam_model_free(&empty);
		spam_model_free(&m);
	}
}

/* More mails than it remembers: the oldest cannot be taken back, nor counts as known. */
static void
test_bounded_memory(void **state)
{
	(void)state;
	struct spam_model *m = spam_model_new();
	uint32_t one = 5;
	struct spam_features f = {.raw = &one, .text = &one, .n_raw = 1, .n_text = 1};
	const uint32_t most = SPAM_LEARNED_MOST, more = 1000;
	for (uint32_t i = 0; i < most + more; i++) {
		memcpy(f.id, &i, sizeof(i));
		assert_int_equal(spam_model_learn(m, &f, i % 2 == 0), SPAM_LEARNED);
		if (i % 5 == 1) /* holes in the ring */
			assert_int_equal(spam_model_unlearn(m, &f), SPAM_LEARNED);
	}
	size_t bytes = spam_model_file_bytes(m);
	assert_true(bytes <= SPAM_FILE_MOST);
	for (uint32_t i = 0; i < most + more; i++) {
		memcpy(f.id, &i, sizeof(i));
		assert_int_equal(spam_model_unlearn(m, &f),
			i < more || i % 5 == 1 ? SPAM_UNKNOWN : SPAM_LEARNED);
	}
	assert_true(spam_model_file_bytes(m) < bytes);
	spam_model_free(&m);
}

static struct slice
packed(const struct spam_model *m)
{
	size_t n = spam_model_file_bytes(m);
	uint8_t *bytes = mem_new(n);
	spam_model_pack(m, bytes);
	return (struct slice){(char *)bytes, n};
}

static void
test_file(void **state)
{
	(void)state;
	struct spam_model *m = taught();
	assert_int_equal(spam_model_unlearn(m, &mails[3].f), SPAM_LEARNED);
	struct slice file = packed(m);
	struct err err;
	struct spam_model *read = spam_model_unpack(file, &err);
	assert_non_null(read);
	assert_true(equal(m, read));
	struct slice again = packed(read);
	assert_true(slice_eq(file, again));
	/* What it remembers came with it. */
	assert_int_equal(spam_model_learn(read, &mails[4].f, false), SPAM_KNOWN);
	for (uint32_t i = 0; i < MAILS; i++)
		assert_int_equal(spam_model_unlearn(read, &mails[i].f),
			i == 3 ? SPAM_UNKNOWN : SPAM_LEARNED);
	struct spam_model *empty = spam_model_new();
	assert_true(equal(read, empty));
	char *bytes[] = {(char *)(uintptr_t)file.p, (char *)(uintptr_t)again.p};
	mem_free(bytes[0]);
	mem_free(bytes[1]);
	spam_model_free(&empty);
	spam_model_free(&read);
	spam_model_free(&m);
}

static void
refused(struct slice file)
{
	struct err err = {0};
	assert_null(spam_model_unpack(file, &err));
	assert_true(err.text[0] != 0);
}

static void
test_torn_file(void **state)
{
	(void)state;
	struct spam_model *m = taught();
	struct slice file = packed(m);
	char *bytes = (char *)(uintptr_t)file.p;
	for (size_t n = 0; n < file.n; n += n < 64 || n + 2000 > file.n ? 1 : 99991)
		refused(slice_first(file, n));
	for (size_t at = 0; at < file.n; at += at < 64 || at + 100 > file.n ? 1 : 99991) {
		bytes[at] ^= 0x10;
		refused(file);
		bytes[at] ^= 0x10;
	}
	struct err err;
	struct spam_model *read = spam_model_unpack(file, &err);
	assert_non_null(read);
	spam_model_free(&read);
	spam_model_free(&m);
	mem_free(bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learns),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_bounded_weights),
		cmocka_unit_test(test_long_runs),
		cmocka_unit_test(test_bounded_memory),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_torn_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
