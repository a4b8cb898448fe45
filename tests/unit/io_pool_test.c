/*
 * A pool whose worker does what its job says: answer, die, hang. What kills a worker costs its
 * own job and no other (DESIGN.md, "Processes"); a job that is over its time is ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "io/pool.h"
#include "serving.h"

enum { JOB = 0x7f01, ANSWER, DEATHS = 2 };

static const char *const words[] = {
	[POOL_FULL] = "full", [POOL_DIED] = "died", [POOL_LATE] = "late"};

static void
failed(enum pool_failure why, struct ipc_out *out)
{
	ipc_put_text(out, words[why]);
}

static struct slice
work(struct ipc_msg *m, char buf[64])
{
	int fd = ipc_take_fd(m, 0);
	if (slice_eq(m->payload, SLICE("die")))
		raise(SIGKILL);
	while (slice_eq(m->payload, SLICE("hang")))
		pause();
	if (fd < 0)
		return m->payload;
	ssize_t n = read(fd, buf, 64);
	close(fd);
	return (struct slice){buf, n < 0 ? 0 : (size_t)n};
}

static int
worker(int channel, void *arg)
{
	struct ipc_msg m;
	struct err err;
	struct buf buf;
	char bytes[64];
	must(*(const int *)arg == 42);
	buf_init(&buf, IPC_PAYLOAD_BYTES);
	while (ipc_read_blocking(channel, &buf, &m, &err) == 1) {
		struct ipc_out out;
		struct slice payload;
		ipc_out_init(&out);
		ipc_put_slice(&out, work(&m, bytes));
		must(ipc_out_ok(&out, &payload));
		must(ipc_write_blocking(channel, ANSWER, m.id, payload, &err) == 0);
		ipc_out_fini(&out);
	}
	buf_fini(&buf);
	return 0;
}

static int
run_pool(void *arg)
{
	return pool_main(arg);
}

static void
start(struct serving *s, unsigned workers)
{
	static int answer = 42;
	struct pool_start pool = {.control_fd = serving_prepare(s),
		.workers = workers,
		.time_ms = 300,
		.deaths_most = DEATHS,
		.worker = "test-worker",
		.job = JOB,
		.answer = ANSWER,
		.failed = failed,
		.run = worker,
		.arg = &answer};
	struct child_spec spec = {.kind = "test-pool", .run = run_pool, .arg = &pool};
	serving_start(s, &spec, pool.control_fd);
}

static void
expect(const struct serving *s, unsigned at, const char *text)
{
	struct ipc_in in;
	assert_true(s->answers[at].here && !s->answers[at].lost);
	assert_int_equal(s->answers[at].type, ANSWER);
	ipc_in_init(&in, buf_slice(&s->answers[at].payload));
	struct slice got = ipc_get_slice(&in);
	assert_true(ipc_in_done(&in));
	if (!slice_eq(got, slice_of(text)))
		fail_msg("answer %u: %.*s, not %s", at, SLICE_ARG(got), text);
}

static void
test_answers(void **state)
{
	(void)state;
	struct serving s;
	char path[] = "/tmp/io-pool-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && unlink(path) == 0 && write(fd, "of a file", 9) == 9);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	start(&s, 2);
	serving_ask(&s, JOB, SLICE("one"), -1);
	serving_ask(&s, JOB, SLICE("two"), -1);
	serving_ask(&s, JOB, SLICE("three"), -1);
	serving_ask(&s, JOB, SLICE(""), fd);
	serving_wait(&s);
	expect(&s, 0, "one");
	expect(&s, 1, "two");
	expect(&s, 2, "three");
	expect(&s, 3, "of a file");
	serving_stop(&s);
	close(fd);
}

/* One worker, so that all of them wait behind what kills it. */
static void
test_death_costs_one(void **state)
{
	(void)state;
	struct serving s;
	start(&s, 1);
	for (unsigned round = 0; round < 3; round++) {
		serving_ask(&s, JOB, SLICE("before"), -1);
		serving_ask(&s, JOB, SLICE("die"), -1);
		serving_ask(&s, JOB, SLICE("after"), -1);
		serving_ask(&s, JOB, SLICE("hang"), -1);
		serving_ask(&s, JOB, SLICE("last"), -1);
		serving_wait(&s);
		expect(&s, 0, "before");
		expect(&s, 1, "died");
		expect(&s, 2, "after");
		expect(&s, 3, "late");
		expect(&s, 4, "last");
		serving_clear(&s);
	}
	serving_stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_death_costs_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
