/*
 * The messages between a session process and the keeper (io/ipc.h): one transaction goes there
 * as it shall leave or stay, one result comes back under the same id.
 *
 *   session  --QUEUE_MSG_TAKE-->    keeper   [the transaction; descriptors below]
 *   session  --QUEUE_MSG_CANCEL-->  keeper   [empty: the client is gone]
 *   session  <--QUEUE_MSG_RESULT--  keeper   exactly once for each TAKE, cancelled or not
 *
 * A transaction is one mail of the client in one or more parcels: recipients that get the same
 * bytes and meet the same fate. The bytes of all parcels are ranges of one descriptor (the
 * session's spill file) and memory parts. Descriptors: 0 the spill file, where QUEUE_HAS_FILE
 * is set; the next one the packed transaction itself, where it is too large for a message
 * (QUEUE_IS_LARGE: then the payload holds the flags alone, and a memfd sealed against writing
 * the rest).
 *
 * What the keeper does with it is the contract of DESIGN.md, "Outbound". After CANCEL, or when
 * the session's channel closes, no final dot is started for what was not yet answered, and
 * nothing of it is kept; what is answered is not touched by either.
 */
#ifndef QUEUE_MESSAGES_H
#define QUEUE_MESSAGES_H

#include "base/arena.h"
#include "io/ipc.h"
#include "queue/stored.h"

enum queue_msg { QUEUE_MSG_TAKE = 0x1001, QUEUE_MSG_CANCEL, QUEUE_MSG_RESULT };

enum {
	QUEUE_PARCELS_MOST = 1000,
	QUEUE_LARGE_MOST = 8 * 1024 * 1024,  /* a packed transaction in a memfd */
	QUEUE_INLINE_BYTES = 64 * 1024,      /* memory parts of bodies in a message itself */
	QUEUE_TAKE_ARENA = 64 * 1024 * 1024, /* what a transaction may need when unpacked */
};

struct queue_parcel {
	struct stored_mail mail; /* kind, recipients, ...; `log` and `sender` of the mail */
	struct relay_body body;  /* all file parts of one descriptor, that of the transaction */
	/*
	 * A mail beside the client's own (a copy, the journal's report, a notice): stored with
	 * it before any of it is sent, withdrawn where the client's own is not taken. What
	 * becomes of it is in no reply: it goes on when the client has its answer.
	 */
	bool beside;
	bool refused; /* these recipients are refused by a rule, in the words of `reply`: if
			 anybody else is served, they are told as the keeper tells of any
			 failure */
	struct smtp_reply reply;
};

struct queue_take {
	/*
	 * How long the client may be kept waiting for the remotes' answers. 0: not at all, what
	 * is taken is stored and answered at once (`send queued`, a spent budget).
	 */
	uint32_t budget_ms;
	/*
	 * Where nobody has taken it, and somebody only puts it off, the client keeps its mail
	 * (451): of a mail from outside custody is taken only where the outcome is split, or a
	 * rule wants it. hold: or where nobody could be reached (`hold when unreachable`).
	 */
	bool give_back, hold;
	struct slice client; /* whose waits are counted together: account, or address */
	struct queue_parcel *parcels;
	size_t n;
};

/*
 * -1 and err: no memfd to be had, or more than QUEUE_LARGE_MOST. file: the descriptor that the
 * bodies' file parts mean, or -1. fds_out: to be sent along, n_fds_out of them, in this order;
 * *large_out is the caller's to close after sending (-1: none).
 */
int queue_take_pack(const struct queue_take *t, int file, struct ipc_out *out,
	int fds_out[IPC_FDS_MOST], size_t *n_fds_out, int *large_out, struct err *err);
/*
 * Everything in the arena (the payload is copied there). Takes the descriptors out of m:
 * *file_out is the caller's to close (-1: none), the bodies' file parts mean it. False: not a
 * transaction of ours: no parcel, none of the client's own, no recipient, file parts without a
 * file, ranges beyond 2^62, or more than fits into the arena (QUEUE_TAKE_ARENA).
 */
bool
queue_take_unpack(struct ipc_msg *m, struct arena *a, struct queue_take *t_out, int *file_out);

enum queue_end {
	QUEUE_DELIVERED, /* every recipient that is not refused has its mail: the remote's words
			  */
	QUEUE_QUEUED,    /* in custody, in part or whole */
	QUEUE_REFUSED,   /* by all: nothing is kept */
	QUEUE_PUT_OFF,   /* given back: nothing is kept, 451 */
	QUEUE_FAILED,    /* not stored: 451 */
	QUEUE_FULL,      /* no room: 452 */
	QUEUE_CANCELLED,
	QUEUE_ENDS
};
const char *queue_end_text(enum queue_end e);

struct queue_result {
	enum queue_end end;
	struct smtp_reply reply; /* for the client, whole: code, enhanced code, words */
	bool from_hop;           /* the words are a remote's; quoted in `reply` */
	struct slice hop, host;  /* of the remote whose words they are; may be empty */
	uint32_t delivered, refused, waiting, kept; /* recipients; kept: held, quarantined */
	uint32_t notices;     /* DSNs that were stored for refused ones before the answer */
	struct custody_id id; /* of the first parcel in custody; all zero: none is */
	/* For the session's line in the log and its cache of refused recipients. */
	struct relay_rcpt *rcpts; /* in the order of all parcels: fate, reply, phase */
	size_t n_rcpts;
};

/* Words of replies are cut so that it always fits. Beyond 1,000 recipients rcpts is empty. */
void queue_result_pack(const struct queue_result *r, struct ipc_out *out);
bool queue_result_unpack(struct slice payload, struct arena *a, struct queue_result *r_out);

#endif
