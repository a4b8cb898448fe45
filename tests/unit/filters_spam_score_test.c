/*
 * The score: a probability whatever comes in, more for more evidence, weights of the
 * administrator in place of the table's, the ten strongest in order; and which model is heard
 * how much, at each stage of a site's teaching.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "filters/spam_score.h"
#include "filters/spam_weigh.h"
#include "random.h"

enum { PLACES = 64 };

static uint32_t places[PLACES];
static struct spam_view view;
static struct spam_features features = {
	.raw = places, .text = places, .n_raw = PLACES, .n_text = PLACES};
static struct spam_found found;
static struct spam_weights weights;

static int
fresh(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PLACES; i++)
		places[i] = i * 17;
	memset(&view, 0, sizeof(view));
	memset(&found, 0, sizeof(found));
	features.shipped = features.evidence = 0;
	return 0;
}

static struct spam_judgement
judged(const double *evidence, const struct spam_shared *shared, struct slice domain)
{
	struct spam_input in = {.view = &view,
		.features = &features,
		.found = &found,
		.weights = evidence,
		.shared = shared,
		.domain = domain};
	struct spam_judgement out;
	spam_judge(&in, &out);
	assert_true(out.probability >= 0 && out.probability <= 1);
	assert_true(isfinite(out.sum));
	assert_true(out.n_why <= SPAM_WHY_MOST);
	for (size_t i = 0; i < out.n_why; i++) {
		assert_true(isfinite(out.why[i].weight) && out.why[i].name != NULL);
		if (i > 0)
			assert_true(fabs(out.why[i - 1].weight) >= fabs(out.why[i].weight));
	}
	return out;
}

static double
probability(void)
{
	return judged(NULL, NULL, SLICE_NONE).probability;
}

/* The model says so much of the features, in the two views together. */
static void
publish(struct spam_shared *s, struct slice domain, double logit, uint32_t ham, uint32_t spam)
{
	memset(&weights, 0, sizeof(weights));
	weights.ham = ham;
	weights.spam = spam;
	for (size_t i = 0; i < PLACES;
		i++) /* 64 of them, each counted an eighth, in each view */
		weights.raw[places[i]] = weights.text[places[i]] =
			(int32_t)(logit * SPAM_ONE / 16);
	assert_true(spam_shared_publish(s, domain, &weights));
}

static void
find(enum spam_evidence_id id, double times, const char *detail)
{
	found.items[found.n++] = (struct spam_found_one){id, times, slice_of(detail)};
}

static void
test_nothing_known(void **state)
{
	(void)state;
	struct spam_judgement v = judged(NULL, NULL, SLICE_NONE);
	assert_true(v.probability > 0.05 && v.probability < 0.35);
	assert_int_equal(v.n_why, 0);
}

static void
test_monotone(void **state)
{
	(void)state;
	double last = 0;
	for (int shipped = -4; shipped <= 4; shipped++) {
		features.shipped = shipped * SPAM_ONE;
		double p = probability();
		assert_true(p > last);
		last = p;
	}
	features.shipped = 0;
	for (int id = 0; id < SPAM_EVIDENCES; id++) {
		double plain = probability();
		found.n = 0;
		find((enum spam_evidence_id)id, 0.5, "");
		double half = probability();
		found.items[0].times = 1;
		double whole = probability();
		bool spam = spam_evidence_table[id].weight > 0;
		assert_true(spam ? whole > half && half > plain : whole < half && half < plain);
		found.n = 0;
	}
}

static void
test_weights_of_the_administrator(void **state)
{
	(void)state;
	double table[SPAM_EVIDENCES];
	for (int i = 0; i < SPAM_EVIDENCES; i++)
		table[i] = spam_evidence_table[i].weight;
	find(SPAM_LIST_CLIENT, 3, "bl.example");
	find(SPAM_LIST_LINK, 2, "bad.example on dbl.example");
	struct spam_judgement theirs = judged(NULL, NULL, SLICE_NONE);
	struct spam_judgement same = judged(table, NULL, SLICE_NONE);
	assert_true(theirs.sum <= same.sum && theirs.sum >= same.sum);
	table[SPAM_LIST_LINK] = -10;
	struct spam_judgement ours = judged(table, NULL, SLICE_NONE);
	assert_true(fabs(ours.sum - (spam_bias + 3 * table[SPAM_LIST_CLIENT] - 20)) < 1e-9);
	assert_string_equal(ours.why[0].name, "list.link");
	assert_true(slice_eq(ours.why[0].detail, SLICE("bad.example on dbl.example")));
	assert_string_equal(ours.why[1].name, "list.client");
	table[SPAM_LIST_LINK] = table[SPAM_LIST_CLIENT] = 0; /* silenced: not among the why */
	assert_int_equal(judged(table, NULL, SLICE_NONE).n_why, 0);
}

static void
test_the_ten_strongest(void **state)
{
	(void)state;
	double table[SPAM_EVIDENCES] = {0};
	for (int i = 0; i < 30; i++) {
		/* 0.1 to 3.0 in an order that is none, every other one against spam */
		table[i] = (i * 7 % 30 + 1) / 10.0 * (i % 2 == 0 ? 1 : -1);
		find((enum spam_evidence_id)i, 1, "");
	}
	struct spam_judgement v = judged(table, NULL, SLICE_NONE);
	assert_int_equal(v.n_why, SPAM_WHY_MOST);
	for (int i = 0; i < SPAM_WHY_MOST; i++)
		assert_true(fabs(fabs(v.why[i].weight) - (30 - i) / 10.0) < 1e-9);
}

static void
test_numbers_of_any_kind(void **state)
{
	(void)state;
	static const double odd[] = {0, -0.0, 1e308, -1e308, INFINITY, -INFINITY, NAN, 1e-320};
	double table[SPAM_EVIDENCES];
	uint64_t seed = 5;
	for (int round = 0; round < 2000; round++) {
		found.n = 0;
		for (int i = 0; i < SPAM_EVIDENCES; i++)
			table[i] = odd[random_below(&seed, 8)];
		for (int i = 0; i < 20; i++)
			find((enum spam_evidence_id)random_below(&seed, SPAM_EVIDENCES),
				odd[random_below(&seed, 8)], "");
		features.shipped = (int32_t)random_draw(&seed);
		judged(table, NULL, SLICE_NONE);
		spam_features_know(&features, &found, table);
		assert_true(features.evidence <= 10 * SPAM_ONE);
		assert_true(features.evidence >= -10 * SPAM_ONE);
	}
}

static void
test_known(void **state)
{
	(void)state;
	find(SPAM_LIST_CLIENT, 2, "");
	double table[SPAM_EVIDENCES] = {[SPAM_LIST_CLIENT] = 1.5};
	spam_features_know(&features, &found, table);
	assert_int_equal(features.evidence, 3 * SPAM_ONE);
	table[SPAM_LIST_CLIENT] = 9;
	spam_features_know(&features, &found, table);
	assert_int_equal(features.evidence, 10 * SPAM_ONE);
	/* What is told to a model is not counted twice. */
	assert_true(fabs(judged(NULL, NULL, SLICE_NONE).sum - spam_bias -
			    2 * spam_evidence_table[SPAM_LIST_CLIENT].weight) < 1e-9);
}

static double
piece(const struct spam_judgement *v, const char *name)
{
	for (size_t i = 0; i < v->n_why; i++)
		if (strcmp(v->why[i].name, name) == 0)
			return v->why[i].weight;
	return 0;
}

/* Who was taught spam alone has a model that finds it everywhere: it must not fill quarantine.
 */
static void
test_taught_one_kind(void **state)
{
	(void)state;
	struct spam_shared *s = mem_new(spam_shared_bytes());
	static const struct {
		uint32_t ham, spam;
		double logit, least, most;
	} rows[] = {{0, 500, 10, 1.9, 2.001}, {500, 0, -10, -2.001, -1.9},
		{0, 500, -1, -1.01, -0.9}, {0, 500, 1, 0.85, 1}, {50, 500, 10, 6, 7.5},
		{5000, 5000, 10, 9, 11}, {5000, 5000, -10, -11, -9},
		{5000, 5000, 1, 1.25, 1.28}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		publish(s, SLICE_NONE, rows[i].logit, rows[i].ham, rows[i].spam);
		struct spam_judgement v = judged(NULL, s, SLICE_NONE);
		double heard = piece(&v, "model.site");
		assert_true(heard >= rows[i].least && heard <= rows[i].most);
		if (rows[i].ham == 0)
			assert_true(v.probability < 0.99);
	}
	mem_free(s);
}

static void
test_shipped_fades(void **state)
{
	(void)state;
	struct spam_shared *s = mem_new(spam_shared_bytes());
	static const struct {
		uint32_t ham, spam;
		double heard;
	} rows[] = {{0, 0, 3}, {0, 90000, 3}, {90000, 0, 3}, {1000, 9000, 2.25},
		{3000, 3000, 1.5}, {70000, 27000, 0.3}};
	features.shipped = 3 * SPAM_ONE;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		publish(s, SLICE_NONE, 0.5, rows[i].ham, rows[i].spam);
		struct spam_judgement v = judged(NULL, s, SLICE_NONE);
		double rarer = rows[i].ham < rows[i].spam ? rows[i].ham : rows[i].spam;
		double surer = 1 + 0.3 * rarer / (rarer + 500);
		assert_true(fabs(piece(&v, "model.shipped") - rows[i].heard * surer) < 1e-9);
	}
	mem_free(s);
}

/* spam_features_of has asked no shipped model about a bounce, and nobody does later. */
static void
test_bounce(void **state)
{
	(void)state;
	struct arena *a = arena_new(8 << 20);
	static const char
		header[] = "From: MAILER-DAEMON@mx.example (Mail Delivery System)\r\n"
			   "Subject: Undelivered Mail\r\n"
			   "Content-Type: multipart/report; report-type=delivery-status;\r\n"
			   " boundary=\"b\"\r\n\r\n",
		body[] = "--b\r\n\r\nThis is the mail system. It was not delivered.\r\n"
			 "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
			 "Reporting-MTA: dns; mx.example\r\n\r\n"
			 "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n"
			 "Status: 5.1.1\r\n--b--\r\n";
	spam_view_of_mail(arena_printf(a, "%s%s", header, body), SLICE_NONE, a, &view);
	assert_true(view.bounce);
	struct spam_features f;
	spam_features_of(&view, a, &f);
	assert_true(f.n_text > 50);
	assert_int_equal(f.shipped, 0);
	view.bounce = false;
	spam_features_of(&view, a, &f);
	assert_int_not_equal(f.shipped, 0);
	arena_free(&a);
}

static void
test_domain(void **state)
{
	(void)state;
	struct spam_shared *s = mem_new(spam_shared_bytes());
	publish(s, SLICE("a.example"), 4, 5000, 5000);
	struct spam_judgement alone = judged(NULL, s, SLICE("a.example"));
	assert_true(piece(&alone, "model.domain") > 3.5);
	assert_true(slice_eq(alone.why[0].detail, SLICE("a.example")));
	publish(s, SLICE_NONE, -2, 5000, 5000);
	struct spam_judgement both = judged(NULL, s, SLICE("a.example"));
	struct spam_judgement other = judged(NULL, s, SLICE("b.example"));
	struct spam_judgement site = judged(NULL, s, SLICE_NONE);
	assert_true(
		fabs(piece(&both, "model.domain") - piece(&alone, "model.domain") / 2) < 1e-9);
	assert_true(fabs(piece(&both, "model.site") - piece(&site, "model.site") / 2) < 1e-9);
	assert_true(fabs(other.sum - site.sum) < 1e-9 && other.sum < both.sum);
	mem_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nothing_known, fresh),
		cmocka_unit_test_setup(test_monotone, fresh),
		cmocka_unit_test_setup(test_weights_of_the_administrator, fresh),
		cmocka_unit_test_setup(test_the_ten_strongest, fresh),
		cmocka_unit_test_setup(test_numbers_of_any_kind, fresh),
		cmocka_unit_test_setup(test_known, fresh),
		cmocka_unit_test_setup(test_taught_one_kind, fresh),
		cmocka_unit_test_setup(test_shipped_fades, fresh),
		cmocka_unit_test_setup(test_bounce, fresh),
		cmocka_unit_test_setup(test_domain, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
