/*
 * One MTA's connection as a milter, whichever front speaks the protocol: the gate, its
 * questions and signatures, its times. A front (mta_stream.c) embeds it, gives it the events
 * and carries its answers off. Nobody outside this folder includes it.
 */
#ifndef SESSION_MTA_PRIV_H
#define SESSION_MTA_PRIV_H

#include "session/process_priv.h"

struct mta_calls {
	/* NEGOTIATE: what the rules need is front->wants; then mta_agreed, or mta_refuse. */
	void (*negotiate)(struct mta *m, const struct milter_offer *offer);
	/* The event's answer; edits and words live during the call. */
	void (*answer)(struct mta *m, const struct milter_answer *a);
	void (*progress)(struct mta *m); /* at END, while it takes long */
	void (*ready)(struct mta *m);    /* after an answer that came late: go on reading */
	void (*free)(struct mta *m);     /* the front's own, and m itself */
};

struct mta {
	TAILQ_ENTRY(mta) link;
	struct process *process;
	struct front *front;
	const struct mta_calls *calls;
	struct milter_gate *gate;
	char id[17];
	bool owes;   /* an event's answer */
	bool at_end; /* that of END */
	bool ending, stopping;
	struct loop_task task;   /* answers came, or the end */
	struct loop_timer timer; /* nothing has come for long */
	struct loop_timer progress;
	struct signing signing;
	uint64_t bytes_counted;
};

void mta_begin(struct mta *m, struct front *f, const struct mta_calls *calls);
void mta_agreed(struct mta *m, const struct milter_offer *agreed);
/* Whatever the MTA says. The answer may come inside. */
void mta_event(struct mta *m, const struct milter_event *ev);
/* The MTA is gone, or sent away: m is freed later in this turn. */
void mta_end(struct mta *m);
/* The MTA is sent away: what came is no milter protocol, or it does not read. */
void mta_refuse(struct mta *m, const char *why);
/* It does not offer what the rules need. */
void mta_offers_too_little(struct mta *m);

#endif
