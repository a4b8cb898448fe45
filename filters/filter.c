/*
 * What every filter calls: look-ups that become questions where the answer is missing. Bounds
 * stand here, so that no filter can be made to ask without end.
 */
#include "filters/filter.h"

#include <stdio.h>

enum { FAILED_TEXT_MOST = 300 };

static const struct dns_answer no_such_name = {.status = DNS_NXDOMAIN};
static const struct dns_answer too_many = {.status = DNS_FAIL};

void
filters_check(struct conf *c, struct conf_report *r)
{
	for (size_t i = 0; i < c->n_filters; i++)
		for (size_t k = 0; filter_table[k] != NULL; k++)
			if (filter_table[k]->check != NULL &&
				slice_eq(c->filters[i].name, slice_of(filter_table[k]->name)))
				filter_table[k]->check(c, &c->filters[i], r);
}

void
flt_unasked(struct flt_call *c, enum fact_cost cost)
{
	if (!c->unasked || cost < c->needs)
		c->needs = cost;
	c->unasked = true;
}

const struct dns_answer *
flt_dns(struct flt_call *c, struct slice name, enum dns_type type)
{
	if (!dns_name_ok(name))
		return &no_such_name;
	if (!questions_dns_has(c->questions, name, type)) {
		if (c->most < COST_CHEAP) {
			flt_unasked(c, COST_CHEAP);
			return NULL;
		}
		if (c->questions->dns_count >= FLT_DNS_MOST)
			return &too_many;
	}
	const struct question *one = questions_dns(c->questions, name, type);
	return one->state == QUESTION_ANSWERED ? one->dns : NULL;
}

/* What was asked costs nothing; a new question only where it may be asked now. */
static bool
may_ask(struct flt_call *c, enum fact_cost cost, enum question_kind kind, struct slice name,
	struct slice input)
{
	if (c->most >= cost || questions_has(c->questions, kind, name, input))
		return true;
	flt_unasked(c, cost);
	return false;
}

const struct scan_report *
flt_scan(struct flt_call *c)
{
	if (!may_ask(c, COST_DEAR, QUESTION_SCAN, SLICE_NONE, SLICE_NONE))
		return NULL;
	const struct question *one = questions_scan(c->questions);
	return one->state == QUESTION_ANSWERED ? one->scan : NULL;
}

const struct question *
flt_known(struct flt_call *c, struct slice recipient)
{
	if (!may_ask(c, COST_DEAR, QUESTION_KNOWN, recipient, SLICE_NONE))
		return NULL;
	const struct question *one = questions_known(c->questions, recipient);
	return one->state == QUESTION_ANSWERED ? one : NULL;
}

const struct question *
flt_engine(struct flt_call *c, struct slice engine, struct slice input)
{
	if (!may_ask(c, COST_CHEAP, QUESTION_ENGINE, engine, input))
		return NULL;
	const struct question *one = questions_engine(c->questions, engine, input);
	return one->state == QUESTION_ANSWERED ? one : NULL;
}

const struct state_answer *
flt_state(struct flt_call *c, const struct state_op *op)
{
	enum fact_cost cost = op->kind == STATE_GET ? COST_CHEAP : COST_RESERVE;
	if (c->most < cost && !questions_state_has(c->questions, op)) {
		flt_unasked(c, cost);
		return NULL;
	}
	const struct question *one = questions_state(c->questions, op);
	return one->state == QUESTION_ANSWERED ? &one->answer : NULL;
}

const struct question *
flt_lookup(struct flt_call *c, struct slice table, struct slice value)
{
	if (!may_ask(c, COST_CHEAP, QUESTION_LOOKUP, table, value))
		return NULL;
	const struct question *one = questions_lookup(c->questions, table, value);
	return one->state == QUESTION_ANSWERED ? one : NULL;
}

enum fact_state
flt_table(struct flt_call *c, const struct conf_table *t, struct slice value, struct value *v)
{
	if (t->directory == NULL) {
		enum pattern_result found = conf_table_look(t, value, c->arena);
		if (found != PATTERN_GAVE_UP)
			return flt_flag(v, found == PATTERN_YES);
		return flt_failed(c, v, "table %.*s: an expression reached its limit",
			SLICE_ARG(t->name));
	}
	const struct question *one = flt_lookup(c, t->name, value);
	if (one == NULL)
		return FACT_OPEN;
	if (one->lookup == LOOKUP_FAILED)
		return flt_failed(c, v, "table %.*s: %.*s", SLICE_ARG(t->name),
			SLICE_ARG(one->lookup_text));
	v->evidence = arena_printf(c->arena, "%.*s is%s in %.*s", SLICE_ARG(value),
		one->lookup == LOOKUP_YES ? "" : " not", SLICE_ARG(t->name));
	return flt_flag(v, one->lookup == LOOKUP_YES);
}

bool
flt_is_listing(const struct ip *ip)
{
	return ip->family == 4 && ip->bytes[0] == 127 &&
	       !(ip->bytes[1] == 255 && ip->bytes[2] == 255);
}

void
flt_differs(struct flt_call *c, const char *fact, struct slice about, struct slice ours,
	struct slice theirs)
{
	struct log_line l;
	log_begin(&l, EV_COMPARE, c->mail != NULL ? c->mail->log : NULL);
	log_text(&l, "fact", fact);
	log_slice(&l, "about", about);
	log_slice(&l, "ours", ours);
	log_slice(&l, "theirs", theirs);
	log_end(&l);
}

enum fact_state
flt_failed(struct flt_call *c, struct value *v, const char *fmt, ...)
{
	char text[FAILED_TEXT_MOST];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t used = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	v->evidence = arena_slice(c->arena, (struct slice){text, used});
	return FACT_FAILED;
}
