/*
 * The schedule with a million parts: bytes for each mail, and the steps that single operations
 * take (heap nodes, hash chains, placements), which a dead site with 100,000 parts must not
 * raise. Steps and not time: they are the same on every machine.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/schedule_priv.h"

enum { MILLION = 1000 * 1000, MINUTE = 60 * 1000, START = 1000 * 1000 };
/* log2(1,000,000) is 20: some heaps, down and up, and for next those that it promotes. */
enum { STEPS_MOST = 320, BYTES_MOST = 200 };

static const struct schedule_config usual = {.retry_ms = 5 * MINUTE,
	.retry_most_ms = 240 * MINUTE,
	.attempts_most = 1000,
	.site_most = 20,
	.site_first = 2,
	.seed = 1};

static uint64_t random_state = 1;

static uint64_t
chance(uint64_t n)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) % n;
}

static struct custody_id
id_of(uint64_t n)
{
	struct custody_id id;
	uint64_t halves[2] = {n, (n + 1) * 0x9e3779b97f4a7c15};
	memcpy(id.bytes, halves, sizeof(id.bytes));
	return id;
}

/* What the heap says, to check what the schedule says of itself. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t
heap_bytes(void)
{
	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

static void
add(struct schedule *s, uint64_t mail, uint64_t site, uint64_t sender, uint64_t due_ms)
{
	char name[40];
	int n = snprintf(name, sizeof(name), "mail%llu.example.com", (unsigned long long)site);
	struct schedule_part p = {.id = id_of(mail),
		.site = {name, (size_t)n},
		.sender = sender,
		.due_ms = due_ms};
	assert_int_equal(schedule_add(s, &p, START), 0);
}

static void
figure(const char *name, double value, const char *what)
{
	print_message("%s: %.0f (%s)\n", name, value, what);
	const char *path = getenv("POSTERN_FIGURES");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;
	if (f == NULL)
		return;
	fprintf(f, "%s\t%.0f\t%s\n", name, value, what);
	fclose(f);
}

static const struct {
	const char *name, *what;
	uint64_t mails, sites, senders;
	double bytes_most;
} loads[] = {
	{"schedule-bytes", "bytes a mail: a million of one part, 10,000 sites, 1,000 senders",
		MILLION, 10000, 1000, BYTES_MOST},
	{"schedule-bytes-senders",
		"200,000 of one part, 10,000 sites, each from a sender of its own", MILLION,
		10000, MILLION, BYTES_MOST},
	{"schedule-bytes-sites",
		"200,000 of one part, each from a sender and to a site of its own", MILLION / 5,
		MILLION, MILLION, 500},
};

static void
test_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		size_t before = heap_bytes();
		struct schedule *s = schedule_new(&usual, NULL, NULL);
		for (uint64_t n = 0; n < loads[i].mails; n++)
			add(s, n, n % loads[i].sites, n * 7 % loads[i].senders,
				START + chance(60 * MINUTE));
		size_t is = heap_bytes() - before;
		struct schedule_counts c;
		schedule_counts(s, &c);
		assert_int_equal(c.mails, loads[i].mails);
		double bytes = (double)c.memory_bytes / (double)c.mails;
		figure(loads[i].name, bytes, loads[i].what);
		/* It does not tell less than it takes. */
		assert_true(is <= c.memory_bytes + c.memory_bytes / 50);
		assert_true(bytes <= loads[i].bytes_most);
		schedule_free(&s);
		assert_true(heap_bytes() <= before + 4096);
	}
}

struct worst {
	uint64_t add, next, result, due, remove, all, ops;
};

static void
cost(const struct schedule *s, uint64_t before, struct worst *w, uint64_t *of)
{
	uint64_t steps = s->steps - before;
	*of = steps > *of ? steps : *of;
	w->all += steps;
	w->ops++;
}

/* A million parts of all kinds, then a hundred thousand operations of each kind among them. */
static void
test_steps(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	struct worst w = {0};
	uint64_t now_ms = START, was, mail = 0;
	for (; mail < MILLION; mail++) {
		was = s->steps;
		/* half of them due at the same moment, of few sites and of many senders */
		uint64_t due_ms = mail % 2 == 0 ? START + MINUTE : START + chance(60 * MINUTE);
		add(s, mail, chance(chance(2) == 0 ? 10 : 5000), chance(2) * chance(MILLION),
			due_ms);
		cost(s, was, &w, &w.add);
	}
	for (unsigned i = 0; i < 100000; i++) {
		struct schedule_pick pick;
		now_ms += chance(100);
		was = s->steps;
		bool is = schedule_next(s, now_ms, &pick);
		cost(s, was, &w, &w.next);
		if (is) {
			was = s->steps;
			schedule_result(s, &pick.id, pick.part,
				(enum schedule_outcome)chance(SCHEDULE_UNSENT + 1), 0, now_ms);
			cost(s, was, &w, &w.result);
		}
		struct custody_id id = id_of(chance(mail));
		was = s->steps;
		schedule_due(s, &id, now_ms + chance(1000), now_ms);
		cost(s, was, &w, &w.due);
		id = id_of(chance(mail));
		was = s->steps;
		schedule_remove(s, &id);
		cost(s, was, &w, &w.remove);
	}
	print_message(
		"steps at most: add %llu, next %llu, result %llu, due %llu, remove %llu\n",
		(unsigned long long)w.add, (unsigned long long)w.next,
		(unsigned long long)w.result, (unsigned long long)w.due,
		(unsigned long long)w.remove);
	figure("schedule-steps", (double)w.all / (double)w.ops,
		"steps an operation among a million parts, on average");
	assert_true(w.add <= STEPS_MOST && w.next <= STEPS_MOST && w.result <= STEPS_MOST);
	assert_true(w.due <= STEPS_MOST && w.remove <= STEPS_MOST);
	schedule_free(&s);
}

/*
 * 100,000 parts to a dead site, of as many senders or of one: a live part is picked at once,
 * and no operation takes more than it would without them, the end of the back-off included.
 */
static void
test_dead_site(void **state)
{
	(void)state;
	for (unsigned senders = 1; senders <= 100000; senders *= 100000) {
		struct schedule *s = schedule_new(&usual, NULL, NULL);
		struct schedule_pick pick;
		for (uint64_t i = 0; i < 100000; i++)
			add(s, i, 0, i % senders, i % 3 == 0 ? 0 : START + chance(MINUTE));
		assert_true(schedule_next(s, START, &pick));
		schedule_result(s, &pick.id, 0, SCHEDULE_SITE_FAILS, 0, START);
		/* what is asked for each part, again and again, does not walk all of them */
		struct schedule_why why;
		struct custody_id last = id_of(99997);
		schedule_why(s, &last, 0, START + 2 * MINUTE, &why);
		assert_int_equal(why.before, SCHEDULE_BEFORE_MOST);
		uint64_t now_ms = START + 2 * MINUTE, probes = 0, worst = 0;
		for (uint64_t i = 0; i < 5000; i++) {
			now_ms += 500;
			uint64_t was = s->steps;
			add(s, 200000 + i, 1 + i % 3, i, 0);
			struct custody_id id = id_of(200000 + i);
			unsigned found = 0, picks = 0;
			for (; schedule_next(s, now_ms, &pick); picks++) {
				bool it = custody_id_eq(&pick.id, &id);
				found += it;
				probes += !it;
				schedule_result(s, &pick.id, 0,
					it ? SCHEDULE_GONE : SCHEDULE_SITE_FAILS, 0, now_ms);
			}
			assert_int_equal(found, 1);
			assert_true(picks <= 2);
			worst = s->steps - was > worst ? s->steps - was : worst;
			assert_true(schedule_wake_ms(s, now_ms) > now_ms);
		}
		/* 43 minutes: tried again after 5, 10 and 20 of them. */
		assert_int_equal(probes, 3);
		print_message("%u senders: %llu steps at most to add, pick and end one\n",
			senders, (unsigned long long)worst);
		assert_true(worst <= 2 * STEPS_MOST);
		schedule_free(&s);
	}
}

/* Sites are remembered after their last part, up to a bound, the latest of them. */
static void
test_forgets(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	struct schedule_counts c, first = {0};
	for (uint64_t i = 0; i < 100000; i++) {
		add(s, i, i, i, 0);
		struct schedule_pick pick;
		assert_true(schedule_next(s, START, &pick));
		schedule_result(s, &pick.id, 0, SCHEDULE_GONE, 0, START);
		if (i == SCHEDULE_IDLE_MOST + 100)
			schedule_counts(s, &first);
	}
	schedule_counts(s, &c);
	assert_int_equal(c.sites, SCHEDULE_IDLE_MOST);
	assert_int_equal(c.parts, 0);
	assert_true(c.memory_bytes <= first.memory_bytes + 65536);
	schedule_free(&s);
}

/* A domain with many parts whose MX hosts are others each time does not move each time. */
static void
test_other_hosts_each_time(void **state)
{
	(void)state;
	struct schedule *s = schedule_new(&usual, NULL, NULL);
	for (uint64_t i = 0; i < 50000; i++)
		add(s, i, 0, i % 5, 0);
	schedule_site_is(s, SLICE("mail0.example.com"), 1);
	schedule_site_is(s, SLICE("other.example"), 2);
	uint64_t was = s->steps;
	for (uint64_t i = 0; i < 1000; i++)
		schedule_site_is(s, SLICE("mail0.example.com"), 2 + i % 2);
	assert_true(s->steps - was < 10000);
	struct schedule_pick pick;
	schedule_next(s, START + 61000, &pick); /* the time is told */
	schedule_site_is(s, SLICE("mail0.example.com"), 2);
	struct schedule_counts c;
	schedule_counts(s, &c);
	assert_int_equal(c.sites, 1);
	schedule_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_dead_site),
		cmocka_unit_test(test_forgets),
		cmocka_unit_test(test_other_hosts_each_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
