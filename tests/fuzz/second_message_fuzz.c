/*
 * Jobs as a broken session might send them to the process of the second engines, outputs as a
 * broken engine might send them back, down to what the filters read. What is taken can be
 * packed again, and is the same.
 */
#include <stdint.h>

#include "base/must.h"
#include "second/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_job(struct slice payload, bool has_fd)
{
	struct second_job j, again;
	struct ipc_out out;
	struct slice packed;
	if (!second_job_unpack(payload, has_fd, &j))
		return;
	must(j.engine < SECOND_ENGINES && j.body.n <= SECOND_INLINE_BYTES);
	ipc_out_init(&out);
	second_job_pack(&j, &out);
	must(ipc_out_ok(&out, &packed) && slice_eq(packed, payload));
	must(second_job_unpack(packed, has_fd, &again) && slice_eq(again.input, j.input));
	ipc_out_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice output;
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	if (data[0] < 2)
		check_job(payload, data[0] == 1);
	else
		(void)second_output_unpack(payload, &output);
	return 0;
}
