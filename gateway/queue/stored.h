/*
 * A mail in custody: what its envelope and its note hold, and their bytes (custody.h keeps
 * both without looking inside). The envelope is what came, and never changes; the note is what
 * has become of each recipient. Both begin with a version, so that a later release reads what
 * an earlier one has stored; what cannot be read is told and left where it is, never dropped.
 */
#ifndef QUEUE_STORED_H
#define QUEUE_STORED_H

#include "base/arena.h"
#include "custody/custody.h"
#include "delivery/failure.h"
#include "delivery/messages.h"
#include "policy/policy.h"

enum {
	STORED_RCPTS_MOST = 10000,
	STORED_WORDS_MOST = 512,
	STORED_FACTS_MOST = 8 * 1024,
	STORED_HISTORY_MOST = 2 * 1024,
	STORED_BY_MOST = 128,
};

enum stored_kind {
	STORED_SEND,       /* on its way */
	STORED_HOLD,       /* sent at hold_until_ms */
	STORED_QUARANTINE, /* kept for a person */
	STORED_KINDS
};

struct stored_rcpt {
	struct address address;
	struct smtp_rcpt_params params;
	enum delivery_way way; /* BY_SEND, BY_DOMAIN or BY_ROUTE at first */
	struct slice site;     /* BY_DOMAIN: the declared domain; else that of the address */
};

struct stored_mail {
	enum stored_kind kind;
	enum direction direction;
	bool own;          /* the sender is ours: who is not reached is told by a DSN; else the
			      mail goes to the quarantine `undeliverable` */
	bool notification; /* a DSN of ours */
	uint64_t arrived_ms;    /* wall clock */
	uint64_t hold_until_ms; /* wall clock; HOLD */
	struct slice log;       /* the mail's id in the log */
	struct slice user;      /* the account, or empty */
	struct ip client;
	struct slice quarantine; /* its name: "undeliverable", ... */
	struct slice reason;     /* "postern.conf:31", for people */
	bool by_spam;            /* QUARANTINE: that rule asks how much spam it is */
	struct slice facts;      /* QUARANTINE, HOLD: what was known, a line each; cut */
	uint64_t signatures;     /* it was scanned with these; 0: it was not (scan_report.h) */
	struct slice virus;      /* what that scan found; empty: nothing */
	struct slice route;      /* NEXTHOP of `route to`; empty: none */
	struct address sender;
	struct smtp_mail_params params;
	struct stored_rcpt *rcpts;
	size_t n_rcpts;
};

enum rcpt_state {
	RCPT_WAITING,
	RCPT_DELIVERED,
	RCPT_FAILED, /* for good; not yet told to the sender */
	RCPT_TOLD,   /* failed, and the sender knows: by our reply or a DSN */
	RCPT_DOUBT, /* its final dot went out and no answer came: tried again, maybe twice there
		     */
	RCPT_STATES
};

struct stored_rcpt_note {
	enum rcpt_state state;
	enum delivery_way way; /* it may have turned to the smarthost */
	uint32_t attempts;
	uint64_t last_ms, due_ms; /* wall clock; 0: never, none */
	struct failure failure;   /* of the last attempt; rule is not kept */
	enum failure_phase at;
	struct smtp_reply reply; /* the last words; code 0: none */
	bool from_hop;
	struct slice host; /* who said so */
	struct ip address; /* greylisted there: the same again; family 0: any */
	bool delay_told;   /* a delay notice went out */
	bool success_owed; /* DELIVERED to a server without DSN: its sender is to be told */
};

struct stored_note {
	bool held;                      /* by hand, until released */
	bool expire;                    /* by hand: given up at the next step */
	struct slice by;                /* who released it out of quarantine; empty: nobody */
	uint64_t by_ms;                 /* and when, wall clock */
	uint64_t scanned;               /* QUARANTINE: scanned again with these; 0: never */
	struct slice virus;             /* what that scan found; empty: nothing */
	struct slice history;           /* QUARANTINE: what people did with it, a line each */
	struct stored_rcpt_note *rcpts; /* by the order of the envelope */
	size_t n_rcpts;
};

/* The last scan's finding: of the note, where it was scanned again. */
struct slice stored_virus(const struct stored_mail *m, const struct stored_note *n);
uint64_t stored_signatures(const struct stored_mail *m, const struct stored_note *n);
/* The history with one line more; the oldest ones make room. In the arena. */
struct slice stored_history(struct slice history, struct slice line, struct arena *a);

/*
 * Into a buffer with room for CUSTODY_ENVELOPE_MOST. -1: it does not fit, or an address or
 * parameter has a control character in it, and nothing was added. Words for people are cleaned
 * and cut instead.
 */
int stored_mail_pack(const struct stored_mail *m, struct buf *out);
/* Into one with room for CUSTODY_NOTE_MOST: any note fits. Empty: all are waiting. */
int stored_note_pack(const struct stored_note *n, struct buf *out);
/*
 * What is unpacked borrows from the bytes; for 10,000 recipients both together take 3 MiB of
 * the arena. False: no mail of ours, or of a later release.
 */
bool stored_mail_unpack(struct slice bytes, struct arena *a, struct stored_mail *m_out);
/* n_rcpts: the envelope's. An empty note: all are waiting. */
bool stored_note_unpack(struct slice bytes, const struct stored_mail *m, struct arena *a,
	struct stored_note *n_out);

#endif
