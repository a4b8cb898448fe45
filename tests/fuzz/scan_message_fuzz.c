/*
 * Jobs as a broken session might send them to a scanner, and reports as a scanner that a mail
 * has taken over might send them back. What is taken can be packed again, and is the same.
 */
#include <stdint.h>

#include "base/must.h"
#include "scan/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MOST = 4 * 1024 * 1024 };

static void
check_job(struct slice payload, bool has_fd)
{
	struct scan_job j;
	struct ipc_out out;
	struct slice packed;
	if (!scan_job_unpack(payload, has_fd, &j))
		return;
	must(j.want != 0 && j.want <= SCAN_WANT_ALL && j.set < 2);
	must(j.body.n <= SCAN_INLINE_BYTES && (has_fd || j.bytes == j.body.n));
	ipc_out_init(&out);
	scan_job_pack(&j, &out);
	must(ipc_out_ok(&out, &packed) && slice_eq(packed, payload));
	ipc_out_fini(&out);
}

/* What does not fit is cut once, and then stays as it is. */
static void
check_report(struct slice payload)
{
	struct scan_report r, again;
	struct ipc_out out;
	struct slice packed;
	struct arena *a = arena_new(ARENA_MOST);
	if (scan_report_unpack(payload, a, &r)) {
		must(r.status <= SCAN_UNSCANNABLE && r.n_attachments <= SCAN_ATTACHMENTS_MOST);
		ipc_out_init(&out);
		scan_report_pack(&r, &out);
		must(ipc_out_ok(&out, &packed) && scan_report_unpack(packed, a, &again));
		must(again.n_attachments == r.n_attachments);
		must(again.status == r.status || again.status == SCAN_UNSCANNABLE);
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
		check_report(payload);
	return 0;
}
