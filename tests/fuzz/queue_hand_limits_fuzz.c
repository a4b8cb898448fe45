/*
 * Messages of `postern limits` and of the keeper as a broken program might send them: the first
 * byte says which. What is taken packs again to the same bytes.
 */
#include <stdint.h>

#include "base/must.h"
#include "queue/hand_limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
pack_again(uint8_t which, struct slice payload, struct ipc_out *out)
{
	static struct state_item items[HAND_LIMITS_MOST];
	struct hand_limits q;
	struct slice s;
	uint32_t done;
	size_t n;
	bool is_right = false;
	switch (which % 4) {
	case 0:
		if ((is_right = hand_limits_unpack(payload, &q)))
			hand_limits_pack(&q, out);
		break;
	case 1:
		if ((is_right = hand_limits_page_unpack(payload, items, &n, &s)))
			hand_limits_page_pack(items, n, s, out);
		break;
	case 2:
		if ((is_right = hand_limits_key_unpack(payload, &s)))
			hand_limits_key_pack(s, out);
		break;
	default:
		if ((is_right = hand_limits_done_unpack(payload, &done)))
			hand_limits_done_pack(done, out);
	}
	return is_right;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_out out;
	struct slice again;
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	ipc_out_init(&out);
	if (pack_again(data[0], payload, &out))
		must(ipc_out_ok(&out, &again) && slice_eq(again, payload));
	ipc_out_fini(&out);
	return 0;
}
