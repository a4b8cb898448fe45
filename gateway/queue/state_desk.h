/*
 * The keeper's side of the gateway's state (state/state.h): it owns the engine in the folder
 * "state" of the spool, answers what sessions ask (state/messages.h) and what `postern limits`
 * asks (hand_limits.h), and has it written once a second. An engine that cannot be had answers
 * FAILED, and is tried again; no mail in custody waits for it.
 */
#ifndef QUEUE_STATE_DESK_H
#define QUEUE_STATE_DESK_H

#include "io/control.h"
#include "queue/hand.h"
#include "state/state.h"

struct state_desk;

enum { STATE_FLUSH_MS = 1000, STATE_AGAIN_MS = 10 * 1000 };

/* spool: the folder; stays the caller's. Within the sandbox. */
struct state_desk *state_desk_new(struct loop *l, int spool);
/* With a last write. Questions that are open come back to nobody. */
void state_desk_free(struct state_desk **d);
/* STATE_MSG_ASK, STATE_MSG_TELL. False: not such a message. */
bool
state_desk_message(struct state_desk *d, struct service_client *from, const struct ipc_msg *m);
void state_desk_client_gone(struct state_desk *d, struct service_client *client);
/* hand_config's `other`. */
bool state_desk_hand(
	void *desk, uint32_t uid, const struct ipc_msg *m, hand_other_fn *fn, void *arg);

#endif
