/* Runs of the second engines as messages: what is packed comes out again, what is not ours is
 * refused, cut anywhere it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed.h"
#include "second/messages.h"

static void
test_jobs(void **state)
{
	(void)state;
	static const struct {
		struct second_job job;
		bool has_fd, good;
	} rows[] = {
		{{SECOND_SPF2, SLICE_NONE, 0, SLICE_NONE}, false, true},
		{{SECOND_SPF2, {"input", 5}, 0, SLICE_NONE}, false, true},
		{{SECOND_SPF2, {"input", 5}, 4, {"mail", 4}}, false, false},
		{{SECOND_SPF2, {"input", 5}, 0, SLICE_NONE}, true, false},
		{{SECOND_OPENDKIM, {"keys", 4}, 4, {"mail", 4}}, false, true},
		{{SECOND_OPENDKIM, {"keys", 4}, 5, {"mail", 4}}, false, false},
		{{SECOND_OPENDKIM, {"keys", 4}, 1u << 30, SLICE_NONE}, true, true},
		{{SECOND_OPENDKIM, {"keys", 4}, 1u << 30, SLICE_NONE}, false, false},
		{{SECOND_OPENDKIM, {"keys", 4}, 4, {"mail", 4}}, true, false},
		{{SECOND_OPENDKIM, {"keys", 4}, UINT64_MAX, SLICE_NONE}, true, false},
		{{SECOND_ENGINES, {"input", 5}, 0, SLICE_NONE}, false, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_out out;
		struct slice payload;
		struct second_job got;
		ipc_out_init(&out);
		second_job_pack(&rows[i].job, &out);
		assert_true(ipc_out_ok(&out, &payload));
		if (second_job_unpack(payload, rows[i].has_fd, &got) != rows[i].good)
			fail_msg("row %zu", i);
		for (size_t cut = 0; cut < payload.n; cut++) {
			struct guarded g = guarded_new(slice_first(payload, cut));
			assert_false(second_job_unpack(g.in, rows[i].has_fd, &got));
			guarded_free(&g);
		}
		if (rows[i].good) {
			assert_true(second_job_unpack(payload, rows[i].has_fd, &got));
			assert_int_equal(got.engine, rows[i].job.engine);
			assert_true(slice_eq(got.input, rows[i].job.input));
			assert_true(slice_eq(got.body, rows[i].job.body));
			assert_int_equal(got.bytes, rows[i].job.bytes);
		}
		ipc_out_fini(&out);
	}
}

static void
test_outputs(void **state)
{
	(void)state;
	struct ipc_out out;
	struct slice payload, got;
	ipc_out_init(&out);
	second_output_pack(SLICE("result"), &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(second_output_unpack(payload, &got));
	assert_true(slice_eq(got, SLICE("result")));
	for (size_t cut = 0; cut < payload.n; cut++)
		assert_false(second_output_unpack(slice_first(payload, cut), &got));
	ipc_out_fini(&out);
}

static void
test_names(void **state)
{
	(void)state;
	enum second_engine e;
	assert_true(second_engine_find(SLICE("libspf2"), &e) && e == SECOND_SPF2);
	assert_true(second_engine_find(SLICE("libopendkim"), &e) && e == SECOND_OPENDKIM);
	assert_false(second_engine_find(SLICE("libspf"), &e));
	assert_false(second_engine_find(SLICE(""), &e));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
