/*
 * `mode observe` and `mode soft` on single verdicts (POLICY.md, "For the first weeks"): what is
 * changed and what is left, the effects of a refusal that does not hold, codes, and the header
 * field, which nothing in a rule's text can leave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy_lab.h"
#include "session/modes.h"

static const char rules[] = "tag \"X-A: 1\"\n"
			    "tag \"X-B: 1\" if spf is fail\n"
			    "try reject if spf is fail\n"
			    "reject with \"550 5.7.1 No\" if virus\n"
			    "tag \"X-C: 1\"\n"
			    "defer if spf is temperror\n"
			    "discard if spf is none\n"
			    "accept\n";

static const struct {
	const char *facts;
	enum action was;
	enum action observed;
	const char *effects; /* lines of those that are done, observed */
	enum action soft;
} mode_cases[] = {
	{"spf=fail virus=true", ACTION_REJECT, ACTION_ACCEPT, "1 2", ACTION_DEFER},
	{"spf=pass virus=true", ACTION_REJECT, ACTION_ACCEPT, "1", ACTION_DEFER},
	{"spf=temperror virus=false", ACTION_DEFER, ACTION_ACCEPT, "1 5", ACTION_DEFER},
	{"spf=none virus=false", ACTION_DISCARD, ACTION_ACCEPT, "1 5", ACTION_DISCARD},
	{"spf=pass virus=false", ACTION_ACCEPT, ACTION_ACCEPT, "1 5", ACTION_ACCEPT},
	{"spf=fail virus=!dead", ACTION_DEFER, ACTION_ACCEPT, "1 2 5", ACTION_DEFER},
};

static struct slice
effects_text(const struct verdict *v, struct arena *a)
{
	struct slice s = SLICE("");
	for (size_t i = 0; i < v->n_effects; i++)
		s = arena_printf(
			a, "%.*s%s%u", SLICE_ARG(s), i != 0 ? " " : "", v->effects[i]->at.line);
	return s;
}

static void
test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mode_cases) / sizeof(mode_cases[0]); i++) {
		static const enum conf_mode modes[] = {MODE_RULES, MODE_OBSERVE, MODE_SOFT};
		struct policy_lab lab;
		policy_lab_open(&lab, rules);
		for (size_t k = 0; k < 3; k++) {
			const enum action want[] = {
				mode_cases[i].was, mode_cases[i].observed, mode_cases[i].soft};
			struct verdict v;
			policy_lab_eval(&lab, mode_cases[i].facts, false, &v);
			assert_true(v.decided && v.action == mode_cases[i].was);
			modes_apply(modes[k], lab.policy, lab.arena, &v);
			assert_int_equal(v.action, want[k]);
			assert_int_equal(modes_action(&v), mode_cases[i].was);
			assert_int_equal(v.mode != VERDICT_HOLDS, want[k] != mode_cases[i].was);
			struct slice effects = effects_text(&v, lab.arena);
			if (modes[k] == MODE_OBSERVE &&
				!slice_eq(effects, slice_of(mode_cases[i].effects)))
				fail_msg("%s: %.*s", mode_cases[i].facts, SLICE_ARG(effects));
		}
		policy_lab_close(&lab);
	}
}

/* What is not decided is left alone. */
static void
test_open(void **state)
{
	(void)state;
	struct verdict v = {.action = ACTION_REJECT}, before = v;
	modes_apply(MODE_OBSERVE, NULL, NULL, &v);
	modes_apply(MODE_SOFT, NULL, NULL, &v);
	assert_memory_equal(&v, &before, sizeof(v));
}

static void
test_replies(void **state)
{
	(void)state;
	static const struct {
		const char *in, *soft;
	} rows[] = {
		{"550 5.7.1 Go away", "450 4.7.1 Go away"},
		{"554 5.7.26 x", "454 4.7.26 x"},
		{"521 5.3.2 x", "450 4.3.2 x"}, /* 421 would end the session */
		{"550 x", "450 x"},
		{"451 4.7.1 x", "451 4.7.1 x"},
		{"250 2.0.0 x", "250 2.0.0 x"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_new(65536);
		struct smtp_reply r = smtp_reply_of(rows[i].in);
		struct smtp_reply soft = modes_reply(MODE_SOFT, r);
		struct smtp_reply same = modes_reply(MODE_OBSERVE, r);
		assert_true(slice_eq(smtp_reply_line(&soft, a), slice_of(rows[i].soft)));
		assert_true(slice_eq(smtp_reply_line(&same, a), slice_of(rows[i].in)));
		arena_free(&a);
	}
	assert_int_equal(modes_reply(MODE_SOFT, (struct smtp_reply){0}).code, 0);
}

static void
test_fields(void **state)
{
	(void)state;
	struct rule reject = {
		.action = ACTION_REJECT, .at = {"/etc/pos\ntern/a b\r\n.conf", 7, 1}};
	struct rule keep = {.action = ACTION_QUARANTINE,
		.at = {"postern.conf", 9, 1},
		.text = SLICE("sta\r\nX-Forged: yes")};
	static char lines[1000];
	memset(lines, 'x', sizeof(lines));
	struct decision list[] = {
		{.verdict = {.decided = true,
			 .mode = VERDICT_OBSERVED,
			 .would = ACTION_REJECT,
			 .rule = &reject},
			.reply = {.code = 550, .text = SLICE("two\nlines\r\xff")}},
		{.verdict = {.decided = true,
			 .mode = VERDICT_OBSERVED,
			 .would = ACTION_QUARANTINE,
			 .rule = &keep},
			.set = 1},
		{.verdict = {.decided = true, .mode = VERDICT_HOLDS}},
		{.verdict = {.decided = true, .mode = VERDICT_OBSERVED, .would = ACTION_DEFER},
			.reply = {.code = 451, .text = {lines, sizeof(lines)}}},
	};
	struct arena *a = arena_new(1 << 20);
	struct decisions d = {.arena = a, .list = list, .n = 4};
	struct buf out;
	buf_init(&out, 4096);
	modes_fields(&d, 0, &out);
	struct slice got = buf_slice(&out), line;
	assert_true(slice_cut(got, '\n', &line, &got));
	assert_true(slice_eq(
		line, SLICE("X-Postern-Observe: reject a b? .conf:7 550 two lines??\r")));
	assert_true(slice_cut(got, '\n', &line, &got));
	assert_true(slice_starts(line, SLICE("X-Postern-Observe: defer facts-failed 451 xxx")));
	assert_true(line.n < 998 && got.n == 0);
	buf_clear(&out);
	modes_fields(&d, 1, &out);
	assert_true(slice_eq(buf_slice(&out),
		SLICE("X-Postern-Observe: quarantine postern.conf:9 sta? X-Forged: yes\r\n")));
	buf_fini(&out);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
