/*
 * `postern learn` and the keeper: each message comes out as it went in, is refused cut at each
 * point, grown, and with a number that is none; the largest lesson and all models fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "payload.h"
#include "queue/hand_spam.h"

static struct arena *arena;
static uint32_t many[SPAM_FEATURES_MOST];

static int
set_up(void **state)
{
	(void)state;
	arena = arena_new(256 * 1024 * 1024);
	for (size_t i = 0; i < SPAM_FEATURES_MOST; i++)
		many[i] = (uint32_t)(i * 31 % SPAM_WEIGHTS);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static bool
takes_lessons(struct slice payload)
{
	struct arena *a = arena_new(4 * 1024 * 1024);
	struct hand_lessons l;
	bool taken = hand_lessons_unpack(payload, a, &l);
	arena_free(&a);
	return taken;
}

static bool
takes_learned(struct slice payload)
{
	struct hand_learned list[HAND_LESSONS_MOST];
	size_t n;
	return hand_learned_unpack(payload, list, &n);
}

static bool
takes_done(struct slice payload)
{
	struct hand_spam_done d;
	return hand_spam_done_unpack(payload, &d);
}

static bool
takes_models(struct slice payload)
{
	struct hand_spam_model list[HAND_SPAM_MODELS_MOST];
	size_t n;
	return hand_spam_models_unpack(payload, list, &n);
}

static struct hand_lesson
lesson_of(enum hand_teach teach, size_t n_raw, size_t n_text, uint8_t id)
{
	struct hand_lesson l = {.teach = teach,
		.features = {.raw = many, .text = many + 1, .n_raw = n_raw, .n_text = n_text}};
	memset(l.features.id, id, sizeof(l.features.id));
	l.features.shipped = -3 * SPAM_ONE + 1;
	l.features.evidence = INT32_MIN;
	return l;
}

static void
test_lessons(void **state)
{
	(void)state;
	struct hand_lesson a = lesson_of(HAND_TEACH_SPAM, 3, 2, 7),
			   b = lesson_of(HAND_TEACH_UNLEARN, 0, 0, 255);
	struct hand_lessons got;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_lessons_begin(SLICE("a.example"), &out);
	assert_true(hand_lessons_add(&a, &out));
	assert_true(hand_lessons_add(&b, &out));
	hand_lessons_end(&out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_lessons_unpack(payload, arena, &got));
	assert_true(slice_eq(got.domain, SLICE("a.example")));
	assert_int_equal(got.n, 2);
	assert_int_equal(got.list[0].teach, HAND_TEACH_SPAM);
	assert_int_equal(got.list[0].features.n_raw, 3);
	assert_int_equal(got.list[0].features.n_text, 2);
	assert_memory_equal(got.list[0].features.raw, many, 3 * sizeof(*many));
	assert_memory_equal(got.list[0].features.text, many + 1, 2 * sizeof(*many));
	assert_memory_equal(got.list[0].features.id, a.features.id, SPAM_ID_BYTES);
	assert_int_equal(got.list[0].features.shipped, -3 * SPAM_ONE + 1);
	assert_int_equal(got.list[0].features.evidence, INT32_MIN);
	assert_int_equal(got.list[1].teach, HAND_TEACH_UNLEARN);
	assert_int_equal(got.list[1].features.n_raw + got.list[1].features.n_text, 0);
	payload_check_cuts(payload, takes_lessons);
}

/* The largest fits always, beside the longest name; a second one of that kind does not. */
static void
test_largest(void **state)
{
	(void)state;
	static char name[HAND_DOMAIN_MOST];
	struct hand_lesson most =
		lesson_of(HAND_TEACH_HAM, SPAM_FEATURES_MOST, SPAM_FEATURES_MOST - 1, 1);
	struct hand_lessons got;
	struct ipc_out out;
	size_t n = 0;
	memset(name, 'n', sizeof(name));
	ipc_out_init(&out);
	hand_lessons_begin((struct slice){name, sizeof(name)}, &out);
	while (hand_lessons_add(&most, &out))
		n++;
	assert_int_equal(n, 2);
	hand_lessons_end(&out);
	assert_true(hand_lessons_unpack(payload_taken(&out, arena), arena, &got));
	assert_int_equal(got.n, 2);
	assert_memory_equal(got.list[1].features.raw, many, SPAM_FEATURES_MOST * sizeof(*many));
	/* as many as may be, and one more */
	for (size_t extra = 0; extra < 2; extra++) {
		struct hand_lesson small = lesson_of(HAND_TEACH_HAM, 1, 1, 1);
		ipc_out_init(&out);
		hand_lessons_begin(SLICE_NONE, &out);
		for (size_t i = 0; i < HAND_LESSONS_MOST + extra; i++)
			assert_true(hand_lessons_add(&small, &out));
		hand_lessons_end(&out);
		assert_int_equal(takes_lessons(payload_taken(&out, arena)), extra == 0);
	}
}

static void
put_lesson(struct ipc_out *out, size_t domain, unsigned teach, struct slice raw)
{
	static char bytes[HAND_DOMAIN_MOST + 1];
	ipc_put_slice(out, (struct slice){bytes, domain});
	ipc_put_u8(out, (uint8_t)teach);
	for (size_t i = 0; i < SPAM_ID_BYTES; i++)
		ipc_put_u8(out, 0);
	ipc_put_slice(out, raw);
	ipc_put_text(out, "");
	ipc_put_u32(out, 0); /* shipped, evidence */
	ipc_put_u32(out, 0);
	ipc_put_u8(out, HAND_TEACHES);
}

static void
test_wrong_lessons(void **state)
{
	(void)state;
	static char bytes[3 * (SPAM_FEATURES_MOST + 1)];
	const struct {
		size_t domain;
		unsigned teach;
		struct slice raw;
		bool taken;
	} rows[] = {
		{0, HAND_TEACH_SPAM, {"\xff\xff\x03", 3}, true},
		{0, HAND_TEACH_SPAM, {"\x00\x00\x04", 3}, false}, /* SPAM_WEIGHTS */
		{0, HAND_TEACH_SPAM, {"\x01\x00\x00\xff\xff\xff", 6}, false},
		{0, HAND_TEACH_SPAM, {"\x01\x00", 2}, false},
		{0, HAND_TEACH_SPAM, {"\x02\x00\x00\x01\x00\x00", 6}, true},
		{0, HAND_TEACH_SPAM, {"\x02\x00\x00\x01\x00\x00\x02\x00\x00", 9},
			false}, /* twice */
		{0, HAND_TEACHES, {"\x01\x00\x00", 3}, false},
		{0, HAND_TEACHES + 1, {"\x01\x00\x00", 3}, false},
		{HAND_DOMAIN_MOST, HAND_TEACH_HAM, {"\x01\x00\x00", 3}, true},
		{HAND_DOMAIN_MOST + 1, HAND_TEACH_HAM, {"\x01\x00\x00", 3}, false},
		{0, HAND_TEACH_HAM, {bytes, 3 * SPAM_FEATURES_MOST}, true},
		{0, HAND_TEACH_HAM, {bytes, 3 * (SPAM_FEATURES_MOST + 1)}, false},
	};
	for (size_t i = 0; i < SPAM_FEATURES_MOST + 1; i++) {
		bytes[3 * i] = (char)(i & 0xff);
		bytes[3 * i + 1] = (char)(i >> 8);
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_out out;
		ipc_out_init(&out);
		put_lesson(&out, rows[i].domain, rows[i].teach, rows[i].raw);
		if (takes_lessons(payload_taken(&out, arena)) != rows[i].taken)
			fail_msg("row %zu", i);
	}
	struct ipc_out none;
	ipc_out_init(&none);
	hand_lessons_begin(SLICE_NONE, &none);
	hand_lessons_end(&none);
	assert_false(takes_lessons(payload_taken(&none, arena)));
}

static void
test_learned(void **state)
{
	(void)state;
	struct hand_learned list[HAND_LESSONS_MOST] = {
		{SPAM_CHANGED, hand_logit(-1.5), hand_logit(1e300)},
		{SPAM_UNKNOWN, hand_logit((double)-INFINITY), hand_logit((double)NAN)},
	};
	struct hand_learned got[HAND_LESSONS_MOST];
	struct ipc_out out;
	size_t n;
	ipc_out_init(&out);
	hand_learned_pack(list, 2, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_learned_unpack(payload, got, &n));
	assert_int_equal(n, 2);
	assert_true(got[0].result == SPAM_CHANGED && got[0].raw == -1500 &&
		    got[0].text == HAND_LOGIT_MOST);
	assert_true(got[1].result == SPAM_UNKNOWN && got[1].raw == -HAND_LOGIT_MOST &&
		    got[1].text == 0);
	payload_check_cuts(payload, takes_learned);
	for (uint32_t beyond = 0; beyond < 2; beyond++) {
		ipc_out_init(&out);
		ipc_put_u32(&out, 1);
		ipc_put_u8(&out, SPAM_LEARNED);
		ipc_put_u32(&out, 2 * HAND_LOGIT_MOST + beyond);
		ipc_put_u32(&out, 0);
		assert_int_equal(takes_learned(payload_taken(&out, arena)), beyond == 0);
	}
	ipc_out_init(&out);
	ipc_put_u32(&out, 1);
	ipc_put_u8(&out, SPAM_UNKNOWN + 1);
	ipc_put_u64(&out, 0);
	assert_false(takes_learned(payload_taken(&out, arena)));
	ipc_out_init(&out);
	hand_learned_pack(list, HAND_LESSONS_MOST, &out);
	assert_true(takes_learned(payload_taken(&out, arena)));
}

static void
test_done(void **state)
{
	(void)state;
	static char words[HAND_WHY_WORDS_MOST + 1];
	struct hand_spam_done d = {false, SLICE("No space left on device")}, got;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_spam_done_pack(&d, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_spam_done_unpack(payload, &got));
	assert_true(!got.stored && slice_eq(got.why, d.why));
	payload_check_cuts(payload, takes_done);
	memset(words, 'w', sizeof(words));
	d.why = (struct slice){words, sizeof(words)}; /* is cut */
	ipc_out_init(&out);
	hand_spam_done_pack(&d, &out);
	assert_true(takes_done(payload_taken(&out, arena)));
	ipc_out_init(&out);
	ipc_put_bool(&out, true);
	ipc_put_slice(&out, (struct slice){words, sizeof(words)});
	assert_false(takes_done(payload_taken(&out, arena)));
}

static void
test_models(void **state)
{
	(void)state;
	static char name[HAND_DOMAIN_MOST];
	struct hand_spam_model list[HAND_SPAM_MODELS_MOST] = {{SLICE_NONE, 1, 2, 3, 4, true},
		{SLICE("a.example"), UINT32_MAX, 0, UINT64_MAX, 5, false}};
	struct hand_spam_model got[HAND_SPAM_MODELS_MOST];
	struct ipc_out out;
	size_t n;
	ipc_out_init(&out);
	hand_spam_models_pack(list, 2, &out);
	struct slice payload = payload_taken(&out, arena);
	assert_true(hand_spam_models_unpack(payload, got, &n));
	assert_int_equal(n, 2);
	assert_true(got[0].domain.n == 0 && got[0].ham == 1 && got[0].spam == 2 &&
		    got[0].bytes == 3 && got[0].taught_ms == 4 && got[0].stored);
	assert_true(slice_eq(got[1].domain, SLICE("a.example")) && got[1].ham == UINT32_MAX &&
		    got[1].bytes == UINT64_MAX && !got[1].stored);
	payload_check_cuts(payload, takes_models);
	memset(name, 'n', sizeof(name));
	for (size_t i = 1; i < HAND_SPAM_MODELS_MOST; i++)
		list[i].domain = (struct slice){name, sizeof(name)};
	ipc_out_init(&out);
	hand_spam_models_pack(list, HAND_SPAM_MODELS_MOST, &out);
	assert_true(takes_models(payload_taken(&out, arena)));
	list[1].domain = SLICE_NONE; /* a second site */
	ipc_out_init(&out);
	hand_spam_models_pack(list, 2, &out);
	assert_false(takes_models(payload_taken(&out, arena)));
	ipc_out_init(&out);
	hand_spam_models_pack(list + 2, 1, &out); /* none */
	assert_false(takes_models(payload_taken(&out, arena)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lessons),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_wrong_lessons),
		cmocka_unit_test(test_learned),
		cmocka_unit_test(test_done),
		cmocka_unit_test(test_models),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
