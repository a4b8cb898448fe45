/* Unpacking: the first bytes choose what is got, the rest is the payload. Nothing may be read
 * beyond it, and what was bad once stays so. */
#include <stdlib.h>

#include "base/must.h"
#include "io/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
get_one(struct ipc_in *in, unsigned what)
{
	struct ip ip;
	switch (what % 8) {
	case 0: ipc_get_u8(in); break;
	case 1: ipc_get_u16(in); break;
	case 2: ipc_get_u32(in); break;
	case 3: ipc_get_u64(in); break;
	case 4: ipc_get_bool(in); break;
	case 5: must(ipc_get_slice(in).n <= in->rest.n + IPC_PAYLOAD_BYTES); break;
	case 6: ipc_get_ip(in, &ip); break;
	default: must((size_t)ipc_get_count(in, 1000, 2) * 2 <= in->rest.n); break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { PLAN = 8 };
	struct ipc_in in;
	if (size < PLAN)
		return 0;
	ipc_in_init(&in, (struct slice){(const char *)data + PLAN, size - PLAN});
	for (size_t i = 0; i < PLAN; i++) {
		bool bad = in.bad;
		size_t before = in.rest.n;
		get_one(&in, data[i]);
		must(in.rest.n <= before);
		must(!bad || in.bad);
	}
	must(!ipc_in_done(&in) || in.rest.n == 0);
	return 0;
}
