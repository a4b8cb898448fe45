/*
 * Measures of a filter; see roc.h. `postern spam test` prints them; the same words stand in
 * tests/bench/README.md for what other filters reach.
 */
#include "main/roc.h"

#include <math.h>
#include <stdlib.h>

const double roc_levels[ROC_LEVELS] = {0.5, 0.9, 0.99};
static const double given_up[2] = {0.001, 0.01};

static int
by_sum(const void *a, const void *b)
{
	double x = ((const struct roc_row *)a)->sum, y = ((const struct roc_row *)b)->sum;
	return (x > y) - (x < y);
}

static double
part(size_t n, size_t of)
{
	return of != 0 ? (double)n / (double)of : -1;
}

/* Pairs of a ham and a spam in the wrong order, of all pairs. */
static double
area_above(const struct roc_row *rows, size_t n, size_t ham, size_t spam)
{
	double wrong = 0;
	size_t spam_before = 0;
	for (size_t i = 0; i < n;) {
		size_t both[2] = {0, 0}, k = i;
		for (; k < n && rows[k].sum == rows[i].sum; k++)
			both[rows[k].spam]++;
		wrong += (double)both[0] * ((double)spam_before + (double)both[1] / 2);
		spam_before += both[1];
		i = k;
	}
	return ham != 0 && spam != 0 ? wrong / ((double)ham * (double)spam) : -1;
}

/*
 * How many of the other kind lie strictly beyond the best that is not given up, from the end
 * where `kind` is rare: for ham from the top, what spam is above; for spam from the bottom.
 */
static size_t
beyond(const struct roc_row *rows, size_t n, bool kind, size_t may_lose)
{
	size_t others = 0, others_before_tie = 0, lost = 0;
	double tie = NAN;
	for (size_t i = 0; i < n; i++) {
		const struct roc_row *r = kind ? &rows[i] : &rows[n - 1 - i];
		if (r->sum != tie) {
			tie = r->sum;
			others_before_tie = others;
		}
		if (r->spam != kind)
			others++;
		else if (++lost > may_lose)
			return others_before_tie;
	}
	return others;
}

static size_t
some(double of, size_t n)
{
	return (size_t)floor(of * (double)n + 1e-9);
}

static void
at_levels(const struct roc_row *rows, size_t n, struct roc *out)
{
	for (unsigned level = 0; level < ROC_LEVELS; level++) {
		size_t over[2] = {0, 0};
		for (size_t i = 0; i < n; i++)
			over[rows[i].spam] += rows[i].probability > roc_levels[level];
		out->ham_over[level] = part(over[0], out->ham);
		out->spam_under[level] = part(out->spam - over[1], out->spam);
	}
}

static void
into_bins(const struct roc_row *rows, size_t n, struct roc *out)
{
	double sums[ROC_BINS] = {0};
	size_t spam[ROC_BINS] = {0};
	for (size_t i = 0; i < n; i++) {
		double p = rows[i].probability;
		size_t bin = p >= 1 ? ROC_BINS - 1 : p > 0 ? (size_t)(p * ROC_BINS) : 0;
		out->bins[bin].n++;
		sums[bin] += p;
		spam[bin] += rows[i].spam;
	}
	for (size_t i = 0; i < ROC_BINS; i++) {
		struct roc_bin *b = &out->bins[i];
		b->expected = b->n != 0 ? sums[i] / (double)b->n : -1;
		b->seen = part(spam[i], b->n);
	}
}

void
roc_of(struct roc_row *rows, size_t n, struct roc *out)
{
	*out = (struct roc){0};
	if (n != 0)
		qsort(rows, n, sizeof(*rows), by_sum);
	for (size_t i = 0; i < n; i++)
		out->spam += rows[i].spam;
	out->ham = n - out->spam;
	out->above = area_above(rows, n, out->ham, out->spam);
	for (size_t i = 0; i < 2; i++) {
		bool both = out->ham != 0 && out->spam != 0;
		size_t caught = beyond(rows, n, false, some(given_up[i], out->ham));
		size_t kept = beyond(rows, n, true, some(given_up[i], out->spam));
		out->caught[i] = both ? part(caught, out->spam) : -1;
		out->lost[i] = both ? part(out->ham - kept, out->ham) : -1;
	}
	at_levels(rows, n, out);
	into_bins(rows, n, out);
}

double
roc_bound_of_none(size_t n)
{
	return n != 0 ? 1 - pow(0.05, 1 / (double)n) : 1;
}
