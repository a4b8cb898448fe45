/*
 * The facts of DKIM: hands the mail as it streams by to the verifier, asks for the keys while
 * the body is still on its way, and tells what came out. With `engine libopendkim` its process
 * says what passes, but never against the rules of RFC 8301 and HDR-07, which the library does
 * not have; with `compare libopendkim` we decide and a difference is logged.
 */
#include "filters/flt_dkim.h"

#include "base/must.h"
#include "filters/engine_opendkim.h"

struct state { /* of a mail */
	struct dkim_verify *verify;
	struct engine_opendkim_key keys[DKIM_SIGNATURES_MOST]; /* as they were answered */
	size_t n_keys;
	struct slice input; /* for the second engine, once all keys are there */
	bool judged;
};

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
	struct state *state = ARENA_NEW(c->arena, struct state);
	state->verify = v;
	*c->mail_state = state;
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
	const struct state *state = *c->mail_state;
	dkim_verify_body(state->verify, piece);
}

static void
body_end(struct flt_call *c)
{
	const struct state *state = *c->mail_state;
	dkim_verify_body_end(state->verify);
}

static void
keep_key(struct state *state, struct slice name, const struct dns_answer *answer)
{
	must(state->n_keys < DKIM_SIGNATURES_MOST);
	struct engine_opendkim_key *key = &state->keys[state->n_keys++];
	key->name = name;
	key->status = answer->status;
	if (answer->status == DNS_OK && answer->n > 0)
		key->text = slice_first(answer->rr[0].text, ENGINE_OPENDKIM_TEXT_MOST);
}

/* All answers are asked for before any is waited for; one result for one mail, however they
 * come. */
static bool
decide(struct flt_call *c, struct state *state)
{
	struct dkim_verify *v = state->verify;
	bool open = false;
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		struct slice name = dkim_verify_signature(v, i)->key_name;
		if (name.n == 0)
			continue;
		const struct dns_answer *answer = flt_dns(c, name, DNS_TXT);
		if (answer == NULL) {
			open = true;
			continue;
		}
		keep_key(state, name, answer);
		dkim_verify_key(v, i, answer);
	}
	return !open;
}

/* What the library does not know to refuse, or counts for less, stays as we have it. */
static bool
is_ours_alone(enum dkim_result r)
{
	return r == DKIM_POLICY || r == DKIM_NEUTRAL;
}

static void
compare_results(struct flt_call *c, const struct state *state, const enum dkim_result *theirs)
{
	for (size_t i = 0; i < dkim_verify_count(state->verify); i++) {
		const struct dkim_signature *s = dkim_verify_signature(state->verify, i);
		if (!is_ours_alone(s->result) &&
			(s->result == DKIM_PASS) != (theirs[i] == DKIM_PASS))
			flt_differs(c, "dkim", s->domain, slice_of(dkim_result_text(s->result)),
				slice_of(dkim_result_text(theirs[i])));
	}
}

/* theirs: NULL where the process gave no answer. */
static void
take_results(const struct state *state, const enum dkim_result *theirs)
{
	struct dkim_verify *v = state->verify;
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		if (is_ours_alone(dkim_verify_signature(v, i)->result))
			continue;
		if (theirs == NULL)
			dkim_verify_replace(v, i, DKIM_TEMPERROR, "libopendkim gave no answer");
		else
			dkim_verify_replace(v, i, theirs[i],
				theirs[i] == DKIM_PASS ? NULL : "libopendkim says so");
	}
}

/* False: the second engine has not answered yet. */
static bool
second_engine(struct flt_call *c, struct state *state)
{
	const struct slice name = SLICE(ENGINE_OPENDKIM);
	bool compare = c->settings != NULL && slice_eq(c->settings->compare, name);
	bool engine = c->settings != NULL && slice_eq(c->settings->engine, name);
	size_t n = dkim_verify_count(state->verify);
	enum dkim_result theirs[DKIM_SIGNATURES_MOST];
	if (state->judged || (!compare && !engine) || n == 0)
		return true;
	if (state->input.n == 0) {
		struct engine_opendkim_request r = {.wall_s = c->session->wall_ms / 1000,
			.keys = state->keys,
			.n = state->n_keys};
		state->input = engine_opendkim_pack(&r, c->arena);
	}
	const struct question *q = flt_engine(c, name, state->input);
	if (q == NULL)
		return false;
	bool answered = engine_opendkim_unpack_results(q->output, theirs, n);
	if (engine)
		take_results(state, answered ? theirs : NULL);
	else if (answered)
		compare_results(c, state, theirs);
	state->judged = true;
	return true;
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
	struct state *state = *c->mail_state;
	if (state == NULL)
		return flt_failed(c, v_out, "the mail went by without being verified");
	if (!decide(c, state) || !second_engine(c, state))
		return FACT_OPEN;
	const struct dkim_verify *v = state->verify;
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
	const struct state *state = facts_mail_state(f, &flt_dkim);
	return state != NULL ? state->verify : NULL;
}
