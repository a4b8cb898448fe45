/*
 * What an MTA says of a mail by the milter protocol and what may be answered, whichever front
 * speaks it: our own engine (server.h) or libmilter in a process of its own (messages.h). Both
 * give struct milter_event and take struct milter_answer, so that what decides stands above and
 * is one (session/milter_gate.h).
 *
 * There is no RFC: libmilter and its mfdef.h define the protocol (version 6, down to 2).
 */
#ifndef MILTER_MILTER_H
#define MILTER_MILTER_H

#include "base/ip.h"
#include "base/slice.h"
#include "smtp/reply.h"

enum { MILTER_VERSION_LEAST = 2, MILTER_VERSION_MOST = 6 };

enum { MILTER_MACROS_MOST = 64, MILTER_ARGS_MOST = 64, MILTER_EDITS_MOST = 4096 };

enum {
	MILTER_REPLY_BYTES_MOST = 2 * SMTP_REPLY_BYTES_MOST,
	MILTER_EDIT_BYTES_MOST = 65529, /* name and value of one edit: an MTA reads 64 KiB */
	MILTER_ANSWER_BYTES_MOST = 4 * 1024 * 1024, /* all edits of an answer, as packets */
	MILTER_REASON_MOST = 400 /* of a quarantine: a line of an MTA's queue file */
};

/* What a milter may do to a mail, as the bits of the wire (SMFIF_ of mfdef.h). */
enum milter_can {
	MILTER_CAN_ADD_HEADERS = 0x001, /* insert too */
	MILTER_CAN_CHANGE_BODY = 0x002,
	MILTER_CAN_ADD_RCPT = 0x004,
	MILTER_CAN_DELETE_RCPT = 0x008,
	MILTER_CAN_CHANGE_HEADERS = 0x010, /* delete too */
	MILTER_CAN_QUARANTINE = 0x020,
	MILTER_CAN_CHANGE_SENDER = 0x040,
	MILTER_CAN_ADD_RCPT_PARAMS = 0x080,
	MILTER_CAN_CHOOSE_MACROS = 0x100,
};

/* Steps, as the bits of the wire (SMFIP_): not sent, not answered, and ways of sending. */
enum milter_step {
	MILTER_NO_CONNECT = 0x000001,
	MILTER_NO_HELO = 0x000002,
	MILTER_NO_MAIL = 0x000004,
	MILTER_NO_RCPT = 0x000008,
	MILTER_NO_BODY = 0x000010,
	MILTER_NO_HEADERS = 0x000020,
	MILTER_NO_HEADER_END = 0x000040,
	MILTER_NO_UNKNOWN = 0x000100,
	MILTER_NO_DATA = 0x000200,
	MILTER_NR_HEADERS = 0x000080, /* NR: sent, and no answer is awaited */
	MILTER_NR_CONNECT = 0x001000,
	MILTER_NR_HELO = 0x002000,
	MILTER_NR_MAIL = 0x004000,
	MILTER_NR_RCPT = 0x008000,
	MILTER_NR_DATA = 0x010000,
	MILTER_NR_UNKNOWN = 0x020000,
	MILTER_NR_HEADER_END = 0x040000,
	MILTER_NR_BODY = 0x080000,
	MILTER_SKIP_BODY = 0x000400,    /* the MTA understands MILTER_SKIP */
	MILTER_RCPT_REFUSED = 0x000800, /* recipients that the MTA has refused are shown too */
	MILTER_HEADER_SPACE = 0x100000, /* a value begins right behind the colon */
	MILTER_DATA_256K = 0x10000000,  /* packets of up to 256 KiB */
	MILTER_DATA_1M = 0x20000000,    /* ... of up to 1 MiB */
};

/* Where macros are sent, by the numbers of the wire (SMFIM_). */
enum milter_macro_stage {
	MILTER_AT_CONNECT,
	MILTER_AT_HELO,
	MILTER_AT_MAIL,
	MILTER_AT_RCPT,
	MILTER_AT_DATA,
	MILTER_AT_END,
	MILTER_AT_HEADER_END,
	MILTER_STAGES
};

enum milter_event_type {
	MILTER_EV_NONE,
	MILTER_EV_NEGOTIATE, /* first: milter_wants is owed */
	/* these owe an answer */
	MILTER_EV_CONNECT,
	MILTER_EV_HELO,
	MILTER_EV_MAIL,
	MILTER_EV_RCPT,
	MILTER_EV_DATA,
	MILTER_EV_HEADER,
	MILTER_EV_HEADER_END,
	MILTER_EV_BODY,
	MILTER_EV_END,     /* the mail is complete: edits may be answered */
	MILTER_EV_UNKNOWN, /* a command that the MTA does not know */
	/* these owe none */
	MILTER_EV_ABORT, /* the mail under way is over, not the session */
	MILTER_EV_NEXT,  /* the session is over, another follows: CONNECT comes (SMFIC_QUIT_NC)
			  */
	MILTER_EV_QUIT,  /* the session is over */
	MILTER_EV_BAD,   /* what came is no milter protocol (why): close, say nothing */
	MILTER_EVENTS
};

struct milter_macro {
	struct slice name, value; /* the name without braces: "i", "auth_authen" */
};

/* What the MTA offers: bits of milter_can and milter_step. */
struct milter_offer {
	uint32_t version, can, steps;
};

/* Slices live until the event is answered; those that owe no answer, until the next call. */
struct milter_event {
	enum milter_event_type type;
	/* those that came for this step; has_macros: the MTA sent some, or none by intent */
	const struct milter_macro *macros;
	size_t n_macros;
	bool has_macros;
	struct milter_offer offer; /* NEGOTIATE */
	struct slice name;         /* CONNECT: the client's name as the MTA has it; HELO;
				      HEADER: the field's name; UNKNOWN: the command */
	struct ip ip;              /* CONNECT; family 0: a local socket or not known */
	uint16_t port;
	struct slice value;       /* HEADER: as the MTA has it, folds by LF or CRLF; BODY */
	bool has_space;           /* HEADER: value begins right behind the colon */
	const struct slice *args; /* MAIL, RCPT: the path, then ESMTP parameters */
	size_t n_args;
	const char *why; /* BAD */
};

/*
 * What is asked of the MTA. can: all of it must be on offer, or the negotiation fails. may,
 * steps: taken as far as on offer. macros: "i {auth_authen}" by stage, NULL: the MTA's own
 * choice.
 */
struct milter_wants {
	uint32_t can, may, steps;
	struct slice macros[MILTER_STAGES];
};

enum milter_verdict {
	MILTER_CONTINUE, /* END: the mail goes on, with the edits */
	MILTER_ACCEPT,   /* ... and nothing more of it is wanted (before END: without edits) */
	MILTER_REPLY,    /* 4yz or 5yz: of the recipient at RCPT, else of the mail */
	MILTER_DISCARD,  /* taken and dropped: MAIL to END */
	MILTER_SKIP, /* BODY: no more of it is wanted; CONTINUE where the MTA does not know it
		      */
};

enum milter_edit_kind {
	MILTER_EDIT_INSERT_HEADER, /* name, value (no CR); index 0: above all that is there */
	MILTER_EDIT_DELETE_HEADER, /* name; index: the how-manieth of that name, from 1 */
	MILTER_EDIT_ADD_RCPT,      /* value: "<a@b.example>" */
	MILTER_EDIT_DELETE_RCPT,   /* likewise, as it came in RCPT */
	MILTER_EDIT_QUARANTINE,    /* value: the reason, one printable line: the MTA keeps it */
	MILTER_EDITS
};

struct milter_edit {
	enum milter_edit_kind kind;
	uint32_t index;
	struct slice name, value; /* header values: folded by LF, with their leading space where
				     the negotiation took MILTER_HEADER_SPACE */
};

struct milter_answer {
	enum milter_verdict verdict;
	struct smtp_reply reply;         /* REPLY */
	const struct milter_edit *edits; /* END with CONTINUE: done in this order */
	size_t n_edits;
};

/*
 * A reply as the protocol carries it: lines parted by CRLF without a last one, '%' doubled
 * (the MTA reads it as a format, MLT-03). out has room for MILTER_REPLY_BYTES_MOST; lines that
 * do not fit are left out.
 */
void milter_reply_write(const struct smtp_reply *r, struct buf *out);
/* One line of printable ASCII, as a person reads it in the MTA's queue. */
bool milter_is_reason(struct slice text);
/* What of `can` and `may` an MTA with that offer has agreed to, but for the choice of macros.
 */
uint32_t milter_can_agreed(const struct milter_wants *wants, const struct milter_offer *offer);
/* The bit under which the step is sent and not answered (MILTER_NR_...); 0: it always is. */
uint32_t milter_not_answered(enum milter_event_type t);
const char *milter_event_text(enum milter_event_type t); /* "header-end", for logs */

#endif
