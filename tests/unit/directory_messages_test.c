/* Look-ups as messages: what is packed comes out again; cut anywhere, or too long, it is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "directory/messages.h"
#include "feed.h"

static void
test_lookups(void **state)
{
	static char longest[DIRECTORY_VALUE_MOST + 1];
	static const struct {
		struct directory_lookup lookup;
		bool good;
	} rows[] = {
		{{{"staff", 5}, {"a@b.example", 11}}, true},
		{{{"", 0}, {"", 0}}, true},
		{{{"t", 1}, {"a\0b", 3}}, true},
		{{{"t", 1}, {longest, DIRECTORY_VALUE_MOST}}, true},
		{{{"t", 1}, {longest, DIRECTORY_VALUE_MOST + 1}}, false},
		{{{longest, DIRECTORY_TABLE_MOST + 1}, {"a", 1}}, false},
	};
	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_out out;
		struct slice payload;
		struct directory_lookup got;
		ipc_out_init(&out);
		directory_lookup_pack(&rows[i].lookup, &out);
		assert_true(ipc_out_ok(&out, &payload));
		if (directory_lookup_unpack(payload, &got) != rows[i].good)
			fail_msg("row %zu", i);
		if (rows[i].good) {
			assert_true(slice_eq(got.table, rows[i].lookup.table));
			assert_true(slice_eq(got.value, rows[i].lookup.value));
		}
		for (size_t cut = 0; cut < payload.n; cut++) {
			struct guarded g = guarded_new(slice_first(payload, cut));
			assert_false(directory_lookup_unpack(g.in, &got));
			guarded_free(&g);
		}
		ipc_out_fini(&out);
	}
}

static void
test_answers(void **state)
{
	static const enum directory_found all[] = {
		DIRECTORY_YES, DIRECTORY_NO, DIRECTORY_FAILED};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct directory_answer a = {all[i], SLICE("why")}, got;
		struct ipc_out out;
		struct slice payload;
		ipc_out_init(&out);
		directory_answer_pack(&a, &out);
		assert_true(ipc_out_ok(&out, &payload));
		assert_true(directory_answer_unpack(payload, &got));
		assert_int_equal(got.found, all[i]);
		assert_true(slice_eq(got.why, SLICE("why")));
		for (size_t cut = 0; cut < payload.n; cut++) {
			struct guarded g = guarded_new(slice_first(payload, cut));
			assert_false(directory_answer_unpack(g.in, &got));
			guarded_free(&g);
		}
		ipc_out_fini(&out);
	}
	struct directory_answer got;
	assert_false(directory_answer_unpack(SLICE("\3\0\0\0\0"), &got));
	assert_true(directory_answer_unpack(SLICE("\2\0\0\0\0"), &got));
	assert_false(directory_answer_unpack(SLICE("\2\0\0\0\0\0"), &got));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
