/*
 * A simulated month (issue 5: 200 accounts with quotas, not one mail over, not one refused
 * under): each account has quotas by day, week and month at once, mails of several recipients
 * are asked about as a session asks, refused ones and those that fail later give back what they
 * took, hours later and over midnight. The engine is restarted each day. Beside it a naive
 * ledger of all mails, by the words of the calendar; at the end it is recounted from the
 * beginning. Once with the hour that comes twice, once with the one that is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "random.h"
#include "state_lab.h"

enum { ACCOUNTS = 200, WINDOWS = 3, MAILS_MOST = 200000, RCPTS_MOST = 5, FAIL_MOST = 4096 };
enum { WORDS = 12 };

struct mail {
	uint16_t account;
	uint8_t n;
	bool kept; /* nothing of it was given back */
	char periods[WINDOWS][WORDS];
};

struct failing { /* a mail that will be given back */
	uint64_t due_ms;
	size_t mail;
	struct state_answer answers[WINDOWS];
};

struct window {
	uint64_t limit, used;
	char period[WORDS];
	size_t refusals;
};

static struct {
	uint64_t seed;
	struct state_lab lab;
	struct window windows[ACCOUNTS][WINDOWS];
	struct mail mails[MAILS_MOST];
	size_t n_mails;
	struct failing failing[FAIL_MOST];
	size_t n_failing, given, given_late, refused;
} m;

static void
words_of(uint64_t ms, char out[WINDOWS][WORDS])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	assert_non_null(localtime_r(&t, &tm));
	assert_true(strftime(out[PERIOD_DAY], WORDS, "%Y-%m-%d", &tm) > 0);
	assert_true(strftime(out[PERIOD_WEEK], WORDS, "%G-W%V", &tm) > 0);
	assert_true(strftime(out[PERIOD_MONTH], WORDS, "%Y-%m", &tm) > 0);
}

static void
make_accounts(void)
{
	for (size_t a = 0; a < ACCOUNTS; a++) {
		struct window *w = m.windows[a];
		w[PERIOD_DAY].limit = 5 + random_below(&m.seed, 60);
		w[PERIOD_WEEK].limit = w[PERIOD_DAY].limit * (2 + random_below(&m.seed, 6));
		w[PERIOD_MONTH].limit = w[PERIOD_WEEK].limit * (1 + random_below(&m.seed, 5));
	}
}

static void
make_ops(size_t account, uint64_t n, char keys[WINDOWS][40], struct state_op ops[WINDOWS])
{
	static const char *const names[WINDOWS] = {"day", "week", "month"};
	for (size_t i = 0; i < WINDOWS; i++) {
		uint64_t limit = m.windows[account][i].limit;
		snprintf(keys[i], 40, "user u%zu %llu/%s", account, (unsigned long long)limit,
			names[i]);
		ops[i] = state_count(keys[i], limit, (enum state_period)i, n);
	}
}

/* The engine gives back what it took of these windows. */
static void
give_back(size_t account, uint64_t n, const struct state_answer answers[WINDOWS])
{
	char keys[WINDOWS][40];
	struct state_op ops[WINDOWS], gives[WINDOWS];
	struct state_answer none[WINDOWS];
	size_t k = 0;
	make_ops(account, n, keys, ops);
	for (size_t i = 0; i < WINDOWS; i++)
		if (answers[i].yes)
			gives[k++] = state_give(&ops[i], &answers[i]);
	if (k != 0)
		state_lab_ask_all(&m.lab, gives, k, none);
}

/* ---- the ledger ---- */

static void
ledger_period(size_t account, char words[WINDOWS][WORDS])
{
	for (size_t i = 0; i < WINDOWS; i++) {
		struct window *w = &m.windows[account][i];
		if (strcmp(w->period, words[i]) != 0)
			w->used = 0;
		memcpy(w->period, words[i], WORDS);
	}
}

static bool
ledger_has_room(size_t account, uint64_t n)
{
	bool room = true;
	for (size_t i = 0; i < WINDOWS; i++) {
		struct window *w = &m.windows[account][i];
		bool fits = w->used + n <= w->limit;
		w->refusals += !fits;
		room = room && fits;
	}
	return room;
}

static void
ledger_give(const struct mail *mail)
{
	for (size_t i = 0; i < WINDOWS; i++) {
		struct window *w = &m.windows[mail->account][i];
		if (strcmp(w->period, mail->periods[i]) == 0)
			w->used -= mail->n;
		else
			m.given_late++;
	}
}

/* ---- the month ---- */

static void
give_due(void)
{
	for (size_t i = 0; i < m.n_failing;) {
		struct failing *f = &m.failing[i];
		if (f->due_ms > m.lab.now_ms) {
			i++;
			continue;
		}
		struct mail *mail = &m.mails[f->mail];
		char now[WINDOWS][WORDS];
		words_of(m.lab.now_ms, now);
		ledger_period(mail->account, now);
		give_back(mail->account, mail->n, f->answers);
		ledger_give(mail);
		mail->kept = false;
		m.given++;
		*f = m.failing[--m.n_failing];
	}
}

static void
send_one(void)
{
	char keys[WINDOWS][40];
	struct state_op ops[WINDOWS];
	struct state_answer a[WINDOWS];
	size_t account = random_below(&m.seed, ACCOUNTS);
	uint64_t n = 1 + random_below(&m.seed, RCPTS_MOST);
	struct mail *mail = &m.mails[m.n_mails];
	*mail = (struct mail){.account = (uint16_t)account, .n = (uint8_t)n, .kept = true};
	words_of(m.lab.now_ms, mail->periods);
	ledger_period(account, mail->periods);
	make_ops(account, n, keys, ops);
	state_lab_ask_all(&m.lab, ops, WINDOWS, a);
	bool passes = true;
	for (size_t i = 0; i < WINDOWS; i++) {
		const struct window *w = &m.windows[account][i];
		assert_int_equal(a[i].status, STATE_OK);
		if (a[i].yes != (w->used + n <= w->limit))
			fail_msg("%s, %llu more: %llu of %llu in %s, and the engine says %d",
				keys[i], (unsigned long long)n, (unsigned long long)w->used,
				(unsigned long long)w->limit, w->period, a[i].yes);
		passes = passes && a[i].yes;
	}
	assert_int_equal(passes, ledger_has_room(account, n));
	if (!passes) {
		give_back(account, n, a);
		m.refused++;
		return;
	}
	for (size_t i = 0; i < WINDOWS; i++)
		m.windows[account][i].used += n;
	if (random_below(&m.seed, 8) == 0 && m.n_failing < FAIL_MOST) {
		struct failing *f = &m.failing[m.n_failing++];
		uint64_t most = random_below(&m.seed, 2) == 0 ? 60 * LAB_SECOND : 30 * LAB_HOUR;
		*f = (struct failing){m.lab.now_ms + random_below(&m.seed, most), m.n_mails,
			{a[0], a[1], a[2]}};
	}
	m.n_mails++;
}

/* From all mails that were kept: no window of any account has more than its limit. */
static size_t
recount(void)
{
	static uint64_t used[ACCOUNTS][WINDOWS];
	static char period[ACCOUNTS][WINDOWS][WORDS];
	size_t full = 0;
	memset(used, 0, sizeof(used));
	memset(period, 0, sizeof(period));
	for (size_t k = 0; k < m.n_mails; k++) {
		const struct mail *mail = &m.mails[k];
		for (size_t i = 0; i < WINDOWS && mail->kept; i++) {
			uint64_t *u = &used[mail->account][i];
			char *p = period[mail->account][i];
			if (strcmp(p, mail->periods[i]) != 0)
				*u = 0;
			memcpy(p, mail->periods[i], WORDS);
			*u += mail->n;
			assert_true(*u <= m.windows[mail->account][i].limit);
			full += *u == m.windows[mail->account][i].limit;
		}
	}
	return full;
}

static void
run(const char *from, const char *until, uint64_t seed)
{
	memset(&m, 0, sizeof(m));
	m.seed = seed;
	state_lab_zone("Europe/Berlin");
	m.lab.now_ms = state_lab_time(from);
	uint64_t end = state_lab_time(until), day = m.lab.now_ms + LAB_DAY;
	state_lab_make(&m.lab);
	make_accounts();
	while (m.lab.now_ms < end) {
		assert_true(m.n_mails < MAILS_MOST);
		give_due();
		send_one();
		/* In bursts, some of them around midnight. */
		m.lab.now_ms += random_below(&m.seed, 20) == 0
					? random_below(&m.seed, 400 * LAB_SECOND)
					: random_below(&m.seed, 30 * LAB_SECOND);
		if (m.lab.now_ms < day)
			continue;
		day += LAB_DAY;
		state_lab_close(&m.lab);
		state_lab_open(&m.lab);
	}
	size_t full = recount(), by[WINDOWS] = {0};
	for (size_t a = 0; a < ACCOUNTS; a++)
		for (size_t i = 0; i < WINDOWS; i++)
			by[i] += m.windows[a][i].refusals;
	print_message(
		"%zu mails, %zu refused (by day %zu, week %zu, month %zu), %zu given back, "
		"%zu windows of them after their end, %zu times to the last one\n",
		m.n_mails, m.refused, by[0], by[1], by[2], m.given, m.given_late, full);
	assert_true(m.n_mails > 20000 && m.refused > 2000 && full > 1000);
	assert_true(by[PERIOD_DAY] > 500 && by[PERIOD_WEEK] > 500 && by[PERIOD_MONTH] > 500);
	assert_true(m.given > 2000 && m.given_late > 500);
	state_lab_drop(&m.lab);
}

static void
test_autumn(void **state)
{
	(void)state;
	run("2026-10-03 12:00:00", "2026-11-03 12:00:00", 5);
}

static void
test_spring(void **state)
{
	(void)state;
	run("2026-03-04 00:00:00", "2026-04-04 00:00:00", 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_autumn),
		cmocka_unit_test(test_spring),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
