/*
 * What the DNS says about our names and addresses: the reverse names of the addresses that our
 * mails leave from, the name in our HELO, and where mail for our domains goes. Large receivers
 * refuse what is wrong here before they look at a mail.
 */
#include "io/route.h"
#include "main/doctor_priv.h"

/* ---- asking ---- */

const struct dns_answer *
doctor_dns(struct doctor *d, struct slice name, enum dns_type type)
{
	struct question *q = questions_dns(&d->questions, name, type);
	if (q->state != QUESTION_ANSWERED)
		answers_dns(d->answers, &d->questions);
	return q->dns;
}

struct slice
doctor_dns_text(const struct dns_answer *a)
{
	switch (a->status) {
	case DNS_OK: return SLICE("is there");
	case DNS_NODATA: return SLICE("has no such record");
	case DNS_NXDOMAIN: return SLICE("does not exist");
	case DNS_FAIL: return SLICE("the DNS does not answer");
	case DNS_BOGUS: return SLICE("DNSSEC says the answer is forged");
	}
	return SLICE_NONE;
}

static bool
is_failure(const struct dns_answer *a)
{
	return a->status == DNS_FAIL || a->status == DNS_BOGUS;
}

static bool
is_our_address(const struct doctor *d, const struct ip *ip)
{
	for (size_t i = 0; i < d->n_addresses; i++)
		if (ip_eq(&d->addresses[i], ip))
			return true;
	for (size_t i = 0; i < d->conf->n_listeners; i++)
		if (d->conf->listeners[i].ip.family != 0 &&
			ip_eq(&d->conf->listeners[i].ip, ip))
			return true;
	return false;
}

bool
doctor_is_ours(struct doctor *d, struct slice host, bool *any, bool *failed)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA};
	bool ours = false;
	*any = *failed = false;
	for (size_t t = 0; t < 2; t++) {
		const struct dns_answer *a = doctor_dns(d, host, types[t]);
		*failed = *failed || is_failure(a);
		for (size_t i = 0; i < a->n; i++) {
			*any = true;
			ours = ours || is_our_address(d, &a->rr[i].ip);
		}
	}
	return ours;
}

/* ---- addresses ---- */

bool
doctor_sends_direct(const struct doctor *d)
{
	enum send_way way = d->conf->send.way;
	return way == SEND_DIRECT || way == SEND_DIRECT_THEN_SMARTHOST;
}

void
doctor_addresses(struct doctor *d)
{
	char text[IP_TEXT_BYTES];
	struct err err;
	for (unsigned family = 4; !d->given && family <= 6; family += 2)
		if (route_source(family, &d->addresses[d->n_addresses], &err) == 0)
			d->n_addresses++;
	if (d->n_addresses == 0)
		doctor_say(d, DOCTOR_FAIL, "address", SLICE_NONE,
			SLICE("there is no way to the Internet, neither by IPv4 nor by IPv6"),
			"set a default route, or name the address by --address");
	for (size_t i = 0; i < d->n_addresses; i++) {
		struct slice ip = ip_text(&d->addresses[i], text);
		if (route_is_private(&d->addresses[i]))
			doctor_say(d, DOCTOR_WARN, "address", ip,
				SLICE("private: the world sees another one"),
				"say by --address which one the world sees");
		else
			doctor_say(d, DOCTOR_OK, "address", ip,
				d->given ? SLICE("as --address says")
					 : SLICE("our mails leave from it"),
				NULL);
	}
}

/* Whether the name leads back to the address. */
static bool
is_confirmed(struct doctor *d, struct slice name, const struct ip *ip, bool *failed)
{
	const struct dns_answer *a = doctor_dns(d, name, ip->family == 4 ? DNS_A : DNS_AAAA);
	*failed = *failed || is_failure(a);
	for (size_t i = 0; i < a->n; i++)
		if (ip_eq(&a->rr[i].ip, ip))
			return true;
	return false;
}

static void
check_ptr(struct doctor *d, const struct ip *ip)
{
	char text[IP_TEXT_BYTES];
	struct slice subject = ip_text(ip, text), arpa = ip_arpa(ip, d->arena),
		     names = SLICE_NONE;
	const struct dns_answer *a = doctor_dns(d, arpa, DNS_PTR);
	bool failed = is_failure(a);
	if (a->n == 0) {
		doctor_say(d, failed ? DOCTOR_WARN : DOCTOR_FAIL, "ptr", subject,
			arena_printf(d->arena, "%.*s %.*s", SLICE_ARG(arpa),
				SLICE_ARG(doctor_dns_text(a))),
			"whoever gave you the address must publish: %.*s. PTR %.*s.",
			SLICE_ARG(arpa), SLICE_ARG(d->conf->hostname));
		return;
	}
	for (size_t i = 0; i < a->n && i < 8; i++) {
		struct slice name = a->rr[i].text;
		if (is_confirmed(d, name, ip, &failed)) {
			doctor_say(d, DOCTOR_OK, "ptr", subject,
				arena_printf(d->arena, "%.*s, which leads back to it",
					SLICE_ARG(name)),
				NULL);
			return;
		}
		names = arena_printf(d->arena, "%.*s%s%.*s", SLICE_ARG(names),
			i == 0 ? "" : ", ", SLICE_ARG(name));
	}
	doctor_say(d, failed ? DOCTOR_WARN : DOCTOR_FAIL, "ptr", subject,
		arena_printf(
			d->arena, "%.*s, which does not lead back to it", SLICE_ARG(names)),
		"publish: %.*s. %s %.*s", SLICE_ARG(a->rr[0].text),
		ip->family == 4 ? "A" : "AAAA", SLICE_ARG(subject));
}

void
doctor_ptr(struct doctor *d)
{
	if (!doctor_sends_direct(d))
		return; /* nobody outside sees these addresses */
	for (size_t i = 0; i < d->n_addresses; i++)
		if (!route_is_private(&d->addresses[i]))
			check_ptr(d, &d->addresses[i]);
}

void
doctor_helo(struct doctor *d)
{
	struct slice name = d->conf->hostname;
	bool any, failed;
	bool ours = doctor_is_ours(d, name, &any, &failed);
	if (ours)
		doctor_say(d, DOCTOR_OK, "helo", name, SLICE("leads to us"), NULL);
	else if (any)
		doctor_say(d, DOCTOR_WARN, "helo", name,
			SLICE("leads to addresses that are not ours"),
			"let it lead to the address that our mails leave from, or set another "
			"`hostname`");
	else
		doctor_say(d, failed ? DOCTOR_WARN : DOCTOR_FAIL, "helo", name,
			failed ? SLICE("the DNS does not answer")
			       : SLICE("has neither A nor AAAA"),
			"publish an A or AAAA record for it, or set another `hostname`");
}

/* ---- MX ---- */

/* In words, the hosts in the order of their preference as they came. */
static struct slice
hosts_text(struct doctor *d, const struct dns_answer *a)
{
	struct slice s = SLICE_NONE;
	for (size_t i = 0; i < a->n && i < 10; i++)
		s = arena_printf(d->arena, "%.*s%s%u %.*s", SLICE_ARG(s), i == 0 ? "" : ", ",
			a->rr[i].preference, SLICE_ARG(a->rr[i].text));
	return s;
}

static void
say_mx(struct doctor *d, struct slice domain, const struct dns_answer *mx)
{
	size_t ours = 0, dead = 0;
	bool any, failed, unknown = false;
	struct slice hosts = hosts_text(d, mx);
	for (size_t i = 0; i < mx->n; i++) {
		bool here = doctor_is_ours(d, mx->rr[i].text, &any, &failed);
		/* Behind NAT no address of its own is ours; of the name `helo` tells more. */
		ours += here || (any && slice_eq_nocase(mx->rr[i].text, d->conf->hostname));
		dead += !any && !failed;
		unknown = unknown || failed;
	}
	if (dead != 0)
		doctor_say(d, DOCTOR_FAIL, "mx", domain,
			arena_printf(d->arena, "%.*s: %zu of them without an address",
				SLICE_ARG(hosts), dead),
			"publish A or AAAA records for each MX host, or take it out");
	else if (ours == mx->n)
		doctor_say(d, DOCTOR_OK, "mx", domain,
			arena_printf(d->arena, "%.*s: us", SLICE_ARG(hosts)), NULL);
	else if (ours != 0)
		doctor_say(d, DOCTOR_OK, "mx", domain,
			arena_printf(d->arena, "%.*s: us and others", SLICE_ARG(hosts)), NULL);
	else
		doctor_say(d, DOCTOR_WARN, "mx", domain,
			arena_printf(d->arena, "%.*s: %s", SLICE_ARG(hosts),
				unknown ? "the DNS does not answer for them"
					: "none of them is us"),
			"mail for it comes here only if somebody hands it on; else publish: "
			"%.*s. MX 10 %.*s.",
			SLICE_ARG(domain), SLICE_ARG(d->conf->hostname));
}

static void
check_mx(struct doctor *d, struct slice domain)
{
	const struct dns_answer *mx = doctor_dns(d, domain, DNS_MX);
	bool any, failed;
	if (mx->n == 1 && mx->rr[0].text.n == 0)
		doctor_say(d, DOCTOR_FAIL, "mx", domain,
			SLICE("a null MX: it says that it takes no mail (RFC 7505)"),
			"publish: %.*s. MX 10 %.*s.", SLICE_ARG(domain),
			SLICE_ARG(d->conf->hostname));
	else if (mx->n != 0)
		say_mx(d, domain, mx);
	else if (is_failure(mx))
		doctor_say(d, DOCTOR_WARN, "mx", domain, doctor_dns_text(mx),
			"look at its name servers, and at the resolver");
	else if (doctor_is_ours(d, domain, &any, &failed))
		doctor_say(d, DOCTOR_OK, "mx", domain,
			SLICE("no MX, but its own address is us (RFC 5321 5.1)"), NULL);
	else
		doctor_say(d, any ? DOCTOR_WARN : DOCTOR_FAIL, "mx", domain,
			any ? SLICE("no MX, and its own address is not us")
			    : arena_printf(
				      d->arena, "no MX: %.*s", SLICE_ARG(doctor_dns_text(mx))),
			"publish: %.*s. MX 10 %.*s.", SLICE_ARG(domain),
			SLICE_ARG(d->conf->hostname));
}

void
doctor_mx(struct doctor *d)
{
	for (size_t i = 0; i < d->conf->n_domains; i++)
		check_mx(d, d->conf->domains[i].name);
}
