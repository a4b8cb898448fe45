/*
 * Tests of `rate` and `quota`: the parser has read the whole limit, here it gets its fact and
 * its argument. Mails are counted once for each mail, in its scope and from MAIL on; recipients
 * in theirs, at RCPT. Whatever the limit, the fact is a flag: over it, or not.
 */
#include "policy/policy_priv.h"

#include <string.h>

const struct fact_decl *
compile_limit(struct compile *c, const struct cond *cond, struct slice *arg_out)
{
	const char *name = limit_fact(cond->limit);
	*arg_out = limit_text(cond->limit, c->arena);
	for (size_t i = 0; c->decls[i] != NULL; i++)
		if (c->decls[i]->arg == FACT_ARG_LIMIT && strcmp(c->decls[i]->name, name) == 0)
			return c->decls[i];
	conf_error(c->report, cond->at, "there is no fact \"%s\"", name);
	return NULL;
}

void
compile_limit_wanted(struct compile *c, const struct cond *cond, const struct fact_decl *d)
{
	bool quota = slice_starts(slice_of(d->name), SLICE("quota"));
	conf_error(c->report, cond->at, "\"%s\" is written as in \"%s user > %s\"", d->name,
		quota ? "quota" : "rate", quota ? "50000/month" : "200/hour");
}
