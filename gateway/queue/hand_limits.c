/*
 * What `postern limits` and the keeper say to each other, as bytes; see hand_limits.h. Keys may
 * hold what a stranger sent: control characters do not get through to a terminal.
 */
#include "queue/hand_limits.h"

#include "base/must.h"

enum { VALUE_MOST = 16, ITEM_LEAST = 4 + 3 * 8 + 4 }; /* "passed", "waits" of a tuple */
_Static_assert(
	(HAND_LIMITS_MOST + 1) * (HAND_KEY_MOST + ITEM_LEAST + VALUE_MOST) <= IPC_PAYLOAD_BYTES,
	"a page fits always");

void
hand_limits_pack(const struct hand_limits *q, struct ipc_out *out)
{
	ipc_put_u8(out, (uint8_t)q->space);
	ipc_put_slice(out, q->prefix);
	ipc_put_slice(out, q->from);
}

bool
hand_limits_unpack(struct slice payload, struct hand_limits *q_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	q_out->space = (enum state_space)ipc_get_enum(&in, STATE_SPACES);
	q_out->prefix = ipc_get_slice(&in);
	q_out->from = ipc_get_slice(&in);
	return ipc_in_done(&in) && q_out->prefix.n <= HAND_KEY_MOST &&
	       q_out->from.n <= HAND_KEY_MOST;
}

void
hand_limits_page_pack(
	const struct state_item *items, size_t n, struct slice next, struct ipc_out *out)
{
	must(n <= HAND_LIMITS_MOST && next.n <= HAND_KEY_MOST);
	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		must(items[i].key.n <= HAND_KEY_MOST);
		ipc_put_slice(out, items[i].key);
		ipc_put_u64(out, items[i].count);
		ipc_put_u64(out, items[i].limit);
		ipc_put_u64(out, items[i].until_ms);
		ipc_put_slice(out, slice_first(items[i].value, VALUE_MOST));
	}
	ipc_put_slice(out, next);
}

static bool
get_item(struct ipc_in *in, struct state_item *item)
{
	*item = (struct state_item){.key = ipc_get_slice(in)};
	item->count = ipc_get_u64(in);
	item->limit = ipc_get_u64(in);
	item->until_ms = ipc_get_u64(in);
	item->value = ipc_get_slice(in);
	return !in->bad && item->key.n != 0 && item->key.n <= HAND_KEY_MOST &&
	       item->value.n <= VALUE_MOST;
}

bool
hand_limits_page_unpack(struct slice payload, struct state_item items_out[HAND_LIMITS_MOST],
	size_t *n_out, struct slice *next_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*n_out = 0;
	uint32_t n = ipc_get_count(&in, HAND_LIMITS_MOST, ITEM_LEAST);
	for (uint32_t i = 0; i < n; i++)
		if (!get_item(&in, &items_out[i]))
			return false;
	*next_out = ipc_get_slice(&in);
	if (!ipc_in_done(&in) || next_out->n > HAND_KEY_MOST)
		return false;
	*n_out = n;
	return true;
}

void
hand_limits_key_pack(struct slice key, struct ipc_out *out)
{
	ipc_put_slice(out, key);
}

bool
hand_limits_key_unpack(struct slice payload, struct slice *key_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*key_out = ipc_get_slice(&in);
	return ipc_in_done(&in) && key_out->n != 0 && key_out->n <= STATE_KEY_MOST;
}

void
hand_limits_done_pack(uint32_t done, struct ipc_out *out)
{
	ipc_put_u32(out, done);
}

bool
hand_limits_done_unpack(struct slice payload, uint32_t *done_out)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*done_out = ipc_get_u32(&in);
	return ipc_in_done(&in) && *done_out <= STATE_SPACES;
}
