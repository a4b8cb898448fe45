/*
 * One session of an MTA as it is told to a session process: an event, its answer, the next
 * event (milter/messages.h). It belongs to the one callback that runs for its session, on
 * whatever thread; calls wait, for a bounded time, and hold nothing that others need.
 *
 * A session process that is gone, late, or says what is no answer ends the talk: every call
 * after it fails at once.
 */
#ifndef THROUGH_TALK_H
#define THROUGH_TALK_H

#include "milter/milter.h"
#include "through/channels.h"

struct talk;

/* A macro that was asked for: as libmilter wants its name, and as an event has it. */
struct talk_macro {
	char *asked; /* "{auth_authen}" */
	struct slice name;
};

/*
 * With the offer of the MTA, to a living session process: NULL where there is none, or where
 * the MTA cannot do what the rules need.
 */
struct talk *talk_new(struct channels *c, const struct milter_offer *offer);
void talk_free(struct talk **t);

const struct milter_wants *talk_wants(const struct talk *t);
const struct milter_offer *talk_offer(const struct talk *t); /* what talk_new was given */
uint32_t talk_can(const struct talk *t);                     /* actions that were agreed */
uint32_t talk_steps(const struct talk *t);                   /* that were agreed */
const struct talk_macro *
talk_macros(const struct talk *t, enum milter_macro_stage stage, size_t *n_out);

/*
 * An event and, where it owes one, its answer, whose slices live until the next call.
 * alive(arg) is called whenever the session process asks for the MTA's patience. False: the
 * talk is over.
 */
typedef void talk_alive_fn(void *arg);
bool talk_ask(struct talk *t, const struct milter_event *ev, talk_alive_fn *alive, void *arg,
	struct milter_answer *answer_out);
void talk_tell(struct talk *t, const struct milter_event *ev);

#endif
