/*
 * The insides of the milter's machine, for its two files: server.c reads packets and raises
 * events, answer.c writes. See server.h.
 */
#ifndef MILTER_SERVER_PRIV_H
#define MILTER_SERVER_PRIV_H

#include "base/buf.h"
#include "milter/packet_priv.h"
#include "milter/server.h"

/* How far the MTA is, as its packets tell. */
enum milter_phase {
	MILTER_PH_START,    /* nothing was negotiated */
	MILTER_PH_OPEN,     /* a session begins: CONNECT may come */
	MILTER_PH_SESSION,  /* between mails */
	MILTER_PH_ENVELOPE, /* MAIL, RCPT, DATA */
	MILTER_PH_HEADER,
	MILTER_PH_BODY,
	MILTER_PH_OVER,
	MILTER_PHASES
};

/* Who has to do something. */
enum milter_turn {
	MILTER_TURN_PEER,  /* a packet is awaited */
	MILTER_TURN_EVENT, /* an event waits to be taken */
	MILTER_TURN_OWED,  /* it was taken, its answer is owed */
	MILTER_TURN_TAKEN  /* it was taken and owes none: gone with the next call */
};

/* ACCEPT was the answer to a step that is not answered: said at the next one that is. */
enum milter_accepted { MILTER_ACC_NONE, MILTER_ACC_MAIL, MILTER_ACC_SESSION };

enum { MILTER_MACRO_SLOTS = MILTER_EV_UNKNOWN - MILTER_EV_CONNECT + 1 };

struct milter_slot {
	struct buf pairs;
	bool given; /* 'D' came for this step, may be without a macro */
};

struct milter_server {
	enum milter_phase phase;
	enum milter_turn turn;
	enum milter_accepted accepted;
	enum milter_event_type now;  /* EVENT, OWED, TAKEN: which */
	enum milter_event_type then; /* of the same packet, after `now` */
	struct milter_event packet;  /* as read */
	struct slice *args;          /* packet.args */
	struct milter_macro *macros; /* of `now` */
	struct milter_slot slots[MILTER_MACRO_SLOTS];
	struct milter_offer agreed;
	struct buf in; /* one packet */
	struct buf out;
};

static inline bool
milter_step_is_of_mail(enum milter_event_type step)
{
	return step >= MILTER_EV_MAIL && step <= MILTER_EV_END;
}

/* The step goes without an answer on the wire. */
bool milter_server_is_silent(const struct milter_server *s, enum milter_event_type step);
/* `now` is done with: `then` is next, or the MTA. */
void milter_server_go_on(struct milter_server *s);
/* Nothing more of this mail comes. */
void milter_server_mail_over(struct milter_server *s);
void milter_server_write(struct milter_server *s, char command, struct slice data);

#endif
