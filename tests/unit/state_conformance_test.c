/*
 * What every engine of the state promises (state.h), by one suite over all of them: the one on
 * local files, and the engine with faults, once with none and once answering late. What it does
 * with faults of its own is at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state_lab.h"

static int
make(void **state, bool with_fault, enum state_fault fault)
{
	struct state_lab *lab = calloc(1, sizeof(*lab));
	state_lab_zone("Europe/Berlin");
	lab->with_fault = with_fault;
	state_lab_make(lab);
	if (with_fault)
		state_fault_set(lab->s, fault);
	*state = lab;
	return 0;
}

static int
make_local(void **state)
{
	return make(state, false, STATE_FAULT_NONE);
}

static int
make_fault(void **state)
{
	return make(state, true, STATE_FAULT_NONE);
}

static int
make_late(void **state)
{
	return make(state, true, STATE_FAULT_DELAY);
}

static int
drop(void **state)
{
	state_lab_drop(*state);
	free(*state);
	return 0;
}

static bool
yes(struct state_lab *lab, struct state_op op)
{
	struct state_answer a = state_lab_ask(lab, &op);
	assert_int_equal(a.status, STATE_OK);
	return a.yes;
}

static uint64_t
wait_of(struct state_lab *lab, struct state_op op)
{
	struct state_answer a = state_lab_ask(lab, &op);
	assert_int_equal(a.status, STATE_OK);
	assert_false(a.yes);
	assert_true(a.wait_ms > 0);
	return a.wait_ms;
}

/* ---- buckets ---- */

/* Exactly N at once, and each next one in the millisecond that the refusal has named. */
static void
check_bucket(struct state_lab *lab, const char *key, uint64_t limit, uint64_t span)
{
	struct state_op take = state_take(key, limit, span, 1);
	for (uint64_t i = 0; i < limit; i++) {
		struct state_answer a = state_lab_ask(lab, &take);
		assert_true(a.yes && a.count == i + 1 && a.wait_ms == 0);
		assert_int_equal(a.at_ms, lab->now_ms);
	}
	for (int i = 0; i < 20; i++) {
		uint64_t wait = wait_of(lab, take);
		assert_true(wait <= span / limit + 1);
		lab->now_ms += wait - 1;
		if (wait > 1)
			assert_int_equal(wait_of(lab, take), 1);
		lab->now_ms += 1;
		assert_true(yes(lab, take));
		assert_false(yes(lab, take));
	}
}

static void
test_bucket(void **state)
{
	struct state_lab *lab = *state;
	check_bucket(lab, "user a 200/3600000", 200, LAB_HOUR);
	check_bucket(lab, "user a 7/1000", 7, LAB_SECOND);
	check_bucket(lab, "user a 1/86400000", 1, LAB_DAY);
	check_bucket(lab, "user a 1009/60000", 1009, 60 * LAB_SECOND);
	check_bucket(lab, "user a 3/31622400000", 3, 366 * LAB_DAY);
	check_bucket(lab, "user a 1000/1000", 1000, LAB_SECOND);
}

/* Over a long time what passes is what refills, to the last one: nothing is rounded away. */
static void
test_bucket_over_time(void **state)
{
	struct state_lab *lab = *state;
	struct state_op take = state_take("client 192.0.2.1", 7, LAB_SECOND, 1);
	uint64_t passed = 0, start = lab->now_ms;
	for (uint64_t i = 0; i < 20000; i++) {
		passed += yes(lab, take);
		lab->now_ms += 13;
	}
	uint64_t elapsed = lab->now_ms - 13 - start;
	assert_int_equal(passed, 7 + elapsed * 7 / LAB_SECOND);
}

static void
test_bucket_of_many(void **state)
{
	struct state_lab *lab = *state;
	/* The largest numbers that there are: a billion in a year. */
	struct state_op most =
		state_take("most", STATE_LIMIT_MOST, 366 * LAB_DAY, STATE_LIMIT_MOST - 1);
	assert_true(yes(lab, most));
	most.n = 1;
	assert_true(yes(lab, most));
	assert_int_equal(wait_of(lab, most), 32); /* 31.6 ms for one */
	most.n = STATE_LIMIT_MOST;
	assert_int_equal(wait_of(lab, most), 366 * LAB_DAY);
	lab->now_ms += 366 * LAB_DAY;
	assert_true(yes(lab, most));
	/* A mail with more recipients than are left takes none. */
	struct state_op ten = state_take("ten", 10, LAB_HOUR, 8);
	assert_true(yes(lab, ten));
	assert_int_equal(wait_of(lab, ten), 6 * LAB_HOUR / 10);
	ten.n = 2;
	assert_true(yes(lab, ten));
	ten.n = 1;
	assert_int_equal(wait_of(lab, ten), LAB_HOUR / 10);
}

static void
test_bucket_give(void **state)
{
	struct state_lab *lab = *state;
	struct state_op take = state_take("user b", 5, LAB_HOUR, 2);
	struct state_answer first = state_lab_ask(lab, &take);
	assert_true(first.yes);
	assert_true(yes(lab, take));
	assert_false(yes(lab, take));
	struct state_op give = state_give(&take, &first);
	state_lab_ask(lab, &give);
	assert_true(yes(lab, take));
	assert_false(yes(lab, take));
	/* What has run out since is not given back: five at once, not seven. */
	lab->now_ms += LAB_HOUR;
	take.n = 5;
	assert_true(yes(lab, take));
	state_lab_ask(lab, &give);
	take.n = 1;
	assert_false(yes(lab, take));
	/* Nor more than there is. */
	struct state_op never = state_give(&take, &first);
	never.key = SLICE("nobody");
	state_lab_ask(lab, &never);
	struct state_op other = state_take("nobody", 5, LAB_HOUR, 5);
	assert_true(yes(lab, other));
}

/* The configuration has changed, and the key has not. */
static void
test_bucket_of_another_size(void **state)
{
	struct state_lab *lab = *state;
	assert_true(yes(lab, state_take("user c", 10, LAB_HOUR, 8)));
	struct state_op more = state_take("user c", 20, LAB_DAY, 1);
	struct state_answer a = state_lab_ask(lab, &more);
	assert_true(a.yes && a.count == 9);
	assert_false(yes(lab, state_take("user c", 5, LAB_DAY, 1)));
}

/* ---- counters ---- */

static void
test_counter(void **state)
{
	struct state_lab *lab = *state;
	lab->now_ms = state_lab_time("2026-10-30 23:59:58");
	struct state_op count = state_count("user a month", 10, PERIOD_MONTH, 4);
	struct state_answer a = state_lab_ask(lab, &count);
	assert_true(a.yes && a.count == 4 && a.at_ms == lab->now_ms);
	assert_true(yes(lab, count));
	a = state_lab_ask(lab, &count);
	assert_true(!a.yes && a.count == 8);
	count.n = 2;
	assert_true(yes(lab, count));
	count.n = 1;
	assert_int_equal(
		wait_of(lab, count), state_lab_time("2026-11-01 00:00:00") - lab->now_ms);
	lab->now_ms = state_lab_time("2026-10-31 23:59:59") + 999;
	assert_int_equal(wait_of(lab, count), 1);
	lab->now_ms += 1;
	assert_true(yes(lab, count));
}

static void
check_period(struct state_lab *lab, enum state_period period, const char *at, const char *next)
{
	char key[32];
	lab->now_ms = state_lab_time(at);
	snprintf(key, sizeof(key), "user p %d %s", (int)period, at);
	struct state_op count = state_count(key, 1, period, 1);
	assert_true(yes(lab, count));
	uint64_t wait = wait_of(lab, count);
	if (wait != state_lab_time(next) - lab->now_ms)
		fail_msg("%s: not %s, %llu ms", at, next, (unsigned long long)wait);
	lab->now_ms += wait - 1;
	assert_false(yes(lab, count));
	lab->now_ms += 1;
	assert_true(yes(lab, count));
}

static void
test_periods(void **state)
{
	struct state_lab *lab = *state;
	check_period(lab, PERIOD_DAY, "2026-11-29 00:00:00", "2026-11-30 00:00:00");
	check_period(lab, PERIOD_DAY, "2026-12-31 23:59:59", "2027-01-01 00:00:00");
	check_period(lab, PERIOD_DAY, "2028-02-28 12:00:00", "2028-02-29 00:00:00");
	check_period(lab, PERIOD_DAY, "2028-02-29 12:00:00", "2028-03-01 00:00:00");
	/* Days of 23 and of 25 hours. */
	check_period(lab, PERIOD_DAY, "2026-03-29 00:30:00", "2026-03-30 00:00:00");
	check_period(lab, PERIOD_DAY, "2026-10-25 00:30:00", "2026-10-26 00:00:00");
	/* 2026-11-29 is a Sunday; the week that 2027 begins in began in 2026. */
	check_period(lab, PERIOD_WEEK, "2026-11-29 23:00:00", "2026-11-30 00:00:00");
	check_period(lab, PERIOD_WEEK, "2026-11-30 00:00:00", "2026-12-07 00:00:00");
	check_period(lab, PERIOD_WEEK, "2026-12-31 10:00:00", "2027-01-04 00:00:00");
	check_period(lab, PERIOD_WEEK, "2026-10-19 10:00:00", "2026-10-26 00:00:00");
	check_period(lab, PERIOD_MONTH, "2026-12-01 00:00:00", "2027-01-01 00:00:00");
	check_period(lab, PERIOD_MONTH, "2027-02-01 00:00:00", "2027-03-01 00:00:00");
	check_period(lab, PERIOD_MONTH, "2026-10-01 00:00:00", "2026-11-01 00:00:00");
}

static void
test_counter_give(void **state)
{
	struct state_lab *lab = *state;
	lab->now_ms = state_lab_time("2026-11-30 23:59:59");
	struct state_op count = state_count("user a", 2, PERIOD_DAY, 1);
	struct state_answer first = state_lab_ask(lab, &count);
	assert_true(first.yes);
	struct state_op give = state_give(&count, &first);
	state_lab_ask(lab, &give);
	assert_true(yes(lab, count) && yes(lab, count));
	assert_false(yes(lab, count));
	state_lab_ask(lab, &give);
	assert_true(yes(lab, count));
	/* Taken before midnight, given back after it: the new day has nothing of it. */
	lab->now_ms += LAB_SECOND;
	assert_true(yes(lab, count) && yes(lab, count));
	state_lab_ask(lab, &give);
	assert_false(yes(lab, count));
}

/* ---- greylist ---- */

static struct state_op
seen(const char *key, const char *passer)
{
	return (struct state_op){.kind = STATE_SEEN,
		.space = STATE_GREY,
		.key = slice_of(key),
		.passer = slice_of(passer),
		.passes = 3,
		.delay_ms = 300 * LAB_SECOND,
		.within_ms = 2 * LAB_DAY,
		.ttl_ms = 36 * LAB_DAY};
}

static struct state_op
pass(const char *key, const char *passer)
{
	struct state_op op = seen(key, passer);
	op.kind = STATE_PASS;
	return op;
}

static void
test_tuple(void **state)
{
	struct state_lab *lab = *state;
	struct state_op see = seen("net 192.0.2.0/24 a.example", "");
	assert_int_equal(wait_of(lab, see), 300 * LAB_SECOND);
	lab->now_ms += 100 * LAB_SECOND;
	assert_int_equal(wait_of(lab, see), 200 * LAB_SECOND); /* the first counts */
	lab->now_ms += 200 * LAB_SECOND - 1;
	assert_int_equal(wait_of(lab, see), 1);
	lab->now_ms += 1;
	assert_true(yes(lab, see));
	lab->now_ms += 2 * LAB_DAY - 300 * LAB_SECOND; /* the last moment */
	assert_true(yes(lab, see));
	lab->now_ms += 1; /* came back too late: anew */
	assert_int_equal(wait_of(lab, see), 300 * LAB_SECOND);
	assert_int_equal(
		wait_of(lab, seen("net 192.0.2.0/24 b.example", "")), 300 * LAB_SECOND);
	/* Without a delay it passes, and is noted. */
	struct state_op none = seen("net 198.51.100.0/24 a.example", "");
	none.delay_ms = 0;
	assert_true(yes(lab, none));
}

static void
test_tuple_passed(void **state)
{
	struct state_lab *lab = *state;
	struct state_op see = seen("spf a.example", "");
	assert_false(yes(lab, see));
	state_lab_ask(lab, &(struct state_op[]){pass("spf a.example", "")}[0]);
	assert_true(yes(lab, see));
	lab->now_ms += 36 * LAB_DAY - 1;
	assert_true(yes(lab, see));
	/* Each mail that is accepted begins its time again. */
	state_lab_ask(lab, &(struct state_op[]){pass("spf a.example", "")}[0]);
	lab->now_ms += 36 * LAB_DAY - 1;
	assert_true(yes(lab, see));
	lab->now_ms += 1;
	assert_int_equal(wait_of(lab, see), 300 * LAB_SECOND);
}

static void
test_passer(void **state)
{
	struct state_lab *lab = *state;
	const char *net = "net 192.0.2.0/24";
	struct state_op p = pass("net 192.0.2.0/24 a.example", net);
	for (int i = 0; i < 3; i++) {
		assert_false(yes(lab, seen("net 192.0.2.0/24 new.example", net)));
		state_lab_ask(lab, &p);
	}
	assert_true(yes(lab, seen("net 192.0.2.0/24 newer.example", net)));
	struct state_op never = seen("net 192.0.2.0/24 newest.example", net);
	never.passes = 0; /* passers are not asked for */
	assert_false(yes(lab, never));
	assert_false(yes(lab, seen("net 192.0.2.0/24 other.example", "net 203.0.113.0/24")));
	lab->now_ms += 36 * LAB_DAY;
	assert_false(yes(lab, seen("net 192.0.2.0/24 late.example", net)));
	state_lab_ask(lab, &p); /* counted anew: one */
	assert_false(yes(lab, seen("net 192.0.2.0/24 latest.example", net)));
}

/* ---- what is remembered ---- */

static void
test_memo(void **state)
{
	struct state_lab *lab = *state;
	struct state_op get = state_key(STATE_GET, STATE_MEMO, "k");
	struct state_op set = state_key(STATE_SET, STATE_MEMO, "k");
	assert_false(yes(lab, get));
	set.value = SLICE("one");
	set.ttl_ms = 60 * LAB_SECOND;
	assert_true(state_lab_ask(lab, &set).status == STATE_OK);
	lab->now_ms += 20 * LAB_SECOND;
	struct state_answer a = state_lab_ask(lab, &get);
	assert_true(a.yes && a.wait_ms == 40 * LAB_SECOND && slice_eq(a.value, SLICE("one")));
	set.value = SLICE_NONE;
	state_lab_ask(lab, &set);
	a = state_lab_ask(lab, &get);
	assert_true(a.yes && a.wait_ms == 60 * LAB_SECOND && a.value.n == 0);
	lab->now_ms += 60 * LAB_SECOND;
	assert_false(yes(lab, get));
	state_lab_ask(lab, &set);
	assert_true(yes(lab, state_key(STATE_DROP, STATE_MEMO, "k")));
	assert_false(yes(lab, state_key(STATE_DROP, STATE_MEMO, "k")));
	assert_false(yes(lab, get));
}

/* People reset what they see: a bucket, a counter, a tuple. */
static void
test_drop(void **state)
{
	struct state_lab *lab = *state;
	struct state_op take = state_take("r", 1, LAB_HOUR, 1);
	struct state_op count = state_count("q", 1, PERIOD_DAY, 1);
	assert_true(yes(lab, take) && yes(lab, count));
	struct state_answer a = state_lab_ask(
		lab, &(struct state_op[]){state_key(STATE_GET, STATE_RATE, "r")}[0]);
	assert_true(a.yes && a.count == 1 && a.wait_ms == LAB_HOUR);
	assert_false(yes(lab, state_key(STATE_DROP, STATE_MEMO, "r"))); /* another space */
	assert_true(yes(lab, state_key(STATE_DROP, STATE_RATE, "r")));
	assert_true(yes(lab, state_key(STATE_DROP, STATE_QUOTA, "q")));
	assert_true(yes(lab, take) && yes(lab, count));
	assert_false(yes(lab, take) || yes(lab, count));
}

/* ---- many at once ---- */

static void
test_wrong_ops(void **state)
{
	struct state_lab *lab = *state;
	struct state_op ops[3] = {state_take("w", 2, LAB_HOUR, 1),
		state_take("w", 2, LAB_HOUR, 3), state_take("w", 2, LAB_HOUR, 1)};
	struct state_answer a[3];
	state_lab_ask_all(lab, ops, 3, a);
	assert_true(a[0].status == STATE_OK && a[0].yes);
	assert_true(a[1].status == STATE_FAILED && !a[1].yes);
	assert_true(a[2].status == STATE_OK && a[2].yes && a[2].count == 2);
}

/* Chained: done only where the one before was, and was granted; what is not begins anew. */
static void
test_chained(void **state)
{
	struct state_lab *lab = *state;
	struct state_op ops[] = {state_take("a", 1, LAB_HOUR, 1),
		state_take("b", 5, LAB_HOUR, 1), state_take("a", 1, LAB_HOUR, 1),
		state_take("b", 5, LAB_HOUR, 1), state_take("c", 5, LAB_HOUR, 1),
		state_take("b", 5, LAB_HOUR, 1)};
	struct state_answer a[6];
	for (size_t i = 1; i < 5; i++)
		ops[i].chained = true;
	state_lab_ask_all(lab, ops, 6, a);
	assert_true(a[0].yes && a[1].yes && a[1].count == 1);
	assert_true(a[2].status == STATE_OK && !a[2].yes);
	assert_int_equal(a[3].status, STATE_SKIPPED);
	assert_int_equal(a[4].status, STATE_SKIPPED);
	assert_true(a[5].yes && a[5].count == 2);
	assert_false(a[3].yes || a[4].yes);
}

static void
test_order(void **state)
{
	struct state_lab *lab = *state;
	static char keys[STATE_OPS_MOST][16];
	struct state_op ops[STATE_OPS_MOST];
	struct state_answer a[STATE_OPS_MOST];
	for (size_t i = 0; i < STATE_OPS_MOST; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%zu", i % 7);
		ops[i] = state_take(keys[i], 5, LAB_HOUR, 1);
	}
	state_lab_ask_all(lab, ops, STATE_OPS_MOST, a);
	for (size_t i = 0; i < STATE_OPS_MOST; i++) {
		assert_int_equal(a[i].yes, i / 7 < 5);
		assert_int_equal(a[i].count, i / 7 < 5 ? i / 7 + 1 : 5);
	}
	/* No answer is waited for. */
	lab->s->calls->ask(lab->s, ops, 1, NULL, NULL);
}

struct found {
	char text[4096];
	size_t n;
};

static void
on_item(void *arg, const struct state_item *item)
{
	struct found *f = arg;
	f->n += (size_t)snprintf(f->text + f->n, sizeof(f->text) - f->n, "%.*s=%llu/%llu ",
		SLICE_ARG(item->key), (unsigned long long)item->count,
		(unsigned long long)item->limit);
}

static void
test_list(void **state)
{
	struct state_lab *lab = *state;
	struct found f = {.n = 0};
	yes(lab, state_take("user b 9", 9, LAB_HOUR, 3));
	yes(lab, state_take("user a 9", 9, LAB_HOUR, 2));
	yes(lab, state_take("client 1", 9, LAB_SECOND, 9));
	yes(lab, state_count("user a day", 7, PERIOD_DAY, 1));
	assert_int_equal(state_lab_list(lab, STATE_RATE, "", on_item, &f), 3);
	assert_string_equal(f.text, "client 1=9/9 user a 9=2/9 user b 9=3/9 ");
	assert_int_equal(state_lab_list(lab, STATE_RATE, "user ", NULL, NULL), 2);
	assert_int_equal(state_lab_list(lab, STATE_RATE, "user b 9", NULL, NULL), 1);
	assert_int_equal(state_lab_list(lab, STATE_RATE, "user b 99", NULL, NULL), 0);
	assert_int_equal(state_lab_list(lab, STATE_QUOTA, "", NULL, NULL), 1);
	assert_int_equal(state_lab_list(lab, STATE_MEMO, "", NULL, NULL), 0);
	lab->now_ms += LAB_SECOND; /* a bucket that has run empty is not there */
	f.n = 0;
	assert_int_equal(state_lab_list(lab, STATE_RATE, "", on_item, &f), 2);
	assert_string_equal(f.text, "user a 9=2/9 user b 9=3/9 ");
	yes(lab, state_key(STATE_DROP, STATE_RATE, "user a 9"));
	assert_int_equal(state_lab_list(lab, STATE_RATE, "", NULL, NULL), 1);
}

/* Pages, over what is on disk and what is not yet. */
static void
test_long_list(void **state)
{
	struct state_lab *lab = *state;
	char key[32];
	enum { MANY = 3 * STATE_PAGE_MOST + 7 };
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "user %05d", i * 7919 % 100003);
		yes(lab, state_take(key, 9, LAB_HOUR, 1));
		if (i == MANY / 2)
			state_lab_write(lab);
		if (i > MANY / 2 && i % 3 == 0)
			yes(lab, state_take("user 00000", 2000, LAB_HOUR, 1));
	}
	assert_int_equal(state_lab_list(lab, STATE_RATE, "user", NULL, NULL), MANY);
	state_lab_write(lab);
	assert_int_equal(state_lab_list(lab, STATE_RATE, "", NULL, NULL), MANY);
}

/* ---- and its end ---- */

static void
test_kept(void **state)
{
	struct state_lab *lab = *state;
	struct state_op memo = state_key(STATE_SET, STATE_MEMO, "m");
	memo.value = SLICE("v");
	memo.ttl_ms = LAB_DAY;
	yes(lab, state_take("r", 3, LAB_HOUR, 2));
	yes(lab, state_count("q", 3, PERIOD_WEEK, 2));
	yes(lab, seen("t", "p"));
	state_lab_ask(lab, &(struct state_op[]){pass("u", "p")}[0]);
	state_lab_ask(lab, &memo);
	state_lab_close(lab);
	state_lab_open(lab);
	lab->now_ms += 600 * LAB_SECOND;
	assert_true(yes(lab, seen("t", "p")));
	assert_true(yes(lab, seen("u", "p")));
	assert_true(yes(lab, state_key(STATE_GET, STATE_MEMO, "m")));
	struct state_op take = state_take("r", 3, LAB_HOUR, 2);
	assert_int_equal(wait_of(lab, take), LAB_HOUR / 3 - 600 * LAB_SECOND);
	assert_false(yes(lab, state_count("q", 3, PERIOD_WEEK, 2)));
	assert_true(yes(lab, state_count("q", 3, PERIOD_WEEK, 1)));
}

/* ---- faults ---- */

static void
on_failed_page(void *arg, const struct state_item *items, size_t n, struct slice next,
	bool page_failed)
{
	(void)items;
	assert_true(page_failed && n == 0 && next.n == 0);
	++*(int *)arg;
}

static void
test_failing(void **state)
{
	struct state_lab *lab = *state;
	struct state_op take = state_take("r", 1, LAB_HOUR, 1);
	struct err err;
	int pages = 0;
	state_fault_set(lab->s, STATE_FAULT_FAIL);
	struct state_answer a = state_lab_ask(lab, &take);
	assert_true(a.status == STATE_FAILED && !a.yes);
	lab->s->calls->list(lab->s, STATE_RATE, SLICE_NONE, SLICE_NONE, on_failed_page, &pages);
	assert_int_equal(pages, 1);
	assert_int_equal(lab->s->calls->flush(lab->s, &err), -1);
	state_fault_set(lab->s, STATE_FAULT_NONE);
	assert_true(yes(lab, take)); /* nothing was taken */
}

static void
count_answers(void *arg, const struct state_answer *answers, size_t n)
{
	assert_int_equal(n, 1);
	assert_true(answers[0].yes);
	++*(int *)arg;
}

static void
test_late(void **state)
{
	struct state_lab *lab = *state;
	struct state_op take = state_take("r", 2, LAB_HOUR, 1);
	int answered = 0;
	lab->s->calls->ask(lab->s, &take, 1, count_answers, &answered);
	lab->s->calls->ask(lab->s, &take, 1, count_answers, &answered);
	assert_int_equal(answered, 0);
	assert_int_equal(state_fault_release(lab->s), 2);
	assert_int_equal(answered, 2);
}

#define SUITE(make)                                                                       \
	cmocka_unit_test_setup_teardown(test_bucket, make, drop),                         \
		cmocka_unit_test_setup_teardown(test_bucket_over_time, make, drop),       \
		cmocka_unit_test_setup_teardown(test_bucket_of_many, make, drop),         \
		cmocka_unit_test_setup_teardown(test_bucket_give, make, drop),            \
		cmocka_unit_test_setup_teardown(test_bucket_of_another_size, make, drop), \
		cmocka_unit_test_setup_teardown(test_counter, make, drop),                \
		cmocka_unit_test_setup_teardown(test_periods, make, drop),                \
		cmocka_unit_test_setup_teardown(test_counter_give, make, drop),           \
		cmocka_unit_test_setup_teardown(test_tuple, make, drop),                  \
		cmocka_unit_test_setup_teardown(test_tuple_passed, make, drop),           \
		cmocka_unit_test_setup_teardown(test_passer, make, drop),                 \
		cmocka_unit_test_setup_teardown(test_memo, make, drop),                   \
		cmocka_unit_test_setup_teardown(test_drop, make, drop),                   \
		cmocka_unit_test_setup_teardown(test_wrong_ops, make, drop),              \
		cmocka_unit_test_setup_teardown(test_chained, make, drop),                \
		cmocka_unit_test_setup_teardown(test_order, make, drop),                  \
		cmocka_unit_test_setup_teardown(test_list, make, drop),                   \
		cmocka_unit_test_setup_teardown(test_long_list, make, drop),              \
		cmocka_unit_test_setup_teardown(test_kept, make, drop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SUITE(make_local),
		SUITE(make_fault),
		SUITE(make_late),
		cmocka_unit_test_setup_teardown(test_failing, make_fault, drop),
		cmocka_unit_test_setup_teardown(test_late, make_late, drop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
