/*
 * The insides of a compiled policy: flat arrays that evaluation walks. Rules have a tree of
 * nodes (children and siblings by index), leaves are tests of one fact each, facts are distinct
 * uses.
 */
#ifndef POLICY_POLICY_PRIV_H
#define POLICY_POLICY_PRIV_H

#include "conf/glob.h"
#include "conf/pattern.h"
#include "policy/policy.h"

enum {
	POLICY_NODES_MOST = 60000,
	POLICY_RULES_MOST = 10000,
	POLICY_DEPTH_MOST = 200, /* of parentheses; chains of `and` and `or` are flat */
	POLICY_NONE = 0xffff,
};

enum match_kind {
	MATCH_FLAG,
	MATCH_NUMBER,     /* op, number */
	MATCH_TEXT,       /* equal to one of texts, without case */
	MATCH_WORD,       /* the same, by bytes */
	MATCH_DOMAIN,     /* one of texts, A-labels in lower case; "*.d" is all below d */
	MATCH_ADDRESS,    /* one of texts: "l@d", "@d" (all of d), or "" for <> */
	MATCH_NETWORK,    /* in one of nets */
	MATCH_OWN_DOMAIN, /* declared by a `domain` statement */
	MATCH_TABLE,
	MATCH_PART, /* holds one of texts, without case */
	MATCH_GLOB,
	MATCH_PATTERN,
};

/* What one value, or one element of a list, is held against. */
struct match {
	enum match_kind kind;
	enum cond_op op;
	double number;
	struct slice *texts;
	struct ip_net *nets;
	size_t n;
	const struct conf_table *table;
	const struct glob *glob;
	const struct pattern *pattern;
};

struct test {
	struct match match;
	uint16_t fact; /* POLICY_NONE: the fact `score` */
	bool list;     /* any element; `every`: all, and there is one */
	bool every;
	enum fact_type type; /* of an element */
};

enum node_kind {
	NODE_TRUE,
	NODE_TEST,
	NODE_AND,
	NODE_OR, /* children from `first` on */
	NODE_ANY,
	NODE_ALL, /* one child, for each element of the lists its tests use */
};

struct node {
	uint8_t kind;
	bool negated;         /* TEST */
	uint16_t test;        /* TEST */
	uint16_t first, next; /* child, sibling; POLICY_NONE ends */
};

struct policy_rule {
	const struct rule *rule;
	uint16_t root;
	bool try_only;
	bool ends;
	bool passes_postmaster; /* a refusal that uses neither virus nor a limit */
};

struct policy {
	const struct conf *conf;
	enum direction direction;
	struct policy_rule *rules;
	size_t n_rules;
	struct node *nodes;
	size_t n_nodes, room_nodes;
	struct test *tests;
	size_t n_tests, room_tests;
	struct fact_ref *facts;
	bool *skip; /* of each fact: on failure skip */
	size_t n_facts, room_facts;
	const struct conf_pattern **patterns;
	size_t n_patterns, room_patterns;
};

/* What policy_compile hands through its files. */
struct compile {
	struct policy *policy;
	const struct conf *conf;
	const struct fact_decl *const *decls;
	struct arena *arena;
	struct conf_report *report;
};

/* --- compile_cond.c: the root of the condition's nodes, or POLICY_NONE with an error reported.
 */
uint16_t compile_cond(struct compile *c, const struct cond *cond);
/* --- compile_match.c: the operand of a test, checked against its type. False: reported. */
bool compile_match(struct compile *c, const struct cond *cond, struct test *test);
/* Reports that there is none of this name. */
void compile_no_pattern(struct compile *c, struct conf_at at, struct slice name);
/* --- compile_cond.c: its place among the policy's uses of facts. */
uint16_t compile_add_fact(struct compile *c, const struct fact_decl *d, struct slice arg);
/* --- compile_lookup.c: the table of `FACT in T` where a directory has it, else NULL; and the
 * test as one of a fact that is looked up. False: reported. */
const struct conf_table *
compile_lookup_table(const struct compile *c, const struct cond *cond, const struct test *t);
bool compile_lookup(struct compile *c, const struct cond *cond, const struct conf_table *table,
	bool in_any, struct test *t);
/* --- compile_limits.c */
/* The fact of a test of rate or quota, with its argument; NULL, reported: there is none. */
const struct fact_decl *
compile_limit(struct compile *c, const struct cond *cond, struct slice *arg_out);
/* A fact of limits that was not written as one. */
void
compile_limit_wanted(struct compile *c, const struct cond *cond, const struct fact_decl *d);
/* --- compile_action.c: reports what is wrong with a rule's text. */
void compile_action(struct compile *c, const struct rule *r);
/* --- compile.c: room for one more; grows by doubling inside the arena. */
void *compile_room(struct compile *c, void *items, size_t n, size_t *room, size_t bytes);

static inline bool
fact_type_is_list(enum fact_type t)
{
	return t >= FACT_LIST_TEXT;
}

/* --- never.c */
/* The later one holds of a rule, whose condition may be closed in one way and in another. */
enum never_why {
	NEVER_NO,
	NEVER_CONTRADICTS,    /* its tests of one fact exclude each other */
	NEVER_DECIDED,        /* an earlier rule decides before it */
	NEVER_BUT_POSTMASTER, /* the same, but that rule does not hold for postmaster@ */
};
struct never {
	enum never_why why;
	const struct test *test; /* CONTRADICTS: one of them */
	const struct rule *by;
	/* of an effect: what refuses or drops each mail that it would be done to, or NULL */
	const struct rule *refused;
};
/* Of each rule; sound, not complete: what it calls unreachable never decides and never acts. */
const struct never *policy_never(const struct policy *p, struct arena *a);

/* --- guards.c: warns of rules that facts which fail together keep from deciding. */
void check_guards(const struct policy *p, struct conf_report *report);

/* --- match.c */
enum pattern_result match_value(const struct policy *p, const struct match *m,
	enum fact_type type, const struct value *v, struct arena *scratch);

#endif
