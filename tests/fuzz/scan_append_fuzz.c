/*
 * Jobs of `append` as a broken session might send them, and plans as a scanner that a mail has
 * taken over might send them back: what is taken stays within its mail, and is the same when it
 * is packed again.
 */
#include <stdint.h>

#include "base/must.h"
#include "scan/append_messages.h"
#include "scan/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MOST = 4 * 1024 * 1024 };

static void
check_job(struct slice payload, bool has_fd)
{
	struct append_job j;
	struct ipc_out out;
	struct slice packed;
	if (!append_job_unpack(payload, has_fd, &j))
		return;
	must(j.text.n != 0 && j.text.n <= APPEND_TEXT_MOST && j.html.n <= APPEND_TEXT_MOST);
	must(j.body.n <= SCAN_INLINE_BYTES && (has_fd || j.bytes == j.body.n));
	ipc_out_init(&out);
	append_job_pack(&j, &out);
	must(ipc_out_ok(&out, &packed) && slice_eq(packed, payload));
	ipc_out_fini(&out);
}

static void
check_plan(struct slice payload, uint64_t bytes)
{
	struct append_plan p;
	struct arena *a = arena_new(ARENA_MOST);
	if (append_plan_unpack(payload, bytes, a, &p)) {
		struct ipc_out out;
		struct slice packed;
		uint64_t end = 0;
		for (size_t i = 0; i < p.n; i++) {
			must(i == 0 || p.splices[i].at > end);
			end = p.splices[i].at + p.splices[i].cut;
			must(end <= bytes);
		}
		must((p.status == APPEND_DONE) == (p.n != 0));
		ipc_out_init(&out);
		append_plan_pack(&p, &out);
		must(ipc_out_ok(&out, &packed) && packed.n <= payload.n);
		ipc_out_fini(&out);
	}
	arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	if (data[0] < 2)
		check_job(payload, data[0] == 1);
	else
		check_plan(payload, data[0]);
	return 0;
}
