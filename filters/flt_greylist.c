/*
 * Greylisting with good manners (RFC 6647): a sender that is not known is put off once, for
 * minutes, and remembered. What is known is the sender's domain where SPF vouches for the
 * client, whatever address the mail comes from, else the domain and the client's network: the
 * retry of a large site comes from another machine of it. The local part and the recipient are
 * no part of it, so that a site is put off once and not once for each of its people (section 5
 * asks for a way to know a client that has passed). Logged-in users and programs of this
 * machine are never put off (section 5: not against submission).
 */
#include "filters/facts.h"
#include "filters/whom.h"

/* Section 5 for IPv4 networks, section 7 for IPv6: /64. */
enum { NETWORK4 = 24 };

static const struct fact_decl facts[] = {
	{.name = "greylisted",
		.type = FACT_FLAG,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_RESERVE,
		.text = "The sender is not known yet and has to come again: by domain where "
			"SPF "
			"passes, else by domain and network; `filter greylist` says when and "
			"for "
			"how long."},
	{.name = NULL},
};

/* False: SPF is open. Where it cannot be had the network counts; so it does for <>, whose
 * domain is that of HELO, another one for each machine of a site. */
static bool
spf_passes(struct flt_call *c, bool *passes_out)
{
	struct value v;
	*passes_out = false;
	if (c->mail->sender.is_null)
		return true;
	enum fact_cost most = c->most < COST_CHEAP ? c->most : COST_CHEAP;
	enum fact_state state = facts_read(c->facts, "spf", SLICE_NONE, SIZE_MAX, most, &v);
	*passes_out = state == FACT_KNOWN && slice_eq(v.text, SLICE("pass"));
	if (state == FACT_UNASKED)
		flt_unasked(c, COST_CHEAP);
	return state == FACT_KNOWN || state == FACT_FAILED;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct flt_session *s = c->session;
	bool passes;
	(void)ref;
	if (s->user.n != 0 || s->client.family == 0) {
		v->evidence = s->user.n != 0 ? SLICE("a logged-in user")
					     : SLICE("a program of this machine");
		return flt_flag(v, false);
	}
	if (!spf_passes(c, &passes))
		return FACT_OPEN;
	struct conf_filter set = conf_greylist(c->conf);
	struct slice net = whom_network(&s->client, NETWORK4, c->arena);
	struct slice domain = c->mail->sender.is_null ? SLICE("<>") : c->mail->sender.domain;
	struct state_op op = {.kind = STATE_SEEN,
		.space = STATE_GREY,
		.passer = arena_printf(c->arena, "net %.*s", SLICE_ARG(net)),
		.passes = set.passers,
		.delay_ms = set.delay_ms,
		.within_ms = set.retry_ms,
		.ttl_ms = set.remember_ms};
	op.key = slice_first(passes ? arena_printf(c->arena, "spf %.*s", SLICE_ARG(domain))
				    : arena_printf(c->arena, "net %.*s %.*s", SLICE_ARG(net),
					      SLICE_ARG(domain)),
		STATE_KEY_MOST);
	const struct state_answer *answer = flt_state(c, &op);
	if (answer == NULL)
		return FACT_OPEN;
	if (answer->status != STATE_OK)
		return flt_failed(c, v, "the greylist cannot be reached");
	v->number = (double)answer->wait_ms;
	v->evidence = arena_printf(c->arena, "%.*s %s%.*s", SLICE_ARG(op.key),
		answer->yes ? "is known" : "may come again ",
		SLICE_ARG(answer->yes ? SLICE_NONE : whom_again(answer->wait_ms, c->arena)));
	return flt_flag(v, !answer->yes);
}

const struct filter flt_greylist = {.name = "greylist", .facts = facts, .gather = gather};
