/*
 * The measures of a filter: against every pair counted one by one, on rows with and without
 * equal sums; what is caught and lost; errors at levels; bins; bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "main/roc.h"
#include "random.h"

enum { ROWS = 300 };

static void
near(const char *what, double got, double want)
{
	if (!(fabs(got - want) < 1e-9))
		fail_msg("%s: %.12f, not %.12f", what, got, want);
}

/* Every ham beside every spam. */
static double
above_by_pairs(const struct roc_row *rows, size_t n)
{
	double wrong = 0, pairs = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			if (rows[i].spam || !rows[k].spam)
				continue;
			pairs++;
			wrong += rows[i].sum > rows[k].sum    ? 1
				 : rows[i].sum == rows[k].sum ? 0.5
							      : 0;
		}
	return pairs > 0 ? wrong / pairs : -1;
}

/* The best of all thresholds: a mail is spam if it is above a sum that some mail has. */
static double
caught_by_all(const struct roc_row *rows, size_t n, double part)
{
	double best = 0, ham = 0, spam = 0;
	for (size_t i = 0; i < n; i++)
		*(rows[i].spam ? &spam : &ham) += 1;
	for (size_t at = 0; at < n; at++) {
		double lost = 0, caught = 0;
		for (size_t i = 0; i < n; i++)
			if (rows[i].sum > rows[at].sum)
				*(rows[i].spam ? &caught : &lost) += 1;
		if (lost <= floor(part * ham + 1e-9) && caught / spam > best)
			best = caught / spam;
	}
	return ham > 0 && spam > 0 ? best : -1;
}

static void
test_against_pairs(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct roc_row rows[ROWS];
		struct roc roc;
		uint64_t r = seed;
		size_t n = 3 + random_below(&r, ROWS - 3);
		uint64_t steps = seed % 3 == 0 ? 5 : 1000000; /* many equal, or hardly any */
		double shift = (double)random_below(&r, 100) / 50;
		rows[0] = (struct roc_row){0.3, 0.3, false};
		for (size_t i = 1; i < n; i++) {
			bool spam = i > 1 ? random_below(&r, 2) == 0 : true;
			double x = (double)random_below(&r, steps) / (double)steps;
			rows[i] = (struct roc_row){x + (spam ? shift : 0), 0, spam};
			rows[i].probability = rows[i].sum / 4;
		}
		double above = above_by_pairs(rows, n);
		double best = caught_by_all(rows, n, 0.01);
		struct roc_row turned[ROWS]; /* spam missed is ham lost, seen from below */
		for (size_t i = 0; i < n; i++)
			turned[i] = (struct roc_row){-rows[i].sum, 0, !rows[i].spam};
		double kept = caught_by_all(turned, n, 0.01);
		roc_of(rows, n, &roc);
		near("above", roc.above, above);
		near("caught", roc.caught[1], best);
		near("lost", roc.lost[1], 1 - kept);
		assert_true(roc.caught[0] <= roc.caught[1] && roc.lost[0] >= roc.lost[1]);
	}
}

static void
test_levels(void **state)
{
	(void)state;
	struct roc_row rows[] = {{0, 0.5, false}, {1, 0.51, false}, {2, 0.99, true},
		{3, 0.991, true}, {0, 0.2, false}, {4, 1, true}, {0, 0.9, true}};
	struct roc roc;
	roc_of(rows, 7, &roc);
	assert_int_equal(roc.ham, 3);
	assert_int_equal(roc.spam, 4);
	near("ham over 0.5", roc.ham_over[0], 1.0 / 3);
	near("ham over 0.9", roc.ham_over[1], 0);
	near("spam under 0.5", roc.spam_under[0], 0);
	near("spam under 0.9", roc.spam_under[1], 0.25);
	near("spam under 0.99", roc.spam_under[2], 0.5);
}

static void
test_bins(void **state)
{
	(void)state;
	struct roc_row rows[] = {{0, 0, false}, {0, 0.05, true}, {0, 0.0999, false},
		{0, 0.1, true}, {0, 0.95, true}, {0, 1, true}, {0, 0.97, false}};
	struct roc roc;
	roc_of(rows, 7, &roc);
	assert_int_equal(roc.bins[0].n, 3);
	near("expected", roc.bins[0].expected, 0.1499 / 3);
	near("seen", roc.bins[0].seen, 1.0 / 3);
	assert_int_equal(roc.bins[1].n, 1);
	assert_int_equal(roc.bins[2].n, 0);
	near("nothing expected", roc.bins[2].expected, -1);
	near("nothing seen", roc.bins[2].seen, -1);
	assert_int_equal(roc.bins[9].n, 3);
	near("seen, last", roc.bins[9].seen, 2.0 / 3);
}

static void
test_one_kind_and_none(void **state)
{
	(void)state;
	struct roc_row ham[] = {{1, 0.7, false}, {2, 0.8, false}};
	struct roc roc;
	roc_of(ham, 2, &roc);
	near("above", roc.above, -1);
	near("caught", roc.caught[0], -1);
	near("lost", roc.lost[0], -1);
	near("ham over", roc.ham_over[0], 1);
	near("spam under", roc.spam_under[0], -1);
	roc_of(ham, 0, &roc);
	near("none", roc.above, -1);
	near("none over", roc.ham_over[2], -1);
}

/* Of 1000 ham none was lost: 0.3 % by the rule of three. */
static void
test_bound(void **state)
{
	(void)state;
	near("of 1", roc_bound_of_none(1), 0.95);
	assert_true(fabs(roc_bound_of_none(1000) - 0.003) < 0.00001);
	near("of none", roc_bound_of_none(0), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_pairs),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_bins),
		cmocka_unit_test(test_one_kind_and_none),
		cmocka_unit_test(test_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
