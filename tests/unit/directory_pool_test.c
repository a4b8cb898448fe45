/*
 * Look-ups of one table over a directory of this test's own: equal ones are one, so many
 * connections and no more, time-outs, a dead directory that is left alone, stale connections,
 * askers that go. A value says what the directory does with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/must.h"
#include "directory/pool.h"

enum { TIMEOUT_MS = 150, OPEN_MOST = 32, ANSWERS_MOST = 64 };

/* --- the directory */

enum mode { MODE_GOOD, MODE_REFUSES, MODE_LATER_GONE, MODE_SILENT };

struct source {
	const struct source_calls *calls;
	void *arg;
	struct loop_task task;
	bool ready;
	char what; /* of the value: y n f(ailed) s(ilent) g(one) */
};

static enum mode mode;
static struct source *open_sources[OPEN_MOST];
static unsigned n_open, most_open, opened, asked;
static char last_asked[100];

static void
on_task(void *arg)
{
	struct source *s = arg;
	if (!s->ready && mode == MODE_LATER_GONE) {
		s->calls->on_gone(s->arg, "refused");
	} else if (!s->ready) {
		s->ready = true;
		s->calls->on_ready(s->arg);
	} else if (s->what == 'g') {
		s->calls->on_gone(s->arg, "reset");
	} else if (s->what != 's') {
		enum directory_found found = s->what == 'y'   ? DIRECTORY_YES
					     : s->what == 'n' ? DIRECTORY_NO
							      : DIRECTORY_FAILED;
		s->calls->on_answer(s->arg, found, s->what == 'f' ? "no such column" : NULL);
	}
}

static struct source *
fake_open(const struct source_env *env, const struct conf_directory *d,
	const struct ip *address, const struct source_calls *calls, void *arg, struct err *err)
{
	(void)d;
	must(address->family == 4 && n_open < OPEN_MOST);
	opened++;
	if (mode == MODE_REFUSES) {
		err_set(err, "refused at once");
		return NULL;
	}
	struct source *s = MEM_NEW(struct source);
	s->calls = calls;
	s->arg = arg;
	loop_task_init(&s->task, env->loop, on_task, s);
	if (mode != MODE_SILENT)
		loop_task_queue(&s->task);
	open_sources[n_open++] = s;
	most_open = n_open > most_open ? n_open : most_open;
	return s;
}

static void
fake_ask(struct source *s, struct slice value)
{
	must(s->ready);
	asked++;
	snprintf(last_asked, sizeof(last_asked), "%.*s", SLICE_ARG(value));
	s->what = value.p[0];
	loop_task_queue(&s->task);
}

static void
fake_close(struct source *s)
{
	unsigned i = 0;
	while (open_sources[i] != s)
		i++;
	open_sources[i] = open_sources[--n_open];
	loop_task_clear(&s->task);
	mem_free(s);
}

static const struct source_kind fake = {
	.open = fake_open, .ask = fake_ask, .close = fake_close};

/* --- the test's pool */

struct answer {
	unsigned n;
	enum directory_found found;
	char why[100];
};

static struct loop *loop;
static struct loop_timer late;
static struct pool *pool;
static struct answer answers[ANSWERS_MOST];
static struct source_env env;
static struct conf_directory directory;
static struct conf_table table;

static void
on_answer(void *arg, uint32_t id, enum directory_found found, const char *why)
{
	(void)arg;
	answers[id].n++;
	answers[id].found = found;
	snprintf(answers[id].why, sizeof(answers[id].why), "%s", why != NULL ? why : "");
}

static void
on_late(void *arg)
{
	loop_stop(arg);
}

static void
run_for(uint32_t ms)
{
	struct err err;
	loop_timer_set(&late, ms);
	must(loop_run(loop, &err) == 0);
}

static int
set_up(void **state)
{
	struct err err;
	(void)state;
	mode = MODE_GOOD;
	n_open = most_open = opened = asked = 0;
	memset(answers, 0, sizeof(answers));
	loop = loop_new(&err);
	must(loop != NULL && ip_parse(SLICE("192.0.2.9"), &directory.ip));
	loop_timer_init(&late, loop, on_late, loop);
	directory.text = SLICE("ldap://192.0.2.9/dc=x");
	table.name = SLICE("t");
	table.directory = &directory;
	env = (struct source_env){.loop = loop, .timeout_ms = TIMEOUT_MS};
	pool = pool_new(&(struct pool_config){.kind = &fake,
				.env = &env,
				.table = &table,
				.connections = 2,
				.cache_ms = 400},
		on_answer);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	pool_free(&pool);
	assert_null(pool);
	assert_int_equal(n_open, 0);
	loop_free(&loop);
	return 0;
}

static void
ask(const char *value, uint32_t id)
{
	pool_ask(pool, slice_of(value), &pool, id);
}

static void
expect(uint32_t id, enum directory_found found, const char *why)
{
	if (answers[id].n != 1 || answers[id].found != found ||
		strstr(answers[id].why, why) == NULL)
		fail_msg("answer %u: %u times, %d, \"%s\"", id, answers[id].n,
			(int)answers[id].found, answers[id].why);
}

static void
equal_ones_are_one_and_are_kept(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		ask("yes", i);
	ask("no", 10);
	run_for(30);
	for (uint32_t i = 0; i < 10; i++)
		expect(i, DIRECTORY_YES, "");
	expect(10, DIRECTORY_NO, "");
	assert_int_equal(asked, 2);
	ask("yes", 20); /* at once, from what is kept */
	ask("no", 21);
	expect(20, DIRECTORY_YES, "");
	expect(21, DIRECTORY_NO, "");
	run_for(450);
	ask("yes", 30);
	run_for(30);
	expect(30, DIRECTORY_YES, "");
	assert_int_equal(asked, 3);
}

static void
no_more_connections_than_allowed(void **state)
{
	char value[20];
	(void)state;
	for (uint32_t i = 0; i < 40; i++) {
		snprintf(value, sizeof(value), "yes%u", i);
		ask(value, i);
	}
	run_for(60);
	for (uint32_t i = 0; i < 40; i++)
		expect(i, DIRECTORY_YES, "");
	assert_int_equal(most_open, 2);
	assert_int_equal(opened, 2);
	assert_int_equal(asked, 40);
}

static void
what_failed_is_not_kept(void **state)
{
	(void)state;
	ask("failed", 0);
	run_for(30);
	expect(0, DIRECTORY_FAILED, "no such column");
	ask("failed", 1); /* the connection is good, nothing is down */
	run_for(30);
	expect(1, DIRECTORY_FAILED, "no such column");
	assert_int_equal(asked, 2);
	assert_int_equal(opened, 1);
}

static void
dead(enum mode how, const char *why)
{
	mode = how;
	ask("yes1", 0);
	ask("yes2", 1);
	run_for(TIMEOUT_MS + 50);
	expect(0, DIRECTORY_FAILED, why);
	expect(1, DIRECTORY_FAILED, why);
	unsigned before = opened;
	mode = MODE_GOOD;
	ask("yes3", 2); /* left alone: failed at once */
	expect(2, DIRECTORY_FAILED, why);
	assert_int_equal(opened, before);
	run_for(POOL_BACKOFF_FIRST_MS);
	ask("yes4", 3);
	run_for(30);
	expect(3, DIRECTORY_YES, "");
	assert_int_equal(asked, 1);
}

static void
one_that_refuses_is_left_alone(void **state)
{
	(void)state;
	dead(MODE_REFUSES, "refused at once");
}

static void
one_that_goes_is_left_alone(void **state)
{
	(void)state;
	dead(MODE_LATER_GONE, "refused");
}

static void
one_that_is_silent_is_left_alone(void **state)
{
	(void)state;
	dead(MODE_SILENT, "in time");
}

/* The back-off doubles: one try a second at first, then one in two. */
static void
back_off_grows(void **state)
{
	(void)state;
	mode = MODE_LATER_GONE;
	for (uint32_t i = 0; i < 60; i++) {
		char value[20];
		snprintf(value, sizeof(value), "yes%u", i);
		ask(value, i);
		run_for(50);
		expect(i, DIRECTORY_FAILED, "refused");
	}
	assert_int_equal(opened, 3); /* two connections of the first try, one after 1 s */
}

static void
a_slow_answer_is_none(void **state)
{
	(void)state;
	ask("yes", 0);
	run_for(20);
	ask("silent", 1);
	run_for(TIMEOUT_MS + 50);
	expect(1, DIRECTORY_FAILED, "in time");
	ask("yes", 2); /* what is kept is known all the same */
	expect(2, DIRECTORY_YES, "");
	ask("other", 3);
	expect(3, DIRECTORY_FAILED, "in time");
}

/* A connection that has served and ends under a question may have been dead before. */
static void
a_stale_connection_is_no_failure(void **state)
{
	(void)state;
	ask("yes1", 0);
	run_for(20);
	assert_int_equal(n_open, 1);
	open_sources[0]->calls->on_gone(open_sources[0]->arg, "closed while idle");
	assert_int_equal(n_open, 0);
	ask("yes2", 1);
	run_for(20);
	expect(1, DIRECTORY_YES, "");
	ask("gone", 2); /* once over the used one, once over a new one: that is the directory */
	run_for(20);
	expect(2, DIRECTORY_FAILED, "reset");
	assert_int_equal(opened, 3);
	assert_int_equal(asked, 4);
}

static void
askers_go(void **state)
{
	int other;
	(void)state;
	ask("yes", 0);
	pool_ask(pool, SLICE("yes"), &other, 1);
	pool_forget(pool, &other);
	run_for(30);
	expect(0, DIRECTORY_YES, "");
	assert_int_equal(answers[1].n, 0);
	ask("silent", 2); /* freed with a question open */
	run_for(10);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(equal_ones_are_one_and_are_kept),
		CASE(no_more_connections_than_allowed),
		CASE(what_failed_is_not_kept),
		CASE(one_that_refuses_is_left_alone),
		CASE(one_that_goes_is_left_alone),
		CASE(one_that_is_silent_is_left_alone),
		CASE(back_off_grows),
		CASE(a_slow_answer_is_none),
		CASE(a_stale_connection_is_no_failure),
		CASE(askers_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
