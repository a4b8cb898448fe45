/*
 * Verdicts of many recipients: equal ones are kept once, beyond the evaluation that they came
 * from; different ones are bounded, and so are the headers that they ask for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "session/decisions.h"

enum { RULES = DECISIONS_MOST + 1 };

static struct rule rules[RULES];
enum { ACCEPT, REJECT, DISCARD, HOLD, TAG_A, TAG_B, ROUTE_A, ROUTE_B, LOG, NAMED };

static const enum action actions[NAMED] = {ACTION_ACCEPT, ACTION_REJECT, ACTION_DISCARD,
	ACTION_HOLD, ACTION_TAG, ACTION_TAG, ACTION_ROUTE, ACTION_ROUTE, ACTION_LOG};

static int
make_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < RULES; i++)
		rules[i].action = i < NAMED ? actions[i] : ACTION_ACCEPT;
	return 0;
}

/* A verdict whose arrays are overwritten after it was added: what is kept is a copy. */
static bool
add(struct decisions *d, size_t rule, const int *effects)
{
	const struct rule *list[8];
	struct verdict v = {.decided = true,
		.action = rules[rule].action,
		.rule = &rules[rule],
		.effects = list,
		.tries = list};
	for (; effects != NULL && *effects >= 0; effects++)
		list[v.n_effects++] = &rules[*effects];
	v.n_tries = v.n_effects;
	bool ok = decisions_add(d, &v);
	memset(list, 0, sizeof(list));
	return ok;
}

#define EFFECTS(...) ((const int[]){__VA_ARGS__, -1})

static void
test_equal_ones_once(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct decisions d;
	decisions_init(&d, 8, a);
	assert_true(add(&d, ACCEPT, EFFECTS(TAG_A)));
	assert_true(add(&d, ACCEPT, EFFECTS(TAG_A)));
	assert_true(add(&d, ACCEPT, EFFECTS(TAG_A, LOG)));
	assert_true(add(&d, REJECT, EFFECTS(TAG_A)));
	assert_true(add(&d, REJECT, NULL)); /* what is refused has no effects */
	assert_true(add(&d, ACCEPT, EFFECTS(TAG_A)));
	assert_true(add(&d, HOLD, NULL));
	assert_int_equal(d.n, 4);
	static const uint16_t want[] = {0, 0, 1, 2, 2, 0, 3};
	assert_int_equal(d.n_of, 7);
	assert_memory_equal(d.of, want, sizeof(want));
	assert_int_equal(d.list[0].n, 3);
	assert_int_equal(d.list[2].n, 2);
	assert_true(d.list[1].verdict.effects[1] == &rules[LOG]);
	assert_true(d.list[1].verdict.tries[0] == &rules[TAG_A]);
	assert_int_equal(d.list[2].verdict.n_effects, 0);
	assert_true(decisions_find(&d, ACTION_REJECT) == &d.list[2]);
	assert_null(decisions_find(&d, ACTION_DISCARD));
	assert_true(decision_serves(&d.list[3]) && !decision_serves(&d.list[2]));
	arena_free(&a);
}

static void
test_sets_of_edits(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct decisions d;
	decisions_init(&d, 16, a);
	assert_true(add(&d, DISCARD, EFFECTS(TAG_A)));
	assert_true(add(&d, ACCEPT, EFFECTS(TAG_A, ROUTE_A)));
	assert_true(add(&d, ACCEPT, EFFECTS(LOG, TAG_A)));
	assert_true(add(&d, ACCEPT, EFFECTS(TAG_A, TAG_B)));
	assert_true(add(&d, ACCEPT, EFFECTS(TAG_B, TAG_A))); /* another order, another header */
	assert_true(add(&d, HOLD, EFFECTS(ROUTE_A, TAG_A, ROUTE_B)));
	assert_true(add(&d, REJECT, EFFECTS(TAG_A)));
	assert_int_equal(decisions_sets(&d), 4);
	static const size_t want[] = {SIZE_MAX, 0, 0, 1, 2, 0, 3};
	for (size_t i = 0; i < d.n; i++)
		assert_int_equal(d.list[i].set, want[i]);
	assert_true(decision_route(&d.list[1]) == &rules[ROUTE_A]);
	assert_true(decision_route(&d.list[5]) == &rules[ROUTE_B]); /* the last one wins */
	assert_null(decision_route(&d.list[2]));
	arena_free(&a);
}

/* One more than there may be is told, and changes nothing. */
static void
test_bounds(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct decisions d;
	decisions_init(&d, 2 * RULES, a);
	for (size_t i = 0; i < DECISIONS_MOST; i++)
		assert_true(add(&d, i, NULL));
	assert_false(add(&d, DECISIONS_MOST, NULL));
	assert_int_equal(d.n, DECISIONS_MOST);
	assert_int_equal(d.n_of, DECISIONS_MOST);
	assert_true(add(&d, 3, NULL));
	assert_int_equal(d.of[DECISIONS_MOST], 3);
	arena_free(&a);
	/* an arena that is full, too */
	a = arena_new(512);
	decisions_init(&d, 8, a);
	size_t n = 0;
	while (n < 8 && add(&d, n, NULL))
		n++;
	assert_in_range(n, 0, 7);
	assert_int_equal(d.n_of, n);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_ones_once),
		cmocka_unit_test(test_sets_of_edits),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, make_rules, NULL);
}
