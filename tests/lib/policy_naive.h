/*
 * The naive evaluator of the property test: conditions as terms, facts as they are and as much
 * of them as has come, and the decision of POLICY.md found by trying all values of what is
 * unknown. It shares no code with policy/.
 */
#ifndef TEST_POLICY_NAIVE_H
#define TEST_POLICY_NAIVE_H

#include "policy/policy.h"

enum {
	FACTS = 8,
	FLAGS = 5, /* then a list, then two parallel ones */
	LIST = 5,
	PAIR = 6,
	ITEMS_MOST = 3,
	RULES_MOST = 8,
	RCPTS_MOST = 3,
	TERMS_MOST = 16,
	VARS_MOST = 14,
};

/* What is so, and how much of it has come. */
struct truth {
	bool failed, flag;
	char items[ITEMS_MOST];
	size_t n;
	bool asked, done;
	size_t came; /* items that are there already */
};

/* A condition as this test made it. */
enum term_kind { T_FLAG, T_LIST, T_EVERY, T_SCORE, T_NOT, T_AND, T_OR, T_ANY, T_PAIR };

struct term {
	enum term_kind kind;
	unsigned a, b; /* children */
	unsigned fact; /* FLAG, LIST, EVERY; PAIR: 0 or 1 */
	char item;
	int number; /* SCORE */
};

struct rule_made {
	enum action action;
	bool try_only, always;
	int score;
	struct term terms[TERMS_MOST];
	unsigned n_terms, root;
};

struct set {
	struct fact_decl decls[FACTS];
	enum fact_stage grows_until[FACTS]; /* free lists */
	struct rule_made rules[RULES_MOST];
	size_t n_rules, n_rcpts;
	bool postmaster;
	struct truth facts[FACTS][RCPTS_MOST];
	enum fact_stage stage;
	bool final; /* the naive evaluator looks at all facts at once */
	size_t rcpt;
	uint64_t seed;
	const char *wrong;
};

enum known { K_FALSE, K_TRUE, K_OPEN, K_FAILED };

struct decision {
	bool decided;
	bool by_failure;
	enum action action;
	uint32_t effects; /* bits of rules */
	size_t end;       /* rules from here on do not count any more */
	enum known states[RULES_MOST];
	uint32_t relevant[RULES_MOST], open[RULES_MOST];
};

/* The truth for the recipient at hand. */
struct truth *truth_of(struct set *s, unsigned fact);
/* On what is known at the set's stage; with `final` on all that will ever be. */
struct decision naive_decide(struct set *s);

#endif
