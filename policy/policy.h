/*
 * Policy: a pure function from facts to a decision, by the administrator's rules, in three
 * values (POLICY.md, "Three values, one order"). No I/O, no library of the world; evaluated
 * anew at each stage and after each answer, for each recipient.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/arena.h"
#include "conf/conf.h"
#include "policy/fact.h"

enum direction { INBOUND, OUTBOUND };

enum tri { TRI_FALSE, TRI_TRUE, TRI_OPEN, TRI_FAILED };

struct policy;

/*
 * Gives a block meaning: resolves facts, words, tables and patterns, checks types, stages and
 * that the block ends. decls: all facts there are, NULL-ended by name. What is wrong goes to
 * the report; NULL if any error was added. The policy lives in the arena and points into conf.
 */
struct policy *policy_compile(const struct conf *conf, enum direction direction,
	const struct fact_decl *const *decls, struct arena *a, struct conf_report *report);

size_t policy_rules(const struct policy *p);
const struct rule *policy_rule(const struct policy *p, size_t i);
size_t policy_facts(const struct policy *p); /* distinct uses */
const struct fact_ref *policy_fact(const struct policy *p, size_t i);
/* Whether a rule of the block uses this fact at all: what no rule asks for is not gathered. */
bool policy_uses(const struct policy *p, const char *fact_name);
/* Whether the rule's condition asks for this fact, or one below it (`spam`: spam.domain). */
bool policy_rule_uses(const struct policy *p, const struct rule *r, const char *fact_name);
/* The patterns that `body contains` names, for the scanner: index is the pattern's place here.
 */
size_t policy_patterns(const struct policy *p);
const struct conf_pattern *policy_pattern(const struct policy *p, size_t i);

/* What a recipient is to the evaluation, beside the facts. */
struct policy_subject {
	bool postmaster; /* postmaster@ or abuse@ of a declared domain: passes all but virus and
			    rate */
};

/* Whether a verdict is carried out as it is; the other two are made of it in session/modes.h.
 */
enum verdict_mode { VERDICT_HOLDS, VERDICT_OBSERVED, VERDICT_SOFTENED };

struct verdict {
	bool decided;
	enum verdict_mode mode;
	enum action would;       /* not VERDICT_HOLDS: what was decided */
	enum action action;      /* decided: an ending one */
	const struct rule *rule; /* NULL: deferred because facts failed; postmaster@ that no
				    rule stopped: the last one, with ACTION_ACCEPT */
	struct slice reply; /* the rule's `with`, or "451 4.7.1 ..." naming failed facts; may be
			       empty */
	const struct rule **effects; /* not ending, true, above the decision; in order; for
					accept, quarantine, hold */
	size_t n_effects;
	const struct rule **tries; /* `try` rules that would have acted, as far as known */
	size_t n_tries;
	enum fact_cost asked; /* undecided: the dearest that was asked for in this run */
	bool waits;           /* undecided: an answer that is open now could decide; false: only
				 a later stage can, whatever else is under way */
	double score;
	bool score_known;
	/* for the one-decision rule of a gateway without spool, and for explain */
	enum tri *states; /* of each rule; rules below the decision are TRI_OPEN */
};

/*
 * Evaluates. Cheap questions of all rules are asked together; a reservation or a dear one only
 * when no cheaper one is open. Pure but for what `source` does. Allocates in `a`; never fails.
 */
void policy_eval(const struct policy *p, const struct policy_subject *subject,
	struct fact_source source, struct arena *a, struct verdict *verdict_out);

/* Two recipients whose open rules are the same will get the same decision after the data. */
bool policy_same_open(const struct policy *p, const struct verdict *a, const struct verdict *b);

/* For `postern check`: one line a rule (stage, cost, what it delays, whether it can match). */
struct slice policy_check_text(const struct policy *p, struct arena *a);
/*
 * Warnings of `check`: rules that can split a mail without a spool, rules that never match, ...
 * and errors: what a milter that has mail of this block cannot carry out.
 */
void policy_check(const struct policy *p, struct conf_report *report);

#endif
