/*
 * A laboratory for policies: facts as a test declares them, rules as text read by the real
 * parser, values as words of a line, and the verdict as a line. See policy_eval_test.c for the
 * notation.
 */
#ifndef TEST_POLICY_LAB_H
#define TEST_POLICY_LAB_H

#include "policy/policy.h"

struct policy_lab {
	struct arena *arena;
	struct conf *conf;
	struct policy *policy; /* NULL: the report says why */
	struct conf_report report;
	const char *facts; /* "spf=fail virus=? dnsbl(z)=!timeout" */
	char asked[400];   /* " spf dnsbl(z)": what was asked of the world, in order */
};

extern const struct fact_decl *const policy_lab_decls[];

/* rules: those of the inbound block, from line 1 of "t.conf" on; declarations stand behind
 * them. */
void policy_lab_open(struct policy_lab *lab, const char *rules);
void policy_lab_close(struct policy_lab *lab);
void
policy_lab_eval(struct policy_lab *lab, const char *facts, bool postmaster, struct verdict *v);
struct fact_source policy_lab_source(struct policy_lab *lab);
/* "reject@3", "accept@5 +1 +2 try@4", "open waits=cheap asked: spf", "defer 451 ...". */
struct slice policy_lab_text(struct policy_lab *lab, const struct verdict *v);

#endif
