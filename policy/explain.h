/*
 * Why a verdict is what it is, for people: each rule with what its condition came to, and each
 * fact of it with its value and evidence. Values are data of peers: all but printable ASCII is
 * escaped, and long ones are cut, so that the text is safe on a terminal and in a log.
 */
#ifndef POLICY_EXPLAIN_H
#define POLICY_EXPLAIN_H

#include "policy/policy.h"

/*
 * A line a rule, "FILE:LINE  true   reject", with the facts it uses below it; then the
 * decision. source: as the verdict was made; nothing is asked of the world. Rules that were not
 * reached say so.
 */
struct slice policy_explain(const struct policy *p, const struct verdict *v,
	struct fact_source source, struct arena *a);
/* The facts of one rule in a line: spf=fail, dnsbl "zen.example"=yes. */
struct slice policy_explain_facts(const struct policy *p, const struct rule *rule,
	struct fact_source source, struct arena *a);
/*
 * A line for each fact of the policy that is known, failed, or known in part; first those of
 * `rule` (NULL: none). Whole lines, as many as `most` bytes take.
 */
struct slice policy_explain_known(const struct policy *p, const struct rule *rule,
	struct fact_source source, size_t most, struct arena *a);

#endif
