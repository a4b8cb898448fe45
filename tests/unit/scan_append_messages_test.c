/*
 * How a text is put under a mail, as messages: what is packed comes out again; a plan that is
 * not of this mail, out of order or over a bound is refused, cut anywhere too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "scan/append_messages.h"
#include "scan/messages.h"

enum { MAIL_BYTES = 1000, ARENA_BYTES = 4 << 20 };

static char big[SCAN_INLINE_BYTES + 1];

static void
test_jobs(void **state)
{
	(void)state;
	const struct {
		struct append_job job;
		bool has_fd, good;
	} rows[] = {
		{{SLICE("text\n"), SLICE("<p>\n"), 4, SLICE("mail")}, false, true},
		{{SLICE("text\n"), SLICE_NONE, 0, SLICE_NONE}, false, true},
		{{{big, APPEND_TEXT_MOST}, {big, APPEND_TEXT_MOST}, SCAN_INLINE_BYTES,
			 {big, SCAN_INLINE_BYTES}},
			false, true},
		{{SLICE("text\n"), SLICE_NONE, 1u << 30, SLICE_NONE}, true, true},
		{{SLICE_NONE, SLICE("<p>\n"), 4, SLICE("mail")}, false, false},
		{{{big, APPEND_TEXT_MOST + 1}, SLICE_NONE, 4, SLICE("mail")}, false, false},
		{{SLICE("text\n"), {big, APPEND_TEXT_MOST + 1}, 4, SLICE("mail")}, false,
			false},
		{{SLICE("text\n"), SLICE_NONE, 5, SLICE("mail")}, false, false},
		{{SLICE("text\n"), SLICE_NONE, 4, SLICE("mail")}, true, false},
		{{SLICE("text\n"), SLICE_NONE, UINT64_MAX, SLICE_NONE}, true, false},
		{{SLICE("text\n"), SLICE_NONE, SCAN_INLINE_BYTES + 1,
			 {big, SCAN_INLINE_BYTES + 1}},
			false, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_out out;
		struct slice payload;
		struct append_job got;
		ipc_out_init(&out);
		append_job_pack(&rows[i].job, &out);
		assert_true(ipc_out_ok(&out, &payload));
		if (append_job_unpack(payload, rows[i].has_fd, &got) != rows[i].good)
			fail_msg("row %zu", i);
		if (rows[i].good)
			assert_true(slice_eq(got.text, rows[i].job.text) &&
				    slice_eq(got.html, rows[i].job.html) &&
				    got.bytes == rows[i].job.bytes &&
				    slice_eq(got.body, rows[i].job.body));
		for (size_t cut = 0; cut < payload.n && cut < 100; cut++) {
			struct guarded g = guarded_new(slice_first(payload, cut));
			assert_false(append_job_unpack(g.in, rows[i].has_fd, &got));
			guarded_free(&g);
		}
		ipc_out_fini(&out);
	}
}

struct plan_case {
	struct append_plan plan;
	bool good;
};

#define SPLICES(...)             \
	(struct append_splice[]) \
	{                        \
		__VA_ARGS__      \
	}

static void
test_plans(void **state)
{
	(void)state;
	const struct plan_case rows[] = {
		{{.splices = SPLICES({1000, 0, {"x", 1}}), .n = 1}, true},
		{{.splices = SPLICES({0, 1000, {"x", 1}}), .n = 1}, true},
		{{.splices = SPLICES(
			  {5, 10, {"x", 1}}, {16, 0, {"yy", 2}}, {900, 100, {"", 0}}),
			 .n = 3},
			true},
		{{.splices = SPLICES({0, 0, {big, 60000}}, {1, 0, {big, 30000}}), .n = 2},
			true},
		{{.status = APPEND_NOT, .why = SLICE("it is signed")}, true},
		{{.status = APPEND_FAILED}, true},
		{{.status = APPEND_DONE}, false},
		{{.status = APPEND_NOT, .splices = SPLICES({1, 0, {"x", 1}}), .n = 1}, false},
		{{.splices = SPLICES({1001, 0, {"x", 1}}), .n = 1}, false},
		{{.splices = SPLICES({999, 2, {"x", 1}}), .n = 1}, false},
		{{.splices = SPLICES({1, UINT64_MAX, {"x", 1}}), .n = 1}, false},
		{{.splices = SPLICES({5, 10, {"x", 1}}, {15, 0, {"y", 1}}), .n = 2}, false},
		{{.splices = SPLICES({5, 0, {"x", 1}}, {5, 0, {"y", 1}}), .n = 2}, false},
		{{.splices = SPLICES({50, 0, {"x", 1}}, {5, 0, {"y", 1}}), .n = 2}, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct append_plan *p = &rows[i].plan;
		struct arena *a = arena_new(ARENA_BYTES);
		struct ipc_out out;
		struct slice payload;
		struct append_plan got;
		ipc_out_init(&out);
		append_plan_pack(p, &out);
		assert_true(ipc_out_ok(&out, &payload));
		if (append_plan_unpack(payload, MAIL_BYTES, a, &got) != rows[i].good)
			fail_msg("row %zu", i);
		for (size_t k = 0; rows[i].good && k < p->n; k++)
			assert_true(got.n == p->n && got.splices[k].at == p->splices[k].at &&
				    got.splices[k].cut == p->splices[k].cut &&
				    slice_eq(got.splices[k].insert, p->splices[k].insert));
		if (rows[i].good)
			assert_true(got.status == p->status && slice_eq(got.why, p->why));
		for (size_t cut = 0; cut < payload.n && cut < 100; cut++) {
			struct guarded g = guarded_new(slice_first(payload, cut));
			assert_false(append_plan_unpack(g.in, MAIL_BYTES, a, &got));
			guarded_free(&g);
		}
		ipc_out_fini(&out);
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_plans),
	};
	memset(big, 'x', sizeof(big));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
