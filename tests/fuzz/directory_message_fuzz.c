/*
 * Look-ups as a broken session might send them to the directory process, answers as a broken
 * directory process might send them back. What is taken can be packed again, and is the same.
 */
#include <stdint.h>

#include "base/must.h"
#include "directory/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_lookup(struct slice payload)
{
	struct directory_lookup l;
	struct ipc_out out;
	struct slice packed;
	if (!directory_lookup_unpack(payload, &l))
		return;
	must(l.value.n <= DIRECTORY_VALUE_MOST && l.table.n <= DIRECTORY_TABLE_MOST);
	ipc_out_init(&out);
	directory_lookup_pack(&l, &out);
	must(ipc_out_ok(&out, &packed) && slice_eq(packed, payload));
	ipc_out_fini(&out);
}

static void
check_answer(struct slice payload)
{
	struct directory_answer a;
	struct ipc_out out;
	struct slice packed;
	if (!directory_answer_unpack(payload, &a))
		return;
	must(a.found <= DIRECTORY_FAILED && a.why.n <= DIRECTORY_WHY_MOST);
	ipc_out_init(&out);
	directory_answer_pack(&a, &out);
	must(ipc_out_ok(&out, &packed) && slice_eq(packed, payload));
	ipc_out_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	if (data[0] == 0)
		check_lookup(payload);
	else
		check_answer(payload);
	return 0;
}
