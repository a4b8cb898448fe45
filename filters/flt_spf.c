/*
 * SPF of the mail's reverse-path, or of the HELO name where that is <> (RFC 7208 2.3, 2.4;
 * HDR-06). The engine is run anew as answers come in; what it needs in between lives in an
 * arena of its own.
 */
#include "filters/filter.h"
#include "filters/spf.h"

enum { SCRATCH_MOST = 64 * 1024 * 1024 };

static const char *const words[] = {
	"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", NULL};

static const struct fact_decl facts[] = {
	{.name = "spf",
		.type = FACT_WORD,
		.words = words,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_CHEAP,
		.text = "What SPF says of the client sending for the reverse-path's domain, or "
			"for the "
			"HELO name if that is <>."},
	{.name = "spf.domain",
		.type = FACT_DOMAIN,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_FREE,
		.text = "The domain that SPF is asked about."},
	{.name = NULL},
};
enum { SPF, SPF_DOMAIN };

static const struct dns_answer *
ask(void *arg, struct slice name, enum dns_type type)
{
	return flt_dns(arg, name, type);
}

static struct slice
identity_domain(const struct flt_call *c)
{
	return c->mail->sender.is_null ? c->session->helo : c->mail->sender.domain;
}

static struct slice
evidence_of(const struct flt_call *c, const struct spf_verdict *verdict)
{
	struct slice domain = identity_domain(c);
	const char *identity = c->mail->sender.is_null ? "helo" : "mailfrom";
	struct slice why = verdict->problem.n != 0 ? verdict->problem : verdict->mechanism;
	if (verdict->explanation.n != 0)
		return arena_printf(c->arena, "%s=%.*s %.*s (%.*s)", identity,
			SLICE_ARG(domain), SLICE_ARG(why), SLICE_ARG(verdict->explanation));
	return arena_printf(
		c->arena, "%s=%.*s %.*s", identity, SLICE_ARG(domain), SLICE_ARG(why));
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	if (ref->decl - facts == SPF_DOMAIN)
		return flt_text(v, arena_lower(c->arena, identity_domain(c)));
	struct spf_request r = {
		.client = c->session->client,
		.helo = c->session->helo,
		.sender_local = c->mail->sender.local,
		.sender_domain = identity_domain(c),
		.hostname = c->conf->hostname,
		.now_s = c->session->wall_ms / 1000,
		.dns = ask,
		.arg = c,
	};
	struct spf_verdict verdict;
	struct arena *scratch = arena_new(SCRATCH_MOST);
	bool done = spf_check(&r, scratch, &verdict);
	if (done)
		v->evidence = evidence_of(c, &verdict);
	arena_free(&scratch);
	return done ? flt_text(v, slice_of(spf_result_text(verdict.result))) : FACT_OPEN;
}

const struct filter flt_spf = {.name = "spf", .facts = facts, .gather = gather};
