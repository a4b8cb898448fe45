/*
 * Weights in shared memory: what is published is what is asked, by domain; and a reader beside
 * a writer that never rests sees each model whole (under ThreadSanitizer too).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "filters/spam_shared.h"

enum { PLACES = 2000, PUBLISHES = 60 };

static struct spam_weights weights;
static uint32_t places[PLACES];
static const struct spam_features features = {
	.raw = places, .text = places, .n_raw = PLACES, .n_text = PLACES};

/* All weights are of one kind, so that a sum over two kinds shows. */
static void
weights_fill(int32_t value)
{
	weights.ham = weights.spam = (uint32_t)value;
	for (size_t i = 0; i < SPAM_WEIGHTS; i++)
		weights.raw[i] = weights.text[i] = value * 1000;
}

static void
places_fill(void)
{
	for (uint32_t i = 0; i < PLACES; i++)
		places[i] = i * 131;
}

static void
test_published(void **state)
{
	(void)state;
	places_fill();
	struct spam_shared *s = mem_new(spam_shared_bytes());
	struct spam_opinion o;
	assert_false(spam_shared_ask(NULL, SLICE_NONE, &features, &o));
	assert_false(spam_shared_ask(s, SLICE_NONE, &features, &o));
	assert_false(spam_shared_ask(s, SLICE("example.com"), &features, &o));
	for (int32_t i = 1; i <= 5; i++) {
		weights_fill(i);
		assert_true(spam_shared_publish(s, SLICE_NONE, &weights));
		assert_true(spam_shared_ask(s, SLICE_NONE, &features, &o));
		assert_int_equal(o.ham, i);
		struct spam_logits l = spam_weigh(&weights, &features);
		assert_true(o.logits.raw == l.raw && o.logits.text == l.text && l.raw > 0);
	}
	weights_fill(0); /* all was taken back */
	assert_true(spam_shared_publish(s, SLICE_NONE, &weights));
	assert_false(spam_shared_ask(s, SLICE_NONE, &features, &o));
	mem_free(s);
}

static void
test_domains(void **state)
{
	(void)state;
	places_fill();
	struct spam_shared *s = mem_new(spam_shared_bytes());
	struct spam_opinion o;
	char name[32];
	for (int32_t i = 0; i < SPAM_DOMAINS_MOST; i++) {
		snprintf(name, sizeof(name), "d%d.example", (int)i);
		assert_false(spam_shared_ask(s, slice_of(name), &features, &o));
		weights_fill(i + 1);
		assert_true(spam_shared_publish(s, slice_of(name), &weights));
	}
	assert_false(spam_shared_publish(s, SLICE("one.too.many.example"), &weights));
	for (int32_t i = 0; i < SPAM_DOMAINS_MOST; i++) {
		snprintf(name, sizeof(name), "d%d.example", (int)i);
		assert_true(spam_shared_ask(s, slice_of(name), &features, &o));
		assert_int_equal(o.ham, i + 1);
	}
	assert_false(spam_shared_ask(s, SLICE("d1.exampl"), &features, &o));
	assert_false(spam_shared_ask(s, SLICE("d1.example.net"), &features, &o));
	assert_false(spam_shared_ask(s, SLICE_NONE, &features, &o));
	mem_free(s);
}

static atomic_bool stop;

static void *
write_on(void *arg)
{
	for (int32_t i = 1; i <= PUBLISHES; i++) {
		weights_fill(i);
		spam_shared_publish(arg, SLICE_NONE, &weights);
	}
	atomic_store(&stop, true);
	return NULL;
}

static void
test_beside_a_writer(void **state)
{
	(void)state;
	places_fill();
	struct spam_shared *s = mem_new(spam_shared_bytes());
	double of[PUBLISHES + 1];
	for (int32_t i = 0; i <= PUBLISHES; i++) {
		weights_fill(i);
		of[i] = spam_weigh(&weights, &features).raw;
	}
	atomic_store(&stop, false);
	pthread_t writer;
	assert_int_equal(pthread_create(&writer, NULL, write_on, s), 0);
	uint32_t last = 0, versions = 0;
	bool whole = true, onwards = true;
	while (!atomic_load(&stop) || versions == 0) {
		struct spam_opinion o;
		if (!spam_shared_ask(s, SLICE_NONE, &features, &o))
			continue;
		whole &= o.ham >= 1 && o.ham <= PUBLISHES && o.ham == o.spam &&
			 o.logits.raw == of[o.ham] && o.logits.text == of[o.ham];
		onwards &= o.ham >= last;
		versions += o.ham != last;
		last = o.ham;
	}
	pthread_join(writer, NULL);
	assert_true(whole);
	assert_true(onwards);
	assert_true(versions > 0);
	mem_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_beside_a_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
