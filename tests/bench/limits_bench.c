/*
 * What a rate decision costs, over many keys at random (STORE.md 2): by the engine alone;
 * through the keeper as sessions ask it, in its sandbox, over its channel; and beside them what
 * each process would pay that read and wrote LMDB itself, a transaction for each decision,
 * alone and with a second one beside it. CPU is that of all processes that take part: the wall
 * clock shares the machine with others.
 */
#include <err.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeping.h"
#include "state/local.h"
#include "state/messages.h"

enum { AT_ONCE = 64, BATCH_MOST = 16, KEY_BYTES = 32, LATE_MS = 60 * 1000 };

static uint64_t keys, seed = 20261129;
static double lasts;

static double
seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
used(int who)
{
	struct rusage u;
	getrusage(who, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t
random_key(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % keys;
}

static void
take_of(uint64_t key, char text[KEY_BYTES], struct state_op *op)
{
	int n = snprintf(text, KEY_BYTES, "user u%07llu 200/hour", (unsigned long long)key);
	*op = (struct state_op){.kind = STATE_TAKE,
		.space = STATE_RATE,
		.key = {text, (size_t)n},
		.limit = 200,
		.span_ms = 3600 * 1000,
		.n = 1};
}

/* ---- the engine alone ---- */

static uint64_t taken;

static void
on_taken(void *arg, const struct state_answer *answers, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		if (answers[i].status != STATE_OK)
			errx(1, "a question failed");
	taken += n;
}

static void
engine_ask(struct state *s, uint64_t first, bool random, double *flushed)
{
	char text[BATCH_MOST][KEY_BYTES];
	struct state_op ops[BATCH_MOST];
	struct err e;
	for (uint64_t i = 0; i < BATCH_MOST; i++)
		take_of(random ? random_key() : (first + i) % keys, text[i], &ops[i]);
	s->calls->ask(s, ops, BATCH_MOST, on_taken, NULL);
	if (seconds() - *flushed < 1)
		return;
	*flushed = seconds();
	if (s->calls->flush(s, &e) < 0)
		errx(1, "%s", e.text);
}

static void
engine(const char *folder)
{
	char path[4096];
	struct err e;
	snprintf(path, sizeof(path), "%s/engine", folder);
	if (mkdir(path, 0700) < 0)
		err(1, "%s", path);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct state *s = local_open(&(struct local_config){.dir_fd = dir}, &e);
	if (s == NULL)
		errx(1, "%s", e.text);
	double flushed = seconds();
	for (uint64_t i = 0; i < keys; i += BATCH_MOST)
		engine_ask(s, i, false, &flushed);
	taken = 0;
	double from = seconds(), cpu = used(RUSAGE_SELF);
	while (seconds() - from < lasts)
		engine_ask(s, 0, true, &flushed);
	double took = seconds() - from;
	cpu = used(RUSAGE_SELF) - cpu;
	printf("engine: %.0f decisions/s, %.2f us of CPU each with the writing behind\n",
		(double)taken / took, cpu * 1e6 / (double)taken);
	from = seconds();
	s->calls->close(&s);
	printf("engine: the last write and the end take %.2f s", seconds() - from);
	from = seconds();
	s = local_open(&(struct local_config){.dir_fd = dir}, &e);
	if (s == NULL)
		errx(1, "%s", e.text);
	printf(", a start with all its checks %.2f s\n", seconds() - from);
	s->calls->close(&s);
	close(dir);
	fflush(stdout);
}

/* ---- through the keeper ---- */

static struct keeping k;
static unsigned batch, under_way;
static uint64_t next_key, asks_left;
static bool at_random, more;

static void ask_next(void);

static void
on_answer(void *arg, struct ipc_msg *m)
{
	static struct state_answer answers[STATE_OPS_MOST];
	size_t n;
	(void)arg;
	under_way--;
	if (m == NULL || !state_answers_unpack(m->payload, answers, &n) || n != batch)
		errx(1, "the keeper does not answer");
	on_taken(NULL, answers, n);
	if (more)
		ask_next();
	if (under_way == 0)
		loop_stop(k.loop);
}

static void
ask_next(void)
{
	char text[BATCH_MOST][KEY_BYTES];
	struct state_op ops[BATCH_MOST];
	struct ipc_out out;
	struct slice payload;
	if (asks_left == 0)
		return;
	asks_left--;
	for (unsigned i = 0; i < batch; i++)
		take_of(at_random ? random_key() : next_key++ % keys, text[i], &ops[i]);
	ipc_out_init(&out);
	state_ops_pack(ops, batch, &out);
	if (!ipc_out_ok(&out, &payload) || peer_ask(k.session, STATE_MSG_ASK, payload, NULL, 0,
						   LATE_MS, on_answer, NULL) == 0)
		errx(1, "the keeper cannot be asked");
	ipc_out_fini(&out);
	under_way++;
}

static void
end_now(void *arg)
{
	(void)arg;
	more = false;
}

static double
cpu_of_process(pid_t pid)
{
	char path[64], line[1024];
	unsigned long user, kernel;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		errx(1, "%s cannot be read", path);
	fclose(f);
	const char *p = strrchr(line, ')');
	if (p == NULL || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
				 &user, &kernel) != 2)
		errx(1, "%s is not as it should be", path);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* Questions for so long; 0: `asks` of them. */
static void
keeper_run(unsigned of, double how_long, uint64_t asks, const char *what)
{
	struct loop_timer end;
	struct err e;
	batch = of;
	asks_left = asks;
	more = true;
	taken = 0;
	loop_timer_init(&end, k.loop, end_now, NULL);
	if (how_long > 0)
		loop_timer_set(&end, (uint64_t)(how_long * 1000));
	double from = seconds(), own = used(RUSAGE_SELF), its = cpu_of_process(k.pid);
	for (unsigned i = 0; i < AT_ONCE; i++)
		ask_next();
	if (loop_run(k.loop, &e) < 0)
		errx(1, "%s", e.text);
	loop_timer_clear(&end);
	double took = seconds() - from;
	own = used(RUSAGE_SELF) - own;
	its = cpu_of_process(k.pid) - its;
	if (what != NULL)
		printf("keeper, %s: %.0f decisions/s, %.2f us of CPU each there with the "
		       "writing "
		       "behind, %.2f at the asker's\n",
			what, (double)taken / took, its * 1e6 / (double)taken,
			own * 1e6 / (double)taken);
	fflush(stdout);
}

static void
keeper(void)
{
	keeping_open(&k);
	at_random = false;
	keeper_run(BATCH_MOST, 0, keys / BATCH_MOST + 1, NULL);
	at_random = true;
	keeper_run(1, lasts, UINT64_MAX, "1 in a message");
	keeper_run(4, lasts, UINT64_MAX, "4 in a message");
	keeper_run(16, lasts, UINT64_MAX, "16 in a message");
	keeping_close(&k);
}

/* ---- LMDB by each process itself ---- */

struct bucket {
	uint64_t at_ms, wait_ms;
};

static void
check(int code)
{
	if (code != 0)
		errx(1, "LMDB: %s", mdb_strerror(code));
}

static MDB_env *
open_lmdb(const char *folder)
{
	MDB_env *env;
	check(mdb_env_create(&env));
	check(mdb_env_set_mapsize(env, (size_t)1 << 31));
	check(mdb_env_open(env, folder, MDB_NOSYNC, 0600));
	return env;
}

/* One decision, or with `n` more in one transaction. */
static void
lmdb_take(MDB_env *env, uint64_t first, uint64_t n, bool random)
{
	MDB_txn *txn;
	MDB_dbi dbi;
	char text[KEY_BYTES];
	struct state_op op;
	check(mdb_txn_begin(env, NULL, 0, &txn));
	check(mdb_dbi_open(txn, NULL, 0, &dbi));
	for (uint64_t i = 0; i < n; i++) {
		take_of(random ? random_key() : first + i, text, &op);
		MDB_val key = {op.key.n, text}, value;
		struct bucket b = {0};
		uint64_t now = (uint64_t)(seconds() * 1000);
		int code = mdb_get(txn, dbi, &key, &value);
		if (code == 0 && value.mv_size == sizeof(b))
			memcpy(&b, value.mv_data, sizeof(b));
		uint64_t passed = now - b.at_ms;
		b.wait_ms = passed < b.wait_ms ? b.wait_ms - passed : 0;
		b.at_ms = now;
		if (b.wait_ms + op.span_ms / op.limit <= op.span_ms)
			b.wait_ms += op.span_ms / op.limit;
		value = (MDB_val){sizeof(b), &b};
		check(mdb_put(txn, dbi, &key, &value, 0));
	}
	check(mdb_txn_commit(txn));
}

static uint64_t
lmdb_run(const char *folder, double until)
{
	MDB_env *env = open_lmdb(folder);
	uint64_t n = 0;
	while (seconds() < until) {
		lmdb_take(env, 0, 1, true);
		n++;
	}
	mdb_env_close(env);
	return n;
}

static void
lmdb(const char *folder, unsigned processes)
{
	uint64_t *counts =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double from = seconds(), cpu = used(RUSAGE_CHILDREN);
	if (counts == MAP_FAILED)
		err(1, "mmap");
	for (unsigned i = 0; i < processes; i++) {
		pid_t pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (pid == 0) {
			seed += i;
			counts[i] = lmdb_run(folder, from + lasts);
			_exit(0);
		}
	}
	uint64_t all = 0;
	int status;
	for (unsigned i = 0; i < processes; i++)
		if (wait(&status) < 0 || status != 0)
			errx(1, "a process failed");
	double took = seconds() - from;
	for (unsigned i = 0; i < processes; i++)
		all += counts[i];
	cpu = used(RUSAGE_CHILDREN) - cpu;
	printf("LMDB, a transaction each, never synced, %u process%s: %.0f decisions/s, %.2f "
	       "us of "
	       "CPU each\n",
		processes, processes == 1 ? "" : "es", (double)all / took,
		cpu * 1e6 / (double)all);
	munmap(counts, 4096);
	fflush(stdout);
}

static void
peers(const char *folder)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/lmdb", folder);
	if (mkdir(path, 0700) < 0)
		err(1, "%s", path);
	MDB_env *env = open_lmdb(path);
	for (uint64_t i = 0; i < keys; i += 10000)
		lmdb_take(env, i, keys - i < 10000 ? keys - i : 10000, false);
	mdb_env_close(env);
	lmdb(path, 1);
	lmdb(path, 2);
}

int
main(int argc, char *argv[])
{
	if (argc != 4)
		errx(2, "usage: limits_bench FOLDER KEYS SECONDS");
	keys = strtoull(argv[2], NULL, 10);
	lasts = strtod(argv[3], NULL);
	if (keys == 0 || lasts <= 0)
		errx(2, "nothing to do");
	engine(argv[1]);
	keeper();
	peers(argv[1]);
	return 0;
}
