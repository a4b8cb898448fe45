/*
 * The messages between `postern queue` and the keeper, over the socket "control" in the spool
 * folder (io/ipc.h). One question at a time; its answers come back under its id:
 *
 *   LIST    filter, from         ITEMS (any number of them), then PAGE: where it goes on
 *   SHOW    id                   BYTES ...: envelope and note as they are stored
 *   WHY     id                   BYTES ...: lines of text
 *   BODY    id, offset           BYTES, once: a piece of the mail
 *   HEAD    id                   BYTES, once: its header, cut to HAND_BYTES_MOST
 *   ACT     action, ids          DONE
 *   COUNTS  nothing              STATE
 *
 * or ERROR, with words, in place of any. Neither side trusts what it unpacks. The body of a
 * mail in quarantine comes only when the scanner of now has nothing against it
 * (queue/README.md).
 */
#ifndef QUEUE_HAND_MESSAGES_H
#define QUEUE_HAND_MESSAGES_H

#include "queue/egress.h"
#include "queue/schedule.h"
#include "queue/stored.h"

enum hand_msg {
	HAND_MSG_LIST = 0x2001,
	HAND_MSG_SHOW,
	HAND_MSG_WHY,
	HAND_MSG_BODY,
	HAND_MSG_ACT,
	HAND_MSG_COUNTS,
	HAND_MSG_ITEMS,
	HAND_MSG_PAGE,
	HAND_MSG_BYTES,
	HAND_MSG_DONE,
	HAND_MSG_STATE,
	HAND_MSG_ERROR,
	HAND_MSG_HEAD,
};

enum {
	HAND_PAGE_MOST = 200,  /* mails looked at for one LIST */
	HAND_IDS_MOST = 1000,  /* of one ACT */
	HAND_SITES_MOST = 32,  /* of one mail in a list */
	HAND_RCPTS_MOST = 3,   /* likewise */
	HAND_WORDS_MOST = 256, /* last words in a list, addresses are up to 512 */
	HAND_BYTES_MOST = 64 * 1024,
	HAND_TEXT_MOST = 32 * 1024, /* the egress state's evidence */
	HAND_BY_MOST = 64,          /* of a name that somebody gives as his own */
};

/* Which mails; what is empty or false asks for nothing. All that is asked for must hold. */
struct hand_filter {
	bool by_id, by_class, by_kind, held;
	bool virus; /* the last scan found one */
	struct custody_id id;
	struct slice sender;      /* "a@b" or "@b"; "<>": the null sender. Without case */
	struct slice recipient;   /* "a@b" or "@b": any recipient of the mail */
	struct slice destination; /* the site of a recipient that is still open */
	struct slice quarantine;
	struct slice client; /* an address, as it is written */
	struct slice rule; /* "postern.conf:31", with the folders before it or without; "31" */
	enum failure_class class; /* of the last attempt of a recipient that is still open */
	enum stored_kind kind;
	uint64_t older_ms; /* arrived at least so long ago */
	uint64_t since_ms; /* at most so long ago */
};

struct hand_body { /* what BODY asks for */
	struct custody_id id;
	uint64_t offset;
	bool unscannable; /* as of struct hand_act */
	struct slice by;
};

struct hand_list {
	struct hand_filter filter;
	uint64_t from; /* 0, or `next` of the last page */
};

struct hand_site {
	struct slice site;
	uint32_t waiting; /* recipients there that are open */
	uint64_t due_ms;  /* wall clock; 0: at once, or not planned */
	bool tried;
	enum failure_class class; /* tried: why the last attempt failed */
};

struct hand_item {
	struct custody_id id;
	bool readable; /* false: of another release, or damaged; only id and bytes are known */
	bool own, held, expire, notification, tried;
	enum stored_kind kind;
	enum direction direction;
	uint64_t arrived_ms, hold_until_ms, due_ms, last_ms; /* wall clock; 0: none */
	uint64_t bytes;                                      /* of the mail */
	uint32_t attempts;                                   /* the most of any recipient */
	enum failure_class class; /* tried: why the last attempt of all failed, */
	struct slice words;       /* and the reply, in one line */
	struct slice sender;      /* empty: <> */
	struct slice quarantine, reason;
	struct slice virus; /* that the last scan found; empty: none */
	struct ip client;
	uint32_t states[RCPT_STATES]; /* recipients in each */
	struct slice rcpts[HAND_RCPTS_MOST];
	size_t n_rcpts;
	struct hand_site *sites; /* of open recipients, the first HAND_SITES_MOST */
	size_t n_sites;
	uint32_t more_sites;
};

struct hand_page {
	uint64_t next;
	bool end;
	uint32_t seen, matched;
};

enum hand_action {
	HAND_HOLD,    /* nothing is tried until released */
	HAND_RELEASE, /* out of hold, by hand or by rule, and out of quarantine: on its way */
	HAND_RETRY,   /* due at once, its sites' back-off is over */
	HAND_EXPIRE,  /* given up at the next step, as if its time were over */
	HAND_DROP,    /* gone; nobody is told */
	HAND_FORWARD, /* of quarantine: a copy to `to`; it stays itself */
	HAND_LOOK,    /* the keeper's own: may it be shown? */
	HAND_ACTIONS
};
const char *hand_action_text(enum hand_action a);

struct hand_act {
	enum hand_action action;
	bool unscannable; /* also what no scanner can look into as a whole */
	struct slice by;  /* who says that he does it; may be empty */
	struct slice to;  /* FORWARD: an address in a declared domain */
	struct custody_id *ids;
	size_t n;
};

struct hand_done {
	uint32_t done, missing, failed; /* missing: not there any more, or nothing to do */
	uint32_t refused;               /* a scan stands against it, or is not to be had */
	struct slice why;               /* where some failed or were refused, of the first */
};

struct hand_fill { /* of the quarantine */
	uint64_t items, bytes;
	uint64_t most; /* bytes; 0: no limit */
};

struct hand_state {
	struct schedule_counts schedule;
	struct custody_space space;
	struct hand_fill quarantine;
	enum egress_state egress;
	struct slice egress_text; /* cut to HAND_TEXT_MOST */
};

/* All pack functions: it fits always, longer words are cut; unpacked slices borrow from the
 * payload, arrays live in the arena. False: not what we would send. */
void hand_list_pack(const struct hand_list *q, struct ipc_out *out);
bool hand_list_unpack(struct slice payload, struct hand_list *q_out);
void hand_id_pack(const struct custody_id *id, struct ipc_out *out); /* SHOW, WHY, HEAD */
bool hand_id_unpack(struct slice payload, struct custody_id *id_out);
void hand_body_pack(const struct hand_body *b, struct ipc_out *out);
bool hand_body_unpack(struct slice payload, struct hand_body *b_out);
void hand_act_pack(const struct hand_act *act, struct ipc_out *out); /* n <= HAND_IDS_MOST */
bool hand_act_unpack(struct slice payload, struct arena *a, struct hand_act *act_out);

/* ITEMS: -1: it does not fit beside what is in out already; nothing was added. */
int hand_items_add(const struct hand_item *item, struct ipc_out *out);
bool hand_items_unpack(
	struct slice payload, struct arena *a, struct hand_item **items_out, size_t *n_out);
void hand_page_pack(const struct hand_page *p, struct ipc_out *out);
bool hand_page_unpack(struct slice payload, struct hand_page *p_out);
/* At most HAND_BYTES_MOST; last: no more of them. */
void hand_bytes_pack(struct slice bytes, bool last, struct ipc_out *out);
bool hand_bytes_unpack(struct slice payload, struct slice *bytes_out, bool *last_out);
void hand_done_pack(const struct hand_done *d, struct ipc_out *out);
bool hand_done_unpack(struct slice payload, struct hand_done *d_out);
void hand_state_pack(const struct hand_state *s, struct ipc_out *out);
bool hand_state_unpack(struct slice payload, struct hand_state *s_out);

/* What SHOW's bytes hold together. */
struct hand_stored {
	uint64_t bytes; /* of the body */
	struct slice envelope, note;
};
int hand_stored_pack(const struct hand_stored *s, struct buf *out);
bool hand_stored_unpack(struct slice bytes, struct hand_stored *s_out);
enum { HAND_STORED_MOST = CUSTODY_ENVELOPE_MOST + CUSTODY_NOTE_MOST + 16 };

#endif
