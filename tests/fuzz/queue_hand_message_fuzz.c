/*
 * Messages of `postern queue` and of the keeper as a broken program might send them: the first
 * byte says which. What is taken must be fit for use: packed again it fits, and no control
 * character of it would reach a terminal.
 */
#include <stdint.h>

#include "base/must.h"
#include "io/ipc.h"
#include "queue/hand_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be_clean(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		must((unsigned char)s.p[i] >= ' ' && s.p[i] != 0x7f);
}

static void
check_list(struct slice payload, struct ipc_out *out)
{
	struct hand_list q;
	struct slice again;
	if (!hand_list_unpack(payload, &q))
		return;
	must_be_clean(q.filter.sender);
	must_be_clean(q.filter.rule);
	hand_list_pack(&q, out);
	must(ipc_out_ok(out, &again) && slice_eq(again, payload));
}

static void
check_act(struct slice payload, struct arena *a, struct ipc_out *out)
{
	struct hand_act act;
	struct slice again;
	if (!hand_act_unpack(payload, a, &act))
		return;
	must_be_clean(act.to);
	hand_act_pack(&act, out);
	must(ipc_out_ok(out, &again) && slice_eq(again, payload));
}

static void
check_items(struct slice payload, struct arena *a, struct ipc_out *out)
{
	struct hand_item *items;
	size_t n;
	if (!hand_items_unpack(payload, a, &items, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		must_be_clean(items[i].words);
		must_be_clean(items[i].sender);
		must_be_clean(items[i].virus);
		must(items[i].n_rcpts <= HAND_RCPTS_MOST);
		must(hand_items_add(&items[i], out) == 0);
	}
}

static void
check_state(struct slice payload, struct ipc_out *out)
{
	struct hand_state s;
	struct slice again;
	if (!hand_state_unpack(payload, &s))
		return;
	hand_state_pack(&s, out);
	must(ipc_out_ok(out, &again) && slice_eq(again, payload));
}

static void
check_done(struct slice payload, struct ipc_out *out)
{
	struct hand_done d;
	struct slice again;
	if (!hand_done_unpack(payload, &d))
		return;
	hand_done_pack(&d, out);
	must(ipc_out_ok(out, &again) && slice_eq(again, payload));
}

static void
check_small(struct slice payload)
{
	struct custody_id id;
	struct hand_body body;
	struct hand_page page;
	struct hand_stored stored;
	struct slice bytes;
	bool last;
	must(!hand_id_unpack(payload, &id) || payload.n == CUSTODY_ID_BYTES);
	if (hand_body_unpack(payload, &body)) {
		must(payload.n == CUSTODY_ID_BYTES + 8 + 1 + 4 + body.by.n);
		must_be_clean(body.by);
	}
	if (hand_page_unpack(payload, &page))
		must(page.matched <= page.seen);
	if (hand_bytes_unpack(payload, &bytes, &last))
		must(bytes.n <= HAND_BYTES_MOST);
	if (hand_stored_unpack(payload, &stored))
		must(stored.envelope.n + stored.note.n <= payload.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_out out;
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	struct arena *a = arena_new((size_t)64 * 1024 * 1024);
	ipc_out_init(&out);
	switch (data[0] % 6) {
	case 0: check_list(payload, &out); break;
	case 1: check_act(payload, a, &out); break;
	case 2: check_items(payload, a, &out); break;
	case 3: check_state(payload, &out); break;
	case 4: check_done(payload, &out); break;
	default: check_small(payload); break;
	}
	ipc_out_fini(&out);
	arena_free(&a);
	return 0;
}
