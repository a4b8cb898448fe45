/*
 * One session of an MTA by the milter protocol as a machine without I/O: events of either front
 * (milter/milter.h) over the same pipeline as the SMTP gate, answers out. Which rules judge a
 * mail is found here: authenticated, or from a listed network, is outbound, else inbound.
 *
 *   milter_gate_event -> milter_gate_question, milter_gate_wants -> ... -> milter_gate_answer
 *
 * One event at a time: the next comes when the answer to the last was taken. The milter's own
 * table of what each action of the language becomes stands in milter_gate_end.c.
 */
#ifndef SESSION_MILTER_GATE_H
#define SESSION_MILTER_GATE_H

#include "milter/milter.h"
#include "session/pipeline.h"
#include "session/sign.h"

struct milter_gate_config {
	const struct conf_listener *listener;
	struct gate_config side[2]; /* by enum direction; OUTBOUND has no policy where the
				       listener has no outbound mail */
};

struct milter_gate;

/* What the rules need of the MTA: steps, answers, actions, macros. */
void milter_gate_wants_of(const struct milter_gate_config *c, struct milter_wants *wants_out);

struct milter_gate *
milter_gate_new(const struct milter_gate_config *c, const char *id, int64_t now_ms);
void milter_gate_free(struct milter_gate **g);
/* The negotiation's outcome: before the first event. */
void milter_gate_agreed(struct milter_gate *g, const struct milter_offer *agreed);
/* CONNECT to UNKNOWN, ABORT, NEXT. */
void milter_gate_event(struct milter_gate *g, const struct milter_event *ev);
/* True: the event's answer, once; slices live until the next event. */
bool milter_gate_answer(struct milter_gate *g, struct milter_answer *answer_out);

/* The answer was carried off: of a mail that is over nothing is kept. */
void milter_gate_settled(struct milter_gate *g);
bool milter_gate_in_mail(const struct milter_gate *g);

struct question *milter_gate_question(struct milter_gate *g, struct questions **scope_out);
void milter_gate_answered(struct milter_gate *g); /* after one or more answers were put in */
/* True once: the digests wait to be signed, then milter_gate_signed. */
bool milter_gate_wants_signatures(struct milter_gate *g);
const struct sign_request *milter_gate_signs(const struct milter_gate *g, size_t *n_out);
void milter_gate_signed(struct milter_gate *g, const struct slice *signatures);
struct pipeline *milter_gate_pipeline(struct milter_gate *g); /* of the mail under way */
const struct gate_config *milter_gate_side(const struct milter_gate *g); /* likewise */
void milter_gate_clock(struct milter_gate *g, int64_t now_ms);
/* The client's address, as the MTA told it; family 0 before CONNECT. */
const struct ip *milter_gate_client(const struct milter_gate *g);

#endif
