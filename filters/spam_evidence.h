/*
 * Evidence: each thing about a mail that people know to speak for spam or against it, with a
 * name, a weight and a sentence, in one table (spam_evidence.def) that the administrator reads
 * by `postern facts spam` and changes by `filter spam { weight "NAME" NUMBER }`. A weight is a
 * logit: 0.7 doubles the odds of spam, -0.7 halves them.
 *
 * What is not known (no client, no DNS, a corpus out of a folder) is no evidence at all.
 */
#ifndef FILTERS_SPAM_EVIDENCE_H
#define FILTERS_SPAM_EVIDENCE_H

#include "base/ip.h"
#include "filters/spam_view.h"

enum spam_evidence_id {
#define SPAM_EVIDENCE(id, name, weight, text) SPAM_##id,
#include "filters/spam_evidence.def"
#undef SPAM_EVIDENCE
	SPAM_EVIDENCES
};

struct spam_evidence {
	const char *name; /* "dmarc.fail", "link.ip" */
	double weight;    /* -10 to 10 */
	const char *text;
};
extern const struct spam_evidence spam_evidence_table[SPAM_EVIDENCES];
/* SPAM_EVIDENCES: there is none of that name. */
enum spam_evidence_id spam_evidence_find(struct slice name);

enum { SPAM_LISTINGS_MOST = 32 };

struct spam_listing {
	bool link;         /* a name in a link; else the client */
	struct slice what; /* "bad.example on dbl.example" */
	double weight;     /* of the list, as configured */
};

/* What others found; empty texts and false: not known. */
struct spam_world {
	struct slice spf, dkim, dmarc, dmarc_policy; /* the words of those facts */
	bool aligned_known, aligned; /* an identifier of the author's organisation passed */
	struct ip client;            /* family 0: not known */
	bool client_name_known;      /* client_name was asked for; empty: it has none */
	struct slice client_name, helo;
	const struct address *sender; /* NULL: not known */
	bool seen_known;              /* the state was asked: */
	bool new_sender, new_domain, new_network;
	const struct slice *own_domains; /* declared: for look-alikes and our own names */
	size_t n_own_domains;
	int64_t wall_ms; /* when it came; 0: not known */
	struct spam_listing listings[SPAM_LISTINGS_MOST];
	size_t n_listings;
};

struct spam_found_one {
	enum spam_evidence_id id;
	double times; /* what its weight is taken by: 1, or a part, or a list's own weight */
	struct slice detail; /* "paypal-login.example"; may be empty */
};
struct spam_found { /* each id once, listings apart */
	struct spam_found_one items[SPAM_EVIDENCES + SPAM_LISTINGS_MOST];
	size_t n;
};

void spam_evidence_gather(const struct spam_view *v, const struct spam_world *w,
	struct arena *a, struct spam_found *out);

#endif
