/*
 * Messages of the state as a broken process might send them: the first byte says which. What is
 * taken is right by state_op_ok and packs again to the same bytes.
 */
#include <stdint.h>

#include "base/must.h"
#include "state/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_ops(struct slice payload, struct ipc_out *out)
{
	static struct state_op ops[STATE_OPS_MOST];
	struct slice again;
	size_t n;
	if (!state_ops_unpack(payload, ops, &n))
		return;
	must(n > 0 && n <= STATE_OPS_MOST);
	for (size_t i = 0; i < n; i++)
		must(state_op_ok(&ops[i]));
	state_ops_pack(ops, n, out);
	must(ipc_out_ok(out, &again) && slice_eq(again, payload));
}

static void
check_answers(struct slice payload, struct ipc_out *out)
{
	static struct state_answer answers[STATE_OPS_MOST];
	struct slice again;
	size_t n;
	if (!state_answers_unpack(payload, answers, &n))
		return;
	must(n > 0 && n <= STATE_OPS_MOST);
	state_answers_pack(answers, n, out);
	must(ipc_out_ok(out, &again) && slice_eq(again, payload));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_out out;
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	ipc_out_init(&out);
	if (data[0] % 2 == 0)
		check_ops(payload, &out);
	else
		check_answers(payload, &out);
	ipc_out_fini(&out);
	return 0;
}
