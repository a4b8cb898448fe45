/*
 * Evidence: each thing about a mail that people know to speak for spam or against it, with a
 * name, a weight and a sentence, in one table (spam_evidence.def) that the administrator reads
 * by `postern facts spam` and changes by `filter spam { weight "NAME" NUMBER }`. A weight is a
 * logit: 0.7 doubles the odds of spam, -0.7 halves them.
 *
 * What is not known (no client, no DNS, a corpus out of a folder) is no evidence at all, and a
 * bounce has no evidence of its content: its text is somebody else's.
 *
 * Pieces of one kind mostly come together (a mail with one phrase of a fraud has three), and
 * are not independent: each is of a group, and a group counts at most its bound either way. The
 * bound is kept by spam_evidence_gather, which takes all of the group down in proportion by
 * `times`; it goes by the weights of the table, so that a weight which the administrator makes
 * greater still counts for more than the bound.
 */
#ifndef FILTERS_SPAM_EVIDENCE_H
#define FILTERS_SPAM_EVIDENCE_H

#include "base/ip.h"
#include "filters/spam_view.h"

enum spam_group {
#define SPAM_GROUP(id, most, least) SPAM_OF_##id,
#include "filters/spam_evidence.def"
	SPAM_GROUPS
};

enum spam_evidence_id {
#define SPAM_EVIDENCE(group, id, name, weight, text) SPAM_##id,
#include "filters/spam_evidence.def"
	SPAM_EVIDENCES
};

struct spam_evidence {
	const char *name; /* "dmarc.fail", "link.ip" */
	double weight;    /* -10 to 10 */
	const char *text;
	enum spam_group group;
};
extern const struct spam_evidence spam_evidence_table[SPAM_EVIDENCES];

struct spam_group_bound {
	double most, least; /* logits: of all that speaks for spam, of all against */
};
extern const struct spam_group_bound spam_group_bounds[SPAM_GROUPS];

/* SPAM_EVIDENCES: there is none of that name. */
enum spam_evidence_id spam_evidence_find(struct slice name);
/* " (did you mean \"dmarc.fail\"?)", or empty where none is near. */
struct slice spam_evidence_hint(struct slice name, struct arena *a);

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
	struct slice detail; /* "paypal-login.example", printable ASCII; may be empty */
};
struct spam_found { /* each id once, listings apart */
	struct spam_found_one items[SPAM_EVIDENCES + SPAM_LISTINGS_MOST];
	size_t n;
};

/* Linear in the view; uses some 10 KB of the arena, more only for what it tells. */
void spam_evidence_gather(const struct spam_view *v, const struct spam_world *w,
	struct arena *a, struct spam_found *out);

#endif
