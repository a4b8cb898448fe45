/*
 * Facts: what can be known about a mail, as declared (name, type, scope, stage, cost) and as a
 * value. policy/ knows facts only so; filters/ gathers them. See POLICY.md, "Facts".
 */
#ifndef POLICY_FACT_H
#define POLICY_FACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* The stage at which a fact can first be known. */
enum fact_stage {
	STAGE_CONNECT,
	STAGE_HELO,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_HEADER,
	STAGE_BODY,
	STAGE_COUNT
};
/* For how long it holds. */
enum fact_scope {
	SCOPE_SESSION,
	SCOPE_HELO /* until STARTTLS or a new EHLO */,
	SCOPE_MAIL,
	SCOPE_RECIPIENT
};
/* What gathering it costs: nothing, a DNS or state look-up, a reservation, a scan or call-out.
 */
enum fact_cost { COST_FREE, COST_CHEAP, COST_RESERVE, COST_DEAR };

enum fact_type {
	FACT_FLAG,
	FACT_NUMBER,
	FACT_TEXT,
	FACT_DOMAIN,  /* text that compares as A-labels, without case */
	FACT_ADDRESS, /* text "local@domain": local without case in our own domains, no +detail
		       */
	FACT_IP,      /* text form; `in` takes networks */
	FACT_WORD,    /* one of `words` */
	FACT_LIST_TEXT,
	FACT_LIST_DOMAIN,
	FACT_LIST_ADDRESS,
	FACT_LIST_NUMBER,
	FACT_LIST_FLAG,
};

/* LIMIT: "user > 200/hour" (conf/limit.h), which the parser has read. */
enum fact_arg { FACT_ARG_NONE, FACT_ARG_STRING, FACT_ARG_WORD, FACT_ARG_LIMIT };

struct fact_lookup;

struct fact_decl {
	const char *name;   /* "client.name", "dnsbl" */
	const char *phrase; /* other spelling in rules: "client in dnsbl"; or NULL */
	enum fact_type type;
	const char *const *words; /* FACT_WORD, FACT_ARG_WORD: NULL-ended */
	enum fact_arg arg;
	enum fact_scope scope;
	enum fact_stage stage;
	enum fact_cost cost;
	bool skip;   /* on failure skip is its default (dnsbl) */
	bool served; /* asked of servers that `filter NAME` has to name: an error without */
	const char *text;                 /* one sentence of documentation */
	const struct fact_lookup *lookup; /* policy made it of another; NULL: a filter's own */
};

struct value {
	bool flag;
	double number;
	struct slice text;         /* TEXT, DOMAIN, ADDRESS, IP, and the WORD itself */
	const struct value *items; /* LIST_* */
	size_t n_items;
	bool growing;          /* LIST_*: more may come; true early, false only when complete */
	struct slice evidence; /* for explain, trace and headers; may be empty */
};

/* One use of a fact by a policy: the declaration and its argument (header "X"). */
struct fact_ref {
	const struct fact_decl *decl;
	struct slice arg;
	unsigned index; /* its place in the policy's list of distinct uses */
};

/* `FACT in T` where a directory or database holds T: whether values of the fact are in it. */
struct fact_lookup {
	struct fact_ref of;
	struct slice table;
	bool every; /* of a list: all of its elements */
};

enum fact_state {
	FACT_KNOWN,
	FACT_FAILED,  /* stays unknown: value's evidence says why */
	FACT_OPEN,    /* its questions are asked, the answers are not there */
	FACT_UNASKED, /* it needs a question dearer than may be asked now */
	FACT_LATER,   /* a later stage of the mail brings it */
};

/*
 * Where an evaluation gets its facts. `most` is the dearest question that may be asked for it.
 * The value lives as long as the source says (an arena of its scope). A list that is not
 * complete may come with the items that are there in every state; a growing one that is
 * FACT_KNOWN is asked for again with dearer questions allowed, and waits for a later stage if
 * it grows still.
 */
struct fact_source {
	enum fact_state (*get)(void *arg, const struct fact_ref *ref, enum fact_cost most,
		struct value *value_out);
	void *arg;
};

const char *fact_stage_text(enum fact_stage s);
const char *fact_type_text(enum fact_type t);
const char *fact_scope_text(enum fact_scope s);
const char *fact_cost_text(enum fact_cost c);

#endif
