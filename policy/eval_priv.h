/* One evaluation: what is known in it. Shared by eval.c (rules) and eval_cond.c (conditions).
 */
#ifndef POLICY_EVAL_PRIV_H
#define POLICY_EVAL_PRIV_H

#include "policy/logic.h"
#include "policy/policy_priv.h"

/* A fact as the source last gave it. */
struct memo {
	struct value value;
	uint8_t state; /* enum fact_state */
	uint8_t asked; /* 0: not yet; else the dearest question allowed for it, plus 1 */
};

struct run {
	const struct policy *policy;
	struct fact_source source;
	struct arena *arena;
	struct memo *facts;
	uint8_t *tests; /* enum test_memo */
	logic *rules;
	uint8_t *useful;      /* whether answers to a rule could let it decide now */
	size_t end;           /* the first rule that is true and ends; all rules: none */
	double score;         /* of the rules above the one at hand */
	logic score_open;     /* 0: known */
	bool reserved;        /* a reservation was asked for: one at a time */
	uint16_t reserving;   /* which one; POLICY_NONE: none */
	bool changed;         /* something that was asked for was answered at once */
	enum fact_cost asked; /* the dearest question that went out */
};

/* What the condition is by what was asked for so far; facts that cost nothing are fetched. */
logic cond_value(struct run *r, uint16_t node);
/* The same after asking at this level for what the value still hangs on, left to right. */
logic cond_settle(struct run *r, uint16_t node, enum fact_cost level);
/* Marks the failed facts that keep the condition unknown. */
void cond_failed(struct run *r, uint16_t node, bool *failed);

#endif
