/*
 * Between a session process and the process of libmilter (`listen milter ... through
 * libmilter`). The latter opens, for each session of the MTA, a pair of sockets (ipc.h) and
 * hands one end to a session process in SESSION; over it EVENT and ANSWER go in turn, one
 * EVENT answered before the next. Those that owe no answer get none.
 *
 * NEGOTIATE is answered by WANTS: the library negotiates itself. Both sides unpack as
 * strictly as bytes of the network.
 */
#ifndef MILTER_MESSAGES_H
#define MILTER_MESSAGES_H

#include "base/arena.h"
#include "io/ipc.h"
#include "milter/milter.h"

enum milter_message {
	MILTER_MSG_SESSION = 1, /* a descriptor: the session's own channel */
	MILTER_MSG_EVENT,
	MILTER_MSG_ANSWER,
	MILTER_MSG_WANTS,
	MILTER_MSG_PROGRESS, /* at END, before ANSWER: smfi_progress */
};

void milter_event_pack(const struct milter_event *ev, struct ipc_out *out);
/* Arrays and texts in the arena (room for 256 KiB is needed), slices into the payload. */
bool milter_event_unpack(struct slice payload, struct arena *a, struct milter_event *ev_out);
/* More edits than a message holds: ipc_out_ok tells. */
void milter_answer_pack(const struct milter_answer *answer, struct ipc_out *out);
bool
milter_answer_unpack(struct slice payload, struct arena *a, struct milter_answer *answer_out);
void milter_wants_pack(const struct milter_wants *w, struct ipc_out *out);
bool milter_wants_unpack(struct slice payload, struct milter_wants *w_out);

#endif
