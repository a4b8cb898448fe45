/*
 * What errors tell people to write instead: numbers are numbers then, networks are networks,
 * and nothing that the language knows is called another system's word.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/ip.h"
#include "conf/habits.h"
#include "conf/number.h"

static void
test_numbers(void **state)
{
	static const char *const like[] = {"25MB", "25mb", "64KiB", "100B", "1GB", "5min",
		"30sec", "2hours", "3days", "200/h", "200/hours", "10/s", "5/min", "1/24h"};
	static const char *const unlike[] = {"x", "25X", "MB", "", "1.5MB", "10/fortnight"};
	(void)state;
	struct arena *a = arena_new(1 << 20);
	for (size_t i = 0; i < sizeof(like) / sizeof(like[0]); i++) {
		struct slice hint = habit_of_number(slice_of(like[i]), a);
		double number;
		uint64_t span;
		char unit;
		assert_true(slice_starts(hint, SLICE(" (write ")));
		hint = slice_first(slice_from(hint, 8), hint.n - 9);
		if (!number_parse(hint, &number, &unit) &&
			!number_rate_parse(hint, &number, &span))
			fail_msg("%s: %.*s is none either", like[i], SLICE_ARG(hint));
	}
	for (size_t i = 0; i < sizeof(unlike) / sizeof(unlike[0]); i++)
		assert_int_equal(habit_of_number(slice_of(unlike[i]), a).n, 0);
	arena_free(&a);
}

static void
test_networks(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"10.0.0.1/24", ": the network is 10.0.0.0/24"},
		{"10.255.0.1/7", ": the network is 10.0.0.0/7"},
		{"192.0.2.129/25", ": the network is 192.0.2.128/25"},
		{"255.255.255.255/0", ": the network is 0.0.0.0/0"},
		{"2001:db8::1/32", ": the network is 2001:db8::/32"},
		{"2001:db8::ffff/127", ": the network is 2001:db8::fffe/127"},
		{"10.0.0.0/33", ": an IPv4 prefix is 0 to 32"},
		{"2001:db8::/129", ": an IPv6 prefix is 0 to 128"},
		{"10.0.0.0/", ": an IPv4 prefix is 0 to 32"},
		{"10.0.0.0/255.0.0.0",
			": the bits of the network stand behind the /, as in 10.0.0.0/8"},
		{"10.0.0/8", ", as in 10.0.0.0/8 or 2001:db8::/32"},
		{"", ", as in 10.0.0.0/8 or 2001:db8::/32"},
	};
	(void)state;
	struct arena *a = arena_new(1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice why = habit_of_net(slice_of(rows[i].text), a), net;
		struct ip_net parsed;
		if (!slice_eq(why, slice_of(rows[i].why)))
			fail_msg("%s%.*s", rows[i].text, SLICE_ARG(why));
		size_t at = slice_find_slice(why, SLICE("the network is "));
		net = slice_from(why, at + 15);
		assert_true(at == why.n || ip_net_parse(net, &parsed));
	}
	assert_true(habit_is_net(SLICE("10.0.0/8")) && habit_is_net(SLICE("2001:db8::/32")));
	assert_false(habit_is_net(SLICE("200/hour")) || habit_is_net(SLICE("10.0.0.1")));
	arena_free(&a);
}

static void
test_words(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	assert_true(slice_eq(habit_of_word(SLICE("DENY"), a), SLICE(": write \"reject\"")));
	assert_int_equal(habit_of_word(SLICE("rejcet"), a).n, 0); /* a slip is for words.h */
	assert_true(slice_eq(habit_of_fact(SLICE("rcpt"), a), SLICE(" (write recipient)")));
	assert_true(slice_eq(
		habit_of_fact(SLICE("header.X-A"), a), SLICE(" (write header \"X-A\")")));
	assert_int_equal(habit_of_fact(SLICE("recipient"), a).n, 0);
	arena_free(&a);
}

static void
test_signs(void **state)
{
	static const struct {
		const char *text, *hint;
		size_t n;
	} rows[] = {
		{"== \"x\"", " (equality is `is`)", 2},
		{"!= x", " (write `is not`)", 2},
		{"&& x", " (write `and`)", 2},
		{"& x", " (write `and`)", 1},
		{"!x", " (write `not`)", 1},
		{";", " (a statement ends with its line)", 1},
		{"%", "", 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n;
		assert_string_equal(habit_of_sign(slice_of(rows[i].text), &n), rows[i].hint);
		assert_int_equal(n, rows[i].n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_signs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
