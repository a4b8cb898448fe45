/* Messages between processes: packing, descriptors, the bounded queue, the death of the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "feed.h"
#include "io/ipc.h"

static struct {
	struct loop *loop;
	struct ipc *a, *b;
	struct loop_timer stop;
	int messages, gone, drained, raw;
	uint32_t last_id;
	size_t bytes, stop_after;
	int taken;
	struct err err;
} w;

static void
on_message(void *arg, struct ipc_msg *m)
{
	(void)arg;
	assert_int_equal(m->id, w.last_id + 1); /* in order */
	w.last_id = m->id;
	w.messages++;
	w.bytes += m->payload.n;
	if (m->nfds != 0) {
		if (w.taken >= 0)
			close(w.taken);
		w.taken = ipc_take_fd(m, 0);
	}
	if (w.stop_after != 0 && (size_t)w.messages == w.stop_after)
		loop_stop(w.loop);
}

static void
on_gone(void *arg, const struct err *err)
{
	(void)arg;
	w.gone++;
	w.err = *err;
	loop_stop(w.loop);
}

static void
on_drained(void *arg)
{
	(void)arg;
	w.drained++;
}

static void
on_late(void *arg)
{
	(void)arg;
	loop_stop(w.loop);
}

static const struct ipc_calls calls = {on_message, on_gone, on_drained};

/* a is an endpoint; b too, or where `raw` the bare descriptor w.raw. */
static void
open_pair(bool raw)
{
	int fd[2];
	struct err err;
	memset(&w, 0, sizeof(w));
	w.taken = -1;
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	loop_timer_init(&w.stop, w.loop, on_late, NULL);
	assert_int_equal(ipc_pair(fd, &err), 0);
	w.a = ipc_new(w.loop, fd[0], 1024 * 1024, &calls, NULL);
	w.raw = fd[1];
	if (!raw)
		w.b = ipc_new(w.loop, fd[1], 1024 * 1024, &calls, NULL);
}

static void
run(uint64_t most_ms)
{
	struct err err;
	loop_timer_set(&w.stop, most_ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
	loop_timer_clear(&w.stop);
}

static void
close_all(void)
{
	if (w.taken >= 0)
		close(w.taken);
	ipc_free(&w.a);
	ipc_free(&w.b);
	loop_free(&w.loop);
}

static struct slice
pack_all(struct ipc_out *o)
{
	struct slice payload;
	struct ip ip;
	ipc_out_init(o);
	ipc_put_u8(o, 7);
	ipc_put_u16(o, 65534);
	ipc_put_u32(o, 4000000000U);
	ipc_put_u64(o, UINT64_C(1) << 63);
	ipc_put_bool(o, true);
	ipc_put_slice(o, SLICE("a\0b"));
	ipc_put_text(o, NULL);
	assert_true(ip_parse(SLICE("2001:db8::1"), &ip));
	ipc_put_ip(o, &ip);
	ipc_put_ip(o, &(struct ip){0});
	ipc_put_u8(o, 2);
	assert_true(ipc_out_ok(o, &payload));
	return payload;
}

static bool
unpack_all(struct slice payload)
{
	struct ipc_in in;
	struct ip ip, none;
	ipc_in_init(&in, payload);
	bool same = ipc_get_u8(&in) == 7;
	same &= ipc_get_u16(&in) == 65534;
	same &= ipc_get_u32(&in) == 4000000000U;
	same &= ipc_get_u64(&in) == UINT64_C(1) << 63;
	same &= ipc_get_bool(&in);
	same &= slice_eq(ipc_get_slice(&in), SLICE("a\0b"));
	same &= ipc_get_slice(&in).n == 0;
	ipc_get_ip(&in, &ip);
	ipc_get_ip(&in, &none);
	same &= ip.family == 6 && ip.bytes[15] == 1 && none.family == 0;
	same &= ipc_get_enum(&in, 3) == 2;
	bool done = ipc_in_done(&in);
	assert_true(!done || same);
	return done;
}

static void
what_is_packed_is_unpacked(void **state)
{
	struct ipc_out o;
	(void)state;
	struct slice payload = pack_all(&o);
	struct guarded g = guarded_new(payload);
	assert_true(unpack_all(g.in));
	guarded_free(&g);
	/* One byte short anywhere, or one too many, is noticed. */
	for (size_t n = 0; n < payload.n; n++) {
		g = guarded_new(slice_first(payload, n));
		assert_false(unpack_all(g.in));
		guarded_free(&g);
	}
	ipc_put_u8(&o, 0);
	assert_true(ipc_out_ok(&o, &payload));
	assert_false(unpack_all(payload));
	ipc_out_fini(&o);
}

static void
lengths_are_not_believed(void **state)
{
	static const struct {
		struct slice in;
		char what; /* s slice, b bool, e enum below 3, i ip, c count of 4-byte items at
			      most 10 */
	} rows[] = {
		{SLICE("\xff\xff\xff\xff"), 's'},
		{SLICE("\x05\0\0\0abcd"), 's'},
		{SLICE("\x02"), 'b'},
		{SLICE("\x03"), 'e'},
		{SLICE("\x05\0\0\0\0"), 'i'},
		{SLICE("\x04\1\2\3"), 'i'},
		{SLICE("\x0b\0\0\0"), 'c'},
		{SLICE("\x02\0\0\0abcdefg"), 'c'},
		{SLICE("\xff\xff\xff\xff"), 'c'},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_in in;
		struct ip ip;
		ipc_in_init(&in, rows[i].in);
		switch (rows[i].what) {
		case 's': assert_int_equal(ipc_get_slice(&in).n, 0); break;
		case 'b': assert_false(ipc_get_bool(&in)); break;
		case 'e': assert_int_equal(ipc_get_enum(&in, 3), 0); break;
		case 'i':
			ipc_get_ip(&in, &ip);
			assert_int_equal(ip.family, 0);
			break;
		default: assert_int_equal(ipc_get_count(&in, 10, 4), 0); break;
		}
		assert_true(in.bad);
		assert_int_equal(ipc_get_u64(&in), 0); /* it sticks */
		assert_false(ipc_in_done(&in));
	}
}

static void
too_much_is_noticed(void **state)
{
	static char big[IPC_PAYLOAD_BYTES];
	struct ipc_out o;
	struct slice payload;
	(void)state;
	ipc_out_init(&o);
	ipc_put_slice(&o, (struct slice){big, sizeof(big) - 4});
	assert_true(ipc_out_ok(&o, &payload));
	assert_int_equal(payload.n, IPC_PAYLOAD_BYTES);
	ipc_put_u8(&o, 1);
	assert_false(ipc_out_ok(&o, &payload));
	ipc_out_fini(&o);
	/* What is kept and not sent has a bound of its own. */
	ipc_out_init_most(&o, 2 * sizeof(big) + 8);
	ipc_put_slice(&o, (struct slice){big, sizeof(big)});
	ipc_put_slice(&o, (struct slice){big, sizeof(big)});
	assert_true(ipc_out_ok(&o, &payload));
	assert_int_equal(payload.n, 2 * sizeof(big) + 8);
	ipc_put_u8(&o, 1);
	assert_false(ipc_out_ok(&o, &payload));
	ipc_out_fini(&o);
	ipc_out_init_most(&o, 8);
	ipc_put_slice(&o, SLICE("12345"));
	assert_false(ipc_out_ok(&o, &payload));
	ipc_out_fini(&o);
}

static void
the_largest_message_arrives(void **state)
{
	static char big[IPC_PAYLOAD_BYTES];
	(void)state;
	open_pair(false);
	w.stop_after = 3;
	assert_int_equal(ipc_send(w.a, 1, 1, (struct slice){big, sizeof(big)}), 0);
	assert_int_equal(ipc_send(w.a, 1, 2, SLICE_NONE), 0);
	assert_int_equal(ipc_send(w.a, 1, 3, (struct slice){big, sizeof(big)}), 0);
	run(2000);
	assert_int_equal(w.messages, 3);
	assert_int_equal(w.bytes, 2 * sizeof(big));
	close_all();
}

static int
open_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
descriptors_travel(void **state)
{
	int p[2];
	char c;
	(void)state;
	open_pair(false);
	assert_int_equal(pipe(p), 0);
	int both[4] = {p[1], p[1], p[1], p[1]};
	int before = open_fds();
	w.stop_after = 1;
	assert_int_equal(ipc_send_fds(w.a, 9, 1, SLICE("x"), both, 4), 0);
	close(p[1]);
	run(2000);
	assert_true(w.taken >= 0);
	/* One was taken, the three that nobody took are closed, and the sender's own is. */
	assert_int_equal(open_fds(), before);
	assert_int_equal(fcntl(w.taken, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(w.taken, "y", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	close(p[0]);
	close_all();
}

/* A process at its limit of descriptors gets the words without, and the channel stays. */
static void
a_receiver_without_room_for_descriptors(void **state)
{
	struct rlimit now, few;
	(void)state;
	open_pair(false);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	few = (struct rlimit){.rlim_cur = 3, .rlim_max = now.rlim_max};
	int before = open_fds();
	w.stop_after = 1;
	assert_int_equal(ipc_send_fds(w.a, 9, 1, SLICE("x"), &fd, 1), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	run(2000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(w.messages, 1);
	assert_true(w.taken < 0);
	assert_int_equal(open_fds(), before);
	w.stop_after = 2;
	assert_int_equal(ipc_send_fds(w.a, 9, 2, SLICE("x"), &fd, 1), 0);
	run(2000);
	assert_int_equal(w.gone, 0);
	assert_int_equal(w.messages, 2);
	assert_true(w.taken >= 0);
	close(fd);
	close_all();
}

/* The reader sleeps: the queue fills to its bound, refuses, and drains in order. */
static void
a_slow_reader_is_bounded(void **state)
{
	static char block[50000];
	uint32_t sent = 0;
	(void)state;
	open_pair(true);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int before = open_fds();
	while (ipc_send_fds(w.a, 1, sent + 1, (struct slice){block, sizeof(block)}, &fd, 1) ==
		0)
		assert_true(++sent < 200);
	assert_true(ipc_queued(w.a) > 512 * 1024 && ipc_queued(w.a) <= 1024 * 1024);
	assert_int_equal(w.drained, 0);
	w.b = ipc_new(w.loop, w.raw, 1024, &calls, NULL);
	w.stop_after = sent;
	run(3000);
	assert_int_equal(w.messages, sent);
	w.stop_after = 0;
	run(20);
	assert_int_equal(w.drained, 1);
	assert_int_equal(ipc_queued(w.a), 0);
	if (w.taken >= 0)
		close(w.taken);
	w.taken = -1;
	assert_int_equal(open_fds(), before); /* the copies that waited are closed */
	close(fd);
	close_all();
}

static void
the_death_of_the_other_is_told_once(void **state)
{
	(void)state;
	open_pair(true);
	close(w.raw);
	run(2000);
	assert_int_equal(w.gone, 1);
	assert_int_equal(ipc_send(w.a, 1, 1, SLICE("x")), 0); /* goes nowhere */
	run(20);
	assert_int_equal(w.gone, 1);
	close_all();
}

static void
what_is_no_message_ends_the_channel(void **state)
{
	static const struct slice rows[] = {
		SLICE("\1"),
		SLICE("\1\0\0\0\0\0\0"),
		SLICE("\1\0\1\0\0\0\0\0"),
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_pair(true);
		assert_int_equal(write(w.raw, rows[i].p, rows[i].n), rows[i].n);
		run(2000);
		assert_int_equal(w.gone, 1);
		assert_int_equal(w.messages, 0);
		close(w.raw);
		close_all();
	}
}

static void
blocking_read_before_the_loop(void **state)
{
	struct ipc_msg m;
	struct buf buf;
	struct err err;
	(void)state;
	open_pair(true);
	buf_init(&buf, IPC_PAYLOAD_BYTES);
	assert_int_equal(ipc_send(w.a, 3, 44, SLICE("config")), 0);
	assert_int_equal(ipc_read_blocking(w.raw, &buf, &m, &err), 1);
	assert_int_equal(m.type, 3);
	assert_int_equal(m.id, 44);
	assert_true(slice_eq(m.payload, SLICE("config")));
	ipc_free(&w.a);
	assert_int_equal(ipc_read_blocking(w.raw, &buf, &m, &err), 0);
	buf_fini(&buf);
	close(w.raw);
	close_all();
}

static void
blocking_waits_are_bounded(void **state)
{
	struct ipc_msg m;
	struct buf buf;
	struct err err;
	int pair[2], sent;
	(void)state;
	buf_init(&buf, IPC_PAYLOAD_BYTES);
	assert_int_equal(ipc_pair(pair, &err), 0);
	assert_int_equal(ipc_bound_waits(pair[0], 30, &err), 0);
	assert_int_equal(ipc_read_blocking(pair[0], &buf, &m, &err), -1);
	assert_int_equal(err.code, EAGAIN);
	/* nobody reads: in the end there is no room, and no thread hangs */
	char *payload = calloc(1, IPC_PAYLOAD_BYTES);
	struct slice large = {payload, IPC_PAYLOAD_BYTES};
	int written = 0;
	while (written < 100 && ipc_write_blocking(pair[0], 1, 0, large, &err) == 0)
		written++;
	assert_in_range(written, 1, 99);
	assert_int_equal(err.code, EAGAIN);
	free(payload);
	close(pair[0]);
	close(pair[1]);
	/* a descriptor, and then nobody there to take one */
	assert_int_equal(ipc_pair(pair, &err), 0);
	assert_int_equal(ipc_write_fd(pair[0], 7, STDERR_FILENO, &err), 0);
	assert_int_equal(ipc_read_blocking(pair[1], &buf, &m, &err), 1);
	assert_int_equal(m.type, 7);
	assert_true((sent = ipc_take_fd(&m, 0)) > STDERR_FILENO);
	close(sent);
	close(pair[1]);
	assert_int_equal(ipc_write_fd(pair[0], 7, STDERR_FILENO, &err), -1);
	close(pair[0]);
	buf_fini(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_is_unpacked),
		cmocka_unit_test(lengths_are_not_believed),
		cmocka_unit_test(too_much_is_noticed),
		cmocka_unit_test(the_largest_message_arrives),
		cmocka_unit_test(descriptors_travel),
		cmocka_unit_test(a_receiver_without_room_for_descriptors),
		cmocka_unit_test(a_slow_reader_is_bounded),
		cmocka_unit_test(the_death_of_the_other_is_told_once),
		cmocka_unit_test(what_is_no_message_ends_the_channel),
		cmocka_unit_test(blocking_read_before_the_loop),
		cmocka_unit_test(blocking_waits_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
