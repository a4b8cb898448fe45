/*
 * A start after all that can have happened to the files: torn at each byte of the last commit,
 * sidecars lost or damaged, bits flipped at each byte of a segment, heads gone, a mail that
 * looks like records, and processes killed in the middle of their work, again and again.
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "custody/files.h"
#include "custody/sidecar.h"
#include "custody/walk.h"
#include "spool.h"

enum { SMALL = 64 * 1024 };

static int log_fd = -1; /* what the store tells of damage */

static size_t
logged(const char *words)
{
	static char text[1 << 20];
	fflush(stderr);
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	size_t count = 0;
	for (const char *p = text; (p = strstr(p, words)) != NULL; p++)
		count++;
	assert_int_equal(ftruncate(log_fd, 0), 0);
	return count;
}

static void
copy_files(int from, int to)
{
	DIR *d = fdopendir(openat(from, ".", O_RDONLY | O_DIRECTORY));
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.' || strcmp(e->d_name, "lock") == 0)
			continue;
		int in = openat(from, e->d_name, O_RDONLY);
		int out = openat(to, e->d_name, O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_true(in >= 0 && out >= 0);
		static char bytes[1 << 16];
		for (ssize_t n; (n = read(in, bytes, sizeof(bytes))) > 0;)
			assert_int_equal(write(out, bytes, (size_t)n), n);
		close(in);
		close(out);
	}
	closedir(d);
}

static void
empty(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY));
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			unlinkat(dir, e->d_name, 0);
	closedir(d);
}

/* A folder beside the one of `of`, not opened. */
static void
make_beside(struct spool *s, const struct spool *of)
{
	char path[64];
	spool_folder(path);
	spool_make_at(s, path, of->segment_bytes);
}

static void
again(struct spool *s, const struct spool *from)
{
	spool_close(s);
	empty(s->dir_fd);
	copy_files(from->dir_fd, s->dir_fd);
}

static void
put(struct spool *s, uint64_t i)
{
	char text[300];
	struct slice bytes = spool_bytes(text, 40 + i % 100, i);
	assert_int_equal(spool_put(s, spool_id(i), bytes, SLICE("note"), bytes), CUSTODY_OK);
}

/* 1: whole, 0: not there, -1: its envelope or body is told to be damaged. Never wrong. */
static int
look_noted(struct spool *s, uint64_t i, bool old_note, bool new_note)
{
	char text[300];
	struct slice bytes = spool_bytes(text, 40 + i % 100, i);
	struct spool_item item;
	int there = spool_get(s, spool_id(i), &item);
	if (there <= 0)
		return there;
	assert_true(slice_eq(buf_slice(&item.envelope), bytes));
	assert_true((old_note && slice_eq(buf_slice(&item.note), SLICE("note"))) ||
		    (new_note && slice_eq(buf_slice(&item.note), SLICE("noted"))));
	spool_item_fini(&item);
	struct buf body;
	buf_init(&body, 300);
	enum custody_result r = spool_body(s, spool_id(i), 0, 300, &body);
	assert_true(r == CUSTODY_FAILED || slice_eq(buf_slice(&body), bytes));
	buf_fini(&body);
	return r == CUSTODY_OK ? 1 : -1;
}

static int
look(struct spool *s, uint64_t i)
{
	return look_noted(s, i, true, false);
}

static int
open_segment(const struct spool *s, uint32_t sequence)
{
	struct err err;
	int fd = files_open(s->dir_fd, FILE_SEGMENT, sequence, O_RDWR, &err);
	assert_true(fd >= 0);
	return fd;
}

static void
walk(const struct spool *s, uint32_t sequence, struct walk *w)
{
	char head[SEGMENT_HEAD];
	struct segment_head h;
	struct err err;
	uint64_t size;
	int fd = open_segment(s, sequence);
	assert_int_equal(files_read(fd, head, sizeof(head), 0, &err), 0);
	assert_true(segment_head_unpack(head, &h));
	assert_int_equal(files_size(fd, &size, &err), 0);
	assert_int_equal(walk_segment(fd, h.generation, size, false, w, &err), 0);
	close(fd);
}

/* The file ends there; or what is behind is zero, as in one that was reserved; or old bytes. */
static void
tear(const struct spool *s, uint32_t sequence, uint64_t at, int how)
{
	static char zeros[SMALL], noise[SMALL];
	int fd = open_segment(s, sequence);
	if (how == 0)
		assert_int_equal(ftruncate(fd, (off_t)at), 0);
	else if (how == 1)
		assert_int_equal(pwrite(fd, zeros, SMALL - at, (off_t)at), SMALL - at);
	else
		assert_int_equal(
			pwrite(fd, spool_bytes(noise, SMALL - at, at).p, SMALL - at, (off_t)at),
			SMALL - at);
	close(fd);
}

/* A last commit of three changes: it is there as a whole or not at all. */
static void
test_torn_tail(void **state)
{
	(void)state;
	struct spool s, torn;
	struct walk w;
	spool_make(&s, SMALL);
	put(&s, 1);
	put(&s, 2);
	struct custody_change changes[] = {
		{.op = CUSTODY_PUT, .id = spool_id(7), .envelope = SLICE("three")},
		{.op = CUSTODY_DROP, .id = spool_id(1)},
		{.op = CUSTODY_PUT, .id = spool_id(8), .envelope = SLICE("four")}};
	assert_int_equal(spool_commit(&s, changes, 3), CUSTODY_OK);
	walk(&s, 1, &w);
	assert_int_equal(w.list.n, 5);
	assert_int_equal(w.damaged, 0);
	uint64_t begin = (uint64_t)w.list.p[2].at * RECORD_ALIGN, end = w.end;
	uint64_t last = (uint64_t)w.list.p[4].at * RECORD_ALIGN + RECORD_HEAD + 4;
	walk_fini(&w);
	make_beside(&torn, &s);
	for (int how = 0; how < 3; how++)
		for (uint64_t at = begin; at <= end; at++) {
			again(&torn, &s);
			tear(&torn, 1, at, how);
			spool_open(&torn);
			/* A file cut within what fills up the last record: not whole. */
			bool whole = how == 0 ? at == end : at >= last;
			assert_int_equal(look(&torn, 1), whole ? 0 : 1);
			assert_int_equal(look(&torn, 2), 1);
			assert_int_equal(spool_there(&torn, spool_id(7)), whole);
			assert_int_equal(spool_there(&torn, spool_id(8)), whole);
			if (at % 16 != 0)
				continue;
			/* And it stays so, with more behind it. */
			put(&torn, 3);
			spool_close(&torn);
			spool_open(&torn);
			assert_int_equal(look(&torn, 1), whole ? 0 : 1);
			assert_int_equal(look(&torn, 3), 1);
		}
	assert_int_equal(logged("state=damaged"), 0);
	spool_drop_all(&torn);
	spool_drop_all(&s);
}

static void
check_all(struct spool *s, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(look(s, i), i % 5 != 4);
}

static void
fill(struct spool *s, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		put(s, i);
	for (uint64_t i = 4; i < n; i += 5)
		assert_int_equal(spool_drop(s, spool_id(i)), CUSTODY_OK);
}

static void
flip(int dir, const char *name, uint64_t at, int bit)
{
	char byte;
	int fd = openat(dir, name, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte = (char)(byte ^ 1 << bit);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* Without its sidecar, or with a damaged one, a segment tells the same. */
static void
test_sidecars(void **state)
{
	(void)state;
	struct spool s, other;
	struct stat st;
	spool_make(&s, SMALL);
	fill(&s, 10);
	spool_close(&s);
	assert_int_equal(fstatat(s.dir_fd, "sidecar-00000001", &st, 0), 0);
	make_beside(&other, &s);
	again(&other, &s);
	assert_int_equal(unlinkat(other.dir_fd, "sidecar-00000001", 0), 0);
	spool_open(&other);
	check_all(&other, 10);
	/* It has been written anew. */
	assert_int_equal(fstatat(other.dir_fd, "sidecar-00000001", &st, 0), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		again(&other, &s);
		flip(other.dir_fd, "sidecar-00000001", (uint64_t)at, (int)(at % 8));
		spool_open(&other);
		check_all(&other, 10);
		if (at % 8 != 0)
			continue;
		again(&other, &s);
		int fd = openat(other.dir_fd, "sidecar-00000001", O_RDWR);
		assert_int_equal(ftruncate(fd, at), 0);
		close(fd);
		spool_open(&other);
		check_all(&other, 10);
	}
	assert_int_equal(logged("state=damaged"), 0);
	spool_drop_all(&other);
	spool_drop_all(&s);
}

/*
 * A bit flipped at each byte of a sealed segment: the others are there and whole, and no item
 * is ever wrong. With a sidecar the damage is met when it is read, without one at the start.
 */
static void
test_bit_flips(void **state)
{
	(void)state;
	struct spool s, other;
	spool_make(&s, SMALL);
	for (uint64_t i = 0; i < 4; i++)
		put(&s, i);
	struct walk w;
	walk(&s, 1, &w);
	spool_close(&s);
	make_beside(&other, &s);
	size_t gone = 0, told = 0;
	for (uint64_t at = SEGMENT_HEAD; at < w.end; at++)
		for (int sidecar = 0; sidecar < 2; sidecar++) {
			again(&other, &s);
			if (!sidecar)
				unlinkat(other.dir_fd, "sidecar-00000001", 0);
			flip(other.dir_fd, "segment-00000001", at, (int)(at % 8));
			spool_open(&other);
			for (uint64_t i = 0; i < 4; i++) {
				uint64_t from = (uint64_t)w.list.p[i].at * RECORD_ALIGN;
				uint64_t to =
					i < 3 ? (uint64_t)w.list.p[i + 1].at * RECORD_ALIGN
					      : w.end;
				int there = look(&other, i);
				if (at < from || at >= to)
					assert_int_equal(there, 1);
				else if (sidecar)
					told += there == -1;
				else
					gone += there == 0;
				assert_true(there != 0 || !sidecar);
				assert_true(there != -1 || sidecar);
			}
		}
	/* All but what fills up the records. */
	assert_true(gone > 4 * (RECORD_HEAD + 80) && told >= gone);
	assert_true(logged("state=damaged") >= gone);
	walk_fini(&w);
	spool_drop_all(&other);
	spool_drop_all(&s);
}

static void
test_heads(void **state)
{
	(void)state;
	struct spool s, other;
	struct stat st;
	spool_make(&s, SMALL);
	fill(&s, 10);
	spool_close(&s);
	make_beside(&other, &s);
	for (int lost = 1; lost < 8; lost++) {
		again(&other, &s);
		if ((lost & 1) != 0)
			flip(other.dir_fd, "segment-00000001", 20, 1);
		if ((lost & 2) != 0)
			flip(other.dir_fd, "segment-00000001", SEGMENT_HEAD / 2 + 20, 1);
		if ((lost & 4) != 0)
			assert_int_equal(unlinkat(other.dir_fd, "sidecar-00000001", 0), 0);
		spool_open(&other);
		if (lost < 7) {
			check_all(&other, 10);
			assert_int_equal(logged("event=spool"), 0);
			continue;
		}
		/* Nothing can be known; it is told, and kept for somebody who knows more. */
		for (uint64_t i = 0; i < 10; i++)
			assert_int_equal(look(&other, i), 0);
		assert_int_equal(logged("without a head"), 1);
		assert_int_equal(fstatat(other.dir_fd, "segment-00000001", &st, 0), 0);
	}
	spool_drop_all(&other);
	spool_drop_all(&s);
}

/* A body that holds whole records, even of its own segment's form, is a body. */
static void
test_records_in_a_mail(void **state)
{
	(void)state;
	struct spool s;
	struct walk w;
	static char bytes[SMALL];
	spool_make(&s, SMALL);
	put(&s, 1);
	int fd = open_segment(&s, 1);
	ssize_t n = pread(fd, bytes, 1024, SEGMENT_HEAD);
	close(fd);
	assert_int_equal(n, 1024);
	assert_int_equal(spool_drop(&s, spool_id(1)), CUSTODY_OK);
	spool_close(&s);
	spool_open(&s);
	/* At each place where a record could begin. */
	static char body[8192];
	memset(body, 'x', sizeof(body));
	for (size_t at = RECORD_ALIGN - RECORD_HEAD % RECORD_ALIGN; at + 1024 < sizeof(body);
		at += 1024)
		memcpy(body + at, bytes, 1024);
	assert_int_equal(spool_put(&s, spool_id(5), SLICE(""), SLICE(""),
				 (struct slice){body, sizeof(body)}),
		CUSTODY_OK);
	put(&s, 6);
	walk(&s, 2, &w);
	assert_int_equal(w.list.n, 2);
	uint64_t at = (uint64_t)w.list.p[0].at * RECORD_ALIGN;
	walk_fini(&w);
	spool_close(&s);
	assert_int_equal(unlinkat(s.dir_fd, "sidecar-00000002", 0), 0);
	flip(s.dir_fd, "segment-00000002", at + 20, 3);
	spool_open(&s);
	assert_int_equal(look(&s, 1), 0);
	assert_int_equal(look(&s, 5), 0);
	assert_int_equal(look(&s, 6), 1);
	assert_int_equal(logged("state=damaged"), 1);
	spool_drop_all(&s);
}

static void
test_lock(void **state)
{
	(void)state;
	struct spool s, second;
	struct err err;
	spool_make(&s, SMALL);
	second = s;
	assert_int_equal(spool_try_open(&second, &err), -1);
	assert_non_null(strstr(err.text, "lock"));
	put(&s, 1);
	spool_drop_all(&s);
}

/* --- processes killed at their work */

enum { KILLS = 25, AT_ONCE = 16, NUMBERS_MOST = 1 << 20 };

/* What the child was answered, in memory that outlives it. */
struct told {
	uint64_t next, collected;
	unsigned char put[NUMBERS_MOST], noting[NUMBERS_MOST], noted[NUMBERS_MOST],
		dropping[NUMBERS_MOST], dropped[NUMBERS_MOST];
};

enum step { STEP_PUT, STEP_NOTE, STEP_DROP, STEPS };

struct worker {
	struct spool *s;
	struct told *told;
	uint64_t number, dropped;
	enum step step;
};

static void work(struct worker *w);

static void
on_worked(void *arg, enum custody_result r, struct slice why)
{
	struct worker *w = arg;
	struct custody_space space;
	(void)why;
	if (r != CUSTODY_OK)
		_exit(3);
	if (w->step == STEP_PUT)
		w->told->put[w->number] = 1;
	else if (w->step == STEP_NOTE)
		w->told->noted[w->number] = 1;
	else
		w->told->dropped[w->dropped] = 1;
	custody_space(w->s->custody, &space);
	w->told->collected += space.collected_bytes > 0;
	w->step = (enum step)((w->step + 1) % STEPS);
	work(w);
}

/* The bytes of a put are the child's to the end: it is killed soon. */
static void
work_put(struct worker *w, struct custody_change *c)
{
	enum { TEXT = 300 };
	struct arena *a = arena_new(4096);
	struct relay_body *b = arena_alloc(a, sizeof(*b));
	relay_body_init(b, a);
	w->number = w->told->next++;
	if (w->number == NUMBERS_MOST)
		_exit(4);
	c->op = CUSTODY_PUT;
	c->envelope = spool_bytes(arena_alloc(a, TEXT), 40 + w->number % 100, w->number);
	relay_body_add(b, c->envelope);
	c->note = SLICE("note");
	c->body = b;
}

/* Puts, notes, and drops what was put some time ago, but one in eight. */
static void
work(struct worker *w)
{
	struct custody_change c = {.op = CUSTODY_DROP};
	if (w->step == STEP_DROP && (w->number < 40 || w->number % 8 == 0))
		w->step = STEP_PUT;
	if (w->step == STEP_PUT) {
		work_put(w, &c);
	} else if (w->step == STEP_NOTE) {
		w->told->noting[w->number] = 1;
		c.op = CUSTODY_NOTE;
		c.note = SLICE("noted");
	} else {
		w->dropped = w->number - 40;
		w->told->dropping[w->dropped] = 1;
	}
	c.id = spool_id(w->step == STEP_DROP ? w->dropped : w->number);
	custody_commit(w->s->custody, &c, 1, on_worked, w);
}

static void
child(const char *path, struct told *told)
{
	static struct worker workers[AT_ONCE];
	struct spool s;
	struct err err;
	spool_make_at(&s, path, SMALL);
	spool_open(&s);
	for (size_t i = 0; i < AT_ONCE; i++) {
		workers[i] = (struct worker){.s = &s, .told = told};
		work(&workers[i]);
	}
	loop_run(s.loop, &err);
	_exit(5);
}

static void
check_told(struct spool *s, const struct told *told)
{
	for (uint64_t i = 0; i < told->next; i++) {
		int there = look_noted(s, i, !told->noted[i], told->noting[i]);
		assert_true(there >= 0);
		if (told->put[i] && !told->dropping[i])
			assert_int_equal(there, 1);
		if (told->dropped[i] && told->put[i])
			assert_int_equal(there, 0);
	}
}

static void
test_kills(void **state)
{
	(void)state;
	struct spool s;
	spool_make(&s, SMALL);
	spool_close(&s);
	struct told *told = mmap(
		NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(told != MAP_FAILED);
	uint64_t before = 0;
	for (int round = 0; round < KILLS; round++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			child(s.path, told);
		usleep(20000 + (unsigned)(round * 7919 % 60) * 4000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	spool_open(&s);
	check_told(&s, told);
	for (uint64_t i = 0; i < told->next; i++)
		before += told->put[i];
	assert_true(before > 100 && told->collected > 0);
	printf("%u acknowledged puts in %u kills, all accounted for\n", (unsigned)before,
		KILLS);
	assert_int_equal(logged("state=damaged"), 0);
	munmap(told, sizeof(*told));
	spool_drop_all(&s);
}

int
main(void)
{
	char path[] = "/tmp/custody-log-XXXXXX";
	log_fd = mkstemp(path);
	if (log_fd < 0 || unlink(path) < 0)
		return 1;
	fcntl(log_fd, F_SETFL, O_APPEND);
	int said = dup(STDERR_FILENO);
	dup2(log_fd, STDERR_FILENO);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_sidecars),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_records_in_a_mail),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_kills),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	dup2(said, STDERR_FILENO);
	static char text[1 << 16];
	ssize_t n = failed != 0 ? pread(log_fd, text, sizeof(text) - 1, 0) : 0;
	if (n > 0)
		fwrite(text, 1, (size_t)n, stderr);
	return failed;
}
