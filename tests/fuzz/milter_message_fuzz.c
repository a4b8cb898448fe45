/*
 * Messages between a session and the process of libmilter, as a broken one of them might send
 * them. What is taken can be packed again, and is the same.
 */
#include <stdint.h>

#include "base/must.h"
#include "milter/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 256 * 1024 };

static void
check_same(struct ipc_out *out, struct slice payload)
{
	struct slice packed;
	must(ipc_out_ok(out, &packed) && slice_eq(packed, payload));
}

/* A reply is cleaned, so its bytes may differ: from the second time on they are the same. */
static void
check_reply(struct ipc_out *out, struct arena *a, const struct milter_answer *answer)
{
	struct slice packed;
	struct milter_answer again;
	must(ipc_out_ok(out, &packed) && milter_answer_unpack(packed, a, &again));
	must(slice_eq(again.reply.text, answer->reply.text));
	must(again.reply.code == answer->reply.code && again.n_edits == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	struct arena *a = arena_new(ARENA_BYTES);
	struct milter_event ev;
	struct milter_answer answer;
	struct milter_wants w;
	struct ipc_out out;
	ipc_out_init(&out);
	if (data[0] % 3 == 0 && milter_event_unpack(payload, a, &ev)) {
		milter_event_pack(&ev, &out);
		check_same(&out, payload);
	} else if (data[0] % 3 == 1 && milter_answer_unpack(payload, a, &answer)) {
		milter_answer_pack(&answer, &out);
		if (answer.verdict == MILTER_REPLY)
			check_reply(&out, a, &answer);
		else
			check_same(&out, payload);
	} else if (data[0] % 3 == 2 && milter_wants_unpack(payload, &w)) {
		milter_wants_pack(&w, &out);
		check_same(&out, payload);
	}
	ipc_out_fini(&out);
	arena_free(&a);
	return 0;
}
