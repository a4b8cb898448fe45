/*
 * The facts of DKIM: hands the mail as it streams by to the verifier, asks for the keys while
 * the body is still on its way, and tells what came out. Its state of the mail is the struct
 * dkim_verify, which DMARC and Authentication-Results read too.
 */
#include "filters/flt_dkim.h"

static const char *const result_words[] = {
	"none", "pass", "fail", "neutral", "policy", "permerror", "temperror", NULL};

static const struct fact_decl facts[] = {
	{.name = "dkim",
		.type = FACT_WORD,
		.words = result_words,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "The result of DKIM: pass if any signature passes, none without one."},
	{.name = "dkim.domains",
		.type = FACT_LIST_DOMAIN,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "The domains (d=) of the DKIM signatures that pass."},
	{.name = "dkim.selectors",
		.type = FACT_LIST_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "The selectors (s=) of the DKIM signatures that pass, in the order of "
			"dkim.domains."},
	{.name = NULL},
};
enum { DKIM, DKIM_DOMAINS, DKIM_SELECTORS };

static void
header(struct flt_call *c)
{
	const struct message *m = c->mail->message;
	struct dkim_verify *v = dkim_verify_begin(m->fields, m->n_fields,
		c->mail->params.smtputf8, c->session->wall_ms / 1000, c->arena);
	*c->mail_state = v;
	/* The keys will be needed whatever the body says: they travel while it does. */
	c->most = COST_CHEAP;
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		const struct dkim_signature *s = dkim_verify_signature(v, i);
		if (s->key_name.n > 0)
			flt_dns(c, s->key_name, DNS_TXT);
	}
}

static void
body(struct flt_call *c, struct slice piece)
{
	dkim_verify_body(*c->mail_state, piece);
}

static void
body_end(struct flt_call *c)
{
	dkim_verify_body_end(*c->mail_state);
}

/* All answers are asked for before any is waited for; one result for one mail, however they
 * come. */
static bool
decide(struct flt_call *c, struct dkim_verify *v)
{
	bool open = false;
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		const struct dkim_signature *s = dkim_verify_signature(v, i);
		if (s->key_name.n == 0)
			continue;
		const struct dns_answer *answer = flt_dns(c, s->key_name, DNS_TXT);
		if (answer == NULL)
			open = true;
		else
			dkim_verify_key(v, i, answer);
	}
	return !open;
}

/* "example.com s2026 pass; example.org k1 fail: the body was changed". */
static struct slice
evidence(const struct dkim_verify *v, struct arena *a)
{
	struct slice text = SLICE_NONE;
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		const struct dkim_signature *s = dkim_verify_signature(v, i);
		text = arena_printf(a, "%.*s%s%.*s %.*s %s%s%s", SLICE_ARG(text),
			i > 0 ? "; " : "", SLICE_ARG(s->domain), SLICE_ARG(s->selector),
			dkim_result_text(s->result), s->reason != NULL ? ": " : "",
			s->reason != NULL ? s->reason : "");
	}
	return text;
}

static enum fact_state
passing(struct flt_call *c, const struct dkim_verify *v, bool selectors, struct value *out)
{
	struct value *items = arena_array(c->arena, DKIM_SIGNATURES_MOST, sizeof(*items));
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		const struct dkim_signature *s = dkim_verify_signature(v, i);
		if (s->result == DKIM_PASS)
			items[out->n_items++].text = selectors ? s->selector : s->domain;
	}
	out->items = items;
	return FACT_KNOWN;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v_out)
{
	struct dkim_verify *v = *c->mail_state;
	if (v == NULL)
		return flt_failed(c, v_out, "the mail went by without being verified");
	if (!decide(c, v))
		return FACT_OPEN;
	v_out->evidence = evidence(v, c->arena);
	switch (ref->decl - facts) {
	case DKIM: return flt_text(v_out, slice_of(dkim_result_text(dkim_verify_overall(v))));
	case DKIM_DOMAINS: return passing(c, v, false, v_out);
	case DKIM_SELECTORS: return passing(c, v, true, v_out);
	default: return flt_failed(c, v_out, "not a fact of DKIM");
	}
}

const struct filter flt_dkim = {.name = "dkim",
	.facts = facts,
	.gather = gather,
	.header = header,
	.body = body,
	.body_end = body_end};

const struct dkim_verify *
flt_dkim_verify(struct facts *f)
{
	return facts_mail_state(f, &flt_dkim);
}
