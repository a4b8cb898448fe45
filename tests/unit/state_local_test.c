/*
 * What the engine on local files promises beyond the suite of all engines (local.h): a process
 * that is killed, files that are damaged in every way, bounds in memory and on disk, a disk
 * that fails, clocks and time zones that go wrong. Events go to stderr; here what counts is
 * that everybody is answered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "random.h"
#include "state_lab.h"

enum { FILE_MOST = 4 * 1024 * 1024 };

static struct state_lab lab;

static int
set_up(void **state)
{
	(void)state;
	lab = (struct state_lab){.now_ms = 0};
	state_lab_zone("Europe/Berlin");
	state_lab_make(&lab);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	state_lab_drop(&lab);
	return 0;
}

static void
open_with(struct local_config config)
{
	state_lab_close(&lab);
	lab.config = config;
	state_lab_open(&lab);
}

static bool
yes(struct state_op op)
{
	struct state_answer a = state_lab_ask(&lab, &op);
	assert_int_equal(a.status, STATE_OK);
	return a.yes;
}

static uint64_t
count_of(struct state_op op)
{
	struct state_answer a = state_lab_ask(&lab, &op);
	assert_int_equal(a.status, STATE_OK);
	return a.count;
}

static uint64_t
wait_of(struct state_op op)
{
	struct state_answer a = state_lab_ask(&lab, &op);
	assert_true(a.status == STATE_OK && !a.yes);
	return a.wait_ms;
}

static struct local_figures
figures(void)
{
	struct local_figures f;
	local_figures(lab.local, &f);
	return f;
}

static struct state_op
seen(const char *key)
{
	return (struct state_op){.kind = STATE_SEEN,
		.space = STATE_GREY,
		.key = slice_of(key),
		.delay_ms = 300 * LAB_SECOND,
		.within_ms = 2 * LAB_DAY,
		.ttl_ms = 36 * LAB_DAY};
}

static size_t
set_aside(void)
{
	size_t n = 0;
	struct dirent *d;
	DIR *dir = opendir(lab.dir);
	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL)
		n += strncmp(d->d_name, "data.mdb.damaged-", 17) == 0;
	closedir(dir);
	return n;
}

/* ---- killed ---- */

static void
test_killed(void **state)
{
	(void)state;
	struct state_op count = state_count("user a", 1000, PERIOD_MONTH, 1);
	state_lab_close(&lab);
	pid_t pid = fork();
	if (pid == 0) {
		state_lab_open(&lab);
		for (int i = 0; i < 100; i++)
			(void)yes(count);
		state_lab_write(&lab);
		for (int i = 0; i < 50; i++)
			(void)yes(count);
		kill(getpid(), SIGKILL);
	}
	int status = -1;
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	state_lab_open(&lab);
	assert_int_equal(count_of(count), 101);
	assert_int_equal(set_aside(), 0);
}

/* One life of an engine: counts, forgets and writes without a pause, in large trees, until it
 * is killed in the midst of something. What it had written is told through the pipe. */
static void
live(int pipe_fd, uint64_t from)
{
	enum { MANY = 30000, AT_ONCE = 1500 };
	char key[64];
	struct err err;
	uint64_t seed = from, written = from;
	state_lab_open(&lab);
	for (;;) {
		for (int i = 0; i < AT_ONCE; i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			snprintf(key, sizeof(key), "net 198.51.100.0/24 %u.example",
				(unsigned)(seed >> 33) % MANY);
			(void)yes(seen(key));
			if (i % 3 == 0)
				(void)yes(state_key(STATE_DROP, STATE_GREY, key));
			lab.now_ms += 5000; /* some are over meanwhile */
		}
		(void)yes(state_count("lives", STATE_LIMIT_MOST, PERIOD_MONTH, 1));
		written++;
		if (lab.s->calls->flush(lab.s, &err) < 0 || local_settle(lab.s, &err) < 0)
			_exit(1);
		if (write(pipe_fd, &written, sizeof(written)) != sizeof(written))
			_exit(2);
	}
}

/* Whenever it is killed, the file is whole, and has what was written last. */
static void
test_killed_writing(void **state)
{
	(void)state;
	enum { LIVES = 25 };
	uint64_t last = 0, all = 0, start = lab.now_ms;
	state_lab_close(&lab);
	for (int i = 0; i < LIVES; i++) {
		int fds[2], status;
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(fds[0]);
			live(fds[1], last);
		}
		close(fds[1]);
		uint64_t got, lives = 1 + (uint64_t)(i * 7 % 5);
		for (uint64_t n = 0; n < lives; n++)
			assert_int_equal(read(fds[0], &got, sizeof(got)), sizeof(got));
		usleep((useconds_t)(i * 911 % 7000));
		assert_true(pid > 0 && kill(pid, SIGKILL) == 0);
		assert_true(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		while (read(fds[0], &got, sizeof(got)) == sizeof(got))
			continue;
		close(fds[0]);
		lab.now_ms = start;
		state_lab_open(&lab);
		struct state_op get = state_key(STATE_GET, STATE_QUOTA, "lives");
		last = count_of(get);
		assert_true(last == got || last == got + 1);
		state_lab_close(&lab);
		all += last;
	}
	assert_true(all > LIVES);
	assert_int_equal(set_aside(), 0);
	state_lab_open(&lab);
	assert_true(state_lab_list(&lab, STATE_GREY, "", NULL, NULL) > 1000);
}

static void
test_one_process(void **state)
{
	(void)state;
	struct err err;
	struct local_config config = lab.config;
	config.dir_fd = open(lab.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_null(local_open(&config, &err));
	assert_non_null(strstr(err.text, "have its folder alone"));
	close(config.dir_fd);
	config.dir_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_null(local_open(&config, &err));
	assert_non_null(strstr(err.text, "no folder"));
	close(config.dir_fd);
	config.dir_fd = -1;
	assert_null(local_open(&config, &err));
}

/* ---- damaged ---- */

static char file[FILE_MOST];
static size_t file_n;

static void
read_file(void)
{
	int fd = openat(lab.dir_fd, "data.mdb", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t n = read(fd, file, sizeof(file));
	assert_true(n > 0 && n < (ssize_t)sizeof(file));
	file_n = (size_t)n;
	close(fd);
}

static void
write_file(size_t n)
{
	int fd = openat(lab.dir_fd, "data.mdb", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file, n), n);
	close(fd);
}

/* All spaces, some hundred entries, of several transactions, with free pages. */
static void
fill(void)
{
	char key[64];
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 150; i++) {
			snprintf(key, sizeof(key), "user u%d 50/hour", i * 37 % 151);
			(void)yes(state_take(key, 50, LAB_HOUR, 1));
			(void)yes(state_count(key, 50, PERIOD_MONTH, 1));
			(void)yes(seen(key));
			struct state_op memo = state_key(STATE_SET, STATE_MEMO, key);
			memo.value = (struct slice){file, 100};
			memo.ttl_ms = LAB_DAY;
			state_lab_ask(&lab, &memo);
		}
		state_lab_write(&lab);
	}
	state_lab_close(&lab);
	read_file();
}

/* Whatever stands in the file: it opens, everybody is answered, and it can be written. */
static void
use_all(void)
{
	struct err err;
	struct local_figures f;
	struct state_op count = state_count("user u7 50/hour", 50, PERIOD_MONTH, 1);
	state_lab_open(&lab);
	for (int s = 0; s < STATE_SPACES; s++)
		(void)state_lab_list(&lab, (enum state_space)s, "", NULL, NULL);
	uint64_t before = count_of(count);
	assert_true(before >= 1);
	(void)yes(seen("user u9 50/hour"));
	(void)yes(state_take("new", 5, LAB_HOUR, 1));
	/* A damage that only writing meets is answered by a fresh file at the next flush. */
	(void)lab.s->calls->flush(lab.s, &err);
	(void)local_settle(lab.s, &err);
	(void)lab.s->calls->flush(lab.s, &err);
	(void)local_settle(lab.s, &err);
	local_figures(lab.s, &f);
	assert_true(f.on_disk);
	assert_int_equal(f.changed, 0);
	state_lab_close(&lab);
	state_lab_open(&lab);
	assert_int_equal(count_of(count), before + 1);
	state_lab_close(&lab);
}

static void
test_cut(void **state)
{
	(void)state;
	fill();
	size_t n = file_n;
	for (size_t cut = 0; cut < n; cut += cut < 8192 ? 509 : 4096) {
		write_file(cut);
		use_all();
	}
	assert_int_equal(set_aside(), LOCAL_ASIDE_MOST);
	write_file(n);
	state_lab_open(&lab);
	assert_int_equal(count_of(state_count("user u7 50/hour", 50, PERIOD_MONTH, 1)), 4);
}

static uint64_t seed_of_damage = 20261129;

/* Bytes and stretches of bytes that are wrong, anywhere; most often in the heads of pages,
 * where they hurt. */
static void
test_garbled(void **state)
{
	(void)state;
	static char whole[FILE_MOST];
	fill();
	memcpy(whole, file, file_n);
	for (int i = 0; i < 400; i++) {
		size_t at = random_below(&seed_of_damage, file_n), n = 1;
		if (i % 3 == 0)
			at = at / 4096 * 4096 + random_below(&seed_of_damage, 64);
		if (i % 7 == 0)
			n = 1 + random_below(&seed_of_damage, 8000);
		for (size_t k = at; k < at + n && k < file_n; k++)
			file[k] = i % 2 == 0 ? (char)random_below(&seed_of_damage, 256)
					     : (char)(file[k] + 1);
		write_file(file_n);
		use_all();
		memcpy(file, whole, file_n);
	}
	assert_int_equal(set_aside(), LOCAL_ASIDE_MOST);
	state_lab_open(&lab);
}

static void
test_other_files(void **state)
{
	(void)state;
	/* Text, zeros; a folder cannot be opened, and goes when it is gone. */
	static const char text[] = "this is no database, however long it may become";
	state_lab_close(&lab);
	for (size_t n = 0; n < 20000; n++)
		file[n] = text[n % (sizeof(text) - 1)];
	write_file(20000);
	use_all();
	assert_int_equal(set_aside(), 1);
	memset(file, 0, 20000);
	write_file(20000);
	use_all();
	assert_int_equal(set_aside(), 2);
	/* An environment of LMDB's, by another release of ours. */
	static const char ours[] = "postern 1";
	state_lab_open(&lab);
	fill();
	char *at = memmem(file, file_n, ours, sizeof(ours) - 1);
	assert_non_null(at);
	do
		at[8] = '9';
	while ((at = memmem(file, file_n, ours, sizeof(ours) - 1)) != NULL);
	write_file(file_n);
	use_all();
	assert_int_equal(set_aside(), 3);
	/* A table of readers that is garbage says nothing. */
	int fd = openat(lab.dir_fd, "lock.mdb", O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, text, sizeof(text)) == sizeof(text));
	close(fd);
	state_lab_open(&lab);
	assert_int_equal(count_of(state_count("user u7 50/hour", 50, PERIOD_MONTH, 1)), 3);
}

/* ---- bounds ---- */

static void
test_small_table(void **state)
{
	(void)state;
	enum { MANY = 3000, HOT = 200 };
	struct err err;
	char key[32];
	open_with((struct local_config){.hot_most = HOT});
	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < MANY; i++) {
			snprintf(key, sizeof(key), "user u%d", i * 7 % MANY);
			assert_int_equal(
				count_of(state_count(key, 50, PERIOD_MONTH, 1)), round);
			assert_true(figures().hot <= HOT);
			assert_int_equal(local_settle(lab.s, &err), 0);
		}
	}
	assert_int_equal(state_lab_list(&lab, STATE_QUOTA, "", NULL, NULL), MANY);
}

/* A flood of strangers: the bound holds, and nobody's quota is forgotten for it. */
static void
test_flood(void **state)
{
	(void)state;
	enum { MOST = 2000, QUOTAS = 300, FLOOD = 20000 };
	char key[64];
	open_with((struct local_config){.entries_most = MOST});
	for (int i = 0; i < QUOTAS; i++) {
		snprintf(key, sizeof(key), "user u%d", i);
		(void)yes(state_count(key, 50, PERIOD_MONTH, 7));
	}
	struct state_op pass = seen("net 192.0.2.0/24 passed.example");
	pass.kind = STATE_PASS;
	state_lab_ask(&lab, &pass);
	for (int i = 0; i < FLOOD; i++) {
		snprintf(key, sizeof(key), "net 198.51.100.0/24 %u.example",
			(unsigned)i * 2654435761U);
		assert_false(yes(seen(key)));
		lab.now_ms += 10;
		if (i % 1000 == 999) {
			state_lab_write(&lab);
			assert_true(figures().disk <= MOST);
		}
	}
	assert_true(figures().evicted > FLOOD - 2 * MOST);
	open_with(lab.config); /* what is in memory alone does not count here */
	for (int i = 0; i < QUOTAS; i++) {
		snprintf(key, sizeof(key), "user u%d", i);
		assert_int_equal(count_of(state_count(key, 50, PERIOD_MONTH, 1)), 8);
	}
	pass.kind = STATE_SEEN; /* who came back is remembered before those who did not */
	assert_true(yes(pass));
	/* Of the flood the latest are there, by and large. */
	size_t old = 0, late = 0;
	lab.now_ms += 300 * LAB_SECOND;
	for (int i = 0; i < FLOOD; i++) {
		snprintf(key, sizeof(key), "net 198.51.100.0/24 %u.example",
			(unsigned)i * 2654435761U);
		struct state_op get = state_key(STATE_GET, STATE_GREY, key);
		bool there = yes(get);
		old += there && i < FLOOD / 2;
		late += there && i >= FLOOD - MOST;
	}
	print_message("of the flood: %zu old, %zu late\n", old, late);
	assert_true(late > MOST / 4 && old < late / 10);
}

static void
test_small_map(void **state)
{
	(void)state;
	enum { MAP = 2 * 1024 * 1024, FLOOD = 40000 };
	char key[STATE_KEY_MOST + 1];
	struct stat st;
	open_with((struct local_config){.map_bytes = MAP});
	(void)yes(state_count("user a", 50, PERIOD_MONTH, 7));
	memset(key, 'x', sizeof(key));
	for (int i = 0; i < FLOOD; i++) {
		snprintf(key, 32, "%u", (unsigned)i * 2654435761U);
		key[strlen(key)] = ' ';
		struct state_op op = seen("");
		op.key = (struct slice){key, 32 + (size_t)i % 300};
		assert_false(yes(op));
		if (i % 2000 == 1999)
			state_lab_write(&lab);
	}
	assert_int_equal(figures().failures, 0);
	assert_int_equal(set_aside(), 0);
	assert_int_equal(fstatat(lab.dir_fd, "data.mdb", &st, 0), 0);
	assert_true(st.st_size <= MAP);
	open_with(lab.config);
	assert_int_equal(count_of(state_count("user a", 50, PERIOD_MONTH, 1)), 8);
}

/* More at once than the map can hold: told, a fresh file, and counted on. */
static void
test_full_map(void **state)
{
	(void)state;
	enum { MAP = 64 * 1024, FLOOD = 6000 };
	char key[64];
	struct err err;
	open_with((struct local_config){.map_bytes = MAP});
	for (int i = 0; i < FLOOD; i++) {
		snprintf(key, sizeof(key), "net 198.51.100.0/24 %u.example",
			(unsigned)i * 2654435761U);
		assert_false(yes(seen(key)));
	}
	for (int i = 0; i < 5; i++) {
		(void)lab.s->calls->flush(lab.s, &err);
		(void)local_settle(lab.s, &err);
		assert_int_equal(count_of(state_count("user a", 50, PERIOD_MONTH, 1)), i + 1);
	}
	assert_true(figures().failures > 0);
	lab.now_ms += 300 * LAB_SECOND;
	assert_true(yes(seen(key)));
}

static void
test_expiry(void **state)
{
	(void)state;
	enum { MANY = 10000 };
	char key[32];
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "client %d", i);
		(void)yes(state_take(key, 5, LAB_HOUR, 1));
	}
	(void)yes(state_count("user a", 5, PERIOD_MONTH, 1));
	state_lab_write(&lab);
	assert_int_equal(figures().disk, MANY + 1);
	lab.now_ms += LAB_HOUR / 5;
	for (int i = 0; i < 4; i++) { /* bounded steps */
		uint64_t before = figures().disk;
		state_lab_write(&lab);
		assert_true(before - figures().disk <= 4096);
	}
	assert_int_equal(figures().disk, 1);
	for (int i = 0; i < 100; i++)
		state_lab_write(&lab);
	assert_true(figures().hot < 10);
}

/* ---- a disk that fails ---- */

static void
test_no_room(void **state)
{
	(void)state;
	enum { MANY = 4000 };
	struct rlimit before, none = {.rlim_cur = 64 * 1024};
	char key[32];
	struct err err;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "user u%d", i);
		(void)yes(state_count(key, 50, PERIOD_MONTH, 1));
	}
	int failed = 0;
	for (int i = 0; i < 5; i++) {
		failed += lab.s->calls->flush(lab.s, &err) < 0;
		failed += local_settle(lab.s, &err) < 0;
	}
	assert_true(failed >= 3);
	assert_true(figures().changed >= MANY);
	for (int i = 0; i < MANY; i++) { /* nobody notices */
		snprintf(key, sizeof(key), "user u%d", i);
		assert_int_equal(count_of(state_count(key, 50, PERIOD_MONTH, 1)), 2);
	}
	assert_int_equal(state_lab_list(&lab, STATE_QUOTA, "", NULL, NULL), MANY);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	for (int i = 0; i < 100 && figures().changed != 0; i++) { /* after its pauses */
		(void)lab.s->calls->flush(lab.s, &err);
		assert_int_equal(local_settle(lab.s, &err), 0);
	}
	assert_true(figures().on_disk && figures().changed == 0);
	open_with(lab.config);
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "user u%d", i);
		assert_int_equal(count_of(state_count(key, 50, PERIOD_MONTH, 1)), 3);
	}
	signal(SIGXFSZ, SIG_DFL);
}

/* ---- clocks ---- */

static void
test_clock_back(void **state)
{
	(void)state;
	struct state_op take = state_take("user a", 5, LAB_HOUR, 1);
	struct state_op memo = state_key(STATE_SET, STATE_MEMO, "m");
	memo.ttl_ms = LAB_HOUR;
	for (int i = 0; i < 3; i++)
		assert_true(yes(take));
	assert_false(yes(seen("t")));
	state_lab_ask(&lab, &memo);
	lab.now_ms -= 3 * LAB_HOUR;
	for (int restart = 0; restart < 2; restart++) {
		assert_int_equal(
			count_of(take), 4 + restart); /* neither locked out nor reset */
		assert_true(wait_of(seen("t")) <= 300 * LAB_SECOND);
		assert_true(yes(state_key(STATE_GET, STATE_MEMO, "m")));
		open_with(lab.config);
	}
	assert_true(wait_of(take) <= LAB_HOUR / 5);
	lab.now_ms += LAB_HOUR / 5;
	assert_true(yes(take));
	lab.now_ms += 2 * LAB_HOUR; /* the time that it was has not come yet */
	for (int i = 0; i < 5; i++)
		assert_true(yes(take));
	assert_false(yes(take));
	assert_true(yes(seen("t")));
}

/* A clock that says 2100 for a while: what was counted by it stays, and ends with its period.
 */
static void
test_clock_wrong(void **state)
{
	(void)state;
	struct state_op day = state_count("user a day", 5, PERIOD_DAY, 1);
	struct state_op month = state_count("user a month", 5, PERIOD_MONTH, 1);
	struct state_op take = state_take("user a", 5, LAB_HOUR, 1);
	struct state_op memo = state_key(STATE_SET, STATE_MEMO, "m");
	uint64_t real = lab.now_ms; /* 2026-11-29 */
	memo.ttl_ms = LAB_HOUR;
	lab.now_ms = state_lab_time("2100-05-05 12:00:00");
	for (int i = 0; i < 4; i++)
		assert_true(yes(day) && yes(month) && yes(take));
	state_lab_ask(&lab, &memo);
	state_lab_write(&lab);
	lab.now_ms = real;
	assert_int_equal(count_of(day), 5);
	assert_int_equal(count_of(month), 5);
	assert_int_equal(count_of(take), 5);
	assert_int_equal(wait_of(day), state_lab_time("2026-11-30 00:00:00") - real);
	assert_int_equal(wait_of(month), state_lab_time("2026-12-01 00:00:00") - real);
	assert_int_equal(wait_of(take), LAB_HOUR / 5);
	assert_true(yes(state_key(STATE_GET, STATE_MEMO, "m")));
	lab.now_ms += LAB_HOUR;
	assert_false(yes(state_key(STATE_GET, STATE_MEMO, "m")));
	lab.now_ms = state_lab_time("2026-12-01 00:00:00");
	assert_int_equal(count_of(day), 1);
	assert_int_equal(count_of(month), 1);
}

/* Over midnight and back: the new day is not given twice. */
static void
test_clock_over_midnight(void **state)
{
	(void)state;
	struct state_op day = state_count("user a", 3, PERIOD_DAY, 1);
	lab.now_ms = state_lab_time("2026-11-30 00:00:05");
	assert_true(yes(day) && yes(day));
	lab.now_ms -= 10 * LAB_SECOND;
	assert_true(yes(day));
	assert_false(yes(day));
	lab.now_ms += 10 * LAB_SECOND;
	assert_false(yes(day));
	lab.now_ms = state_lab_time("2026-12-01 00:00:00");
	assert_true(yes(day));
}

/* The machine moves from Auckland to Honolulu, a day back by the calendar, and home again. */
static void
test_zones(void **state)
{
	(void)state;
	struct state_op day = state_count("user a", 3, PERIOD_DAY, 1);
	static const char *const zones[] = {"Pacific/Honolulu", "Pacific/Auckland"};
	state_lab_close(&lab);
	state_lab_zone("Pacific/Auckland");
	lab.now_ms = state_lab_time("2026-11-29 08:00:00");
	state_lab_open(&lab);
	assert_true(yes(day) && yes(day) && yes(day));
	for (size_t i = 0; i < 2; i++) {
		state_lab_close(&lab);
		state_lab_zone(zones[i]);
		state_lab_open(&lab);
		assert_false(yes(day));
		lab.now_ms += LAB_HOUR;
		assert_false(yes(day));
	}
	lab.now_ms = state_lab_time("2026-11-30 00:00:00");
	assert_true(yes(day));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed_writing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_small_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_small_map, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_map, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clock_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clock_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clock_over_midnight, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_zones, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
