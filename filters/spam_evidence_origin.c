/*
 * Evidence of where the mail came from: SPF, DKIM and DMARC, the client's name and greeting,
 * whether the sender was here before. All of it stands outside the mail; where nobody has asked
 * (a mail out of a folder) nothing is found. A bounce is judged by this alone.
 */
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

static bool
is(struct slice word, const char *other)
{
	return slice_eq(word, slice_of(other));
}

static void
signatures(struct spam_gather *g)
{
	struct slice dkim = g->w->dkim;
	if (is(dkim, "fail") || is(dkim, "permerror") || is(dkim, "policy"))
		spam_find(g, SPAM_DKIM_FAIL, dkim);
	else if (is(dkim, "none"))
		spam_find(g, SPAM_DKIM_NONE, SLICE_NONE);
}

static void
sender_policy(struct spam_gather *g)
{
	struct slice spf = g->w->spf;
	struct slice domain = g->w->sender != NULL && !g->w->sender->is_null
				      ? g->w->sender->domain
				      : g->w->helo;
	if (is(spf, "fail"))
		spam_find(g, SPAM_SPF_FAIL, domain);
	else if (is(spf, "softfail"))
		spam_find(g, SPAM_SPF_SOFTFAIL, domain);
	else if (is(spf, "none") || is(spf, "permerror"))
		spam_find(g, SPAM_SPF_NONE, domain);
}

static void
author(struct spam_gather *g)
{
	const struct spam_world *w = g->w;
	struct slice policy = w->dmarc_policy;
	double asked = is(policy, "reject") ? 1 : is(policy, "quarantine") ? 0.7 : 0.3;
	if (is(w->dmarc, "fail")) /* lists change mails, and break signatures */
		spam_find_part(g, SPAM_DMARC_FAIL, g->list ? asked / 2 : asked, g->from.host);
	else if (is(w->dmarc, "pass"))
		spam_find(g, SPAM_DMARC_PASS, g->from.host);
	else if (w->aligned_known && w->aligned)
		spam_find(g, SPAM_AUTH_ALIGNED, g->from.host);
	bool spf_known = w->spf.n != 0 && !is(w->spf, "temperror");
	bool dkim_known = w->dkim.n != 0 && !is(w->dkim, "temperror");
	if (spf_known && dkim_known && !is(w->spf, "pass") && !is(w->dkim, "pass"))
		spam_find(g, SPAM_AUTH_NOBODY, SLICE_NONE);
	if (w->aligned_known && !w->aligned && !g->list && spam_free_mail(g->from.org))
		spam_find(g, SPAM_AUTH_FREE_MAIL, g->from.host);
}

/* The numbers of an IPv4 address, in either order, as decimal or hex digits; or long runs. */
static bool
address_in_name(struct slice name)
{
	unsigned groups = 0, digits = 0, in_row = 0, longest = 0;
	bool hex_word = true;
	size_t start = 0;
	for (size_t i = 0; i <= name.n; i++) {
		char c = i < name.n ? name.p[i] : '.';
		if (ascii_digit(c)) {
			digits++;
			continue;
		}
		if (digits >= 1 && digits <= 3) {
			if (++in_row > groups)
				groups = in_row;
		}
		if (digits > longest)
			longest = digits;
		digits = 0;
		if (c != '.' && c != '-' && c != '_') {
			if (ascii_hex(c) < 0)
				hex_word = false;
			in_row = 0;
			continue;
		}
		if (hex_word && i - start == 8)
			return true;
		start = i + 1;
		hex_word = true;
	}
	return groups >= 4 || longest >= 10;
}

static bool
says_dynamic(struct slice name)
{
	static const char *const words[] = {"dynamic", "dyn", "dial", "dialup", "dial-up",
		"dsl", "adsl", "xdsl", "vdsl", "cable", "pool", "pools", "ppp", "pppoe", "dhcp",
		"broadband", "dip", "cust", "customer", "client", "catv", "fttx", "ftth",
		"gprs", "mobile", "wifi"};
	for (struct slice rest = name; rest.n > 0;) {
		size_t n = 0;
		while (n < rest.n && ascii_alpha(rest.p[n]))
			n++;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (slice_eq_nocase(slice_first(rest, n), slice_of(words[i])))
				return true;
		rest = slice_from(rest, n + 1);
	}
	return false;
}

static void
greeting(struct spam_gather *g)
{
	struct slice helo = g->w->helo, name = g->w->client_name;
	struct ip ip;
	if (helo.n == 0)
		return;
	if (helo.p[0] == '[') {
		spam_find(g, SPAM_HELO_LITERAL, helo);
		return;
	}
	if (ip_parse(helo, &ip)) {
		spam_find(g, SPAM_HELO_ADDRESS, helo);
		return;
	}
	if (!slice_has(helo, '.') || slice_ends_nocase(helo, SLICE(".localdomain")) ||
		slice_ends_nocase(helo, SLICE(".local")))
		spam_find(g, SPAM_HELO_BARE, helo);
	else if (spam_is_own(g->w, helo))
		spam_find(g, SPAM_HELO_OURS, helo);
	else if (address_in_name(helo))
		spam_find(g, SPAM_HELO_DYNAMIC, helo);
	else if (g->w->client_name_known && name.n != 0 && !psl_same(helo, name))
		spam_find(g, SPAM_HELO_OTHER, name);
}

static void
client(struct spam_gather *g)
{
	const struct spam_world *w = g->w;
	if (w->client.family == 0 || ip_is_loopback(&w->client))
		return;
	if (w->client_name_known) {
		if (w->client_name.n == 0)
			spam_find(g, SPAM_CLIENT_NO_NAME, SLICE_NONE);
		else if (address_in_name(w->client_name))
			spam_find(g, SPAM_CLIENT_DYNAMIC, w->client_name);
		else if (says_dynamic(w->client_name))
			spam_find_part(g, SPAM_CLIENT_DYNAMIC, 0.5, w->client_name);
	}
	greeting(g);
	if (!g->there[SPAM_F_RECEIVED] && !g->v->bounce)
		spam_find(g, SPAM_RECEIVED_NONE, SLICE_NONE);
}

static void
seen(struct spam_gather *g)
{
	if (!g->w->seen_known)
		return;
	if (g->w->new_sender)
		spam_find(g, SPAM_SEEN_SENDER, SLICE_NONE);
	if (g->w->new_domain)
		spam_find(g, SPAM_SEEN_DOMAIN, SLICE_NONE);
	if (g->w->new_network)
		spam_find(g, SPAM_SEEN_NETWORK, SLICE_NONE);
}

void
spam_gather_origin(struct spam_gather *g)
{
	sender_policy(g);
	signatures(g);
	author(g);
	client(g);
	seen(g);
}
