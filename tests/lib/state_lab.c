/* An engine of the state for a test; see state_lab.h. */
#include "state_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t
lab_clock(void *arg)
{
	const struct state_lab *lab = arg;
	return (int64_t)lab->now_ms;
}

void
state_lab_open(struct state_lab *lab)
{
	struct err err;
	lab->config.dir_fd = lab->dir_fd;
	lab->config.wall_ms = lab_clock;
	lab->config.arg = lab;
	lab->local = local_open(&lab->config, &err);
	if (lab->local == NULL)
		fail_msg("%s", err.text);
	lab->s = lab->with_fault ? state_fault_new(lab->local) : lab->local;
}

void
state_lab_make(struct state_lab *lab)
{
	snprintf(lab->dir, sizeof(lab->dir), "/tmp/state_lab.XXXXXX");
	assert_non_null(mkdtemp(lab->dir));
	lab->dir_fd = open(lab->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(lab->dir_fd >= 0);
	if (lab->now_ms == 0)
		lab->now_ms = state_lab_time("2026-11-29 10:00:00");
	state_lab_open(lab);
}

void
state_lab_close(struct state_lab *lab)
{
	if (lab->s != NULL)
		lab->s->calls->close(&lab->s);
	lab->local = NULL;
}

void
state_lab_drop(struct state_lab *lab)
{
	state_lab_close(lab);
	DIR *dir = opendir(lab->dir);
	struct dirent *d;
	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			assert_int_equal(unlinkat(lab->dir_fd, d->d_name, 0), 0);
	closedir(dir);
	close(lab->dir_fd);
	assert_int_equal(rmdir(lab->dir), 0);
}

void
state_lab_write(struct state_lab *lab)
{
	struct err err;
	struct local_figures f;
	assert_int_equal(local_settle(lab->local, &err), 0);
	assert_int_equal(lab->local->calls->flush(lab->local, &err), 0);
	assert_int_equal(local_settle(lab->local, &err), 0);
	local_figures(lab->local, &f);
	assert_int_equal(f.changed, 0);
}

struct asked {
	struct state_lab *lab;
	struct state_answer *answers;
	size_t n;
	bool done;
};

static void
on_answers(void *arg, const struct state_answer *answers, size_t n)
{
	struct asked *a = arg;
	assert_false(a->done);
	assert_int_equal(n, a->n);
	memcpy(a->answers, answers, n * sizeof(*answers));
	if (n == 1 && answers[0].value.n != 0) {
		memcpy(a->lab->value, answers[0].value.p, answers[0].value.n);
		a->answers[0].value.p = a->lab->value;
	}
	a->done = true;
}

void
state_lab_ask_all(struct state_lab *lab, const struct state_op *ops, size_t n,
	struct state_answer *answers_out)
{
	struct asked a = {.lab = lab, .answers = answers_out, .n = n};
	lab->s->calls->ask(lab->s, ops, n, on_answers, &a);
	if (!a.done && lab->with_fault)
		state_fault_release(lab->s);
	assert_true(a.done);
}

struct state_answer
state_lab_ask(struct state_lab *lab, const struct state_op *op)
{
	struct state_answer a;
	state_lab_ask_all(lab, op, 1, &a);
	return a;
}

struct listing {
	state_lab_item_fn *fn;
	void *arg;
	size_t n, pages;
	char next[STATE_KEY_MOST + 16];
	size_t next_n;
	char last[STATE_KEY_MOST + 16]; /* keys come in their order */
	size_t last_n;
};

static void
on_page(void *arg, const struct state_item *items, size_t n, struct slice next, bool failed)
{
	struct listing *l = arg;
	assert_false(failed);
	assert_true(n <= STATE_PAGE_MOST);
	for (size_t i = 0; i < n; i++) {
		assert_true(slice_cmp((struct slice){l->last, l->last_n}, items[i].key) < 0);
		memcpy(l->last, items[i].key.p, items[i].key.n);
		l->last_n = items[i].key.n;
		if (l->fn != NULL)
			l->fn(l->arg, &items[i]);
	}
	l->n += n;
	l->pages++;
	if (next.n != 0)
		memcpy(l->next, next.p, next.n);
	l->next_n = next.n;
}

size_t
state_lab_list(struct state_lab *lab, enum state_space space, const char *prefix,
	state_lab_item_fn *fn, void *arg)
{
	struct listing l = {.fn = fn, .arg = arg};
	do {
		size_t pages = l.pages;
		lab->s->calls->list(lab->s, space, slice_of(prefix),
			(struct slice){l.next, l.next_n}, on_page, &l);
		assert_int_equal(l.pages, pages + 1);
	} while (l.next_n != 0);
	return l.n;
}

uint64_t
state_lab_time(const char *text)
{
	struct tm tm = {.tm_isdst = -1};
	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
	tm.tm_isdst = -1;
	time_t t = mktime(&tm);
	assert_true(t > 0);
	return (uint64_t)t * LAB_SECOND;
}

void
state_lab_zone(const char *tz)
{
	assert_int_equal(setenv("TZ", tz, 1), 0);
	tzset();
}

struct state_op
state_take(const char *key, uint64_t limit, uint64_t span_ms, uint64_t n)
{
	return (struct state_op){.kind = STATE_TAKE,
		.space = STATE_RATE,
		.key = slice_of(key),
		.limit = limit,
		.span_ms = span_ms,
		.n = n};
}

struct state_op
state_count(const char *key, uint64_t limit, enum state_period period, uint64_t n)
{
	return (struct state_op){.kind = STATE_COUNT,
		.space = STATE_QUOTA,
		.key = slice_of(key),
		.limit = limit,
		.period = period,
		.n = n};
}

struct state_op
state_give(const struct state_op *taken, const struct state_answer *answer)
{
	struct state_op op = *taken;
	op.kind = STATE_GIVE;
	op.taken_ms = answer->at_ms;
	return op;
}

struct state_op
state_key(enum state_kind kind, enum state_space space, const char *key)
{
	return (struct state_op){.kind = kind, .space = space, .key = slice_of(key)};
}
