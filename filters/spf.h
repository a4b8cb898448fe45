/*
 * SPF (RFC 7208): check_host() as a pure function of the client, an identity, and the DNS
 * answers known so far. Where an answer is missing it says so and is run again with more. No
 * I/O, no clock, no state; memory from the arena given, which may be dropped after the result
 * was copied.
 */
#ifndef FILTERS_SPF_H
#define FILTERS_SPF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/dns.h"

enum spf_result {
	SPFR_NONE,
	SPFR_NEUTRAL,
	SPFR_PASS,
	SPFR_FAIL,
	SPFR_SOFTFAIL,
	SPFR_TEMPERROR,
	SPFR_PERMERROR,
};

enum {
	SPF_LOOKUPS_MOST = 10, /* include, a, mx, ptr, exists, redirect (4.6.4) */
	SPF_VOIDS_MOST = 2,    /* look-ups of theirs that found nothing */
	SPF_NAMES_MOST = 10,   /* MX hosts of one mx: more is permerror; PTR names: the rest is
				  passed over */
};

struct spf_request {
	struct ip client;           /* family 4 or 6 */
	struct slice helo;          /* as given */
	struct slice sender_local;  /* of the identity; empty: "postmaster" (4.3) */
	struct slice sender_domain; /* of the identity: MAIL FROM, or HELO where that is <> */
	struct slice hostname;      /* %{r} */
	int64_t now_s;              /* %{t} */
	/* The answer, or NULL where it is not there yet (and has been noted as a question). */
	const struct dns_answer *(*dns)(void *arg, struct slice name, enum dns_type type);
	void *arg;
};

struct spf_verdict {
	enum spf_result result;
	struct slice
		mechanism; /* the term of the first record that decided, as written; or empty */
	struct slice explanation; /* exp= of a fail, expanded; or empty: untrusted words of the
				     sender */
	struct slice problem;     /* temperror, permerror: why */
};

/* False: an answer is missing. The slices live in the arena or in the answers. */
bool spf_check(const struct spf_request *r, struct arena *a, struct spf_verdict *verdict_out);
const char *spf_result_text(enum spf_result r); /* "softfail" */

#endif
