/*
 * DMARC's decision, see dmarc.h. Everything hangs on one thing, the tree walk: it gives the
 * author domain its organisational domain and its policy, and every other identifier the
 * organisational domain by which it is compared. An identifier outside the author's
 * organisation is never walked, so that a mail with many foreign signatures asks nothing about
 * them.
 */
#include "filters/dmarc.h"

#include "smtp/address.h"

enum { WALK_MOST = 8, WALK_LABELS = 7 };

struct walk {
	struct slice start;
	struct slice name[WALK_MOST];
	bool found[WALK_MOST];
	struct dmarc_record record[WALK_MOST];
	size_t n;
	size_t organisation; /* index of the organisational domain's record; n: it has none */
	struct slice domain; /* the organisational domain */
	bool start_is_nxdomain;
};

enum step { STEP_OPEN, STEP_FAILED, STEP_DONE };

const char *
dmarc_result_text(enum dmarc_result r)
{
	switch (r) {
	case DMARC_NONE: return "none";
	case DMARC_PASS: return "pass";
	case DMARC_FAIL: return "fail";
	case DMARC_TEMPERROR: return "temperror";
	case DMARC_PERMERROR: return "permerror";
	}
	return "none";
}

const char *
dmarc_policy_text(enum dmarc_policy p)
{
	switch (p) {
	case DMARC_ASK_NONE: return "none";
	case DMARC_ASK_QUARANTINE: return "quarantine";
	case DMARC_ASK_REJECT: return "reject";
	}
	return "none";
}

static size_t
count_labels(struct slice name)
{
	size_t n = 1;
	for (size_t i = 0; i < name.n; i++)
		n += name.p[i] == '.';
	return n;
}

static struct slice
parent(struct slice name)
{
	return slice_from(name, slice_find(name, '.') + 1);
}

/* The names to ask, longest first: all of it, then at most seven labels, then one less each. */
static void
walk_names(struct walk *w, struct slice start)
{
	*w = (struct walk){.start = start};
	for (struct slice name = start; name.n > 0 && w->n < WALK_MOST;) {
		w->name[w->n++] = name;
		do
			name = parent(name);
		while (name.n > 0 && count_labels(name) > WALK_LABELS);
	}
}

/* Several DMARC records at one name are as none (AUT-02). */
static bool
find_record(const struct dns_answer *answer, struct dmarc_record *record_out)
{
	struct dmarc_record one;
	size_t n = 0;
	for (size_t i = 0; answer->status == DNS_OK && i < answer->n; i++) {
		if (dmarc_record_parse(answer->rr[i].text, &one)) {
			*record_out = one;
			n++;
		}
	}
	return n == 1;
}

/* Where the walk ends: all its answers are there, up to a psd=y or psd=n. */
static enum step
walk_ask(struct walk *w, const struct dmarc_dns *dns, struct arena *a)
{
	const struct dns_answer *answer[WALK_MOST];
	/* All at once: they travel together, and nearly all walks are two or three names. */
	for (size_t i = 0; i < w->n; i++)
		answer[i] = dns->lookup(dns->arg,
			arena_printf(a, "_dmarc.%.*s", SLICE_ARG(w->name[i])), DNS_TXT);
	for (size_t i = 0; i < w->n; i++) {
		if (answer[i] == NULL)
			return STEP_OPEN;
		if (answer[i]->status == DNS_FAIL || answer[i]->status == DNS_BOGUS)
			return STEP_FAILED;
		if (i == 0)
			w->start_is_nxdomain = answer[i]->status == DNS_NXDOMAIN;
		w->found[i] = find_record(answer[i], &w->record[i]);
		if (w->found[i] && w->record[i].psd != DMARC_PSD_UNSAID)
			w->n = i + 1;
	}
	return STEP_DONE;
}

/* RFC 9989 4.10.2: the label below a psd=y, the psd=n itself, else the shortest with a record.
 */
static void
walk_choose(struct walk *w)
{
	w->organisation = w->n;
	w->domain = w->start;
	for (size_t i = w->n; i > 0; i--) {
		if (!w->found[i - 1])
			continue;
		if (w->record[i - 1].psd == DMARC_PSD_YES && i > 1) {
			/* The walk may have skipped labels here; the domain one below has not.
			 */
			size_t most = count_labels(w->name[i - 1]) + 1;
			while (count_labels(w->domain) > most)
				w->domain = parent(w->domain);
			for (size_t k = 0; k < i - 1; k++) {
				if (w->found[k] && slice_eq(w->name[k], w->domain))
					w->organisation = k;
			}
			return;
		}
		w->organisation = i - 1;
		w->domain = w->name[i - 1];
		return;
	}
}

static enum step
walk(struct slice start, const struct dmarc_dns *dns, struct arena *a, struct walk *w)
{
	walk_names(w, start);
	enum step step = walk_ask(w, dns, a);
	if (step == STEP_DONE)
		walk_choose(w);
	return step;
}

/* AUT-03: the author domain's record, else the organisation's, else the public suffix's. */
static size_t
choose_record(const struct walk *w)
{
	if (w->found[0])
		return 0;
	if (w->organisation < w->n)
		return w->organisation;
	/* Only a psd=y is left, which ended the walk. */
	return w->n > 0 && w->found[w->n - 1] ? w->n - 1 : w->n;
}

/* t=y takes one step off what is asked for. */
static enum dmarc_policy
with_testing(const struct dmarc_record *r, enum dmarc_policy p)
{
	return r->testing && p != DMARC_ASK_NONE ? p - 1 : p;
}

static enum step
choose_policy(
	const struct walk *w, size_t at, const struct dmarc_dns *dns, enum dmarc_policy *out)
{
	const struct dmarc_record *r = &w->record[at];
	*out = at == 0 ? r->p : r->sp;
	if (at != 0 && r->np != r->sp && w->start_is_nxdomain) {
		/* Not there, or only without a name below it: NODATA means that it is (RFC
		 * 8020). */
		const struct dns_answer *answer = dns->lookup(dns->arg, w->start, DNS_A);
		if (answer == NULL)
			return STEP_OPEN;
		if (answer->status == DNS_FAIL || answer->status == DNS_BOGUS)
			return STEP_FAILED;
		if (answer->status == DNS_NXDOMAIN)
			*out = r->np;
	}
	*out = with_testing(r, *out);
	return STEP_DONE;
}

struct alignment {
	const struct walk *from;
	const struct dmarc_dns *dns;
	struct arena *arena;
	bool open, failed;
};

static bool
aligned(struct alignment *al, struct slice domain, bool strict)
{
	struct walk w;
	if (domain.n == 0 || slice_eq(domain, al->from->start))
		return domain.n != 0;
	/* An organisational domain is the domain itself or above it. */
	if (strict || !domain_is_below(domain, al->from->domain))
		return false;
	switch (walk(domain, al->dns, al->arena, &w)) {
	case STEP_OPEN: al->open = true; return false;
	case STEP_FAILED: al->failed = true; return false;
	case STEP_DONE: break;
	}
	return slice_eq(w.domain, al->from->domain);
}

static bool
any_aligned(struct alignment *al, const struct slice *domains, size_t n, bool strict,
	struct slice *domain_out)
{
	for (size_t i = 0; i < n; i++) {
		if (aligned(al, domains[i], strict)) {
			*domain_out = domains[i];
			return true;
		}
	}
	return false;
}

static bool
align(const struct dmarc_mail *m, const struct dmarc_record *r, struct alignment *al,
	struct dmarc_verdict *v)
{
	struct slice later;
	v->by_dkim = any_aligned(al, m->dkim, m->n_dkim, r->strict_dkim, &v->aligned);
	if (v->by_dkim || any_aligned(al, &m->spf, 1, r->strict_spf, &v->aligned)) {
		v->result = DMARC_PASS;
		return true;
	}
	bool may_pass =
		any_aligned(al, m->dkim_later, m->n_dkim_later, r->strict_dkim, &later) ||
		any_aligned(al, &m->spf_later, 1, r->strict_spf, &later);
	if (al->open)
		return false;
	v->result = DMARC_FAIL;
	if (may_pass || al->failed) {
		v->result = DMARC_TEMPERROR;
		v->reason = al->failed ? "a name could not be looked up"
				       : "an aligned identifier could not be checked";
	}
	return true;
}

/*
 * The author domain's own record and an identifier that is the author domain: neither needs the
 * rest of the walk, so that a name server far above cannot hold the mail up.
 */
static bool
passes_at_once(const struct dmarc_mail *m, const struct walk *from, struct dmarc_verdict *v)
{
	bool spf = slice_eq(m->spf, from->start);
	if (!from->found[0] || !from->record[0].usable)
		return false;
	for (size_t i = 0; i < m->n_dkim && !v->by_dkim; i++)
		v->by_dkim = slice_eq(m->dkim[i], from->start);
	if (!v->by_dkim && !spf)
		return false;
	v->result = DMARC_PASS;
	v->domain = v->aligned = from->start;
	v->policy = with_testing(&from->record[0], from->record[0].p);
	return true;
}

static bool
temperror(struct dmarc_verdict *v)
{
	v->result = DMARC_TEMPERROR;
	v->reason = "the policy could not be looked up";
	return true;
}

bool
dmarc_evaluate(const struct dmarc_mail *mail, const struct dmarc_dns *dns, struct arena *a,
	struct dmarc_verdict *verdict_out)
{
	struct dmarc_verdict *v = verdict_out;
	struct walk from;
	*v = (struct dmarc_verdict){.result = DMARC_NONE};
	if (mail->from.n == 0) {
		v->result = DMARC_PERMERROR;
		v->reason = "From has not exactly one author domain";
		return true;
	}
	enum step step = walk(mail->from, dns, a, &from);
	if (passes_at_once(mail, &from, v))
		return true;
	if (step != STEP_DONE)
		return step == STEP_FAILED ? temperror(v) : false;
	size_t at = choose_record(&from);
	v->organisation = from.domain;
	if (at == from.n || !from.record[at].usable)
		return true;
	v->domain = from.name[at];
	step = choose_policy(&from, at, dns, &v->policy);
	if (step != STEP_DONE)
		return step == STEP_FAILED ? temperror(v) : false;
	struct alignment al = {.from = &from, .dns = dns, .arena = a};
	return align(mail, &from.record[at], &al, v);
}
