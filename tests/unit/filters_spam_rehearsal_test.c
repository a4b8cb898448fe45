/*
 * The mails that a model goes over again: what is kept comes back as it was, no more than the
 * bound of each kind, gone when dropped; its bytes whole, cut at each place, and untrue.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "filters/spam_rehearsal.h"

enum { MOST = 500 };

struct mail {
	struct spam_features f;
	uint32_t raw[MOST], text[MOST];
};

/* In no order; the first and the last place of all in each. */
static void
mail_make(struct mail *m, uint32_t i)
{
	m->f = (struct spam_features){.raw = m->raw,
		.text = m->text,
		.n_raw = 2 + i % 300,
		.n_text = i % 2 == 0 ? 0 : 3,
		.shipped = -5 - (int32_t)i,
		.evidence = 7};
	for (uint32_t k = 0; k < MOST; k++) {
		m->raw[k] = k == 1 ? 0 : (SPAM_WEIGHTS - 1) - k * (1 + i % 400);
		m->text[k] = 70 * k + i % 5;
	}
	memcpy(m->f.id, &i, sizeof(i));
}

static bool
has(const uint32_t *places, size_t n, uint32_t one)
{
	for (size_t i = 0; i < n; i++)
		if (places[i] == one)
			return true;
	return false;
}

static bool
same(const struct spam_features *a, const struct spam_features *b)
{
	bool all = a->n_raw == b->n_raw && a->n_text == b->n_text && a->shipped == b->shipped &&
		   a->evidence == b->evidence && memcmp(a->id, b->id, SPAM_ID_BYTES) == 0;
	for (size_t i = 0; all && i < a->n_raw; i++)
		all = has(b->raw, b->n_raw, a->raw[i]);
	for (size_t i = 0; all && i < a->n_text; i++)
		all = has(b->text, b->n_text, a->text[i]);
	return all;
}

static void
test_as_it_was(void **state)
{
	(void)state;
	struct spam_rehearsal *r = spam_rehearsal_new();
	struct spam_features f;
	struct mail m;
	assert_false(spam_rehearsal_take(r, true, 3, &f));
	for (uint32_t i = 0; i < 50; i++) {
		mail_make(&m, i);
		spam_rehearsal_keep(r, &m.f, i % 2 == 0);
	}
	for (uint32_t i = 0; i < 50; i++) {
		mail_make(&m, i);
		assert_true(spam_rehearsal_take(r, i % 2 == 0, i / 2, &f));
		assert_true(same(&m.f, &f));
	}
	for (uint32_t i = 0; i < 50; i += 2) {
		mail_make(&m, i);
		spam_rehearsal_drop(r, m.f.id);
	}
	assert_false(spam_rehearsal_take(r, true, 3, &f));
	assert_true(spam_rehearsal_take(r, false, 3, &f));
	spam_rehearsal_free(&r);
	assert_null(r);
}

static void
test_bounded(void **state)
{
	(void)state;
	struct spam_rehearsal *r = spam_rehearsal_new();
	struct spam_features f;
	struct mail m;
	uint32_t late = 0;
	for (uint32_t i = 0; i < 4 * SPAM_REHEARSED; i++) {
		mail_make(&m, i);
		spam_rehearsal_keep(r, &m.f, true);
	}
	for (uint32_t i = 0; i < SPAM_REHEARSED; i++) {
		uint32_t number;
		assert_true(spam_rehearsal_take(r, true, i, &f));
		memcpy(&number, f.id, sizeof(number));
		late += number >= SPAM_REHEARSED;
	}
	assert_true(late > SPAM_REHEARSED / 2); /* the newer ones stand there */
	struct spam_rehearsal *other = spam_rehearsal_new();
	size_t n = spam_rehearsal_bytes(r);
	uint8_t *bytes = mem_array(2 * n, 1);
	spam_rehearsal_pack(r, bytes);
	memcpy(bytes + n, bytes, n);
	assert_false(spam_rehearsal_unpack(other, bytes, 2 * n)); /* too many */
	mem_free(bytes);
	spam_rehearsal_free(&other);
	spam_rehearsal_free(&r);
}

static bool
reads(const uint8_t *bytes, size_t n)
{
	struct spam_rehearsal *r = spam_rehearsal_new();
	/* A copy as large as it is, so that a byte too far is seen. */
	uint8_t *copy = mem_array(n > 0 ? n : 1, 1);
	if (n > 0)
		memcpy(copy, bytes, n);
	bool right = spam_rehearsal_unpack(r, copy, n);
	struct spam_features f;
	if (right && n > 0)
		assert_true(spam_rehearsal_take(r, true, 0, &f) ||
			    spam_rehearsal_take(r, false, 0, &f));
	mem_free(copy);
	spam_rehearsal_free(&r);
	return right;
}

static void
test_bytes(void **state)
{
	(void)state;
	struct spam_rehearsal *r = spam_rehearsal_new(), *again = spam_rehearsal_new();
	struct mail m;
	mail_make(&m, 11);
	spam_rehearsal_keep(r, &m.f, false);
	size_t first = spam_rehearsal_bytes(r);
	mail_make(&m, 12);
	spam_rehearsal_keep(r, &m.f, true);
	size_t n = spam_rehearsal_bytes(r);
	uint8_t *bytes = mem_array(n, 1), *other = mem_array(n, 1);
	spam_rehearsal_pack(r, bytes);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(reads(bytes, cut), cut == 0 || cut == first);
	assert_true(spam_rehearsal_unpack(again, bytes, n));
	assert_int_equal(spam_rehearsal_bytes(again), n);
	spam_rehearsal_pack(again, other);
	assert_memory_equal(bytes, other, n);
	/* Of no kind; more places than there are; a gap that leads out; one place twice. */
	const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {{4, 2}, {4 + 1 + SPAM_ID_BYTES + 8 + 2, 1}, {4 + 33 + 2, 0xff},
		{4 + 33 + 1, 0}, {3, 0x7f}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(other, bytes, n);
		other[wrong[i].at] = wrong[i].value;
		assert_false(reads(other, n));
	}
	mem_free(bytes);
	mem_free(other);
	spam_rehearsal_free(&again);
	spam_rehearsal_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_it_was),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
