/* The index beside a plain table: added, found, removed, numbered and used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "custody/index.h"
#include "spool.h"

enum { IDS = 6000, STEPS = 200000 };

_Static_assert(sizeof(struct entry) == 48, "README.md says so");

static struct entry *model[IDS];

static void
check(const struct index *ix)
{
	uint32_t there = 0, numbered = 0;
	for (uint32_t i = 0; i < IDS; i++) {
		struct custody_id id = spool_id(i);
		assert_ptr_equal(index_find(ix, &id), model[i]);
		there += model[i] != NULL;
		if (model[i] != NULL)
			assert_int_equal(model[i]->put_in, i + 1);
	}
	for (uint32_t number = 0; number < ix->top; number++) {
		const struct entry *e = index_at(ix, number);
		numbered += e != NULL;
		if (e != NULL)
			assert_ptr_equal(model[e->put_in - 1], e);
	}
	assert_int_equal(ix->count, there);
	assert_int_equal(numbered, there);
}

static void
test_beside_a_table(void **state)
{
	(void)state;
	struct index ix;
	uint64_t x = 88172645463325252u;
	uint32_t most = 0;
	index_init(&ix);
	for (uint32_t step = 0; step < STEPS; step++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Fuller and emptier by turns. */
		bool more = x % 8 < (step / (STEPS / 8) % 2 == 0 ? 6 : 2);
		uint32_t i = (uint32_t)(x / 16 % IDS);
		struct custody_id id = spool_id(i);
		if (more && model[i] == NULL) {
			model[i] = index_add(&ix, &id);
			assert_true(custody_id_eq(&model[i]->id, &id));
			assert_int_equal(model[i]->busy, 0);
			assert_int_equal(model[i]->put_in, 0);
			model[i]->put_in = i + 1;
		} else if (!more && model[i] != NULL) {
			index_remove(&ix, model[i]);
			model[i] = NULL;
		}
		most = ix.count > most ? ix.count : most;
		if (step % (STEPS / 40) == 0)
			check(&ix);
	}
	check(&ix);
	/* What is vacant is used before anything new. */
	assert_true(most > IDS / 2 && ix.top == most);
	index_fini(&ix);
}

static void
test_memory(void **state)
{
	(void)state;
	struct index ix;
	index_init(&ix);
	for (uint64_t i = 0; i < 100000; i++) {
		struct custody_id id = spool_id(i);
		index_add(&ix, &id)->put_in = 1;
		/* Right after the table has grown is the worst. */
		if (i > 50000)
			assert_true(index_memory(&ix) <= (i + 1) * 60);
	}
	index_fini(&ix);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beside_a_table),
		cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
