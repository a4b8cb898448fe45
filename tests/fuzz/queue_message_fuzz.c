/*
 * Transactions and results as a broken process might send them. What is taken must be fit for
 * use: packed again it fits, and nothing in it could end a line of a command.
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "queue/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const struct queue_take *t, int file)
{
	struct ipc_out out;
	struct err err;
	int fds[IPC_FDS_MOST], large;
	size_t n;
	ipc_out_init(&out);
	must(queue_take_pack(t, file, &out, fds, &n, &large, &err) == 0);
	ipc_out_fini(&out);
	if (large >= 0)
		close(large);
}

/* large: its bytes come in a file beside the flags. */
static void
check_take(struct slice payload, bool large, struct arena *a)
{
	struct ipc_msg m = {.type = QUEUE_MSG_TAKE, .payload = payload, .nfds = 2};
	struct queue_take t;
	int file;
	m.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	m.fds[1] = memfd_create("fuzz", MFD_CLOEXEC);
	must(m.fds[0] >= 0 && m.fds[1] >= 0);
	if (large && payload.n > 1) {
		struct slice rest = slice_from(payload, 1);
		must(write(m.fds[1], rest.p, rest.n) == (ssize_t)rest.n);
		m.payload = slice_first(payload, 1);
	}
	if (queue_take_unpack(&m, a, &t, &file)) {
		must(t.n > 0);
		bool own = false;
		for (size_t i = 0; i < t.n; i++)
			own = own || !t.parcels[i].beside;
		must(own);
		for (size_t i = 0; i < t.n; i++)
			must(t.parcels[i].mail.n_rcpts > 0 && t.parcels[i].body.bytes > 0 &&
				!slice_has(t.parcels[i].mail.sender.raw, '\n') &&
				!slice_has(t.parcels[i].mail.rcpts[0].address.raw, '\r'));
		check_again(&t, file);
	}
	if (file >= 0)
		close(file);
	for (size_t i = 0; i < 2; i++)
		if (m.fds[i] >= 0)
			close(m.fds[i]);
}

static void
check_result(struct slice payload, struct arena *a)
{
	struct queue_result r;
	struct buf line;
	if (!queue_result_unpack(payload, a, &r))
		return;
	buf_init(&line, 64 * 1024);
	must(smtp_reply_write(&r.reply, &line) == 0);
	buf_fini(&line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	struct arena *a = arena_new(QUEUE_TAKE_ARENA);
	switch (data[0] % 3) {
	case 0: check_take(payload, false, a); break;
	case 1: check_take(payload, true, a); break;
	default: check_result(payload, a); break;
	}
	arena_free(&a);
	return 0;
}
