/* Questions: one for equal keys, bounds, answers copied, and what no arena can hold fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "filters/question.h"

enum { ARENA_BYTES = 8 * 1024 * 1024 };

struct fixture {
	struct arena *arena;
	struct questions q;
};

/* In place: a list's first entry points back to its head. */
static void
fixture_init(struct fixture *f)
{
	f->arena = arena_new(ARENA_BYTES);
	questions_init(&f->q, f->arena);
}

static void
equal_names_are_one_question(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f);
	struct question *one = questions_dns(&f.q, SLICE("Mail.Example."), DNS_A);
	assert_ptr_equal(one, questions_dns(&f.q, SLICE("mail.example"), DNS_A));
	assert_true(slice_eq(one->name, SLICE("mail.example")));
	assert_true(questions_dns_has(&f.q, SLICE("MAIL.example"), DNS_A));
	assert_false(questions_dns_has(&f.q, SLICE("mail.example"), DNS_AAAA));
	assert_ptr_not_equal(one, questions_dns(&f.q, SLICE("mail.example"), DNS_AAAA));
	assert_int_equal(f.q.dns_count, 2);
	assert_int_equal(questions_open(&f.q), 2);
	arena_free(&f.arena);
}

static void
kinds_and_parts_do_not_meet(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f);
	struct question *a = questions_engine(&f.q, SLICE("ab"), SLICE("c"));
	struct question *b = questions_engine(&f.q, SLICE("a"), SLICE("bc"));
	struct question *c = questions_known(&f.q, SLICE("ab"));
	assert_ptr_not_equal(a, b);
	assert_true(slice_eq(a->name, SLICE("ab")) && slice_eq(a->input, SLICE("c")));
	assert_true(slice_eq(b->name, SLICE("a")) && slice_eq(b->input, SLICE("bc")));
	assert_true(slice_eq(c->name, SLICE("ab")));
	assert_ptr_equal(questions_scan(&f.q), questions_scan(&f.q));
	assert_ptr_equal(a, questions_engine(&f.q, SLICE("ab"), SLICE("c")));
	assert_int_equal(f.q.count, 4);
	assert_int_equal(f.q.dns_count, 0);
	arena_free(&f.arena);
}

static void
answers_are_copied(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f);
	struct question *one = questions_dns(&f.q, SLICE("a.example"), DNS_TXT);
	assert_ptr_equal(questions_new(&f.q), one);
	one->state = QUESTION_ASKED;
	assert_null(questions_new(&f.q));
	char text[] = "v=spf1 -all";
	struct dns_rr rr = {.text = {text, strlen(text)}};
	struct dns_answer answer = {.status = DNS_OK, .n = 1, .rr = &rr};
	question_answer_dns(&f.q, one, &answer);
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(one->state, QUESTION_ANSWERED);
	assert_true(slice_eq(one->dns->rr[0].text, SLICE("v=spf1 -all")));
	assert_int_equal(questions_open(&f.q), 0);
	assert_int_equal(f.q.answered, 1);
	arena_free(&f.arena);
}

/* A name server with much to say makes its own answer fail, not the process. */
static void
answers_without_room_fail(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f);
	static char big[5 * 1024 * 1024];
	struct dns_rr rr = {.text = {big, sizeof(big)}};
	struct dns_answer answer = {.status = DNS_OK, .n = 1, .rr = &rr};
	struct question *one = questions_dns(&f.q, SLICE("a.example"), DNS_TXT);
	question_answer_dns(&f.q, one, &answer);
	assert_int_equal(one->dns->status, DNS_FAIL);
	assert_int_equal(one->dns->n, 0);
	struct question *engine = questions_engine(&f.q, SLICE("e"), SLICE_NONE);
	question_answer_engine(&f.q, engine, (struct slice){big, sizeof(big)});
	assert_int_equal(engine->output.n, 0);
	struct scan_report report = {.status = SCAN_CLEAN, .why = {big, sizeof(big)}};
	struct question *scan = questions_scan(&f.q);
	question_answer_scan(&f.q, scan, &report);
	assert_int_equal(scan->scan->status, SCAN_FAILED);
	arena_free(&f.arena);
}

static void
called_off_questions_are_new_again(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f);
	struct question *a = questions_dns(&f.q, SLICE("a.example"), DNS_A);
	struct question *b = questions_dns(&f.q, SLICE("b.example"), DNS_A);
	a->state = b->state = QUESTION_ASKED;
	question_answer_dns(&f.q, a, &(struct dns_answer){.status = DNS_NXDOMAIN});
	assert_ptr_equal(questions_call_off(&f.q), b);
	assert_null(questions_call_off(&f.q));
	assert_ptr_equal(questions_new(&f.q), b);
	arena_free(&f.arena);
}

static void
reports_and_words_are_copied(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f);
	char name[] = "a.zip", why[] = "encrypted";
	struct scan_attachment at = {
		.name = {name, 5}, .type = SLICE("application/zip"), .bytes = 7};
	struct scan_report report = {.status = SCAN_INFECTED,
		.virus = SLICE("Eicar"),
		.text_unread = true,
		.unread_why = {why, 9},
		.signatures = 77,
		.attachments = &at,
		.n_attachments = 1};
	struct question *scan = questions_scan(&f.q);
	question_answer_scan(&f.q, scan, &report);
	memset(name, 'x', 5);
	memset(why, 'x', 9);
	assert_true(slice_eq(scan->scan->unread_why, SLICE("encrypted")));
	assert_true(scan->scan->text_unread && scan->scan->signatures == 77);
	assert_true(slice_eq(scan->scan->attachments[0].name, SLICE("a.zip")));
	assert_true(slice_eq(scan->scan->virus, SLICE("Eicar")));
	struct question *known = questions_known(&f.q, SLICE("c@d.example"));
	question_answer_known(&f.q, known, KNOWN_NO, SLICE("550 5.1.1 no"));
	assert_int_equal(known->known, KNOWN_NO);
	assert_true(slice_eq(known->known_text, SLICE("550 5.1.1 no")));
	arena_free(&f.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_names_are_one_question),
		cmocka_unit_test(kinds_and_parts_do_not_meet),
		cmocka_unit_test(answers_are_copied),
		cmocka_unit_test(answers_without_room_fail),
		cmocka_unit_test(called_off_questions_are_new_again),
		cmocka_unit_test(reports_and_words_are_copied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
