/*
 * What our Authentication-Results says of one mail: read from the facts, so that it tells what
 * the rules were told. A method that no rule asks for was not tried and is not mentioned
 * (POLICY.md, "What no rule asks for is not gathered"); DMARC brings SPF and DKIM with it.
 */
#include "base/must.h"
#include "filters/authres.h"
#include "filters/flt_dkim.h"

enum { RESULTS_MOST = DKIM_SIGNATURES_MOST + 5, B_TEXT_BYTES = 8 };

struct collect {
	struct facts *facts;
	const struct policy *policy;
	const struct flt_session *session;
	const struct flt_mail *mail;
	struct arena *arena;
	struct authres_result results[RESULTS_MOST];
	size_t n;
	bool open;
};

static struct authres_result *
add(struct collect *c, const char *method, const char *result)
{
	must(c->n < RESULTS_MOST);
	struct authres_result *r = &c->results[c->n++];
	*r = (struct authres_result){.method = method, .result = result};
	return r;
}

static void
property(struct authres_result *r, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	must(r->n < AUTHRES_PROPERTIES_MOST);
	r->property[r->n].name = name;
	r->property[r->n++].value = value;
}

/* False: not known; where it is open, it was asked for. */
static bool
read_fact(struct collect *c, const char *name, struct value *v)
{
	enum fact_state state = facts_read(c->facts, name, SLICE_NONE, SIZE_MAX, COST_CHEAP, v);
	c->open = c->open || state == FACT_OPEN || state == FACT_UNASKED;
	return state == FACT_KNOWN;
}

static bool
uses(const struct collect *c, const char *one, const char *two, const char *three)
{
	return policy_uses(c->policy, one) || (two != NULL && policy_uses(c->policy, two)) ||
	       (three != NULL && policy_uses(c->policy, three));
}

static void
add_client(struct collect *c)
{
	struct value name;
	char text[IP_TEXT_BYTES];
	if (c->session->user.n > 0)
		property(add(c, "auth", "pass"), "smtp.auth", c->session->user);
	if (!policy_uses(c->policy, "client.name") || !read_fact(c, "client.name", &name))
		return;
	struct authres_result *r = add(c, "iprev", name.text.n > 0 ? "pass" : "fail");
	property(r, "policy.iprev", arena_slice(c->arena, ip_text(&c->session->client, text)));
}

static void
add_spf(struct collect *c)
{
	struct value v;
	if (!read_fact(c, "spf", &v))
		return;
	struct authres_result *r = add(c, "spf", arena_text(c->arena, v.text));
	if (c->mail->sender.is_null)
		property(r, "smtp.helo", c->session->helo);
	else
		property(r, "smtp.mailfrom", c->mail->sender.text);
}

/* Enough of b= to tell signatures apart (RFC 6008); it may be folded anywhere. */
static struct slice
b_text(const struct dkim_signature *s, struct arena *a)
{
	char *out = arena_alloc(a, B_TEXT_BYTES);
	size_t n = 0;
	for (size_t i = 0; i < s->b_text.n && n < B_TEXT_BYTES; i++) {
		if (!slice_has(SLICE(" \t\r\n"), s->b_text.p[i]))
			out[n++] = s->b_text.p[i];
	}
	return (struct slice){out, n};
}

static void
add_dkim(struct collect *c)
{
	struct value v;
	if (!read_fact(c, "dkim", &v))
		return;
	const struct dkim_verify *verify = flt_dkim_verify(c->facts);
	must(verify != NULL);
	if (dkim_verify_count(verify) == 0)
		add(c, "dkim", "none");
	for (size_t i = 0; i < dkim_verify_count(verify); i++) {
		const struct dkim_signature *s = dkim_verify_signature(verify, i);
		struct authres_result *r = add(c, "dkim", dkim_result_text(s->result));
		r->reason = slice_of(s->reason);
		property(r, "header.d", s->domain);
		property(r, "header.s", s->selector);
		property(r, "header.a", s->algorithm_text);
		property(r, "header.b", b_text(s, c->arena));
	}
}

static void
add_dmarc(struct collect *c)
{
	struct value v, policy;
	bool known = read_fact(c, "dmarc", &v);
	if (!read_fact(c, "dmarc.policy", &policy) || !known)
		return;
	struct authres_result *r = add(c, "dmarc", arena_text(c->arena, v.text));
	property(r, "header.from", c->mail->message->from_domain);
	if (!slice_eq(v.text, SLICE("none")))
		property(r, "policy.dmarc", policy.text);
}

bool
authres_of_mail(struct facts *f, const struct policy *policy, const struct flt_session *session,
	const struct flt_mail *mail, struct slice authserv_id, struct arena *a,
	struct slice *field_out)
{
	struct collect *c = ARENA_NEW(a, struct collect);
	*c = (struct collect){
		.facts = f, .policy = policy, .session = session, .mail = mail, .arena = a};
	bool dmarc = uses(c, "dmarc", "dmarc.policy", NULL);
	add_client(c);
	if (dmarc || uses(c, "spf", NULL, NULL))
		add_spf(c);
	if (dmarc || uses(c, "dkim", "dkim.domains", "dkim.selectors"))
		add_dkim(c);
	if (dmarc)
		add_dmarc(c);
	if (c->open)
		return false;
	*field_out = authres_field(authserv_id, c->results, c->n, a);
	return true;
}
