/*
 * Limits as text: every key, span and unit goes there and back, and what is cut anywhere, or
 * has something more, is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/limit.h"

static bool
same(const struct limit *a, const struct limit *b)
{
	return a->quota == b->quota && a->key == b->key && a->n == b->n &&
	       a->recipients == b->recipients && a->span == b->span;
}

static void
test_there_and_back(void **state)
{
	static const uint64_t counts[] = {1, 200, LIMIT_MOST};
	struct arena *a = arena_new(1 << 20);
	size_t n = 0;
	(void)state;
	for (unsigned i = 0; i < 2 * LIMIT_KEYS * LIMIT_SPANS * 2 * 3; i++) {
		struct limit l = {.quota = i % 2 != 0,
			.key = (enum limit_key)(i / 2 % LIMIT_KEYS),
			.span = (enum limit_span)(i / 2 / LIMIT_KEYS % LIMIT_SPANS),
			.recipients = i / 2 / LIMIT_KEYS / LIMIT_SPANS % 2 != 0,
			.n = counts[i / 4 / LIMIT_KEYS / LIMIT_SPANS]};
		struct limit back;
		bool fits = limit_span_fits(l.quota, l.span);
		assert_int_equal(limit_parse(l.quota, limit_text(&l, a), &back), fits);
		assert_true(!fits || same(&l, &back));
		n += fits;
	}
	assert_int_equal(n, (4 + 3) * LIMIT_KEYS * 2 * 3);
	arena_free(&a);
}

static void
test_text(void **state)
{
	struct arena *a = arena_new(1 << 16);
	struct limit l = {
		.key = LIMIT_SENDER_DOMAIN, .n = 20, .recipients = true, .span = SPAN_DAY};
	(void)state;
	assert_true(slice_eq(limit_text(&l, a), SLICE("sender.domain > 20 recipients/day")));
	assert_string_equal(limit_fact(&l), "rate.recipients");
	l.recipients = false;
	assert_string_equal(limit_fact(&l), "rate");
	l.quota = true;
	assert_string_equal(limit_fact(&l), "quota");
	l.key = LIMIT_RECIPIENT; /* each counts, whatever the unit */
	assert_string_equal(limit_fact(&l), "quota.recipients");
	assert_int_equal(limit_span_ms(SPAN_HOUR), 3600 * 1000);
	arena_free(&a);
}

static void
test_no_limits(void **state)
{
	static const char *const wrong[] = {"", "user", "user > ", "user > 5", "user > 5/",
		"user > 5/weeks", "user > 5/week", "user >= 5/hour", "users > 5/hour",
		"user > 0/hour", "user > 1000000001/hour", "user > -5/hour", "user > 5 /hour",
		"user > 5 mails/hour", "user > 5 recipients /hour", "user > 5 recipients/hour ",
		"user  > 5/hour", " user > 5/hour", "user > 5recipients/hour",
		"user > recipients/hour", "user > 5/hour/hour"};
	struct limit l;
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (limit_parse(false, slice_of(wrong[i]), &l))
			fail_msg("\"%s\" is taken", wrong[i]);
	assert_false(limit_parse(true, SLICE("user > 5/hour"), &l));
	assert_true(limit_parse(true, SLICE("user > 5/week"), &l));
	/* cut anywhere, at the end of its memory */
	struct slice text = SLICE("recipient.domain > 200 recipients/minute");
	for (size_t n = 0; n <= text.n; n++) {
		char *part = mem_new(n + 1);
		memcpy(part, text.p, n);
		char *tight = mem_resize(part, n + (n == 0));
		assert_int_equal(limit_parse(false, (struct slice){tight, n}, &l), n == text.n);
		mem_free(tight);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_no_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
