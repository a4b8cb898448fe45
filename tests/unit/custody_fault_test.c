/*
 * What goes wrong: each fault that the engine for tests can put in, and a disk that fails under
 * the segment store. What was answered FAILED is never there again, whatever of it reached the
 * file, whether the process ends in peace or not, and also when cutting the file fails too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "custody/files.h"
#include "spool.h"

enum { SMALL = 64 * 1024 };

/* --- the engine with faults */

static void
make(struct spool *s)
{
	spool_make(s, SMALL);
	spool_close(s);
	s->with_fault = true;
	spool_open(s);
}

static enum custody_result
put(struct spool *s, uint64_t i)
{
	return spool_put(s, spool_id(i), SLICE("envelope"), SLICE("note"), SLICE("body"));
}

struct row {
	enum fault_kind kind;
	enum custody_result put, note;
	bool stored;
};

static void
test_kinds(void **state)
{
	static const struct row rows[] = {
		{FAULT_NONE, CUSTODY_OK, CUSTODY_OK, true},
		{FAULT_FULL, CUSTODY_FULL, CUSTODY_OK, false},
		{FAULT_SYNC, CUSTODY_FAILED, CUSTODY_FAILED, false},
		{FAULT_UNKNOWN_STORED, CUSTODY_UNKNOWN, CUSTODY_UNKNOWN, true},
		{FAULT_UNKNOWN_LOST, CUSTODY_UNKNOWN, CUSTODY_UNKNOWN, false},
		{FAULT_READ, CUSTODY_OK, CUSTODY_OK, true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spool s;
		struct spool_item item;
		struct buf body;
		struct custody_space space;
		const struct row *r = &rows[i];
		make(&s);
		assert_int_equal(put(&s, 0), CUSTODY_OK);
		fault_set(s.custody, &(struct fault_plan){.kind = r->kind});
		assert_int_equal(put(&s, 1), r->put);
		assert_int_equal(spool_note(&s, spool_id(0), SLICE("new")), r->note);
		assert_int_equal(spool_there(&s, spool_id(1)), r->stored);
		custody_space(s.custody, &space);
		assert_int_equal(space.full, r->kind == FAULT_FULL);
		assert_int_equal(space.failing, r->kind == FAULT_SYNC);
		bool reads = r->kind != FAULT_READ;
		buf_init(&body, 10);
		int there = spool_get(&s, spool_id(0), &item);
		assert_int_equal(there, reads ? 1 : -1);
		if (there == 1)
			spool_item_fini(&item);
		assert_int_equal(spool_body(&s, spool_id(0), 0, 10, &body),
			reads ? CUSTODY_OK : CUSTODY_FAILED);
		buf_fini(&body);
		fault_set(s.custody, &(struct fault_plan){.kind = FAULT_NONE});
		assert_int_equal(spool_get(&s, spool_id(0), &item), 1);
		bool noted = r->note == CUSTODY_OK || r->kind == FAULT_UNKNOWN_STORED;
		assert_true(slice_eq(buf_slice(&item.note), slice_of(noted ? "new" : "note")));
		spool_item_fini(&item);
		spool_drop_all(&s);
	}
}

static void
test_plan(void **state)
{
	(void)state;
	struct spool s;
	make(&s);
	fault_set(s.custody, &(struct fault_plan){.kind = FAULT_SYNC, .every = 3, .times = 2});
	for (uint64_t i = 1; i <= 12; i++)
		assert_int_equal(put(&s, i), i == 3 || i == 6 ? CUSTODY_FAILED : CUSTODY_OK);
	fault_set(s.custody, &(struct fault_plan){.kind = FAULT_NONE, .delay_ms = 40});
	uint64_t begin = clock_ms();
	assert_int_equal(put(&s, 20), CUSTODY_OK);
	assert_true(spool_there(&s, spool_id(20)));
	spool_check_body(&s, spool_id(20), SLICE("body"));
	assert_true(clock_ms() - begin >= 4 * 40 - 5);
	spool_drop_all(&s);
}

/* --- a disk that fails */

static atomic_int syncs_until, writes_until; /* calls that still work; -1: all */
static atomic_bool cuts_fail, short_writes;
static atomic_int hold; /* syncs wait while it is set */
static atomic_ullong failed_file, late_writes;

static bool
strike(atomic_int *until)
{
	int n = atomic_load(until);
	if (n > 0)
		atomic_store(until, n - 1);
	return n == 0;
}

static unsigned long long
file_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static ssize_t
bad_write(int fd, const void *bytes, size_t n, off_t at)
{
	if (file_of(fd) == atomic_load(&failed_file))
		atomic_fetch_add(&late_writes, 1);
	if (!strike(&writes_until))
		return pwrite(fd, bytes, n, at);
	if (atomic_load(&short_writes)) { /* a part gets there, then it is over */
		atomic_store(&short_writes, false);
		atomic_store(&writes_until, 0);
		return pwrite(fd, bytes, n - n / 3, at);
	}
	atomic_store(&failed_file, file_of(fd));
	errno = EIO;
	return -1;
}

static int
bad_sync(int fd)
{
	while (atomic_load(&hold) != 0)
		usleep(1000);
	if (!strike(&syncs_until))
		return fsync(fd);
	atomic_store(&failed_file, file_of(fd));
	errno = EIO;
	return -1;
}

static int
bad_truncate(int fd, off_t bytes)
{
	if (!atomic_load(&cuts_fail))
		return ftruncate(fd, bytes);
	errno = EIO;
	return -1;
}

static void
all_works(void)
{
	atomic_store(&syncs_until, -1);
	atomic_store(&writes_until, -1);
	atomic_store(&cuts_fail, false);
	atomic_store(&short_writes, false);
	atomic_store(&hold, 0);
	atomic_store(&failed_file, 0);
	atomic_store(&late_writes, 0);
}

static int
disk_of_ours(void **state)
{
	(void)state;
	all_works();
	files_calls.write = bad_write;
	files_calls.sync = files_calls.sync_folder = bad_sync;
	files_calls.truncate = bad_truncate;
	return 0;
}

static int
disk_of_theirs(void **state)
{
	(void)state;
	files_calls.write = pwrite;
	files_calls.sync = fdatasync;
	files_calls.sync_folder = fsync;
	files_calls.truncate = ftruncate;
	return 0;
}

/* The files as they are now, as if the process had ended here: opened as another store. */
static void
crash_into(const struct spool *s, struct spool *to)
{
	char path[64];
	spool_folder(path);
	spool_make_at(to, path, s->segment_bytes);
	DIR *d = fdopendir(openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY));
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		static char bytes[1 << 16];
		if (e->d_name[0] == '.' || strcmp(e->d_name, "lock") == 0)
			continue;
		int in = openat(s->dir_fd, e->d_name, O_RDONLY);
		int out = openat(to->dir_fd, e->d_name, O_WRONLY | O_CREAT, 0600);
		assert_true(in >= 0 && out >= 0);
		for (ssize_t n; (n = read(in, bytes, sizeof(bytes))) > 0;)
			assert_int_equal(write(out, bytes, (size_t)n), n);
		close(in);
		close(out);
	}
	closedir(d);
	spool_open(to);
}

enum { BATCH = 5 };

struct batch {
	struct spool *s;
	size_t n;
	enum custody_result results[BATCH];
};

static void
on_commit(void *arg, enum custody_result r, struct slice why)
{
	struct batch *b = arg;
	assert_int_equal(why.n == 0, r == CUSTODY_OK);
	b->results[b->n++] = r;
	if (b->n == BATCH)
		loop_stop(b->s->loop);
}

/* Several commits that the writer takes together: it is held in the sync of the one before. */
static void
commit_together(struct spool *s, struct batch *b, void (*before_release)(void))
{
	struct custody_change c = {.op = CUSTODY_PUT, .id = spool_id(100)};
	struct err err;
	*b = (struct batch){.s = s};
	atomic_store(&hold, 1);
	custody_commit(s->custody, &c, 1, on_commit, b);
	usleep(50000);
	for (uint64_t i = 1; i < BATCH; i++) {
		c = (struct custody_change){.op = CUSTODY_PUT,
			.id = spool_id(100 + i),
			.envelope = SLICE("together")};
		custody_commit(s->custody, &c, 1, on_commit, b);
	}
	before_release();
	atomic_store(&hold, 0);
	while (b->n < BATCH)
		assert_int_equal(loop_run(s->loop, &err), 0);
}

static void
second_sync_fails(void)
{
	atomic_store(&syncs_until, 1);
}

static void
check_after(struct spool *s, bool last)
{
	for (uint64_t i = 0; i < 3; i++)
		spool_check_body(s, spool_id(i), SLICE("body"));
	assert_true(spool_there(s, spool_id(100)));
	for (uint64_t i = 1; i < BATCH; i++)
		assert_false(spool_there(s, spool_id(100 + i)));
	assert_int_equal(spool_there(s, spool_id(50)), last);
}

/* Works again, but what was written to the file that failed is still counted. */
static void
works_again(void)
{
	atomic_store(&syncs_until, -1);
	atomic_store(&writes_until, -1);
}

/*
 * The second sync of a run fails, and all that follow: all commits of its batch are FAILED,
 * those before stay. When the disk works again, the next goes into a new segment; the failed
 * one is never written to again.
 */
static void
sync_fails(bool cuts_too, bool in_peace)
{
	struct spool s, after;
	struct batch b;
	struct custody_space space;
	all_works();
	spool_make(&s, SMALL);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(put(&s, i), CUSTODY_OK);
	atomic_store(&cuts_fail, cuts_too);
	commit_together(&s, &b, second_sync_fails);
	assert_int_equal(b.results[0], CUSTODY_OK);
	for (size_t i = 1; i < BATCH; i++)
		assert_int_equal(b.results[i], CUSTODY_FAILED);
	custody_space(s.custody, &space);
	assert_true(space.failing);
	assert_true(space.failures > 0);
	assert_int_equal(spool_commit(&s, NULL, 0), CUSTODY_FAILED);
	assert_int_equal(put(&s, 60), CUSTODY_FAILED);
	works_again();
	assert_int_equal(spool_commit(&s, NULL, 0), CUSTODY_OK);
	custody_space(s.custody, &space);
	assert_false(space.failing);
	assert_int_equal(put(&s, 50), CUSTODY_OK);
	check_after(&s, true);
	if (in_peace) {
		spool_close(&s);
		atomic_store(&cuts_fail, false);
		spool_open(&s);
	}
	check_after(&s, true);
	assert_int_equal(atomic_load(&late_writes), 0);
	atomic_store(&cuts_fail, false);
	crash_into(&s, &after);
	check_after(&after, true);
	assert_false(spool_there(&after, spool_id(60)));
	/* And the next start thinks the same. */
	spool_close(&after);
	spool_open(&after);
	check_after(&after, true);
	spool_drop_all(&after);
	spool_drop_all(&s);
}

static void
test_sync_fails(void **state)
{
	(void)state;
	for (int cuts_too = 0; cuts_too < 2; cuts_too++)
		for (int in_peace = 0; in_peace < 2; in_peace++)
			sync_fails(cuts_too != 0, in_peace != 0);
}

/* One sync fails, the file was cut: even if nothing else is ever written. */
static void
test_cut_alone(void **state)
{
	(void)state;
	struct spool s, after;
	spool_make(&s, SMALL);
	assert_int_equal(put(&s, 1), CUSTODY_OK);
	atomic_store(&syncs_until, 0);
	assert_int_equal(put(&s, 2), CUSTODY_FAILED);
	works_again();
	crash_into(&s, &after);
	assert_true(spool_there(&after, spool_id(1)));
	assert_false(spool_there(&after, spool_id(2)));
	spool_drop_all(&after);
	spool_drop_all(&s);
}

/* A write fails, at once or after a part of it got there. */
static void
test_write_fails(void **state)
{
	(void)state;
	static char bytes[3 * 1024 * 1024];
	for (int how = 0; how < 4; how++) {
		struct spool s, after;
		struct slice body = {bytes, how < 2 ? 100 : sizeof(bytes)};
		all_works();
		spool_make(&s, 8 * 1024 * 1024);
		assert_int_equal(put(&s, 1), CUSTODY_OK);
		atomic_store(&short_writes, how % 2 == 1);
		atomic_store(&writes_until, how < 2 ? 0 : 2);
		assert_int_equal(spool_put(&s, spool_id(2), SLICE("e"), SLICE("n"), body),
			CUSTODY_FAILED);
		works_again();
		assert_int_equal(put(&s, 3), CUSTODY_OK);
		assert_int_equal(atomic_load(&late_writes), 0);
		crash_into(&s, &after);
		assert_true(spool_there(&after, spool_id(1)));
		assert_false(spool_there(&after, spool_id(2)));
		assert_true(spool_there(&after, spool_id(3)));
		spool_drop_all(&after);
		spool_drop_all(&s);
	}
}

/* --- a disk that is full: a small one of our own */

static char small_disk[64];

static bool
mount_small(void)
{
	char path[] = "/tmp/custody-disk-XXXXXX";
	if (unshare(CLONE_NEWNS) < 0 || mkdtemp(path) == NULL)
		return false;
	snprintf(small_disk, sizeof(small_disk), "%s", path);
	return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("small", path, "tmpfs", 0, "size=4M") == 0;
}

static size_t
put_until_full(struct spool *s, uint64_t from)
{
	static char bytes[30000];
	struct slice body = spool_bytes(bytes, sizeof(bytes), from);
	enum custody_result r;
	size_t n = 0;
	while ((r = spool_put(s, spool_id(from + n), SLICE("e"), SLICE("n"), body)) ==
		CUSTODY_OK)
		n++;
	assert_int_equal(r, CUSTODY_FULL);
	return n;
}

static void
test_full(void **state)
{
	(void)state;
	struct spool s;
	struct custody_space space;
	static char note[2000];
	if (small_disk[0] == '\0') {
		printf("SKIPPED: no right to mount a small file system\n");
		return;
	}
	spool_make_at(&s, small_disk, 256 * 1024);
	spool_open(&s);
	for (int round = 0; round < 3; round++) {
		size_t n = put_until_full(&s, 1000);
		assert_true(n > 60);
		custody_space(s.custody, &space);
		assert_true(space.full && !space.failing);
		assert_int_equal(space.items, n);
		assert_int_equal(space.kept_bytes, 1024 * 1024);
		/* There was room for it when it was kept back. */
		for (size_t i = 0; i < n; i++)
			assert_int_equal(spool_note(&s, spool_id(1000 + i),
						 spool_bytes(note, sizeof(note), i)),
				CUSTODY_OK);
		spool_close(&s);
		spool_open(&s);
		custody_space(s.custody, &space);
		assert_int_equal(space.items, n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(spool_drop(&s, spool_id(1000 + i)), CUSTODY_OK);
		spool_run(&s, 600); /* collection */
		custody_space(s.custody, &space);
		assert_false(space.full);
		assert_int_equal(space.failures, 0);
	}
	spool_close(&s);
	loop_timer_clear(&s.late);
	loop_free(&s.loop);
	close(s.dir_fd);
	assert_int_equal(umount(small_disk), 0);
	assert_int_equal(rmdir(small_disk), 0);
}

/* No room even for a segment: no start, and it is said why. */
static void
test_no_room_at_all(void **state)
{
	(void)state;
	struct spool s;
	struct err err;
	char path[64];
	spool_folder(path);
	spool_make_at(&s, path, SMALL);
	atomic_store(&writes_until, 0);
	assert_int_equal(spool_try_open(&s, &err), -1);
	assert_int_equal(err.code, EIO);
	works_again();
	spool_open(&s);
	assert_int_equal(put(&s, 1), CUSTODY_OK);
	spool_drop_all(&s);
}

#define DISK(test) cmocka_unit_test_setup_teardown(test, disk_of_ours, disk_of_theirs)

int
main(void)
{
	if (!mount_small())
		small_disk[0] = '\0';
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_plan),
		DISK(test_sync_fails),
		DISK(test_cut_alone),
		DISK(test_write_fails),
		DISK(test_no_room_at_all),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
