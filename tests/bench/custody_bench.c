/*
 * What durable custody costs (STORE.md 1.1, 1.3): mails of 8 KB put by 1, 8 and 64 at once into
 * the segment store, beside a file for each with its sync and its folder's in turn within the
 * same run; the start with many items; memory for each.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "custody/segments.h"

enum { BODY = 8192, SMALL_BODY = 512, ENVELOPE = 200, AT_ONCE_MOST = 64, ROUNDS = 3 };

static char body_bytes[BODY], envelope_bytes[ENVELOPE];
static struct loop *loop;
static struct custody *store;
static int folder;
static struct arena *arena;
static struct relay_body body;

static double
seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- the store */

static double until;
static unsigned under_way;
static uint64_t puts_left, answered;

static void put_next(void);

static void
on_put(void *arg, enum custody_result r, struct slice why)
{
	(void)arg;
	if (r != CUSTODY_OK)
		errx(1, "%s: %.*s", custody_result_text(r), SLICE_ARG(why));
	answered++;
	under_way--;
	put_next();
	if (under_way == 0)
		loop_stop(loop);
}

static void
put_next(void)
{
	if (puts_left == 0 || (until > 0 && seconds() >= until))
		return;
	puts_left--;
	under_way++;
	struct custody_change c = {.op = CUSTODY_PUT,
		.id = custody_id_new(),
		.envelope = {envelope_bytes, ENVELOPE},
		.body = &body};
	custody_commit(store, &c, 1, on_put, NULL);
}

static void
run_loop(void)
{
	struct err e;
	if (loop_run(loop, &e) < 0)
		errx(1, "%s", e.text);
}

static void
open_store(void)
{
	struct err e;
	struct segments_config config = {.loop = loop, .dir_fd = folder};
	store = segments_open(&config, &e);
	if (store == NULL)
		errx(1, "%s", e.text);
}

static double
by_store(unsigned at_once, double for_s)
{
	double begin = seconds();
	until = begin + for_s;
	puts_left = UINT64_MAX;
	answered = 0;
	for (unsigned i = 0; i < at_once; i++)
		put_next();
	run_loop();
	return (double)answered / (seconds() - begin);
}

/* --- a file for each */

static unsigned file_number;

static void
put_file(unsigned number)
{
	char name[32];
	snprintf(name, sizeof(name), "mail-%u", number);
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, envelope_bytes, ENVELOPE) != ENVELOPE ||
		write(fd, body_bytes, BODY) != BODY || fsync(fd) < 0 || fsync(folder) < 0)
		err(1, "%s", name);
	close(fd);
}

static void *
file_writer(void *arg)
{
	uint64_t *count = arg;
	for (; seconds() < until; ++*count)
		put_file(__atomic_fetch_add(&file_number, 1, __ATOMIC_RELAXED));
	return NULL;
}

static double
by_files(unsigned at_once, double for_s)
{
	pthread_t threads[AT_ONCE_MOST];
	uint64_t counts[AT_ONCE_MOST] = {0}, all = 0;
	double begin = seconds();
	until = begin + for_s;
	for (unsigned i = 0; i < at_once; i++)
		if (pthread_create(&threads[i], NULL, file_writer, &counts[i]) != 0)
			errx(1, "no thread");
	for (unsigned i = 0; i < at_once; i++) {
		pthread_join(threads[i], NULL);
		all += counts[i];
	}
	double rate = (double)all / (seconds() - begin);
	char name[32];
	for (unsigned i = 0; i < file_number; i++) {
		snprintf(name, sizeof(name), "mail-%u", i);
		unlinkat(folder, name, 0);
	}
	file_number = 0;
	return rate;
}

static int
ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void
figure(const char *name, double value, const char *what)
{
	const char *path = getenv("POSTERN_FIGURES");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;
	if (f == NULL)
		return;
	fprintf(f, "%s\t%.4g\t%s\n", name, value, what);
	fclose(f);
}

static void
puts_compared(double for_s)
{
	static const unsigned at_once[] = {1, 8, 64};
	printf("durable puts of 8 KB   store/s   file+fsync+fsync(folder)/s   ratio\n");
	for (size_t i = 0; i < 3; i++) {
		double stored[ROUNDS], filed[ROUNDS];
		for (int round = 0; round < ROUNDS; round++) {
			stored[round] = by_store(at_once[i], for_s);
			filed[round] = by_files(at_once[i], for_s);
		}
		qsort(stored, ROUNDS, sizeof(double), ascending);
		qsort(filed, ROUNDS, sizeof(double), ascending);
		double s = stored[ROUNDS / 2], f = filed[ROUNDS / 2];
		printf("  %2u at once          %8.0f                     %8.0f   %5.1f\n",
			at_once[i], s, f, s / f);
		char name[64];
		snprintf(name, sizeof(name), "custody-put-%u", at_once[i]);
		figure(name, s, "durable puts of 8 KB a second");
		snprintf(name, sizeof(name), "custody-put-%u-ratio", at_once[i]);
		figure(name, s / f, "times a file for each, synced, with its folder");
	}
}

/* --- the start */

static size_t scanned;
static uint64_t scan_next;
static bool scan_end;

static void
on_scan(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	(void)arg;
	(void)items;
	if (r != CUSTODY_OK)
		errx(1, "scan: %s", custody_result_text(r));
	scanned += n;
	scan_next = next;
	scan_end = end;
	loop_stop(loop);
}

static void
starts(uint64_t items)
{
	struct custody_space space;
	until = 0;
	puts_left = items;
	/* Small ones: the start does not read bodies, and the disk is shared. */
	relay_body_init(&body, arena);
	relay_body_add(&body, (struct slice){body_bytes, SMALL_BODY});
	for (unsigned i = 0; i < 2000; i++)
		put_next();
	run_loop();
	custody_close(&store);
	double begin = seconds(), cpu = cpu_seconds();
	open_store();
	double opened = seconds() - begin, opened_cpu = cpu_seconds() - cpu;
	scanned = 0;
	scan_next = 0;
	begin = seconds();
	cpu = cpu_seconds();
	do {
		custody_scan(store, scan_next, CUSTODY_SCAN_MOST, on_scan, NULL);
		run_loop();
	} while (!scan_end);
	double scan = seconds() - begin, scan_cpu = cpu_seconds() - cpu;
	custody_space(store, &space);
	if (scanned != space.items)
		errx(1, "%zu of %llu items", scanned, (unsigned long long)space.items);
	double each = (double)space.memory_bytes / (double)space.items;
	printf("%8llu items: open %.0f ms (%.0f of CPU), scan of all %.0f ms (%.0f), "
	       "%.1f bytes of memory for each\n",
		(unsigned long long)space.items, opened * 1e3, opened_cpu * 1e3, scan * 1e3,
		scan_cpu * 1e3, each);
	char name[64];
	snprintf(name, sizeof(name), "custody-open-%llu", (unsigned long long)items);
	figure(name, opened * 1e3, "ms to open a store of so many items");
	snprintf(name, sizeof(name), "custody-memory-%llu", (unsigned long long)items);
	figure(name, each, "bytes of memory for each item");
}

int
main(int argc, char **argv)
{
	struct err e;
	if (argc != 4)
		errx(2, "usage: custody_bench FOLDER SECONDS ITEMS: an empty folder");
	folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	loop = loop_new(&e);
	if (folder < 0 || loop == NULL)
		err(1, "%s", argv[1]);
	memset(body_bytes, 'b', sizeof(body_bytes));
	memset(envelope_bytes, 'e', sizeof(envelope_bytes));
	arena = arena_new(4096);
	relay_body_init(&body, arena);
	relay_body_add(&body, (struct slice){body_bytes, BODY});
	double for_s = strtod(argv[2], NULL);
	uint64_t items = strtoull(argv[3], NULL, 10);
	open_store();
	if (for_s > 0)
		puts_compared(for_s);
	if (items > 0)
		starts(items);
	custody_close(&store);
	arena_free(&arena);
	loop_free(&loop);
	close(folder);
	return 0;
}
