/*
 * Rules as they were written: the syntax tree of a block of POLICY.md, with nothing resolved.
 * The parser makes it; policy/ gives it meaning (which facts there are, which words, which
 * types).
 */
#ifndef CONF_RULES_H
#define CONF_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "conf/limit.h"

/* Where in the configuration; file is the name as it was opened. Columns count bytes from 1. */
struct conf_at {
	const char *file;
	unsigned line, column;
};

enum operand_kind {
	OPERAND_NONE,
	OPERAND_STRING, /* text */
	OPERAND_NUMBER, /* number: plain, or a size in bytes (25M), or a duration in ms (10s) */
	OPERAND_RATE,   /* number per span_ms: 200/hour */
	OPERAND_WORD,   /* text: a word of a fact, a table, a pattern, `domains` */
	OPERAND_WORD_ARG, /* text and arg: dnsbl "zen.example" */
	OPERAND_SET,      /* items: { "a", "b" } */
};

struct operand {
	enum operand_kind kind;
	struct conf_at at;
	struct slice text, arg;
	double number;
	uint64_t span_ms;
	char unit; /* 0 plain, 's' size, 'd' duration */
	struct operand *items;
	size_t n_items;
};

enum cond_op {
	OP_TRUE /* a bare fact */,
	OP_IS,
	OP_IN,
	OP_MATCHES,
	OP_CONTAINS,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE
};

enum cond_kind {
	COND_ALWAYS /* a rule without condition */,
	COND_TEST,
	COND_NOT,
	COND_AND,
	COND_OR,
	COND_ANY
};

struct cond {
	enum cond_kind kind;
	struct conf_at at;
	struct cond *a, *b; /* NOT: a; AND, OR: both; ANY: a, with names relative to `fact` */
	bool every;         /* TEST: every element, not any */
	struct slice fact;  /* TEST: "recipient.domain"; ANY: "attachment" */
	struct operand arg; /* header "X", rate user: STRING or WORD */
	enum cond_op op;
	struct operand value;
	const struct limit *limit; /* TEST of rate or quota: all that stands behind it */
};

struct hop_list; /* conf.h */

enum action {
	ACTION_ACCEPT,
	ACTION_REJECT,
	ACTION_DEFER,
	ACTION_QUARANTINE,
	ACTION_DISCARD,
	ACTION_HOLD,
	/* these do not end the evaluation */
	ACTION_ROUTE,
	ACTION_SEND_FROM,
	ACTION_TAG,
	ACTION_REMOVE_HEADER,
	ACTION_SIGN,
	ACTION_REDIRECT,
	ACTION_COPY,
	ACTION_APPEND,
	ACTION_NOTIFY,
	ACTION_SCORE,
	ACTION_LOG,
	ACTION_COUNT
};
static inline bool
action_ends(enum action a)
{
	return a <= ACTION_HOLD;
}

const char *action_text(enum action a); /* "remove header" */

struct rule {
	struct conf_at at;
	enum action action;
	bool try_only;     /* `try RULE` */
	struct slice text; /* with "...", tag "...", quarantine "...", sign as "...", log "...";
			      of append: its lines, each with its LF */
	struct slice html; /* append: the same for HTML, empty: made of the text */
	double number;     /* score */
	uint64_t hold_ms;  /* hold for */
	unsigned
		hold_until; /* hold until "HH:MM": minutes after midnight plus 1; 0: hold for */
	struct hop_list *route; /* route to; text is what was written */
	struct cond *cond;      /* kind COND_ALWAYS where there is none */
};

struct rule_block {
	struct conf_at at; /* line 0: the configuration has no such block */
	struct rule *rules;
	size_t n_rules;
};

#endif
