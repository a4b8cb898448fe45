/*
 * SPF, DKIM and DMARC of the domains that we send for, judged with the engines that judge
 * strangers (filters/): does SPF cover the addresses that our mails leave from, are the
 * published keys those that we sign with, is there a DMARC policy.
 */
#include "base/clock.h"
#include "filters/dkim_key.h"
#include "filters/dmarc.h"
#include "filters/spf.h"
#include "io/route.h"
#include "main/doctor_priv.h"

enum { ROUNDS_MOST = 100 };

struct slice *
doctor_domains(struct doctor *d, size_t *n_out)
{
	const struct conf *c = d->conf;
	struct map *seen = map_new(d->arena, true);
	struct slice *domains =
		arena_array(d->arena, c->n_domains + c->n_signs + 1, sizeof(*domains));
	*n_out = 0;
	for (size_t i = 0; i < c->n_domains + c->n_signs; i++) {
		struct slice name = i < c->n_domains ? c->domains[i].name
						     : c->signs[i - c->n_domains].domain;
		if (map_get(seen, name) != NULL)
			continue;
		map_put(seen, name, d);
		domains[(*n_out)++] = name;
	}
	return domains;
}

/* Known, or noted as a question: engines are run again when it is answered. */
static const struct dns_answer *
look_up(void *arg, struct slice name, enum dns_type type)
{
	struct doctor *d = arg;
	struct question *q = questions_dns(&d->questions, name, type);
	return q->state == QUESTION_ANSWERED ? q->dns : NULL;
}

/* ---- SPF ---- */

static void
say_spf(struct doctor *d, struct slice subject, const struct spf_verdict *v,
	struct slice domain, struct slice ip, unsigned family)
{
	const char *word = spf_result_text(v->result);
	struct slice by = v->mechanism.n != 0 ? v->mechanism : v->problem;
	struct slice found = arena_printf(d->arena, "%s%s%.*s%s", word, by.n != 0 ? " (" : "",
		SLICE_ARG(by), by.n != 0 ? ")" : "");
	switch (v->result) {
	case SPFR_PASS: doctor_say(d, DOCTOR_OK, "spf", subject, found, NULL); return;
	case SPFR_NONE:
		doctor_say(d, DOCTOR_WARN, "spf", subject, SLICE("there is no SPF record"),
			"publish: %.*s. TXT \"v=spf1 ip%u:%.*s -all\"", SLICE_ARG(domain),
			family, SLICE_ARG(ip));
		return;
	case SPFR_TEMPERROR:
		doctor_say(d, DOCTOR_WARN, "spf", subject, found,
			"the DNS does not answer: ask again later");
		return;
	case SPFR_PERMERROR:
		doctor_say(d, DOCTOR_FAIL, "spf", subject, found,
			"the record is wrong: receivers treat it as none, or refuse");
		return;
	case SPFR_NEUTRAL:
	case SPFR_FAIL:
	case SPFR_SOFTFAIL:
		doctor_say(d, v->result == SPFR_NEUTRAL ? DOCTOR_WARN : DOCTOR_FAIL, "spf",
			subject, found, "add ip%u:%.*s to the SPF record of %.*s", family,
			SLICE_ARG(ip), SLICE_ARG(domain));
		return;
	}
}

static void
check_spf(struct doctor *d, struct slice domain, const struct ip *ip)
{
	char text[IP_TEXT_BYTES];
	struct spf_request r = {.client = *ip,
		.helo = d->conf->hostname,
		.sender_domain = domain,
		.hostname = d->conf->hostname,
		.now_s = clock_wall_ms() / 1000,
		.dns = look_up,
		.arg = d};
	struct spf_verdict v = {.result = SPFR_TEMPERROR};
	bool known = false;
	for (int i = 0; !known && i < ROUNDS_MOST; i++) {
		known = spf_check(&r, d->arena, &v);
		if (!known && !answers_dns(d->answers, &d->questions))
			break;
	}
	struct slice address = ip_text(ip, text);
	say_spf(d,
		arena_printf(d->arena, "%.*s for %.*s", SLICE_ARG(domain), SLICE_ARG(address)),
		&v, domain, address, ip->family);
}

void
doctor_spf(struct doctor *d)
{
	size_t n;
	const struct slice *domains = doctor_domains(d, &n);
	if (!doctor_sends_direct(d))
		return; /* it is the smarthost's addresses that count */
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < d->n_addresses; k++)
			if (!route_is_private(&d->addresses[k]))
				check_spf(d, domains[i], &d->addresses[k]);
}

/* ---- DKIM ---- */

/* NULL: the published record fits the key. */
static const char *
compare_keys(struct slice published, const struct dkim_key *key, struct arena *a, bool *testing)
{
	struct dkim_record theirs, ours;
	const char *wrong = dkim_record_parse(published, a, &theirs);
	if (wrong != NULL)
		return wrong;
	if (dkim_record_parse(dkim_key_record(key, a), a, &ours) != NULL)
		return "our own key cannot be written as a record";
	*testing = theirs.testing;
	if (theirs.key.n == 0)
		return "it is revoked (p= is empty)";
	if (theirs.ed25519 != ours.ed25519 || !slice_eq(theirs.key, ours.key))
		return "it is another key than the one that we sign with";
	if (!theirs.sha256)
		return "h= does not allow sha256";
	return theirs.email ? NULL : "s= does not allow email";
}

static void
check_record(struct doctor *d, struct slice name, const struct dns_answer *a,
	const struct dkim_key *key)
{
	bool testing = false;
	const char *wrong = a->n > 1 ? "there is more than one record: which one counts is not "
				       "defined"
				     : compare_keys(a->rr[0].text, key, d->arena, &testing);
	if (wrong != NULL)
		doctor_say(d, DOCTOR_FAIL, "dkim", name, slice_of(wrong),
			"publish: %.*s. TXT \"%.*s\"", SLICE_ARG(name),
			SLICE_ARG(dkim_key_record(key, d->arena)));
	else if (testing)
		doctor_say(d, DOCTOR_WARN, "dkim", name,
			SLICE("fits the key, but says that it is only a test (t=y)"),
			"take t=y out when the signatures are to count");
	else
		doctor_say(d, DOCTOR_OK, "dkim", name,
			arena_printf(d->arena, "fits the key (%s)",
				dkim_algorithm_text(dkim_key_algorithm(key))),
			NULL);
}

static void
check_sign(struct doctor *d, size_t i)
{
	const struct conf_sign *s = &d->conf->signs[i];
	struct slice name = arena_printf(
		d->arena, "%.*s._domainkey.%.*s", SLICE_ARG(s->selector), SLICE_ARG(s->domain));
	struct dkim_key *key;
	struct err err;
	if (dkim_key_load(d->generation->sign_pems[i], &key, &err) < 0) {
		doctor_say(d, DOCTOR_FAIL, "dkim", name, slice_of(err.text),
			"make another: postern dkim keygen %.*s %.*s", SLICE_ARG(s->domain),
			SLICE_ARG(s->selector));
		return;
	}
	const struct dns_answer *a = doctor_dns(d, name, DNS_TXT);
	if (a->status == DNS_OK)
		check_record(d, name, a, key);
	else
		doctor_say(d,
			a->status == DNS_FAIL || a->status == DNS_BOGUS ? DOCTOR_WARN
									: DOCTOR_FAIL,
			"dkim", name, doctor_dns_text(a), "publish: %.*s. TXT \"%.*s\"",
			SLICE_ARG(name), SLICE_ARG(dkim_key_record(key, d->arena)));
	dkim_key_free(&key);
}

/* We send for it and sign nothing: its mails pass DMARC by SPF alone. */
static void
check_unsigned(struct doctor *d, struct slice domain)
{
	for (size_t i = 0; i < d->conf->n_signs; i++)
		if (slice_eq_nocase(d->conf->signs[i].domain, domain))
			return;
	doctor_say(d, DOCTOR_WARN, "dkim", domain, SLICE("is sent for without a signature"),
		"make a key: postern dkim keygen %.*s SELECTOR", SLICE_ARG(domain));
}

void
doctor_dkim(struct doctor *d)
{
	for (size_t i = 0; i < d->conf->n_signs; i++)
		check_sign(d, i);
	for (size_t i = 0; conf_uses_block(d->conf, true) && i < d->conf->n_domains; i++)
		check_unsigned(d, d->conf->domains[i].name);
}

/* ---- DMARC ---- */

/* The records of this name itself: how many there are, and the only one. */
static size_t
own_records(const struct dns_answer *a, struct dmarc_record *record, bool *spoilt)
{
	size_t n = 0;
	*spoilt = false;
	for (size_t i = 0; i < a->n; i++) {
		struct dmarc_record one;
		if (dmarc_record_parse(a->rr[i].text, &one)) {
			*record = one;
			n++;
		} else if (slice_starts_nocase(slice_trim(a->rr[i].text), SLICE("v=dmarc"))) {
			*spoilt = true;
		}
	}
	return n;
}

static void
check_inherited(struct doctor *d, struct slice domain, struct slice name)
{
	struct dmarc_mail mail = {.from = domain};
	struct dmarc_dns dns = {look_up, d};
	struct dmarc_verdict v = {.result = DMARC_TEMPERROR};
	bool known = false;
	for (int i = 0; !known && i < ROUNDS_MOST; i++) {
		known = dmarc_evaluate(&mail, &dns, d->arena, &v);
		if (!known && !answers_dns(d->answers, &d->questions))
			break;
	}
	if (v.domain.n != 0)
		doctor_say(d, DOCTOR_OK, "dmarc", name,
			arena_printf(d->arena,
				"covered by the record of %.*s, which asks for %s",
				SLICE_ARG(v.domain), dmarc_policy_text(v.policy)),
			NULL);
	else
		doctor_say(d, DOCTOR_WARN, "dmarc", name,
			v.result == DMARC_TEMPERROR ? SLICE("the DNS does not answer")
						    : SLICE("there is no DMARC record"),
			"publish: %.*s. TXT \"v=DMARC1; p=quarantine\"", SLICE_ARG(name));
}

void
doctor_dmarc(struct doctor *d)
{
	size_t n;
	const struct slice *domains = doctor_domains(d, &n);
	for (size_t i = 0; i < n; i++) {
		struct slice name =
			arena_printf(d->arena, "_dmarc.%.*s", SLICE_ARG(domains[i]));
		struct dmarc_record r;
		bool spoilt;
		size_t records = own_records(doctor_dns(d, name, DNS_TXT), &r, &spoilt);
		if (records == 1 && r.usable)
			doctor_say(d, DOCTOR_OK, "dmarc", name,
				arena_printf(d->arena, "asks for %s%s", dmarc_policy_text(r.p),
					r.testing ? ", as a test only (t=y)" : ""),
				NULL);
		else if (records > 1)
			doctor_say(d, DOCTOR_FAIL, "dmarc", name,
				arena_printf(
					d->arena, "%zu records: none of them counts", records),
				"leave one of them");
		else if (records == 1 || spoilt)
			doctor_say(d, DOCTOR_FAIL, "dmarc", name,
				SLICE("the record cannot be used: v=DMARC1 must stand first, "
				      "p= be "
				      "none, quarantine or reject"),
				"publish: %.*s. TXT \"v=DMARC1; p=quarantine\"",
				SLICE_ARG(name));
		else
			check_inherited(d, domains[i], name);
	}
}
