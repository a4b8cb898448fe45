/*
 * Examples of our own for the built-in rules of failures (OUT-10): each line of
 * delivery_failure_examples.txt gets the class and the duration that it names, and every rule
 * is met by one, so that no rule is dead behind another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "delivery/failure_priv.h"

enum { LINE_MOST = 1024, EXAMPLES_LEAST = 800 };

struct example {
	enum failure_class class;
	bool permanent;
	enum failure_phase at;
	struct slice reply;
};

static struct failure_rules *built_in;
static FILE *examples;

static enum failure_phase
phase_of(struct slice word)
{
	unsigned p = 0;
	while (p < FAILURE_PHASES &&
		!slice_eq(word, slice_of(failure_phase_text((enum failure_phase)p))))
		p++;
	assert_in_range(p, 0, FAILURE_PHASES - 1);
	return (enum failure_phase)p;
}

static struct example
example_of(struct slice line)
{
	struct example e;
	struct slice word;
	assert_true(slice_cut(line, ' ', &word, &line));
	assert_true(failure_class_parse(word, &e.class));
	assert_true(slice_cut(line, ' ', &word, &line));
	assert_true(slice_eq(word, SLICE("P")) || slice_eq(word, SLICE("T")));
	e.permanent = word.p[0] == 'P';
	assert_true(slice_cut(line, ' ', &word, &e.reply));
	e.at = phase_of(word);
	return e;
}

static struct failure
judge(const struct example *e)
{
	struct arena *a = arena_new(64 * 1024);
	struct smtp_reply r;
	struct failure f;
	size_t taken;
	struct slice wire = arena_printf(
		a, "%.3s %.*s\r\n", e->reply.p, (int)(e->reply.n - 4), e->reply.p + 4);
	assert_int_equal(smtp_reply_read(wire, a, &r, &taken), 0);
	struct failure_input in = {.reply = &r, .from_hop = true, .phase = e->at};
	failure_judge(built_in, &in, &f);
	arena_free(&a);
	return f;
}

static size_t
count_rule(const char *name, size_t *met, size_t room)
{
	const struct failure_set *set = built_in->first;
	assert_in_range(set->n, 1, room);
	for (size_t i = 0; i < set->n; i++)
		if (name != NULL && strcmp(set->rules[i].name, name) == 0)
			met[i]++;
	return set->n;
}

static void
test_examples(void **state)
{
	(void)state;
	static size_t met[FAILURE_RULES_MOST];
	char line[LINE_MOST];
	size_t wrong = 0, n = 0, rules = 0;
	while (fgets(line, sizeof(line), examples) != NULL) {
		size_t bytes = strcspn(line, "\n");
		assert_int_equal(line[bytes], '\n');
		if (bytes == 0 || line[0] == '#')
			continue;
		struct example e = example_of((struct slice){line, bytes});
		struct failure f = judge(&e);
		rules = count_rule(f.rule, met, FAILURE_RULES_MOST);
		n++;
		if (f.class == e.class && f.permanent == e.permanent)
			continue;
		print_error("%.*s\n\t%s %s by %s\n", (int)bytes, line,
			failure_class_text(f.class), f.permanent ? "permanent" : "temporary",
			f.rule != NULL ? f.rule : "the codes");
		wrong++;
	}
	for (size_t i = 0; i < rules; i++)
		if (met[i] == 0) {
			print_error("no example for %s\n", built_in->first->rules[i].name);
			wrong++;
		}
	assert_int_equal(wrong, 0);
	assert_true(n >= EXAMPLES_LEAST);
}

static int
set_up(void **state)
{
	(void)state;
	struct err err;
	const char *source = getenv("POSTERN_SOURCE");
	char path[LINE_MOST];
	if (source == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/tests/unit/delivery_failure_examples.txt", source);
	examples = fopen(path, "r");
	built_in = failure_rules_new(&err);
	return examples != NULL && built_in != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	failure_rules_free(&built_in);
	return fclose(examples);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_examples)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
