/*
 * The schedule case by case: what each outcome does to the part and to its site, turns of sites
 * and senders, back-off with its probe, windows, rates, attempts at once, changes by hand, and
 * domains that turn out to be one site.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/schedule_priv.h"

enum { MINUTE = 60 * 1000, START = 1000 * 1000 };
static const uint64_t hour_ms = 60 * MINUTE;

static const struct schedule_config usual = {.retry_ms = 5 * MINUTE,
	.retry_most_ms = 4 * 60 * MINUTE,
	.attempts_most = 1000,
	.site_most = 20,
	.site_first = 2,
	.seed = 1};

static struct custody_id
id_of(unsigned n)
{
	struct custody_id id = {{0}};
	memcpy(id.bytes, &n, sizeof(n));
	return id;
}

static struct schedule_part
part_of(unsigned mail, const char *site, uint64_t sender)
{
	return (struct schedule_part){
		.id = id_of(mail), .site = slice_of(site), .sender = sender};
}

static void
add(struct schedule *s, unsigned mail, const char *site, uint64_t sender, uint64_t now_ms)
{
	struct schedule_part p = part_of(mail, site, sender);
	assert_int_equal(schedule_add(s, &p, now_ms), 0);
}

/* The number of the mail that is next, or 0. */
static unsigned
next(struct schedule *s, uint64_t now_ms)
{
	struct schedule_pick pick;
	unsigned mail;
	if (!schedule_next(s, now_ms, &pick))
		return 0;
	memcpy(&mail, pick.id.bytes, sizeof(mail));
	return mail;
}

static void
result(struct schedule *s, unsigned mail, enum schedule_outcome outcome, uint64_t now_ms)
{
	struct custody_id id = id_of(mail);
	schedule_result(s, &id, 0, outcome, 0, now_ms);
}

static struct schedule_why
why(struct schedule *s, unsigned mail, uint64_t now_ms)
{
	struct custody_id id = id_of(mail);
	struct schedule_why w;
	schedule_why(s, &id, 0, now_ms, &w);
	return w;
}

static bool
between(uint64_t x, uint64_t least, uint64_t most)
{
	return x >= least && x <= most;
}

/* --- outcomes */

static const struct {
	const char *what;
	enum schedule_outcome outcome;
	uint64_t due_in_ms; /* told with the result; 0: none */
	bool known;
	uint64_t due_least_ms, due_most_ms; /* after the result */
	unsigned attempts, window, failures;
} outcomes[] = {
	{"gone", SCHEDULE_GONE, 0, false, 0, 0, 0, 0, 0},
	{"again, by its attempts", SCHEDULE_AGAIN, 0, true, 20 * MINUTE,
		22 * MINUTE + MINUTE / 2, 3, 3, 0},
	{"again, as told", SCHEDULE_AGAIN, 7 * MINUTE, true, 7 * MINUTE, 7 * MINUTE, 3, 3, 0},
	{"the site fails", SCHEDULE_SITE_FAILS, 0, true, 20 * MINUTE, 22 * MINUTE + MINUTE / 2,
		3, 1, 1},
	{"the site fails, as told", SCHEDULE_SITE_FAILS, MINUTE, true, MINUTE, MINUTE, 3, 1, 1},
	{"busy", SCHEDULE_BUSY, 0, true, 20 * MINUTE, 22 * MINUTE + MINUTE / 2, 3, 1, 0},
	{"unsent", SCHEDULE_UNSENT, 0, true, 0, 0, 2, 2, 0},
	{"unsent, as told", SCHEDULE_UNSENT, MINUTE, true, MINUTE, MINUTE, 2, 2, 0},
};

/* Two of three parts are in flight, the window is used up; one of the two has a result. */
static void
test_outcomes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		print_message("%s\n", outcomes[i].what);
		struct schedule *s = schedule_new(&usual, NULL, NULL);
		struct schedule_part p = part_of(1, "example.com", 1);
		p.attempts = 2;
		assert_int_equal(schedule_add(s, &p, START), 0);
		assert_int_equal(schedule_add(s, &p, START), -1);
		p.part = 1; /* another part of the same mail is another part */
		assert_int_equal(schedule_add(s, &p, START), 0);
		add(s, 2, "example.com", 2, START);
		add(s, 3, "example.com", 3, START);
		assert_int_equal(next(s, START), 1);
		assert_int_equal(next(s, START), 2);
		assert_int_equal(next(s, START), 0);
		assert_int_equal(schedule_wake_ms(s, START), UINT64_MAX);

		struct custody_id id = id_of(1);
		uint64_t now_ms = START + 1000, in_ms = outcomes[i].due_in_ms;
		struct schedule_why w = why(s, 1, now_ms);
		assert_true(w.known && w.in_flight);
		schedule_result(s, &id, 0, outcomes[i].outcome, in_ms != 0 ? now_ms + in_ms : 0,
			now_ms);
		w = why(s, 1, now_ms);
		assert_int_equal(w.known, outcomes[i].known);
		assert_false(w.in_flight);
		struct schedule_why other = why(s, 3, now_ms);
		if (outcomes[i].known) {
			uint64_t from_ms =
				outcomes[i].attempts == 2 && in_ms == 0 ? START : now_ms;
			assert_true(between(w.due_ms, from_ms + outcomes[i].due_least_ms,
				from_ms + outcomes[i].due_most_ms));
			assert_int_equal(other.site_window, outcomes[i].window);
			assert_int_equal(other.site_failures, outcomes[i].failures);
			schedule_site_retry(s, SLICE("example.com"), now_ms);
			result(s, 2, SCHEDULE_GONE, now_ms);
			struct schedule_pick pick;
			schedule_remove(s, &(struct custody_id){{3}});
			uint64_t at_ms = w.due_ms > now_ms ? w.due_ms : now_ms;
			while (schedule_next(s, at_ms, &pick) && pick.part != 0)
				schedule_result(
					s, &pick.id, pick.part, SCHEDULE_GONE, 0, at_ms);
			assert_int_equal(pick.part, 0);
			assert_int_equal(pick.attempts, outcomes[i].attempts);
		}
		schedule_free(&s);
		assert_null(s);
	}
}

/* --- turns */

static void
test_sites_take_turns(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	for (unsigned i = 1; i <= 1000; i++)
		add(s, i, "dead.example", i % 7, START);
	add(s, 5000, "live.example", 1, START);
	assert_int_not_equal(next(s, START), 5000);
	assert_int_equal(next(s, START), 5000); /* not the second of the thousand */
	result(s, 5000, SCHEDULE_GONE, START);
	unsigned second = next(s, START);
	assert_true(between(second, 1, 1000));
	result(s, second, SCHEDULE_SITE_FAILS, START);
	/* From here on the dead site is not looked at. */
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(next(s, START + i), 0);
		assert_true(schedule_wake_ms(s, START + i) >= START + 5 * MINUTE);
		add(s, 6000 + i, "live.example", i, START + i);
		assert_int_equal(schedule_wake_ms(s, START + i), START + i);
		assert_int_equal(next(s, START + i), 6000 + i);
		result(s, 6000 + i, SCHEDULE_GONE, START + i);
	}
	schedule_free(&s);
}

static void
test_senders_take_turns(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	for (unsigned i = 1; i <= 100; i++)
		add(s, i, "example.com", 1, START);
	for (unsigned i = 201; i <= 300; i++)
		add(s, i, "example.com", 2, START);
	unsigned of[2] = {0, 0}, last = 2;
	for (unsigned i = 0; i < 200; i++) {
		unsigned mail = next(s, START);
		assert_int_not_equal(mail, 0);
		unsigned sender = mail > 200;
		assert_int_not_equal(sender, last);
		last = sender;
		of[sender]++;
		result(s, mail, SCHEDULE_GONE, START);
	}
	assert_int_equal(of[0], 100);
	assert_int_equal(of[1], 100);
	assert_int_equal(next(s, START), 0);

	/* One mail of somebody passes a thousand of somebody else. */
	for (unsigned i = 1; i <= 1000; i++)
		add(s, i, "example.com", 1, START);
	add(s, 5000, "example.com", 2, START + 1);
	next(s, START + 1);
	assert_int_equal(next(s, START + 1), 5000);
	schedule_free(&s);
}

/* Who gets new mails all the time keeps the turn that it waits for. */
static void
test_turns_are_kept(void **state)
{
	(void)state;
	for (unsigned senders = 0; senders < 2; senders++) { /* of sites, then of senders */
		struct schedule *s = schedule_new(&usual, NULL, NULL);
		const char *other = senders ? "a.example" : "b.example";
		for (unsigned i = 1; i <= 40; i++)
			add(s, i, "a.example", 1, START);
		unsigned others = 0;
		for (unsigned i = 100; i < 140; i++) {
			add(s, i, other, 2, START);
			unsigned mail = next(s, START);
			others += mail >= 100;
			result(s, mail, SCHEDULE_GONE, START);
		}
		assert_int_equal(others, 20);
		schedule_free(&s);
	}
}

static void
test_earliest_first(void **state)
{
	(void)state;
	static const uint64_t due_ms[] = {50, 10, 40, 20, 30, 60, 15};
	static const unsigned order[] = {2, 7, 4, 5, 3, 1, 6};
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	for (unsigned i = 0; i < 7; i++) {
		struct schedule_part p = part_of(i + 1, "example.com", 1);
		p.due_ms = START + due_ms[i];
		assert_int_equal(schedule_add(s, &p, START), 0);
	}
	assert_int_equal(next(s, START), 0);
	assert_int_equal(schedule_wake_ms(s, START), START + 10);
	assert_int_equal(next(s, START + 9), 0);
	assert_int_equal(why(s, 6, START + 45).before, 5);
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(next(s, START + 100), order[i]);
		result(s, order[i], SCHEDULE_GONE, START + 100);
	}
	assert_int_equal(schedule_wake_ms(s, START + 100), UINT64_MAX);
	schedule_free(&s);
}

/* --- back-off */

static void
test_back_off(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	uint64_t now_ms = START, delay_ms = 5 * MINUTE;
	for (unsigned i = 1; i <= 50; i++)
		add(s, i, "dead.example", i, START);
	unsigned first = next(s, now_ms), second = next(s, now_ms);
	result(s, first, SCHEDULE_SITE_FAILS, now_ms);
	result(s, second, SCHEDULE_SITE_FAILS, now_ms); /* began before: the same failure */
	for (unsigned i = 1; i <= 10; i++) {
		struct schedule_why w = why(s, 50, now_ms);
		assert_int_equal(w.site_failures, i);
		assert_int_equal(w.site_window, 1);
		assert_true(between(
			w.site_until_ms, now_ms + delay_ms, now_ms + delay_ms + delay_ms / 8));
		assert_int_equal(schedule_wake_ms(s, now_ms), w.site_until_ms);
		assert_int_equal(next(s, w.site_until_ms - 1), 0);
		struct schedule_part p = part_of(900, "dead.example", 1);
		assert_false(schedule_try_now(s, &p, w.site_until_ms - 1));
		now_ms = w.site_until_ms;
		unsigned probe = next(s, now_ms);
		assert_int_not_equal(probe, 0);
		assert_int_equal(next(s, now_ms), 0); /* one alone */
		assert_int_equal(schedule_wake_ms(s, now_ms), UINT64_MAX);
		now_ms += 30 * 1000;
		result(s, probe, SCHEDULE_SITE_FAILS, now_ms);
		delay_ms = delay_ms * 2 < 4 * hour_ms ? delay_ms * 2 : 4 * hour_ms;
	}
	/* The others were not touched: 12 attempts have been made, of 12 parts. */
	struct schedule_counts c;
	schedule_counts(s, &c);
	assert_int_equal(c.parts, 50);
	assert_int_equal(c.sites_backing_off, 1);

	now_ms = schedule_wake_ms(s, now_ms);
	unsigned probe = next(s, now_ms);
	result(s, probe, SCHEDULE_GONE, now_ms);
	struct schedule_why w = why(s, 50, now_ms);
	assert_int_equal(w.site_failures, 0);
	assert_int_equal(w.site_until_ms, 0);
	assert_int_not_equal(next(s, now_ms), 0);
	schedule_free(&s);
}

/* A late success of an attempt that began earlier shows that the site works after all. */
static void
test_success_ends_it(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	for (unsigned i = 1; i <= 3; i++)
		add(s, i, "example.com", 1, START);
	unsigned a = next(s, START), b = next(s, START);
	result(s, a, SCHEDULE_SITE_FAILS, START);
	assert_int_equal(next(s, START), 0);
	result(s, b, SCHEDULE_AGAIN, START + 1);
	assert_int_not_equal(next(s, START + 1), 0);
	schedule_free(&s);
}

/* Busy with one at once: it rests, and is not asked by each of a thousand mails in turn. */
static void
test_busy_with_one(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	for (unsigned i = 1; i <= 10; i++)
		add(s, i, "example.com", 1, START);
	unsigned a = next(s, START), b = next(s, START);
	result(s, a, SCHEDULE_BUSY, START);
	result(s, b, SCHEDULE_BUSY, START); /* of the same moment: halved once */
	assert_int_equal(why(s, 10, START).site_window, 1);
	assert_int_equal(why(s, 10, START).site_until_ms, 0);
	unsigned c = next(s, START);
	assert_int_not_equal(c, 0);
	result(s, c, SCHEDULE_BUSY, START);
	assert_int_equal(next(s, START), 0);
	assert_true(schedule_wake_ms(s, START) >= START + 5 * MINUTE);
	schedule_free(&s);
}

/* --- windows and rates */

static bool
limit(void *arg, struct slice site, struct schedule_limit *out)
{
	(void)site;
	const struct schedule_limit *l = arg;
	*out = *l;
	return l->connections != 0 || l->rate != 0;
}

/* All that may go at once. */
static unsigned
burst(struct schedule *s, uint64_t now_ms, unsigned *mails)
{
	unsigned n = 0, mail;
	while ((mail = next(s, now_ms)) != 0)
		mails[n++] = mail;
	return n;
}

static void
test_window(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	unsigned mails[64], n;
	for (unsigned i = 1; i <= 2000; i++)
		add(s, i, "example.com", 1, START);
	/* Twice as many with each round where each success finds the window used up. */
	static const unsigned rounds[] = {2, 3, 4, 5, 6};
	for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
		n = burst(s, START, mails);
		assert_int_equal(n, rounds[i]);
		for (unsigned j = 0; j < n; j++)
			result(s, mails[j], SCHEDULE_GONE, START);
	}
	n = burst(s, START, mails);
	for (unsigned i = 0; i < 200; i++) { /* kept full: one more with each success */
		result(s, mails[i % n], SCHEDULE_GONE, START);
		mails[i % n] = next(s, START);
		unsigned more = next(s, START);
		if (more != 0)
			mails[n++] = more;
	}
	assert_int_equal(n, 20); /* and never more than site_most */
	result(s, mails[0], SCHEDULE_BUSY, START);
	assert_int_equal(why(s, 2000, START).site_window, 10);
	for (unsigned i = 1; i < 20; i++)
		result(s, mails[i], SCHEDULE_BUSY, START);
	assert_int_equal(why(s, 2000, START).site_window, 10);
	n = burst(s, START, mails);
	assert_int_equal(n, 10);
	/* After a failure, one more with each window of successes. */
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(why(s, 2000, START).site_window, 10);
		result(s, mails[i], SCHEDULE_GONE, START);
		mails[i] = next(s, START);
	}
	assert_int_equal(why(s, 2000, START).site_window, 11);
	schedule_free(&s);
}

static void
test_limits(void **state)
{
	(void)state;
	struct schedule_limit l = {.connections = 1};
	struct schedule_config config = usual;
	struct schedule *s = schedule_new(&config, limit, &l);
	unsigned mails[64];
	for (unsigned i = 1; i <= 40; i++)
		add(s, i, "example.com", 1, START);
	assert_int_equal(burst(s, START, mails), 1);
	assert_int_equal(why(s, 40, START).site_window, 1);
	l.connections = 0; /* another configuration says nothing of it */
	schedule_configure(s, &config);
	result(s, mails[0], SCHEDULE_GONE, START);
	assert_int_equal(burst(s, START, mails), 2);
	config.attempts_most = 1;
	schedule_configure(s, &config);
	result(s, mails[0], SCHEDULE_GONE, START);
	assert_true(why(s, 40, START).all_taken);
	assert_int_equal(next(s, START), 0);
	assert_int_equal(schedule_wake_ms(s, START), UINT64_MAX);
	struct schedule_part p = part_of(99, "other.example", 1);
	assert_false(schedule_try_now(s, &p, START));
	result(s, mails[1], SCHEDULE_GONE, START);
	assert_int_equal(schedule_wake_ms(s, START), START);
	assert_int_equal(burst(s, START, mails), 1);
	schedule_free(&s);
}

static const struct {
	uint64_t rate, rate_ms;
} rates[] = {{100, 60000}, {1, 1000}, {7, 10000}, {3600, 3600000}, {30, 1000}};

static void
test_rates(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct schedule_limit l = {.rate = rates[i].rate, .rate_ms = rates[i].rate_ms};
		struct schedule *s = schedule_new(&usual, limit, &l);
		enum { MAILS = 4000 };
		static uint64_t at_ms[MAILS];
		unsigned n = 0, want = 4 * (unsigned)l.rate;
		want = want < MAILS ? want : MAILS;
		for (unsigned j = 1; j <= want; j++)
			add(s, j, "example.com", 1, START);
		for (uint64_t now_ms = START; n < want;) {
			unsigned mail = next(s, now_ms);
			if (mail == 0) { /* woken when the rate allows it, and not before */
				assert_int_equal(why(s, want, now_ms).rate_until_ms,
					schedule_wake_ms(s, now_ms));
				assert_true(schedule_wake_ms(s, now_ms) > now_ms);
				now_ms = schedule_wake_ms(s, now_ms);
				continue;
			}
			at_ms[n++] = now_ms;
			result(s, mail, SCHEDULE_GONE, now_ms);
		}
		uint64_t most = l.rate + (l.rate > 10 ? l.rate / 10 : 1);
		for (unsigned j = 0; j + most < want; j++)
			assert_true(at_ms[j + most] - at_ms[j] >= l.rate_ms);
		uint64_t all_ms = at_ms[want - 1] - at_ms[0]; /* and all of the rate is used */
		assert_true(all_ms <= l.rate_ms * want / l.rate + want);
		schedule_free(&s);
	}
}

/* An attempt that was none gives its share of the rate back. */
static void
test_rate_unsent(void **state)
{
	(void)state;
	struct schedule_limit l = {.rate = 1, .rate_ms = 1000};
	struct schedule *s = schedule_new(&usual, limit, &l);
	add(s, 1, "example.com", 1, START);
	assert_int_equal(next(s, START), 1);
	result(s, 1, SCHEDULE_UNSENT, START);
	assert_int_equal(next(s, START), 1);
	result(s, 1, SCHEDULE_GONE, START);
	add(s, 2, "example.com", 1, START);
	assert_int_equal(next(s, START + 999), 0);
	assert_int_equal(next(s, START + 1000), 2);
	schedule_free(&s);
}

/* --- while the client waits */

static void
test_try_now(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	struct schedule_part p = part_of(1, "example.com", 1);
	assert_true(schedule_try_now(s, &p, START));
	assert_false(schedule_try_now(s, &p, START)); /* it is in flight */
	assert_int_equal(next(s, START), 0);
	result(s, 1, SCHEDULE_UNSENT, START); /* never added: gone with it */
	assert_false(why(s, 1, START).known);

	assert_true(schedule_try_now(s, &p, START));
	result(s, 1, SCHEDULE_AGAIN, START); /* waits as if it had been added */
	assert_true(why(s, 1, START).due_ms >= START + 5 * MINUTE);
	assert_int_equal(schedule_add(s, &p, START), -1);
	assert_true(schedule_try_now(s, &p, START)); /* though it waits */
	result(s, 1, SCHEDULE_GONE, START);

	assert_true(schedule_try_now(s, &p, START));
	assert_int_equal(schedule_add(s, &p, START), 0); /* stored meanwhile */
	assert_int_equal(schedule_add(s, &p, START), -1);
	result(s, 1, SCHEDULE_UNSENT, START);
	assert_int_equal(next(s, START), 1);
	struct schedule_part q = part_of(2, "example.com", 1), r = part_of(3, "example.com", 1);
	assert_true(schedule_try_now(s, &q, START));
	assert_false(schedule_try_now(s, &r, START)); /* at its limit */
	result(s, 1, SCHEDULE_GONE, START);
	result(s, 2, SCHEDULE_SITE_FAILS, START);
	assert_false(schedule_try_now(s, &r, START)); /* backs off */
	schedule_site_retry(s, SLICE("EXAMPLE.com"), START);
	assert_true(schedule_try_now(s, &r, START));
	result(s, 3, SCHEDULE_GONE, START);
	schedule_free(&s);
}

/* Who puts everything off is not waited for; a success, or time, ends that. */
static void
test_greylists(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	for (unsigned i = 1; i <= 3; i++) {
		struct schedule_part p = part_of(i, "grey.example", i);
		assert_true(schedule_try_now(s, &p, START));
		result(s, i, SCHEDULE_AGAIN, START);
	}
	struct schedule_part p = part_of(4, "grey.example", 4);
	assert_false(schedule_try_now(s, &p, START));
	assert_false(schedule_try_now(s, &p, START + 5 * MINUTE - 1));
	add(s, 4, "grey.example", 4, START); /* from the queue it goes */
	assert_int_equal(next(s, START), 4);
	result(s, 4, SCHEDULE_GONE, START);
	p = part_of(5, "grey.example", 5);
	assert_true(schedule_try_now(s, &p, START));
	schedule_free(&s);
}

/* --- by hand */

static void
test_remove(void **state)
{
	(void)state;
	static const enum schedule_outcome all[] = {SCHEDULE_GONE, SCHEDULE_AGAIN,
		SCHEDULE_SITE_FAILS, SCHEDULE_BUSY, SCHEDULE_UNSENT};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct schedule *s = schedule_new(&usual, NULL, NULL);
		struct custody_id id = id_of(1);
		struct schedule_counts c;
		for (uint32_t part = 0; part < 5; part++) {
			struct schedule_part p =
				part_of(1, part < 3 ? "a.example" : "b.example", 1);
			p.part = part;
			assert_int_equal(schedule_add(s, &p, START), 0);
		}
		struct schedule_pick pick;
		assert_true(schedule_next(s, START, &pick));
		schedule_remove(s, &id);
		schedule_counts(s, &c);
		assert_int_equal(c.parts, 1);
		assert_int_equal(c.mails, 1);
		assert_int_equal(c.in_flight, 1);
		struct schedule_part again = part_of(1, "a.example", 1);
		again.part = pick.part;
		assert_int_equal(schedule_add(s, &again, START), -1);
		schedule_result(s, &id, pick.part, all[i], 0, START);
		schedule_counts(s, &c);
		assert_int_equal(c.parts + c.mails + c.in_flight, 0);
		assert_int_equal(schedule_wake_ms(s, START), UINT64_MAX);
		assert_int_equal(schedule_add(s, &again, START), 0);
		schedule_free(&s);
	}
}

static void
test_due(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	struct custody_id id = id_of(1);
	struct schedule_part p = part_of(1, "example.com", 1);
	p.due_ms = START + hour_ms;
	assert_int_equal(schedule_add(s, &p, START), 0);
	assert_int_equal(next(s, START), 0);
	schedule_due(s, &id, 0, START);
	assert_int_equal(next(s, START), 1);
	schedule_due(s, &id, START + 7, START); /* in flight: after its result */
	result(s, 1, SCHEDULE_AGAIN, START + 1);
	assert_int_equal(schedule_wake_ms(s, START + 1), START + 7);
	assert_int_equal(next(s, START + 7), 1);
	result(s, 1, SCHEDULE_AGAIN, START + 7); /* once only */
	assert_true(schedule_wake_ms(s, START + 7) >= START + 10 * MINUTE);
	schedule_due(s, &id, START + 2 * hour_ms, START + 7);
	assert_int_equal(schedule_wake_ms(s, START + 7), START + 2 * hour_ms);
	schedule_due(s, &(struct custody_id){{9}}, 0, START + 7); /* not there */

	/* What a person asks for does not pass a site that backs off; that is another wish. */
	schedule_due(s, &id, 0, START + 7);
	assert_int_equal(next(s, START + 7), 1);
	result(s, 1, SCHEDULE_SITE_FAILS, START + 7);
	schedule_due(s, &id, 0, START + 7);
	assert_int_equal(next(s, START + 7), 0);
	schedule_site_retry(s, SLICE("other.example"), START + 7);
	assert_int_equal(next(s, START + 7), 0);
	schedule_site_retry(s, SLICE("example.com"), START + 7);
	assert_int_equal(next(s, START + 7), 1);
	schedule_free(&s);
}

/* --- domains of one set of MX hosts */

static void
test_site_is(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	struct schedule_counts c;
	for (unsigned i = 1; i <= 30; i++) {
		static const char *domains[] = {"a.example", "b.example", "c.example"};
		add(s, i, domains[i % 3], i % 2, START);
	}
	unsigned flying = next(s, START); /* of the domain that moves */
	schedule_site_is(s, SLICE("b.example"), 77);
	schedule_site_is(s, SLICE("a.example"), 77);
	schedule_site_is(s, SLICE("c.example"), 0); /* not known: stays */
	schedule_counts(s, &c);
	assert_int_equal(c.sites, 2);
	assert_int_equal(c.parts, 30);
	/* One window of two for both; c has its own. */
	unsigned mails[64], n = burst(s, START, mails);
	assert_int_equal(n, 3);
	unsigned ours = flying % 3 != 2 ? flying : mails[0];
	result(s, ours, SCHEDULE_SITE_FAILS, START);
	assert_int_equal(why(s, 28, START).site_failures, 1); /* b */
	assert_int_equal(why(s, 30, START).site_failures, 1); /* a */
	assert_int_equal(why(s, 29, START).site_failures, 0); /* c */

	/* A domain whose MX hosts are others now leaves the failure behind. */
	schedule_site_is(s, SLICE("a.example"), 78);
	assert_int_equal(why(s, 30, START).site_failures, 0);
	assert_int_equal(why(s, 28, START).site_failures, 1);
	schedule_counts(s, &c);
	assert_int_equal(c.sites, 3);

	/* What fails alone and joins, brings its back-off along. */
	schedule_site_is(s, SLICE("b.example"), 78);
	assert_int_equal(why(s, 30, START).site_failures, 1);
	schedule_counts(s, &c);
	assert_int_equal(c.sites, 2);
	schedule_free(&s);
}

/* The site of a set that backs off holds a domain that turns out to be of it. */
static void
test_site_is_backs_off(void **state)
{
	(void)state;
	for (unsigned larger = 0; larger < 2; larger++) {
		struct schedule *s = schedule_new(&usual, NULL, NULL);
		schedule_site_is(s, SLICE("a.example"), 5);
		add(s, 1, "a.example", 1, START);
		assert_int_equal(next(s, START), 1);
		result(s, 1, SCHEDULE_SITE_FAILS, START);
		for (unsigned i = 10; i < (larger ? 30 : 11); i++)
			add(s, i, "b.example", 1, START);
		assert_int_equal(schedule_wake_ms(s, START), START);
		schedule_site_is(s, SLICE("b.example"), 5);
		assert_int_equal(next(s, START), 0);
		assert_int_equal(schedule_wake_ms(s, START), why(s, 10, START).site_until_ms);
		assert_int_equal(why(s, 1, START).site_failures, 1);
		schedule_free(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_sites_take_turns),
		cmocka_unit_test(test_senders_take_turns),
		cmocka_unit_test(test_turns_are_kept),
		cmocka_unit_test(test_earliest_first),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_success_ends_it),
		cmocka_unit_test(test_busy_with_one),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rate_unsent),
		cmocka_unit_test(test_try_now),
		cmocka_unit_test(test_greylists),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_site_is),
		cmocka_unit_test(test_site_is_backs_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
