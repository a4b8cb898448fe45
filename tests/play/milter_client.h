/*
 * The MTA's side of the milter protocol: packets out, replies in. Written from libmilter's
 * headers (mfdef.h, mfapi.h), with nothing of gateway/milter, so that a misreading of ours on
 * both sides cannot go unseen.
 *
 * Strict: what a milter may not say, or not now, is put into `wrong`, and the MTA goes no
 * further.
 */
#ifndef PLAY_MILTER_CLIENT_H
#define PLAY_MILTER_CLIENT_H

#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "smtp/reply.h"

enum { MILTER_CLIENT_STAGES = SMFIM_LAST + 1 };

/* What an MTA offers, and which macros it sends of its own accord. */
struct milter_client_offer {
	uint32_t version, can, steps;
	bool no_macros;                            /* never any, of no step */
	struct slice macros[MILTER_CLIENT_STAGES]; /* "i {auth_authen}", by SMFIM_ */
};

struct milter_client_macro {
	struct slice name, value; /* name as in a list: "i", "{auth_authen}" */
};

struct milter_client {
	struct arena *arena;
	struct milter_client_offer agreed; /* first what is offered */
	bool is_agreed;
	struct buf out, in;
	char awaits; /* the command whose answer is awaited; 0: none */
	struct slice wrong;
};

/* An answer, or before that of the end of a mail an edit. Slices live in the arena. */
struct milter_client_reply {
	char code;                /* SMFIR_ */
	struct smtp_reply reply;  /* REPLYCODE */
	uint32_t index;           /* INSHEADER, CHGHEADER */
	struct slice name, value; /* likewise; ADDRCPT, DELRCPT, QUARANTINE: value */
};

/* The offer is written at once. */
void milter_client_init(
	struct milter_client *c, const struct milter_client_offer *offer, struct arena *a);
void milter_client_fini(struct milter_client *c);
/*
 * A command, with the macros that were agreed on for its step in front, as far as they have a
 * value. False: the milter does not want to be told. awaits says whether it will answer.
 */
bool milter_client_tell(struct milter_client *c, char command, struct slice data,
	const struct milter_client_macro *macros, size_t n);
void milter_client_feed(struct milter_client *c, struct slice in);
/* The next thing that the milter has said; the negotiation is dealt with here. */
bool milter_client_next(struct milter_client *c, struct milter_client_reply *reply_out);
/* A value begins right behind the colon. */
bool milter_client_has_space(const struct milter_client *c);

#endif
