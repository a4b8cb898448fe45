/*
 * Limits: how many mails, or recipients, somebody has had in a span of time. The counters are
 * the keeper's; here it is said who is counted, and what is asked is one step, "take one of so
 * many". It is a reservation: what was taken for a mail that does not pass is given back
 * (facts.h).
 */
#include <inttypes.h>

#include "base/must.h"
#include "filters/filter.h"
#include "filters/whom.h"

static const struct fact_decl facts[] = {
	{.name = "rate",
		.phrase = "rate KEY > N/SPAN",
		.type = FACT_FLAG,
		.arg = FACT_ARG_LIMIT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_RESERVE,
		.text = "This mail is one more than N in a second, minute, hour or day of its "
			"user, "
			"client, sender or sender.domain: of each, a bucket holds N and "
			"refills "
			"evenly."},
	{.name = "rate.recipients",
		.phrase = "rate KEY > N recipients/SPAN",
		.type = FACT_FLAG,
		.arg = FACT_ARG_LIMIT,
		.scope = SCOPE_RECIPIENT,
		.stage = STAGE_RCPT,
		.cost = COST_RESERVE,
		.text = "The same, and each recipient counts; so it is for the keys recipient "
			"and "
			"recipient.domain, whose unit need not be said."},
	{.name = "quota",
		.phrase = "quota KEY > N/PERIOD",
		.type = FACT_FLAG,
		.arg = FACT_ARG_LIMIT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_RESERVE,
		.text = "This mail is one more than N in the day, week or month of the "
			"calendar, by "
			"local time."},
	{.name = "quota.recipients",
		.phrase = "quota KEY > N recipients/PERIOD",
		.type = FACT_FLAG,
		.arg = FACT_ARG_LIMIT,
		.scope = SCOPE_RECIPIENT,
		.stage = STAGE_RCPT,
		.cost = COST_RESERVE,
		.text = "The same, and each recipient counts."},
	{.name = NULL},
};
enum { RATE, RATE_RECIPIENTS, QUOTA };

static enum state_period
period_of(enum limit_span s)
{
	return s == SPAN_DAY ? PERIOD_DAY : s == SPAN_WEEK ? PERIOD_WEEK : PERIOD_MONTH;
}

/* The limit is part of the key: each window is counted for itself. */
static struct state_op
operation(const struct limit *l, struct slice who, struct arena *a)
{
	struct state_op op = {.kind = l->quota ? STATE_COUNT : STATE_TAKE,
		.space = l->quota ? STATE_QUOTA : STATE_RATE,
		.limit = l->n,
		.n = 1};
	if (l->quota)
		op.period = period_of(l->span);
	else
		op.span_ms = limit_span_ms(l->span);
	op.key = arena_printf(a, "%.*s %" PRIu64 "%s/%s", SLICE_ARG(who), l->n,
		l->recipients ? " recipients" : "", limit_span_text(l->span));
	must(op.key.n <= STATE_KEY_MOST);
	return op;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	struct limit l;
	must(limit_parse(ref->decl - facts >= QUOTA, ref->arg, &l));
	if (l.key == LIMIT_USER && c->session->user_unknown)
		return flt_failed(c, v, "the MTA sends no macros: the user is not known");
	struct slice who = whom_counted(c, l.key);
	if (who.n == 0) {
		v->evidence = SLICE("there is no account to count for");
		return flt_flag(v, false);
	}
	struct state_op op = operation(&l, who, c->arena);
	const struct state_answer *answer = flt_state(c, &op);
	if (answer == NULL)
		return FACT_OPEN;
	if (answer->status != STATE_OK)
		return flt_failed(c, v, "the counters cannot be reached");
	v->number = (double)answer->wait_ms;
	v->evidence = arena_printf(c->arena, "%.*s: %" PRIu64 " of %" PRIu64 " are used%s%.*s",
		SLICE_ARG(who), answer->count, l.n, answer->yes ? "" : ", the next ",
		SLICE_ARG(answer->yes ? SLICE_NONE : whom_again(answer->wait_ms, c->arena)));
	return flt_flag(v, !answer->yes);
}

const struct filter flt_rate = {.name = "rate", .facts = facts, .gather = gather};
