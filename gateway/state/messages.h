/*
 * The messages between a process that asks of the state and the keeper (io/ipc.h): some
 * operations go there, as many answers come back under the same id, in their order.
 *
 *   STATE_MSG_ASK     [n operations]   ->  STATE_MSG_ANSWER  [n answers]
 *   STATE_MSG_TELL    [n operations: GIVE, PASS, SET; id 0]  no answer
 *
 * Neither side trusts what it unpacks.
 */
#ifndef STATE_MESSAGES_H
#define STATE_MESSAGES_H

#include "io/ipc.h"
#include "state/state.h"

enum state_msg { STATE_MSG_ASK = 0x1101, STATE_MSG_ANSWER, STATE_MSG_TELL };

/* n <= STATE_OPS_MOST; they fit always. */
void state_ops_pack(const struct state_op *ops, size_t n, struct ipc_out *out);
/* Slices borrow from the payload. False: not operations, or one that is not right. */
bool
state_ops_unpack(struct slice payload, struct state_op ops_out[STATE_OPS_MOST], size_t *n_out);
void state_answers_pack(const struct state_answer *answers, size_t n, struct ipc_out *out);
bool state_answers_unpack(
	struct slice payload, struct state_answer answers_out[STATE_OPS_MOST], size_t *n_out);

#endif
