/*
 * What the files of the egress state share: egress_seen.c (what is remembered of destinations),
 * egress.c (the rules and the state), egress_text.c (the evidence in words).
 */
#ifndef QUEUE_EGRESS_PRIV_H
#define QUEUE_EGRESS_PRIV_H

#include "queue/egress.h"

enum {
	SITES = 256, /* destinations that are remembered; the longest unheard goes */
	NAME = 64,   /* bytes of names and banners for people */
	FACES = 3,   /* machines known at one destination; the first is what it was */
	BLOCKED_SITES = 5,
	BLOCKED_KNOWN = 3, /* of them had been reached before, else twice as many are asked */
	LISTED_SITES = 3,
	INTERCEPTED_SITES = 3,
	OPEN_SITES = 2,
	MINUTE = 60 * 1000,
	HOUR = 60 * MINUTE,
	BLOCKED_MS = 10 * MINUTE,
	LISTED_MS = HOUR,
	INTERCEPTED_MS = HOUR,
	RETEST_MS = 5 * MINUTE,
	RETEST_MOST_MS = HOUR
};

/* Times are those told plus one: 0 is never. */
struct face { /* a machine as its banner names it, or its certificate */
	uint64_t hash, first_ms;
};

struct seen {
	uint64_t domain, org; /* hashes; 0: free */
	uint64_t mx_set;
	uint64_t last_ms, reached_ms, unreachable_ms, listed_ms, gone_ms, passed_ms;
	struct face banners[FACES], certificates[FACES];
	uint64_t banner, certificate; /* the last */
	bool had_starttls;
	unsigned owner; /* who by nature has machines of its own; 0: not known */
	char name[NAME], greeting[NAME], greeting_first[NAME];
};

struct egress {
	enum egress_state state;
	uint64_t since_ms;    /* of the state */
	uint64_t reached_ms;  /* the last greeting of anybody */
	uint64_t starttls_ms; /* the last time that STARTTLS was on offer anywhere */
	uint64_t retest_ms, retest_wait_ms;
	uint64_t bad_banner, bad_certificate; /* whose face it is; both 0: STARTTLS is gone */
	struct seen sites[SITES];
};

typedef bool sign_fn(const struct egress *e, const struct seen *x, uint64_t now_ms);

enum { GROUP_MOST = 2 * BLOCKED_SITES };

struct group { /* destinations that show a sign, no two of them related */
	const struct seen *at[GROUP_MOST];
	size_t n, known; /* known: reached before */
};

/* Destinations that show the sign now, greedily: each unrelated to those before it. */
void group_find(const struct egress *e, sign_fn *sign, uint64_t now_ms, struct group *g);
bool sign_passed(const struct egress *e, const struct seen *x, uint64_t now_ms);

/* --- egress_seen.c */

bool within(uint64_t then_ms, uint64_t now_ms, uint64_t window_ms);
struct seen *seen_get(struct egress *e, const struct egress_evidence *v);
void
seen_note(struct egress *e, struct seen *x, const struct egress_evidence *v, uint64_t now_ms);
/* When this machine was first met at the destination; 0: it was not, or is forgotten. */
uint64_t face_since(const struct face faces[FACES], uint64_t hash);
void face_forget(struct face faces[FACES], uint64_t hash);

#endif
