/*
 * Knowing that the path is bad: a blocked or intercepted port 25 looks like ordinary deferral
 * (DESIGN.md). Evidence across unrelated destinations is held together here, for each of our
 * outbound addresses: many unrelated sites unreachable at once, one banner or certificate
 * behind different MX, STARTTLS gone where it was, block lists named by unrelated sites. Pure:
 * no I/O, time is told (monotonic).
 */
#ifndef QUEUE_EGRESS_H
#define QUEUE_EGRESS_H

#include "base/arena.h"
#include "base/slice.h"

enum egress_state {
	EGRESS_OPEN,
	EGRESS_BLOCKED,     /* unrelated sites cannot be reached, and none can */
	EGRESS_INTERCEPTED, /* one machine answers for unrelated sites */
	EGRESS_LISTED,      /* unrelated sites refuse our address */
	EGRESS_STATES
};
const char *egress_state_text(enum egress_state s);

struct egress;

/* What one attempt by MX (never by a smarthost) has shown. */
struct egress_evidence {
	struct slice site;    /* the destination domain */
	uint64_t mx_set;      /* 0: not known; unrelated means: other sets, other domains */
	bool reached;         /* a greeting came */
	bool unreachable;     /* connections timed out or were refused; no DNS failure */
	bool listed;          /* the remote refused our address (FAILURE_LISTED) */
	struct slice banner;  /* empty: none */
	bool starttls;        /* it was on offer */
	bool no_hello;        /* EHLO was not answered: starttls says nothing */
	uint64_t certificate; /* 0: none seen */
};

struct egress *egress_new(void);
void egress_free(struct egress **e);
/* True: the state has changed by it (one alarm). */
bool egress_note(struct egress *e, const struct egress_evidence *v, uint64_t now_ms);
enum egress_state egress_state(const struct egress *e);
/*
 * While the state is bad, a single mail is let through by MX from time to time: the re-test
 * (first after 5 min, doubling to 1 h). True: take this one. A re-test that passes, at two
 * unrelated sites, opens the way.
 */
bool egress_retest(struct egress *e, uint64_t now_ms);
/* The evidence in words, one line each, for the alarm and for `postern doctor`; also as long as
 * all is well (counts). */
struct slice egress_text(const struct egress *e, uint64_t now_ms, struct arena *a);

#endif
