/*
 * The facts of DMARC: gives the engine what SPF and DKIM found and the author domain, all by
 * way of the facts, and the DNS by way of questions. The walk's questions go out with the
 * header.
 */
#include "base/must.h"
#include "filters/dmarc.h"
#include "filters/flt_dkim.h"

static const char *const result_words[] = {
	"none", "pass", "fail", "temperror", "permerror", NULL};
static const char *const policy_words[] = {"none", "quarantine", "reject", NULL};

static const struct fact_decl facts[] = {
	{.name = "dmarc",
		.type = FACT_WORD,
		.words = result_words,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "The result of DMARC (RFC 9989); none where the author domain has no "
			"policy."},
	{.name = "dmarc.policy",
		.type = FACT_WORD,
		.words = policy_words,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "What the author domain asks for where DMARC fails, less one step "
			"under t=y."},
	{.name = NULL},
};
enum { DMARC, DMARC_POLICY };

static const struct dns_answer *
lookup(void *arg, struct slice name, enum dns_type type)
{
	return flt_dns(arg, name, type);
}

static void
header(struct flt_call *c)
{
	struct dmarc_mail mail = {.from = c->mail->message->from_domain};
	struct dmarc_dns dns = {lookup, c};
	struct dmarc_verdict verdict;
	facts_want(c->facts, "dkim");
	c->most = COST_CHEAP;
	dmarc_evaluate(&mail, &dns, c->arena, &verdict); /* for its questions */
}

/* The domain that SPF spoke of: MAIL FROM's, or HELO's under <> (HDR-06), as DMARC compares it.
 */
static struct slice
spf_domain(struct flt_call *c)
{
	struct slice domain = SLICE_NONE;
	struct value v;
	if (facts_read(c->facts, "spf.domain", SLICE_NONE, SIZE_MAX, COST_FREE, &v) ==
			FACT_KNOWN &&
		!domain_parse(v.text, c->mail->params.smtputf8, false, c->arena, &domain))
		return SLICE_NONE;
	return domain;
}

/* False: SPF is open. */
static bool
read_spf(struct flt_call *c, struct dmarc_mail *m)
{
	struct value v;
	enum fact_state state = facts_read(c->facts, "spf", SLICE_NONE, SIZE_MAX, c->most, &v);
	if (state == FACT_UNASKED)
		flt_unasked(c, COST_CHEAP);
	if (state != FACT_KNOWN && state != FACT_FAILED)
		return false;
	if (state == FACT_FAILED || slice_eq(v.text, SLICE("temperror")))
		m->spf_later = spf_domain(c);
	else if (slice_eq(v.text, SLICE("pass")))
		m->spf = spf_domain(c);
	return true;
}

/* False: DKIM is open. */
static bool
read_dkim(struct flt_call *c, struct dmarc_mail *m)
{
	struct value v;
	enum fact_state state = facts_read(c->facts, "dkim", SLICE_NONE, SIZE_MAX, c->most, &v);
	if (state == FACT_UNASKED)
		flt_unasked(c, COST_CHEAP);
	if (state == FACT_FAILED) { /* it might have been aligned */
		m->dkim_later = &m->from;
		m->n_dkim_later = 1;
		return true;
	}
	if (state != FACT_KNOWN)
		return false;
	const struct dkim_verify *verify = flt_dkim_verify(c->facts);
	must(verify != NULL);
	struct slice *pass = arena_array(c->arena, DKIM_SIGNATURES_MOST, sizeof(*pass));
	struct slice *later = arena_array(c->arena, DKIM_SIGNATURES_MOST, sizeof(*later));
	for (size_t i = 0; i < dkim_verify_count(verify); i++) {
		const struct dkim_signature *s = dkim_verify_signature(verify, i);
		if (s->result == DKIM_PASS)
			pass[m->n_dkim++] = s->domain;
		else if (s->result == DKIM_TEMPERROR)
			later[m->n_dkim_later++] = s->domain;
	}
	m->dkim = pass;
	m->dkim_later = later;
	return true;
}

static struct slice
evidence(const struct dmarc_verdict *v, struct arena *a)
{
	if (v->reason != NULL)
		return slice_of(v->reason);
	if (v->domain.n == 0)
		return SLICE("no DMARC record");
	struct slice at = arena_printf(
		a, "%s asked for by %.*s", dmarc_policy_text(v->policy), SLICE_ARG(v->domain));
	if (v->result != DMARC_PASS)
		return at;
	return arena_printf(a, "%.*s, %s of %.*s is aligned", SLICE_ARG(at),
		v->by_dkim ? "DKIM" : "SPF", SLICE_ARG(v->aligned));
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v_out)
{
	struct dmarc_mail mail = {.from = c->mail->message->from_domain};
	struct dmarc_dns dns = {lookup, c};
	struct dmarc_verdict verdict;
	/* All three ask before any is waited for. */
	bool spf = read_spf(c, &mail), dkim = read_dkim(c, &mail);
	if (!dmarc_evaluate(&mail, &dns, c->arena, &verdict) || !spf || !dkim)
		return FACT_OPEN;
	v_out->evidence = evidence(&verdict, c->arena);
	if (ref->decl == &facts[DMARC_POLICY])
		return flt_text(v_out, slice_of(dmarc_policy_text(verdict.policy)));
	return flt_text(v_out, slice_of(dmarc_result_text(verdict.result)));
}

const struct filter flt_dmarc = {
	.name = "dmarc", .facts = facts, .gather = gather, .header = header};
