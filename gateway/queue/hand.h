/*
 * The keeper's side of `postern queue` (hand_messages.h): a listening socket, at most
 * HAND_CLIENTS_MOST clients at once, one question of each under way. Only root and the user
 * that the keeper runs as are heard, as the kernel tells them. A list is read from the store a
 * page at a time, so that no question holds up the mails; what changes anything is done by the
 * keeper's own act(), and the body of a mail in quarantine is shown when act() has nothing
 * against it (HAND_LOOK).
 */
#ifndef QUEUE_HAND_H
#define QUEUE_HAND_H

#include "io/ipc.h"
#include "io/loop.h"
#include "queue/hand_item.h"

struct hand;

enum { HAND_CLIENTS_MOST = 8, HAND_IDLE_MS = 10 * 60 * 1000 };

/* d: valid in the call. */
typedef void hand_done_fn(void *arg, const struct hand_done *d);

/* The one answer to such a message: its type and bytes, valid in the call. */
typedef void hand_other_fn(void *arg, uint16_t type, struct slice payload);

struct hand_config {
	struct loop *loop;
	int listen_fd; /* SOCK_SEQPACKET, listening (ipc_listen); owned */
	struct custody *custody;
	struct schedule *schedule;
	/* act: valid until fn, which comes once, now or later. `by` is who, as the kernel says,
	 * and whom he says he is. */
	void (*act)(void *arg, const struct hand_act *act, hand_done_fn *fn, void *done_arg);
	const char *user; /* whom the keeper runs as; NULL: by number alone */
	hand_part_fn *part_of;
	const struct queue_settings *(*settings)(void *arg);
	enum egress_state (*egress_state)(void *arg);
	struct slice (*egress_text)(void *arg, struct arena *a);
	struct hand_fill (*fill)(void *arg);
	/* Messages that hand_messages.h does not name; false: nobody's. fn: once, now or later.
	 */
	bool (*other)(void *arg, uint32_t uid, const struct ipc_msg *m, hand_other_fn *fn,
		void *done_arg);
	void *arg;
	int64_t (*wall_ms)(void); /* NULL: clock_wall_ms */
};

struct hand *hand_new(const struct hand_config *config);
/* Clients are closed. Calls to the store and act() that are open come back to nobody: before
 * or after this, but they do come. */
void hand_free(struct hand **h);

#endif
