/*
 * The table of refused recipients: an unknown user is unknown to every sender, any other
 * refusal is between two; old ones give way; a process that is killed inside locks nobody out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "session/refusals.h"

static struct refusals *table;
static struct arena *arena;

static struct address
address_of(const char *text)
{
	struct address a;
	struct slice rest;
	assert_int_equal(address_parse_path(slice_of(text), true, false, arena, &a, &rest), 0);
	return a;
}

static void
note(const char *sender, const char *rcpt, const char *reply, uint64_t now_ms)
{
	struct address from = address_of(sender), to = address_of(rcpt);
	struct smtp_reply r;
	assert_true(smtp_reply_parse_text(slice_of(reply), &r));
	refusals_note(table, &from, &to, &r, now_ms);
}

/* What is found, as a line; NULL: nothing. */
static const char *
find(const char *sender, const char *rcpt, uint64_t now_ms)
{
	struct address from = address_of(sender), to = address_of(rcpt);
	struct smtp_reply r;
	if (!refusals_find(table, &from, &to, now_ms, arena, &r))
		return NULL;
	return arena_text(arena, smtp_reply_line(&r, arena));
}

static void
test_who_hears_it(void **state)
{
	(void)state;
	static const struct {
		const char *reply;
		bool for_all;
	} rows[] = {
		{"550 5.1.1 no such user", true},
		{"551 5.1.6 has moved", true},
		{"553 5.1.3 bad mailbox", true},
		{"550 5.1.10 null MX", true},
		{"550 5.7.1 not you", false},
		{"554 5.7.1 not you", false},
		{"552 5.2.2 mailbox full", false},
		{"554 5.1.1 by another code", false},
		/* what is said of the sender's address says nothing of the recipient */
		{"550 5.1.8 sender's domain not found", false},
		{"553 5.1.7 bad sender", false},
		/* no enhanced code: the words may mean the client, the sender or the mail */
		{"550 rejected", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t now = (i + 1) * 1000000;
		const char *text;
		note("<ann@example.net>", "<bob@example.com>", rows[i].reply, now);
		text = find("<ann@example.net>", "<bob@example.com>", now + 1);
		assert_non_null(text);
		assert_string_equal(text, rows[i].reply);
		text = find("<eve@example.org>", "<bob@example.com>", now + 1);
		if ((text != NULL) != rows[i].for_all)
			fail_msg("%s", rows[i].reply);
		text = find("<>", "<bob@example.com>", now + 1);
		assert_int_equal(text != NULL, rows[i].for_all);
		assert_null(find("<ann@example.net>", "<bo@bexample.com>", now + 1));
		/* case is nobody's difference here */
		assert_non_null(find("<ANN@example.net>", "<Bob@EXAMPLE.com>", now + 1));
		assert_non_null(
			find("<ann@example.net>", "<bob@example.com>", now + REFUSAL_MS - 1));
		assert_null(find("<ann@example.net>", "<bob@example.com>", now + REFUSAL_MS));
	}
}

static void
test_again(void **state)
{
	(void)state;
	uint64_t t = 100000000;
	note("<>", "<bob@example.com>", "550 5.7.1 first", t);
	note("<>", "<bob@example.com>", "550 5.7.1 second", t + 1000);
	assert_string_equal(find("<>", "<bob@example.com>", t + 1000), "550 5.7.1 second");
	assert_non_null(find("<>", "<bob@example.com>", t + 999 + REFUSAL_MS));
	/* the words that are told are bounded, and are whole bytes of what was said */
	char words[1000];
	snprintf(words, sizeof(words), "550 5.7.1 %0900d", 7);
	note("<>", "<bob@example.com>", words, t + 2000);
	const char *got = find("<>", "<bob@example.com>", t + 2000);
	assert_non_null(got);
	assert_true(strlen(got) <= REFUSAL_TEXT_BYTES + 12 && strlen(got) > 100);
	assert_memory_equal(got, words, strlen(got));
}

/* The longest addresses that there are do not run into each other. */
static void
test_longest(void **state)
{
	(void)state;
	uint64_t t = 200000000;
	char label[61], rcpt[300], one[300], two[300];
	memset(label, 'x', 60);
	label[60] = '\0';
	snprintf(rcpt, sizeof(rcpt), "<%s@%s.%s.%.57s.example>", label, label, label, label);
	snprintf(one, sizeof(one), "<1%s@%s.%s.%.56s.example>", label, label, label, label);
	snprintf(two, sizeof(two), "<2%s@%s.%s.%.56s.example>", label, label, label, label);
	note(one, rcpt, "550 5.7.1 one", t);
	assert_non_null(find(one, rcpt, t));
	assert_null(find(two, rcpt, t));
	assert_null(find("<>", rcpt, t));
}

/* Far more than fit: each is there when it was just noted, and nobody hears another's words. */
static void
test_many(void **state)
{
	(void)state;
	enum { MANY = 3 * REFUSALS_MOST };
	uint64_t t = 300000000;
	unsigned there = 0;
	char rcpt[64], reply[64];
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(rcpt, sizeof(rcpt), "<u%u@example.com>", i);
		snprintf(reply, sizeof(reply), "550 5.1.1 number %u", i);
		note("<>", rcpt, reply, t + i);
		const char *got = find("<a@example.org>", rcpt, t + i);
		assert_non_null(got);
		assert_string_equal(got, reply);
		arena_reset(arena);
	}
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(rcpt, sizeof(rcpt), "<u%u@example.com>", i);
		snprintf(reply, sizeof(reply), "550 5.1.1 number %u", i);
		const char *got = find("<>", rcpt, t + MANY);
		if (got != NULL)
			assert_string_equal(got, reply);
		there += got != NULL;
		arena_reset(arena);
	}
	assert_true(there <= REFUSALS_MOST && there > REFUSALS_MOST / 2);
}

/* Children that note without end are killed, most of them with the lock in their hands. */
static void
test_killed_inside(void **state)
{
	(void)state;
	uint64_t t = 400000000;
	alarm(20); /* a lock that is never given back would wait for ever */
	for (unsigned round = 0; round < 40; round++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			for (;;)
				note("<>", "<bob@example.com>", "550 5.1.1 by a child", t),
					arena_reset(arena);
		nanosleep(&(struct timespec){.tv_nsec = 1000000 + round * 37000}, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		note("<>", "<ann@example.com>", "550 5.1.1 by us", t + round);
		assert_string_equal(
			find("<>", "<ann@example.com>", t + round), "550 5.1.1 by us");
		const char *of_child = find("<>", "<bob@example.com>", t);
		if (of_child != NULL)
			assert_string_equal(of_child, "550 5.1.1 by a child");
		arena_reset(arena);
	}
	alarm(0);
}

static int
make_table(void **state)
{
	struct err err;
	(void)state;
	arena = arena_new(16 << 20);
	table = refusals_new(&err);
	return table != NULL ? 0 : -1;
}

static int
end_table(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_hears_it),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_killed_inside),
	};
	return cmocka_run_group_tests(tests, make_table, end_table);
}
