/*
 * DMARC (RFC 9989): the record, the DNS tree walk that finds the organisational domain, the
 * policy that applies, and alignment. Pure: what is missing from the DNS makes dmarc_evaluate
 * say "not yet", and it is run again when more is known. (AUT-02, AUT-03, AUT-05)
 */
#ifndef FILTERS_DMARC_H
#define FILTERS_DMARC_H

#include "base/arena.h"
#include "base/dns.h"
#include "base/slice.h"

enum dmarc_result {
	DMARC_NONE, /* no record, or one that asks for nothing */
	DMARC_PASS,
	DMARC_FAIL,
	DMARC_TEMPERROR, /* an answer is missing that could have made it pass, or named the
			    policy */
	DMARC_PERMERROR, /* From has not exactly one author domain: nothing to evaluate (AUT-05)
			  */
};
enum dmarc_policy { DMARC_ASK_NONE, DMARC_ASK_QUARANTINE, DMARC_ASK_REJECT };
enum dmarc_psd { DMARC_PSD_UNSAID, DMARC_PSD_YES, DMARC_PSD_NO };

struct dmarc_record {
	bool usable; /* p= (and sp=, np= where given) are valid, or rua= makes them none */
	enum dmarc_policy p, sp, np; /* with the defaults filled in: sp from p, np from sp */
	enum dmarc_psd psd;
	bool testing; /* t=y */
	bool strict_dkim, strict_spf;
};

/* False: not a DMARC record at all, as any other TXT at that name. Unknown tags are passed
 * over. */
bool dmarc_record_parse(struct slice text, struct dmarc_record *record_out);

/* What a mail has that DMARC looks at; domains are A-labels in lower case. */
struct dmarc_mail {
	struct slice from;        /* the author domain; empty: there is not exactly one */
	const struct slice *dkim; /* d= of signatures that pass */
	size_t n_dkim;
	const struct slice *dkim_later; /* d= of those with temperror */
	size_t n_dkim_later;
	struct slice spf;       /* the domain of a pass; empty: none */
	struct slice spf_later; /* the domain of a temperror; empty: none */
};

/* The answer to (name, type), or NULL where it is not known yet. Names are asked again on each
 * run. */
struct dmarc_dns {
	const struct dns_answer *(*lookup)(void *arg, struct slice name, enum dns_type type);
	void *arg;
};

struct dmarc_verdict {
	enum dmarc_result result;
	enum dmarc_policy policy;  /* what the domain owner asks for, t=y taken off */
	struct slice domain;       /* where the record stood; empty: none */
	struct slice organisation; /* the organisational domain of From */
	struct slice aligned;      /* the identifier that made it pass */
	bool by_dkim;              /* it is a d=; else SPF's */
	const char *reason;        /* in words, for temperror and permerror; or NULL */
};

/* False: not yet; some look-ups returned NULL. At most 8 names are walked for each domain. */
bool dmarc_evaluate(const struct dmarc_mail *mail, const struct dmarc_dns *dns, struct arena *a,
	struct dmarc_verdict *verdict_out);
const char *dmarc_result_text(enum dmarc_result r); /* "pass" */
const char *dmarc_policy_text(enum dmarc_policy p); /* "quarantine" */

#endif
