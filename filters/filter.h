/*
 * A filter finds facts. It is one file, filters/flt_NAME.c, that defines `const struct filter
 * flt_NAME`: its facts with their documentation, and how they are gathered. It never waits,
 * never decides, and keeps nothing outside the arenas: running it again with more answers is
 * cheap.
 */
#ifndef FILTERS_FILTER_H
#define FILTERS_FILTER_H

#include "base/arena.h"
#include "base/log.h"
#include "conf/conf.h"
#include "filters/message.h"
#include "filters/question.h"
#include "policy/fact.h"
#include "policy/policy.h"
#include "smtp/param.h"

struct spam_shared;

/* What a filter may look at; absent parts are NULL or empty, as the stage has it. */
struct flt_session {
	enum direction direction;
	struct ip client; /* family 0: unknown (a local socket) */
	uint16_t client_port;
	struct ip local;
	struct slice helo; /* as sent; empty before */
	bool esmtp;
	struct slice user;        /* authenticated; empty: not */
	struct slice tls_version; /* "TLSv1.3"; empty: none */
	struct slice tls_cipher;
	/* a milter's: the MTA has not said whether there is TLS, or who is logged in */
	bool tls_unknown, user_unknown;
	int64_t wall_ms;                /* now, for x= of DKIM and dates; told by the driver */
	const struct spam_shared *spam; /* the site's models; NULL: none */
};

struct flt_recipient {
	struct address address;
	const struct conf_domain *domain; /* declared, or NULL */
	bool tagged; /* it came with a tag of ours that holds; the address is the plain one */
};

struct flt_mail {
	struct address sender;
	struct smtp_mail_params params;
	struct flt_recipient *recipients; /* those accepted so far; complete at STAGE_DATA */
	size_t n_recipients;
	struct message *message;       /* from STAGE_HEADER on */
	uint64_t bytes;                /* from STAGE_BODY on */
	const struct log_context *log; /* for lines about the mail; NULL: none */
};

/* One call: everything by pointer, nothing kept beyond it but what is in the arenas. */
struct flt_call {
	const struct conf *conf;
	const struct conf_filter *settings; /* of this filter, or NULL */
	const struct policy *policy;
	enum fact_stage stage; /* how far the mail has come */
	const struct flt_session *session;
	const struct flt_mail *mail;           /* from STAGE_MAIL on */
	const struct flt_recipient *recipient; /* from STAGE_RCPT on, for facts of that scope */
	size_t rcpt;                           /* its number, for facts_read; else SIZE_MAX */
	struct questions *questions;           /* of the fact's scope */
	struct arena *arena;                   /* of the fact's scope: values live here */
	void **state;         /* the filter's own, of the fact's scope; NULL at first */
	void **mail_state;    /* the filter's own of the mail (header, body hooks); or NULL */
	struct facts *facts;  /* to read other facts: facts_read */
	enum fact_cost most;  /* the dearest question that may be asked now */
	bool unasked;         /* out, by flt_unasked: one dearer than that was needed */
	enum fact_cost needs; /* out: the cheapest of those */
};

/* A question of that cost, or dearer, was needed and not asked, since c->most is below. */
void flt_unasked(struct flt_call *c, enum fact_cost cost);

/* New DNS questions in one scope (session, mail, recipient); later ones get DNS_FAIL at once.
 */
enum { FLT_DNS_MOST = 200 };

struct filter {
	const char *name;              /* "spf"; `filter spf { ... }` */
	const struct fact_decl *facts; /* ended by name NULL */
	/*
	 * Gathers one fact: FACT_KNOWN with the value, FACT_OPEN after asking for what is
	 * missing, or FACT_FAILED with evidence why. Called only at or after the fact's stage;
	 * a fact that is known is not asked for again in its scope.
	 */
	enum fact_state (*gather)(
		struct flt_call *c, const struct fact_ref *ref, struct value *v_out);
	/*
	 * The mail as it streams by, only where a rule of the block uses one of the filter's
	 * facts: once with the parsed header, then the body in pieces, then its end. NULL: not
	 * needed.
	 */
	void (*header)(struct flt_call *c);
	void (*body)(struct flt_call *c, struct slice piece);
	void (*body_end)(struct flt_call *c);
	/*
	 * Judges what the parser cannot of `filter NAME { ... }`, and makes of it what is made
	 * once (f->made, in the arena of c). NULL: nothing.
	 */
	void (*check)(const struct conf *c, struct conf_filter *f, struct conf_report *r);
};

/* All filters, NULL-ended: made from the folder. */
extern const struct filter *const filter_table[];
/* Their settings, behind conf_read, before anything is judged by them. */
void filters_check(struct conf *c, struct conf_report *r);

/*
 * Look-ups: NULL means that the question is open (or dearer than c->most), and the filter
 * returns FACT_OPEN. A name that no DNS packet can carry is DNS_NXDOMAIN without asking.
 */
const struct dns_answer *flt_dns(struct flt_call *c, struct slice name, enum dns_type type);
const struct scan_report *flt_scan(struct flt_call *c);
/* What the rules of the block ask of a scan, SCAN_WANT_...; 0: no scanner is needed. */
unsigned flt_scan_wants(const struct policy *p);
const struct question *flt_known(struct flt_call *c, struct slice recipient);
const struct question *flt_engine(struct flt_call *c, struct slice engine, struct slice input);
/* An operation on the state: TAKE, COUNT and SEEN are reservations (COST_RESERVE), GET is
 * cheap.
 */
const struct state_answer *flt_state(struct flt_call *c, const struct state_op *op);
/* Whether a table that a directory or database holds has this value; cheap. */
const struct question *flt_lookup(struct flt_call *c, struct slice table, struct slice value);
/* The flag: whether the table has it, one of items or of a directory. */
enum fact_state
flt_table(struct flt_call *c, const struct conf_table *t, struct slice value, struct value *v);

/* An answer of a DNS list that lists: of 127.0.0.0/8, not of 127.255.255.0/24 (its errors). */
bool flt_is_listing(const struct ip *ip);
/* What that scanner beside us says of this mail, of which all has come. */
const struct neighbour_verdict *flt_neighbour(struct flt_call *c, enum neighbour which);
/* "7.20 of 15.00, greylist, says 127.0.0.1:11333": for explain. */
struct slice flt_neighbour_evidence(struct flt_call *c, const struct neighbour_verdict *v);

/* The second engine sees a fact otherwise than ours, which decided: one line in the log. */
void flt_differs(struct flt_call *c, const char *fact, struct slice about, struct slice ours,
	struct slice theirs);

/* FACT_FAILED with words for the log. */
enum fact_state flt_failed(struct flt_call *c, struct value *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static inline enum fact_state
flt_text(struct value *v, struct slice text)
{
	v->text = text;
	return FACT_KNOWN;
}

static inline enum fact_state
flt_flag(struct value *v, bool flag)
{
	v->flag = flag;
	return FACT_KNOWN;
}

#endif
