/*
 * The choice among a domain's mail servers; see mx.h. A record that nobody can use (an address
 * instead of a name, localhost) is passed over, so that one bad record does not stop the mail;
 * what is left decides.
 */
#include "relay/mx.h"

#include <stdlib.h>

#include "base/ip.h"

struct candidate {
	struct slice name;
	uint16_t preference;
	uint64_t order; /* random: among equal preferences */
};

static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static int
compare(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static bool
is_root(struct slice name)
{
	return name.n == 0 || slice_eq(name, SLICE("."));
}

static bool
is_localhost(struct slice name)
{
	return slice_eq_nocase(name, SLICE("localhost")) ||
	       slice_ends_nocase(name, SLICE(".localhost")) ||
	       slice_eq_nocase(name, SLICE("localhost.localdomain"));
}

/* The best of those with one name, so that no server is tried twice. */
static bool
is_repeated(const struct candidate *all, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq_nocase(all[i].name, name))
			return true;
	return false;
}

/* Those in front of the first that is ourselves: the preference that nobody else may reach. */
static uint32_t
preference_of_ours(const struct candidate *all, size_t n, struct slice own_name)
{
	for (size_t i = 0; i < n; i++)
		if (own_name.n > 0 && slice_eq_nocase(all[i].name, own_name))
			return all[i].preference;
	return UINT32_MAX;
}

static enum mx_verdict
choose(struct candidate *all, size_t n, struct slice own_name, struct mx_list *out)
{
	qsort(all, n, sizeof(*all), compare);
	uint32_t ours = preference_of_ours(all, n, own_name);
	size_t kept = 0;
	for (size_t i = 0; i < n && out->n < MX_HOSTS_MOST; i++) {
		if (all[i].preference >= ours || is_repeated(all, kept, all[i].name))
			continue;
		all[kept++] = all[i];
		out->hosts[out->n++] = (struct mx_host){all[i].name, all[i].preference};
	}
	return out->n > 0 ? MX_GOOD : MX_LOOP;
}

enum mx_verdict
mx_hosts(struct slice domain, const struct dns_answer *mx, struct slice own_name, uint64_t seed,
	struct arena *a, struct mx_list *list_out)
{
	list_out->n = 0;
	if (mx->status == DNS_FAIL || mx->status == DNS_BOGUS)
		return MX_LATER;
	if (mx->status == DNS_NXDOMAIN)
		return MX_NO_DOMAIN;
	struct candidate *all = arena_array(a, mx->n + 1, sizeof(*all));
	if (mx->status == DNS_NODATA || mx->n == 0) {
		all[0].name = arena_slice(a, domain);
		return choose(all, 1, own_name, list_out);
	}
	size_t n = 0, roots = 0, locals = 0;
	for (size_t i = 0; i < mx->n; i++) {
		struct slice name = mx->rr[i].text;
		struct ip ip;
		if (name.n > 1 && name.p[name.n - 1] == '.')
			name.n--;
		roots += is_root(name);
		locals += is_localhost(name);
		if (is_root(name) || is_localhost(name) || ip_parse(name, &ip) ||
			!dns_name_ok(name))
			continue;
		all[n++] = (struct candidate){
			arena_slice(a, name), mx->rr[i].preference, mix(seed + i)};
	}
	if (n == 0)
		return roots + locals == mx->n ? MX_NULL : MX_UNUSABLE;
	return choose(all, n, own_name, list_out);
}

static int
compare_names(const void *left, const void *right)
{
	const struct slice *a = left, *b = right;
	return slice_cmp(*a, *b);
}

uint64_t
mx_set_hash(struct slice domain, const struct dns_answer *mx, struct arena *a)
{
	const uint64_t prime = UINT64_C(0x100000001b3);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	size_t n = mx->status == DNS_OK ? mx->n : 0;
	struct slice *names = arena_array(a, n + 1, sizeof(*names));
	for (size_t i = 0; i < n; i++)
		names[i] = mx->rr[i].text;
	if (n == 0)
		names[n++] = domain;
	for (size_t i = 0; i < n; i++) {
		if (slice_ends(names[i], SLICE(".")))
			names[i].n--;
		names[i] = arena_lower(a, names[i]);
	}
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && slice_eq(names[i], names[i - 1]))
			continue;
		for (size_t k = 0; k < names[i].n; k++)
			hash = (hash ^ (unsigned char)names[i].p[k]) * prime;
		hash = (hash ^ ' ') * prime; /* which no name has */
	}
	return hash != 0 ? hash : 1;
}

static bool
is_own(const struct ip *ip, const struct ip_net *own, size_t n_own)
{
	for (size_t i = 0; i < n_own; i++)
		if (ip_in_net(ip, &own[i]))
			return true;
	return false;
}

static bool
has_own(const struct dns_answer *answer, const struct ip_net *own, size_t n_own)
{
	for (size_t i = 0; answer->status == DNS_OK && i < answer->n; i++)
		if (is_own(&answer->rr[i].ip, own, n_own))
			return true;
	return false;
}

static bool
is_there(const struct mx_addresses *out, const struct ip *ip)
{
	for (size_t i = 0; i < out->n; i++)
		if (ip_eq(&out->at[i].ip, ip))
			return true;
	return false;
}

static void
add_address(
	struct mx_addresses *out, const struct dns_answer *answer, size_t i, struct slice host)
{
	if (answer->status != DNS_OK || i >= answer->n || out->n == MX_ADDRESSES_MOST ||
		is_there(out, &answer->rr[i].ip))
		return;
	out->at[out->n++] = (struct mx_address){answer->rr[i].ip, host};
}

static bool
is_silent(const struct dns_answer *answer)
{
	return answer->status == DNS_FAIL || answer->status == DNS_BOGUS;
}

enum mx_verdict
mx_addresses(const struct mx_list *list, const struct mx_lookup *lookups,
	const struct ip_net *own, size_t n_own, struct mx_addresses *out)
{
	bool loop = false, silent = false;
	uint32_t ours = UINT32_MAX;
	out->n = 0;
	for (size_t i = 0; i < list->n; i++)
		if (has_own(&lookups[i].v4, own, n_own) ||
			has_own(&lookups[i].v6, own, n_own)) {
			ours = list->hosts[i].preference;
			loop = true;
			break; /* sorted: the best of ours */
		}
	for (size_t i = 0; i < list->n && list->hosts[i].preference < ours; i++) {
		const struct mx_lookup *l = &lookups[i];
		silent = silent || is_silent(&l->v4) || is_silent(&l->v6);
		for (size_t k = 0; k < MX_HOST_ADDRESSES; k++) {
			add_address(out, &l->v6, k, list->hosts[i].name);
			add_address(out, &l->v4, k, list->hosts[i].name);
		}
	}
	if (out->n > 0)
		return MX_GOOD;
	if (silent)
		return MX_LATER;
	return loop ? MX_LOOP : MX_UNUSABLE;
}

struct smtp_reply
mx_reply(enum mx_verdict v)
{
	switch (v) {
	case MX_NULL: return smtp_reply_of("556 5.1.10 The domain takes no mail (null MX)");
	case MX_NO_DOMAIN: return smtp_reply_of("550 5.1.2 The domain does not exist");
	case MX_UNUSABLE:
		return smtp_reply_of("550 5.4.4 No mail server of the domain has an address");
	case MX_LOOP:
		return smtp_reply_of("554 5.4.6 Mail for the domain would come back to us");
	case MX_GOOD:
	case MX_LATER: break;
	}
	return smtp_reply_of("451 4.4.3 The domain cannot be looked up now");
}
