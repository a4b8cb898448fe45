/*
 * Plans of the scanner among a mail's cuts: the texts that are asked for, what the splices make
 * of its bytes, and what stops them: a size, a rule that takes out the field to be written
 * anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "filters/facts.h"
#include "session/append.h"

enum { HEADER_BYTES = 22, MAIL_BYTES = 29 };

static const char mail_bytes[] = "From: a@b\r\nX: 1234\r\n\r\nhello\r\n";

#define CONF                                                                                  \
	"hostname \"mx.example.com\"\nlisten outbound on \"127.0.0.1:2587\" from { "          \
	"127.0.0.0/8 }\nsend direct\noutbound {\nappend text \"a < b\"\nappend text \"-- \" " \
	"html \"<i>c</i>\"\ntry append text \"never\"\naccept\n}\n"

struct lab {
	struct arena *arena;
	struct conf *conf;
	struct conf_report report;
	struct policy *policy;
	struct flt_session session;
	struct facts *facts;
	struct flt_mail mail;
	struct flt_recipient rcpt;
	struct message message;
	const struct rule *effects[2];
	struct verdict verdict;
	struct edits edits;
	struct slice why;
};

static void
lab_open(struct lab *l)
{
	memset(l, 0, sizeof(*l));
	l->arena = arena_new(16 << 20);
	l->conf = conf_text(CONF);
	conf_report_init(&l->report);
	l->policy = policy_compile(l->conf, OUTBOUND, facts_all(), l->arena, &l->report);
	assert_non_null(l->policy);
	assert_true(append_is_used(l->policy));
	l->facts = facts_new(l->conf, l->policy, &l->session);
	l->mail = (struct flt_mail){.message = &l->message, .bytes = MAIL_BYTES};
	facts_mail(l->facts, &l->mail);
	(void)facts_rcpt(l->facts, &l->rcpt);
	facts_data(l->facts);
	facts_header(l->facts);
	facts_body_end(l->facts);
	for (size_t i = 0; i < 2; i++)
		l->effects[i] = policy_rule(l->policy, i);
	l->verdict = (struct verdict){.decided = true,
		.action = ACTION_ACCEPT,
		.effects = l->effects,
		.n_effects = 2};
}

static void
lab_close(struct lab *l)
{
	facts_mail_end(l->facts);
	facts_free(&l->facts);
	conf_report_fini(&l->report);
	conf_free(&l->conf);
	arena_free(&l->arena);
}

static enum append_outcome
append(struct lab *l, uint64_t most)
{
	return append_to(l->facts, &l->verdict, &l->mail, HEADER_BYTES, most, l->arena,
		&l->edits, &l->why);
}

static void
answer(struct lab *l, const struct append_plan *plan)
{
	struct questions *scope;
	struct question *q = facts_question(l->facts, &scope);
	assert_non_null(q);
	assert_int_equal(q->kind, QUESTION_APPEND);
	q->state = QUESTION_ASKED;
	question_answer_append(scope, q, plan);
	assert_null(facts_question(l->facts, &scope));
}

/* Of all rules that hold, in their order; HTML made of the text where there is none. */
static void
test_texts(void **state)
{
	(void)state;
	struct lab l;
	struct questions *scope;
	lab_open(&l);
	assert_int_equal(append(&l, 1000), APPEND_WAITS);
	assert_int_equal(append(&l, 1000), APPEND_WAITS);
	const struct question *q = facts_question(l.facts, &scope);
	assert_non_null(q);
	assert_true(slice_eq(q->name, SLICE("a < b\n\n-- \n")));
	assert_true(slice_eq(q->input, SLICE("<p>a &lt; b</p>\n<i>c</i>\n")));
	lab_close(&l);
	lab_open(&l);
	l.verdict.n_effects = 0;
	assert_int_equal(append(&l, 1000), APPEND_MADE);
	assert_null(facts_question(l.facts, &scope));
	assert_true(l.why.n == 0 && l.edits.n_cuts == 0);
	lab_close(&l);
}

struct merge_case {
	const char *label;
	struct append_plan plan;
	uint64_t most;
	struct cut before; /* bytes 0: none */
	size_t cuts;
	const char *why;
};

static struct append_splice at_end[] = {{29, 0, {"bye\r\n", 5}}};
static struct append_splice anew[] = {{11, 9, {"X: 2\r\n", 6}}, {22, 7, {"h\r\n", 3}}};

static const struct merge_case merges[] = {
	{"at the end", {.splices = at_end, .n = 1}, 1000, {0, 0, {NULL, 0}}, 1, ""},
	{"behind a cut", {.splices = at_end, .n = 1}, 1000, {0, 11, {NULL, 0}}, 2, ""},
	{"a field and the body", {.splices = anew, .n = 2}, 1000, {0, 11, {NULL, 0}}, 3, ""},
	{"its field is cut", {.splices = anew, .n = 2}, 1000, {11, 9, {NULL, 0}}, 1,
		"a rule removes a field that would have to be written anew"},
	{"as large as may be", {.splices = at_end, .n = 1}, 34, {0, 0, {NULL, 0}}, 1, ""},
	{"larger", {.splices = at_end, .n = 1}, 33, {0, 0, {NULL, 0}}, 0,
		"it would be larger than \"mail size\""},
	{"not", {.status = APPEND_NOT, .why = {"it is signed", 12}}, 1000, {0, 0, {NULL, 0}}, 0,
		"it is signed"},
};

static void
test_merge(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
		const struct merge_case *c = &merges[i];
		struct lab l;
		struct cut before = c->before;
		print_message("%s\n", c->label);
		lab_open(&l);
		assert_int_equal(append(&l, c->most), APPEND_WAITS);
		answer(&l, &c->plan);
		l.edits = (struct edits){.cuts = &before, .n_cuts = before.bytes != 0};
		assert_int_equal(append(&l, c->most), APPEND_MADE);
		assert_true(slice_eq(l.why, slice_of(c->why)));
		assert_int_equal(l.edits.n_cuts, c->cuts);
		assert_int_equal(append_is_of_body(&l.edits), c->why[0] == '\0');
		for (size_t k = 1; k < l.edits.n_cuts; k++)
			assert_true(l.edits.cuts[k].at >=
				    l.edits.cuts[k - 1].at + l.edits.cuts[k - 1].bytes);
		lab_close(&l);
	}
}

static void
test_failed(void **state)
{
	(void)state;
	struct lab l;
	lab_open(&l);
	assert_int_equal(append(&l, 1000), APPEND_WAITS);
	answer(&l, &(struct append_plan){.status = APPEND_FAILED});
	assert_int_equal(append(&l, 1000), APPEND_DEFERS);
	lab_close(&l);
}

/* The hash is that of the body with the splices made, wherever the mail lies. */
static void
test_hash(void **state)
{
	(void)state;
	struct arena *a = arena_new(4 << 20);
	struct err err;
	struct dkim_sign_request got = {.domain = SLICE("b"),
					 .selector = SLICE("s"),
					 .algorithm = DKIM_ED25519_SHA256},
				 want = got;
	struct spill *spill = spill_new(-1);
	struct cut cuts[] = {{.at = 0, .bytes = 11},
		{.at = 22, .bytes = 1, .insert = SLICE("J")},
		{.at = 29, .insert = SLICE("bye\r\n")}};
	struct edits e = {.cuts = cuts, .n_cuts = 3, .body_at = HEADER_BYTES};
	assert_int_equal(spill_add(spill, slice_of(mail_bytes), &err), 0);
	struct dkim_sign *s = dkim_sign_begin(a), *plain = dkim_sign_begin(a);
	assert_int_equal(append_hash(spill, &e, a, s, &err), 0);
	dkim_sign_body(plain, SLICE("Jello\r\nbye\r\n"));
	dkim_sign_body_end(plain);
	dkim_sign_digest(s, NULL, 0, 1, &got);
	dkim_sign_digest(plain, NULL, 0, 1, &want);
	assert_memory_equal(got.digest, want.digest, DKIM_DIGEST_BYTES);
	spill_free(&spill);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
