/*
 * `postern limits` and the keeper, over the same socket as hand_messages.h:
 *
 *   LIMITS        space, prefix, from     LIMITS_PAGE  items, and where it goes on
 *   LIMITS_RESET  key                     LIMITS_DONE  from how many spaces it went
 *
 * or HAND_MSG_ERROR. Neither side trusts what it unpacks.
 */
#ifndef QUEUE_HAND_LIMITS_H
#define QUEUE_HAND_LIMITS_H

#include "io/ipc.h"
#include "state/state.h"

enum hand_limits_msg {
	HAND_MSG_LIMITS = 0x2101,
	HAND_MSG_LIMITS_RESET,
	HAND_MSG_LIMITS_PAGE,
	HAND_MSG_LIMITS_DONE
};

enum {
	HAND_KEY_MOST = STATE_KEY_MOST + 16, /* as an engine shows them */
	HAND_LIMITS_MOST = 200,              /* of a page: they fit always */
};

struct hand_limits {
	enum state_space space;
	struct slice prefix, from; /* from: empty, or `next` of the page before */
};

void hand_limits_pack(const struct hand_limits *q, struct ipc_out *out);
bool hand_limits_unpack(struct slice payload, struct hand_limits *q_out);
/* At most HAND_LIMITS_MOST; values are left out. next: empty, it was the last. */
void hand_limits_page_pack(
	const struct state_item *items, size_t n, struct slice next, struct ipc_out *out);
bool hand_limits_page_unpack(struct slice payload,
	struct state_item items_out[HAND_LIMITS_MOST], size_t *n_out, struct slice *next_out);
void hand_limits_key_pack(struct slice key, struct ipc_out *out);
bool hand_limits_key_unpack(struct slice payload, struct slice *key_out);
void hand_limits_done_pack(uint32_t done, struct ipc_out *out);
bool hand_limits_done_unpack(struct slice payload, uint32_t *done_out);

#endif
