/* The loop: order within a turn, timers that move, tasks, signals. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/loop.h"

struct world {
	struct loop *loop;
	char log[200];
	struct loop_timer a, b, c, stop;
	struct loop_task task, task2;
	int count;
};

static struct world w;

static void
note(const char *what)
{
	strncat(w.log, what, sizeof(w.log) - strlen(w.log) - 1);
}

static void
on_stop(void *arg)
{
	(void)arg;
	loop_stop(w.loop);
}

static void
on_text(void *arg)
{
	note(arg);
}

static void
open_world(uint64_t stop_ms)
{
	struct err err;
	memset(&w, 0, sizeof(w));
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	loop_timer_init(&w.stop, w.loop, on_stop, NULL);
	loop_timer_set(&w.stop, stop_ms);
}

static void
run(void)
{
	struct err err;
	assert_int_equal(loop_run(w.loop, &err), 0);
}

static void
close_world(void)
{
	loop_timer_clear(&w.stop);
	loop_free(&w.loop);
	assert_null(w.loop);
}

static void
timers_come_in_order(void **state)
{
	(void)state;
	open_world(60);
	loop_timer_init(&w.a, w.loop, on_text, (void *)(uintptr_t) "a");
	loop_timer_init(&w.b, w.loop, on_text, (void *)(uintptr_t) "b");
	loop_timer_init(&w.c, w.loop, on_text, (void *)(uintptr_t) "c");
	loop_timer_set(&w.a, 30);
	loop_timer_set(&w.b, 10);
	loop_timer_set(&w.c, 20);
	assert_true(loop_timer_is_set(&w.a));
	run();
	assert_string_equal(w.log, "bca");
	assert_false(loop_timer_is_set(&w.a));
	close_world();
}

static void
timers_move_both_ways(void **state)
{
	(void)state;
	open_world(80);
	loop_timer_init(&w.a, w.loop, on_text, (void *)(uintptr_t) "a");
	loop_timer_init(&w.b, w.loop, on_text, (void *)(uintptr_t) "b");
	loop_timer_init(&w.c, w.loop, on_text, (void *)(uintptr_t) "c");
	loop_timer_set(&w.a, 5);
	loop_timer_set(&w.a, 40); /* later */
	loop_timer_set(&w.b, 500);
	loop_timer_set(&w.b, 10); /* earlier */
	loop_timer_set(&w.c, 20);
	loop_timer_clear(&w.c);
	uint64_t began = clock_ms();
	run();
	assert_string_equal(w.log, "ba");
	assert_true(clock_ms() - began >= 75);
	close_world();
}

static void
many_timers_keep_their_order(void **state)
{
	enum { MANY = 2000 };
	static struct loop_timer many[MANY];
	(void)state;
	open_world(150);
	for (int i = 0; i < MANY; i++) {
		loop_timer_init(&many[i], w.loop, on_text, (void *)(uintptr_t) "");
		loop_timer_set(&many[i], 1 + (uint64_t)(i * 7919 % 100));
	}
	for (int i = 0; i < MANY; i += 3)
		loop_timer_clear(&many[i]);
	for (int i = 1; i < MANY; i += 3)
		loop_timer_set(&many[i], 1 + (uint64_t)(i * 104729 % 100));
	run();
	for (int i = 0; i < MANY; i++)
		assert_false(loop_timer_is_set(&many[i]));
	close_world();
}

static void
on_task_again(void *arg)
{
	(void)arg;
	note("t");
	if (++w.count < 3)
		loop_task_queue(&w.task);
	else
		loop_stop(w.loop);
}

static void
tasks_run_once_and_may_queue(void **state)
{
	(void)state;
	open_world(1000);
	loop_task_init(&w.task, w.loop, on_task_again, NULL);
	loop_task_init(&w.task2, w.loop, on_text, (void *)(uintptr_t) "x");
	loop_task_queue(&w.task);
	loop_task_queue(&w.task);
	loop_task_queue(&w.task2);
	loop_task_clear(&w.task2);
	run();
	assert_string_equal(w.log, "ttt");
	close_world();
}

static void
on_task_for_ever(void *arg)
{
	(void)arg;
	w.count++;
	loop_task_queue(&w.task);
}

static void
tasks_do_not_starve_timers(void **state)
{
	(void)state;
	open_world(20);
	loop_task_init(&w.task, w.loop, on_task_for_ever, NULL);
	loop_task_queue(&w.task);
	run();
	assert_true(w.count > LOOP_TASK_ROUNDS);
	loop_task_clear(&w.task);
	close_world();
}

static void
on_signal(void *arg, int signo)
{
	(void)arg;
	note(signo == SIGHUP ? "H" : signo == SIGTERM ? "T" : "?");
	if (signo == SIGTERM)
		loop_stop(w.loop);
}

static void
signals_are_callbacks(void **state)
{
	struct err err;
	(void)state;
	open_world(2000);
	assert_int_equal(loop_signal(w.loop, SIGHUP, on_signal, NULL, &err), 0);
	assert_int_equal(loop_signal(w.loop, SIGTERM, on_signal, NULL, &err), 0);
	kill(getpid(), SIGHUP);
	kill(getpid(), SIGTERM);
	run();
	assert_string_equal(w.log, "HT");
	close_world();
}

struct pair {
	int fd[2];
	struct loop_watch *watch[2];
};

/* Both ends are ready in one turn; the first frees the second. */
static void
on_ready_free_other(void *arg, unsigned ready)
{
	struct pair *p = arg;
	assert_int_equal(ready, LOOP_READ);
	note("r");
	loop_watch_free(&p->watch[0]);
	loop_watch_free(&p->watch[1]);
}

static void
a_watch_may_free_another(void **state)
{
	struct pair p;
	(void)state;
	open_world(30);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fd), 0);
	assert_int_equal(write(p.fd[0], "x", 1), 1);
	assert_int_equal(write(p.fd[1], "x", 1), 1);
	for (int i = 0; i < 2; i++) {
		p.watch[i] = loop_watch_new(w.loop, p.fd[i], on_ready_free_other, &p);
		loop_watch_set(p.watch[i], LOOP_READ);
	}
	run();
	assert_string_equal(w.log, "r");
	close(p.fd[0]);
	close(p.fd[1]);
	close_world();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_come_in_order),
		cmocka_unit_test(timers_move_both_ways),
		cmocka_unit_test(many_timers_keep_their_order),
		cmocka_unit_test(tasks_run_once_and_may_queue),
		cmocka_unit_test(tasks_do_not_starve_timers),
		cmocka_unit_test(signals_are_callbacks),
		cmocka_unit_test(a_watch_may_free_another),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
