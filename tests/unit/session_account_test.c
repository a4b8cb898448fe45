/*
 * Counts over all session processes: never too small, a dead process's gone whole; clients
 * whose input kills processes are sent away for an hour (DESIGN.md, "Processes").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session/account.h"

enum { HOUR_MS = 3600 * 1000 };

static struct account *account;

static struct ip
ip_of(const char *text)
{
	struct ip ip = {0};
	assert_true(ip_parse(slice_of(text), &ip));
	return ip;
}

static void
test_connections(void **state)
{
	(void)state;
	struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2");
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(account_enter(account, 0, &a), 2 * i - 1);
		assert_int_equal(account_enter(account, 1, &a), 2 * i);
	}
	assert_int_equal(account_enter(account, 2, &b), 1);
	assert_int_equal(account_connections(account), 11);
	account_leave(account, 0, &a);
	assert_int_equal(account_enter(account, 2, &a), 10);
	/* process 1 has died: its five are gone, those of the others are not */
	account_clear(account, 1);
	assert_int_equal(account_connections(account), 6);
	assert_int_equal(account_enter(account, 1, &a), 6);
	for (unsigned i = 0; i < 3; i++)
		account_clear(account, i);
	assert_int_equal(account_connections(account), 0);
}

/* A network of a provider's customer is one client. */
static void
test_prefix(void **state)
{
	(void)state;
	struct ip a = ip_of("2001:db8:0:1::1"), same = ip_of("2001:db8:0:1:ffff::9");
	struct ip other = ip_of("2001:db8:0:2::1"), four = ip_of("32.1.13.184"), none = {0};
	assert_int_equal(account_enter(account, 0, &a), 1);
	assert_int_equal(account_enter(account, 0, &same), 2);
	assert_int_equal(account_enter(account, 0, &other), 1);
	assert_int_equal(account_enter(account, 0, &four), 1);
	assert_int_equal(account_enter(account, 0, &none), 1);
	account_clear(account, 0);
}

/* Many clients may make a number too large, seldom, but none is ever too small. */
static void
test_many(void **state)
{
	(void)state;
	enum { CLIENTS = 4000 };
	unsigned wrong = 0;
	for (unsigned round = 1; round <= 3; round++)
		for (unsigned i = 0; i < CLIENTS; i++) {
			struct ip ip = {
				.family = 4, .bytes = {10, 1, (uint8_t)(i >> 8), (uint8_t)i}};
			unsigned n = account_enter(account, i % 4, &ip);
			assert_true(n >= round);
			wrong += n > round;
		}
	assert_true(wrong < 3 * CLIENTS / 5);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct ip ip = {.family = 4, .bytes = {10, 1, (uint8_t)(i >> 8), (uint8_t)i}};
		for (unsigned round = 0; round < 3; round++)
			account_leave(account, i % 4, &ip);
	}
	assert_int_equal(account_connections(account), 0);
	struct ip a = ip_of("10.1.0.7");
	assert_int_equal(account_enter(account, 0, &a), 1);
	account_clear(account, 0);
}

static void
test_bytes(void **state)
{
	(void)state;
	account_bytes(account, 0, 5000000000);
	account_bytes(account, 1, 7);
	account_bytes(account, 0, -1000000000);
	assert_int_equal(account_bytes_all(account), 4000000007);
	account_clear(account, 0);
	assert_int_equal(account_bytes_all(account), 7);
	account_clear(account, 1);
	assert_int_equal(account_bytes_all(account), 0);
}

static void
die(const struct ip *client, uint64_t now_ms)
{
	account_working(account, 0, client);
	account_blame(account, 0, now_ms);
	account_clear(account, 0);
}

static void
test_blame(void **state)
{
	(void)state;
	struct ip a = ip_of("203.0.113.1"), b = ip_of("203.0.113.2"), none = {0};
	uint64_t t = 1000;
	die(&a, t);
	die(&a, t + 1000);
	assert_false(account_is_marked(account, &a, t + 1000));
	die(&b, t + 1500);
	die(&a, t + 2000);
	assert_true(account_is_marked(account, &a, t + 2000));
	assert_true(account_is_marked(account, &a, t + 1999 + HOUR_MS));
	assert_false(account_is_marked(account, &a, t + 2001 + HOUR_MS));
	assert_false(account_is_marked(account, &b, t + 2000));
	/* its next death is the first of a new hour */
	die(&a, t + 2 * HOUR_MS);
	assert_false(account_is_marked(account, &a, t + 2 * HOUR_MS));
	/* nobody's work, and a local socket's, marks nobody */
	for (int i = 0; i < 4; i++) {
		die(NULL, t);
		die(&none, t);
	}
	assert_false(account_is_marked(account, &none, t));
}

/* Three deaths count within one hour, not one every fifty minutes. */
static void
test_blame_is_within_an_hour(void **state)
{
	(void)state;
	struct ip a = ip_of("203.0.113.9");
	uint64_t t = 100 * (uint64_t)HOUR_MS, step = 50 * 60 * 1000;
	for (unsigned i = 0; i < 6; i++) {
		die(&a, t + i * step);
		assert_false(account_is_marked(account, &a, t + i * step));
	}
}

/* A flood of culprits pushes out the oldest one, not the newest. */
static void
test_blame_of_many(void **state)
{
	(void)state;
	uint64_t t = 1000 * (uint64_t)HOUR_MS;
	struct ip last = {0};
	for (unsigned i = 0; i < 1000; i++) {
		last = (struct ip){
			.family = 4, .bytes = {10, 9, (uint8_t)(i >> 8), (uint8_t)i}};
		for (unsigned k = 0; k < 3; k++)
			die(&last, t + i);
		assert_true(account_is_marked(account, &last, t + i));
	}
}

/* All processes see one table, and count a client under one key. */
static void
test_shared(void **state)
{
	(void)state;
	struct ip a = ip_of("198.51.100.77");
	assert_int_equal(account_enter(account, 0, &a), 1);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(account_enter(account, 1, &a) == 2 ? 0 : 1);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(account_enter(account, 0, &a), 3);
	account_clear(account, 0);
	account_clear(account, 1);
}

static int
make_account(void **state)
{
	struct err err;
	(void)state;
	account = account_new(&err);
	return account != NULL ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_blame),
		cmocka_unit_test(test_blame_is_within_an_hour),
		cmocka_unit_test(test_blame_of_many),
		cmocka_unit_test(test_shared),
	};
	return cmocka_run_group_tests(tests, make_account, NULL);
}
