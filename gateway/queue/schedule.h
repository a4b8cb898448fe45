/*
 * What goes next: all that waits in the queue as a machine without I/O (OUT-03). A mail has a
 * part for each transaction that it still needs: some of its recipients, of one destination
 * domain. Parts that are due stand in their site's queue; sites take turns, and within a site
 * the senders do, so that a thousand mails to a dead site, or of one sender, delay nobody.
 *
 * A site is a destination: a domain at first, and the set of its MX hosts once known, so that
 * all domains of a provider share its limits. Its concurrency begins small, grows with success
 * and halves with failure; a site that fails as a whole backs off as a whole: 5 min doubling to
 * 4 h with jitter, one attempt at a time as a probe. Mails to a site in back-off are not
 * touched.
 *
 * Time is told: now_ms is monotonic. Memory: at most 200 bytes for a mail of one part.
 */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include "custody/custody.h"

struct schedule;

struct schedule_config {
	uint64_t retry_ms, retry_most_ms; /* back-off of a site and of a part */
	unsigned attempts_most;           /* at once, over all sites */
	unsigned site_most;               /* at once to one site, where no limit is given */
	unsigned site_first;              /* at once to a site that is not known */
	uint64_t seed;                    /* of the jitter */
};

/* What the configuration says of a site: connections 0: the default; rate 0: none. */
struct schedule_limit {
	unsigned connections;
	uint64_t rate, rate_ms;
};
/* Looked up when a site appears, and again after schedule_configure. */
typedef bool schedule_limit_fn(void *arg, struct slice site, struct schedule_limit *limit_out);

/* Of a part of a mail, as its owner names it: within the mail, stable over a restart. */
struct schedule_part {
	struct custody_id id;
	uint32_t part;
	struct slice site; /* the domain (A-label), literal, or "route:..." */
	uint64_t sender;   /* hash of account or sender: who takes turns */
	uint32_t attempts; /* so far */
	uint64_t due_ms;   /* monotonic; past: at once */
};

struct schedule *
schedule_new(const struct schedule_config *config, schedule_limit_fn *limit, void *arg);
void schedule_free(struct schedule **s);
/* Another configuration: limits are asked for anew. */
void schedule_configure(struct schedule *s, const struct schedule_config *config);

/* -1: this part of this mail is there already. */
int schedule_add(struct schedule *s, const struct schedule_part *p, uint64_t now_ms);

struct schedule_pick {
	struct custody_id id;
	uint32_t part;
	uint32_t attempts;
	struct slice site; /* valid until the next call */
};
/* The next part that may be tried now; it is in flight from here on. False: none. */
bool schedule_next(struct schedule *s, uint64_t now_ms, struct schedule_pick *pick_out);
/* When schedule_next may have something, if nothing else happens; UINT64_MAX: never. */
uint64_t schedule_wake_ms(const struct schedule *s, uint64_t now_ms);

/*
 * Answering while the client waits: may a part for this site be tried at once? If so it counts
 * as in flight (end with schedule_result, part need not be added before). False: the site backs
 * off, is at its limit or its rate, greylists us, or all attempts are taken: to the queue.
 */
bool schedule_try_now(struct schedule *s, const struct schedule_part *p, uint64_t now_ms);

enum schedule_outcome {
	SCHEDULE_GONE,  /* done with, whatever became of it; the site worked */
	SCHEDULE_AGAIN, /* the site worked, this part later: due_ms, or 0 by its attempts */
	SCHEDULE_SITE_FAILS, /* the site as a whole: back-off; the part later */
	SCHEDULE_BUSY,       /* the site worked but wants less at once; the part later */
	SCHEDULE_UNSENT,     /* nothing was tried after all: as before */
};
/* The part is not in flight any more. due_ms: monotonic, or 0. */
void schedule_result(struct schedule *s, const struct custody_id *id, uint32_t part,
	enum schedule_outcome outcome, uint64_t due_ms, uint64_t now_ms);
/* When a part with so many attempts would be due again, jitter included. */
uint64_t schedule_retry_ms(struct schedule *s, uint32_t attempts, uint64_t now_ms);

/* From now on this domain belongs to the site of that set of MX hosts (delivery_result). */
void schedule_site_is(struct schedule *s, struct slice domain, uint64_t mx_set);

/* By hand. A part in flight is only marked, its result still comes. */
void schedule_remove(struct schedule *s, const struct custody_id *id); /* all parts of a mail */
/* One part, which may then be added again for another site. */
void schedule_remove_part(struct schedule *s, const struct custody_id *id, uint32_t part);
void
schedule_due(struct schedule *s, const struct custody_id *id, uint64_t due_ms, uint64_t now_ms);
/* The site's back-off is over: somebody has mended it. */
void schedule_site_retry(struct schedule *s, struct slice site, uint64_t now_ms);

enum { SCHEDULE_BEFORE_MOST = 1000 };
struct schedule_why { /* what holds a part back, for people */
	bool known, in_flight;
	uint64_t due_ms;        /* of the part */
	uint64_t site_until_ms; /* the site backs off until; 0: it does not */
	unsigned site_in_flight, site_window, site_failures;
	uint64_t rate_until_ms; /* the rate is used up until; 0: it is not */
	size_t before;          /* parts that are due before it at its site, and now; counted
				   up to SCHEDULE_BEFORE_MOST: it is asked of every part */
	bool all_taken;         /* all attempts of the gateway are taken */
};
void schedule_why(struct schedule *s, const struct custody_id *id, uint32_t part,
	uint64_t now_ms, struct schedule_why *why_out);

/* As of the last time told. Costs a step for each part that is due, and for each site. */
struct schedule_counts {
	size_t mails, parts, due, in_flight, sites, sites_backing_off;
	size_t memory_bytes;
};
void schedule_counts(const struct schedule *s, struct schedule_counts *out);

#endif
