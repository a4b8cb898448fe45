/*
 * check_host() of RFC 7208. The whole evaluation runs anew each time answers came in; it is a
 * walk over one record, its includes below it by recursion, which the limit of ten look-ups
 * bounds. Numbers in comments are sections of the RFC.
 */
#include "filters/spf.h"

#include "filters/spf_priv.h"

enum {
	NAME_MOST = 253,
	LABEL_MOST = 63,
	EXPANDED_MOST =
		8 * 1024, /* of a domain-spec before it is cut to fit; longer is permerror */
	EXPLANATION_MOST = 4 * 1024,
};

struct run {
	const struct spf_request *request;
	struct arena *arena;
	unsigned lookups, voids;
	const char *problem;                     /* why temperror or permerror */
	struct slice where;                      /* at which term or name */
	struct slice mechanism, exp, exp_domain; /* of the record that decided */
};

/* What a look-up or a mechanism came to. */
enum match { MATCH_NO, MATCH_YES, MATCH_OPEN, MATCH_TEMP, MATCH_PERM };

enum { RESULT_OPEN = -1 };

static enum match
perm(struct run *run, const char *problem, struct slice where)
{
	run->problem = problem;
	run->where = where;
	return MATCH_PERM;
}

/* Labels of 1 to 63, at most 253 in all; dots: at least one inside. */
static bool
is_name(struct slice s, bool dots)
{
	size_t label = 0, count = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '.') {
			label++;
			continue;
		}
		if (label == 0 || label > LABEL_MOST)
			return false;
		label = 0;
		count++;
	}
	return label != 0 && label <= LABEL_MOST && s.n <= NAME_MOST && (count != 0 || !dots);
}

/* A name as base/dns.h writes it: what macros put into a label is escaped. */
static struct slice
escaped_name(struct run *run, struct slice s)
{
	char *to = arena_alloc(run->arena, 4 * s.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c > ' ' && c < 0x7f && c != '\\' && c != '"') {
			to[n++] = (char)c;
			continue;
		}
		to[n++] = '\\';
		to[n++] = (char)('0' + c / 100);
		to[n++] = (char)('0' + c / 10 % 10);
		to[n++] = (char)('0' + c % 10);
	}
	return (struct slice){to, n};
}

/* MATCH_YES with records, MATCH_NO where there are none. */
static enum match
look_up(struct run *run, struct slice name, enum dns_type type,
	const struct dns_answer **answer_out)
{
	static const struct dns_answer nothing = {.status = DNS_NXDOMAIN};
	*answer_out = &nothing;
	if (!is_name(name, false))
		return MATCH_NO;
	*answer_out = run->request->dns(run->request->arg, escaped_name(run, name), type);
	if (*answer_out == NULL)
		return MATCH_OPEN;
	if ((*answer_out)->status == DNS_FAIL || (*answer_out)->status == DNS_BOGUS) {
		run->problem = dns_status_text((*answer_out)->status);
		run->where = name;
		return MATCH_TEMP;
	}
	return (*answer_out)->n != 0 ? MATCH_YES : MATCH_NO;
}

static enum dns_type
address_type(const struct run *run)
{
	return run->request->client.family == 4 ? DNS_A : DNS_AAAA;
}

/* Whether the name has the client's address, or one in its network. */
static enum match
has_address(
	struct run *run, struct slice name, uint8_t prefix4, uint8_t prefix6, bool *void_out)
{
	const struct dns_answer *answer;
	enum match m = look_up(run, name, address_type(run), &answer);
	if (m != MATCH_YES) {
		*void_out |= m == MATCH_NO && is_name(name, false);
		return m;
	}
	for (size_t i = 0; i < answer->n; i++) {
		struct ip_net net = {.ip = answer->rr[i].ip};
		net.prefix = net.ip.family == 4 ? prefix4 : prefix6;
		if (net.ip.family == run->request->client.family &&
			ip_in_net(&run->request->client, &net))
			return MATCH_YES;
	}
	return MATCH_NO;
}

static bool
is_or_is_below(struct slice name, struct slice domain)
{
	if (slice_eq_nocase(name, domain))
		return true;
	return name.n > domain.n && slice_ends_nocase(name, domain) &&
	       name.p[name.n - domain.n - 1] == '.';
}

/*
 * The client's names by PTR that have its address (5.5), asked for together; at most ten. A
 * name that cannot be looked up is passed over.
 */
static enum match
validated_names(struct run *run, struct slice *names, size_t *n_out, bool *void_out)
{
	const struct dns_answer *ptr;
	struct slice arpa = ip_arpa(&run->request->client, run->arena);
	enum match m = look_up(run, arpa, DNS_PTR, &ptr);
	*n_out = 0;
	if (m == MATCH_OPEN)
		return m;
	*void_out |= m == MATCH_NO;
	bool open = false;
	for (size_t i = 0; i < ptr->n && i < SPF_NAMES_MOST; i++) {
		struct slice name = ptr->rr[i].text;
		m = has_address(run, name, 32, 128, void_out);
		open |= m == MATCH_OPEN;
		if (m == MATCH_YES)
			names[(*n_out)++] = name;
	}
	return open ? MATCH_OPEN : *n_out != 0 ? MATCH_YES : MATCH_NO;
}

/* %{p} (7.3): the domain itself, else one below it, else any, else "unknown". */
static enum match
find_ptr(struct run *run, struct slice domain, struct slice *ptr_out)
{
	struct slice names[SPF_NAMES_MOST];
	size_t n;
	bool found_nothing = false;
	*ptr_out = SLICE("unknown");
	enum match m = validated_names(run, names, &n, &found_nothing);
	if (m != MATCH_YES)
		return m;
	*ptr_out = names[0];
	for (size_t i = n; i-- > 0;)
		if (is_or_is_below(names[i], domain))
			*ptr_out = names[i];
	for (size_t i = 0; i < n; i++)
		if (slice_eq_nocase(names[i], domain))
			*ptr_out = names[i];
	return MATCH_YES;
}

/* MATCH_YES: expanded. */
static enum match
expand(struct run *run, struct slice domain, struct slice spec, size_t most, struct slice *out)
{
	struct spf_macros macros = {.request = run->request, .domain = domain};
	if (spf_macro_uses_ptr(spf_macro_ok(spec, true) ? spec : SLICE_NONE) &&
		find_ptr(run, domain, &macros.ptr) == MATCH_OPEN)
		return MATCH_OPEN;
	struct buf b;
	buf_init(&b, most);
	bool room = spf_macro_expand(&macros, spec, &b);
	*out = room ? arena_slice(run->arena, buf_slice(&b)) : SLICE_NONE;
	buf_fini(&b);
	return room ? MATCH_YES : perm(run, "macros expand beyond bounds", spec);
}

/* The name that a domain-spec means: cut from the left until it fits (7.3), no dot at its end.
 */
static enum match
target(struct run *run, struct slice domain, struct slice spec, struct slice *name_out)
{
	*name_out = domain;
	if (spec.n == 0)
		return MATCH_YES;
	enum match m = expand(run, domain, spec, EXPANDED_MOST, name_out);
	if (m != MATCH_YES)
		return m;
	if (name_out->n > 0 && name_out->p[name_out->n - 1] == '.')
		name_out->n--;
	while (name_out->n > NAME_MOST && slice_has(*name_out, '.'))
		*name_out = slice_from(*name_out, slice_find(*name_out, '.') + 1);
	return MATCH_YES;
}

static enum match
match_mx(struct run *run, struct slice name, const struct spf_term *t, bool *void_out)
{
	const struct dns_answer *mx;
	enum match m = look_up(run, name, DNS_MX, &mx);
	if (m != MATCH_YES) {
		*void_out |= m == MATCH_NO && is_name(name, false);
		return m;
	}
	if (mx->n > SPF_NAMES_MOST)
		return perm(run, "more than 10 MX records", name);
	bool open = false, temp = false;
	for (size_t i = 0; i < mx->n; i++) {
		m = has_address(run, mx->rr[i].text, t->prefix4, t->prefix6, void_out);
		if (m == MATCH_YES)
			return m;
		open |= m == MATCH_OPEN;
		temp |= m == MATCH_TEMP;
	}
	return open ? MATCH_OPEN : temp ? MATCH_TEMP : MATCH_NO;
}

static enum match
match_ptr(struct run *run, struct slice name, bool *void_out)
{
	struct slice names[SPF_NAMES_MOST];
	size_t n;
	enum match m = validated_names(run, names, &n, void_out);
	if (m != MATCH_YES)
		return m;
	for (size_t i = 0; i < n; i++)
		if (is_or_is_below(names[i], name))
			return MATCH_YES;
	return MATCH_NO;
}

static enum match
match_exists(struct run *run, struct slice name, bool *void_out)
{
	const struct dns_answer *answer;
	enum match m = look_up(run, name, DNS_A, &answer);
	*void_out |= m == MATCH_NO && is_name(name, false);
	return m;
}

static int check_domain(struct run *run, struct slice domain, bool top);

/* 5.2: the table of what a result below means here. */
static enum match
match_include(struct run *run, struct slice name)
{
	switch (check_domain(run, name, false)) {
	case RESULT_OPEN: return MATCH_OPEN;
	case SPFR_PASS: return MATCH_YES;
	case SPFR_TEMPERROR: return MATCH_TEMP;
	case SPFR_PERMERROR: return MATCH_PERM;
	case SPFR_NONE: return perm(run, "no SPF record at the included domain", name);
	default: return MATCH_NO;
	}
}

static enum match
count_lookup(struct run *run, struct slice where)
{
	if (++run->lookups > SPF_LOOKUPS_MOST)
		return perm(run, "more than 10 DNS look-ups", where);
	return MATCH_YES;
}

/*
 * Mechanisms that look something up. A term that does not match, with look-ups that found
 * nothing, counts once (4.6.4).
 */
static enum match
match_by_dns(struct run *run, struct slice domain, const struct spf_term *t)
{
	struct slice name;
	bool found_nothing = false;
	enum match m = count_lookup(run, t->text);
	if (m == MATCH_YES)
		m = target(run, domain, t->spec, &name);
	if (m != MATCH_YES)
		return m;
	switch ((int)t->kind) {
	case SPF_INCLUDE: return match_include(run, name);
	case SPF_A: m = has_address(run, name, t->prefix4, t->prefix6, &found_nothing); break;
	case SPF_MX: m = match_mx(run, name, t, &found_nothing); break;
	case SPF_PTR: m = match_ptr(run, name, &found_nothing); break;
	default: m = match_exists(run, name, &found_nothing); break;
	}
	if (m == MATCH_NO && found_nothing && ++run->voids > SPF_VOIDS_MOST)
		return perm(run, "more than 2 terms whose look-ups found nothing", t->text);
	return m;
}

static enum match
match_term(struct run *run, struct slice domain, const struct spf_term *t)
{
	const struct ip *client = &run->request->client;
	if (t->kind == SPF_ALL)
		return MATCH_YES;
	if (t->kind == SPF_IP4 || t->kind == SPF_IP6)
		return client->family == t->net.ip.family && ip_in_net(client, &t->net)
			       ? MATCH_YES
			       : MATCH_NO;
	return match_by_dns(run, domain, t);
}

/* 4.6: all terms are read before the first is evaluated. */
static const char *
check_syntax(struct slice terms, struct slice *redirect, struct slice *exp, struct slice *where)
{
	struct spf_term t;
	const char *problem;
	*redirect = *exp = SLICE_NONE;
	while (spf_term_next(&terms, &t, &problem)) {
		struct slice *once = t.kind == SPF_REDIRECT ? redirect
				     : t.kind == SPF_EXP    ? exp
							    : NULL;
		*where = t.text;
		if (once != NULL && once->n != 0)
			return "modifier stands twice";
		if (once != NULL)
			*once = t.spec;
	}
	*where = problem != NULL ? t.text : SLICE_NONE;
	return problem;
}

static int
result_of(enum match m, const struct spf_term *t)
{
	switch (m) {
	case MATCH_OPEN: return RESULT_OPEN;
	case MATCH_TEMP: return SPFR_TEMPERROR;
	case MATCH_PERM: return SPFR_PERMERROR;
	case MATCH_NO:
	case MATCH_YES: break;
	}
	return (int)t->result;
}

static int
follow_redirect(struct run *run, struct slice domain, struct slice spec, bool top)
{
	struct slice name;
	enum match m = count_lookup(run, spec);
	if (m == MATCH_YES)
		m = target(run, domain, spec, &name);
	if (m != MATCH_YES)
		return result_of(m, NULL);
	int result = check_domain(run, name, top);
	if (result != SPFR_NONE)
		return result;
	perm(run, "no SPF record at the domain of redirect", name);
	return SPFR_PERMERROR;
}

static int
check_record(struct run *run, struct slice domain, struct slice terms, bool top)
{
	struct slice redirect, exp;
	struct spf_term t;
	run->problem = check_syntax(terms, &redirect, &exp, &run->where);
	if (run->problem != NULL)
		return SPFR_PERMERROR;
	const char *none;
	while (spf_term_next(&terms, &t, &none)) {
		if (t.kind >= SPF_REDIRECT)
			continue;
		enum match m = match_term(run, domain, &t);
		if (m == MATCH_NO)
			continue;
		if (top) {
			run->mechanism = t.text;
			run->exp = exp;
			run->exp_domain = domain;
		}
		return result_of(m, &t);
	}
	return redirect.n != 0 ? follow_redirect(run, domain, redirect, top)
			       : (int)SPFR_NEUTRAL;
}

/* 4.3 to 4.5: the domain's one record. */
static int
check_domain(struct run *run, struct slice domain, bool top)
{
	const struct dns_answer *answer;
	if (!is_name(domain, true))
		return SPFR_NONE;
	enum match m = look_up(run, domain, DNS_TXT, &answer);
	if (m == MATCH_OPEN || m == MATCH_TEMP)
		return result_of(m, NULL);
	const struct slice *record = NULL;
	for (size_t i = 0; i < answer->n; i++) {
		if (!spf_is_record(answer->rr[i].text))
			continue;
		if (record != NULL) {
			perm(run, "more than one SPF record", domain);
			return SPFR_PERMERROR;
		}
		record = &answer->rr[i].text;
	}
	if (record == NULL)
		return SPFR_NONE;
	return check_record(run, domain, slice_from(*record, SLICE("v=spf1").n), top);
}

/* 6.2. Whatever is wrong with an explanation: there is none. False: open. */
static bool
explain(struct run *run, struct slice *explanation_out)
{
	struct slice name, text;
	const struct dns_answer *answer;
	enum match m = target(run, run->exp_domain, run->exp, &name);
	if (m == MATCH_YES)
		m = look_up(run, name, DNS_TXT, &answer);
	if (m == MATCH_YES && answer->n == 1 && spf_macro_ok(answer->rr[0].text, true))
		m = expand(run, run->exp_domain, answer->rr[0].text, EXPLANATION_MOST, &text);
	else if (m != MATCH_OPEN)
		return true;
	if (m == MATCH_YES)
		*explanation_out = text;
	return m != MATCH_OPEN;
}

bool
spf_check(const struct spf_request *r, struct arena *a, struct spf_verdict *verdict_out)
{
	struct run run = {.request = r, .arena = a};
	struct slice domain = r->sender_domain;
	if (domain.n > 0 && domain.p[domain.n - 1] == '.')
		domain.n--;
	*verdict_out = (struct spf_verdict){.result = SPFR_NONE};
	if (r->client.family == 0 ||
		slice_starts(domain, SLICE("["))) /* a literal has no record */
		return true;
	int result = check_domain(&run, domain, true);
	if (result == RESULT_OPEN)
		return false;
	verdict_out->result = (enum spf_result)result;
	verdict_out->mechanism = run.mechanism;
	if (result == SPFR_TEMPERROR || result == SPFR_PERMERROR)
		verdict_out->problem =
			arena_printf(a, "%s: %.*s", run.problem, SLICE_ARG(run.where));
	if (result == SPFR_FAIL && run.exp.n != 0)
		return explain(&run, &verdict_out->explanation);
	return true;
}

const char *
spf_result_text(enum spf_result r)
{
	switch (r) {
	case SPFR_NONE: return "none";
	case SPFR_NEUTRAL: return "neutral";
	case SPFR_PASS: return "pass";
	case SPFR_FAIL: return "fail";
	case SPFR_SOFTFAIL: return "softfail";
	case SPFR_TEMPERROR: return "temperror";
	case SPFR_PERMERROR: return "permerror";
	}
	return "none";
}
