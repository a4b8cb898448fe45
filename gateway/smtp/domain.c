/*
 * Domain names and address literals; see address.h. Everything that compares domains compares
 * what comes out of here: A-labels in lower case.
 *
 * U-labels go through libidn2 as IDNA 2008 lookup without the UTS 46 mapping. A domain in the
 * envelope is a protocol element, to be a U-label already (RFC 6531 3.3); mapping is for what
 * people type (RFC 5895). With it the name that we judge would be another than the bytes that
 * the next hop is sent, and its own mapping may differ from ours.
 */
#include <arpa/inet.h>
#include <idn2.h>
#include <string.h>

#include "base/ip.h"
#include "base/must.h"
#include "smtp/address.h"

enum { LABEL_MOST = 63 };

static bool
is_label(struct slice label)
{
	if (label.n == 0 || label.n > LABEL_MOST || label.p[0] == '-' ||
		label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++)
		if (!ascii_alpha(label.p[i]) && !ascii_digit(label.p[i]) && label.p[i] != '-')
			return false;
	return true;
}

/* RFC 5321 2.3.5: letters, digits and inner hyphens; a single label is enough. */
static bool
is_ascii_domain(struct slice s)
{
	if (s.n > ADDRESS_DOMAIN_MOST)
		return false;
	for (bool more = true; more;) {
		struct slice label;
		more = slice_cut(s, '.', &label, &s);
		if (!is_label(label))
			return false;
	}
	return true;
}

static bool
has_8bit(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] & 0x80) != 0)
			return true;
	return false;
}

/* A U-label: libidn2 takes a NUL-terminated string of the whole name. */
static bool
from_ulabels(struct slice in, struct arena *a, struct slice *out)
{
	uint8_t *alabels = NULL;
	if (in.n > ADDRESS_PATH_MOST || slice_has(in, '\0'))
		return false;
	const char *text = arena_text(a, in);
	int rc = idn2_lookup_u8((const uint8_t *)text, &alabels, IDN2_NO_TR46);
	if (rc != IDN2_OK)
		return false;
	struct slice result = slice_of((const char *)alabels);
	bool good = is_ascii_domain(result);
	if (good)
		*out = arena_lower(a, result);
	idn2_free(alabels);
	return good;
}

bool
domain_to_ascii(struct slice in, struct arena *a, struct slice *out)
{
	if (has_8bit(in))
		return from_ulabels(in, a, out);
	if (!is_ascii_domain(in))
		return false;
	*out = arena_lower(a, in);
	return true;
}

/* RFC 5321 4.1.3: "::" stands for two groups or more; the address in dots counts for two. */
static bool
is_ipv6_of_rfc5321(struct slice text)
{
	struct slice gap = SLICE("::");
	if (slice_find_slice(text, gap) == text.n)
		return true;
	int groups = slice_has(text, '.') ? 1 : 0;
	for (bool more = true; more;) {
		struct slice group;
		more = slice_cut(text, ':', &group, &text);
		groups += group.n > 0;
	}
	return groups <= 6;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]"; no tag but IPv6 is standardised. */
static bool
parse_literal(struct slice in, struct arena *a, struct slice *out)
{
	struct ip ip;
	struct slice tag = SLICE("IPv6:");
	struct slice inner = slice_first(slice_from(in, 1), in.n - 2);
	bool v6 = slice_starts_nocase(inner, tag);
	if (v6)
		inner = slice_from(inner, tag.n);
	if (slice_has(inner, ':') != v6 || !ip_parse(inner, &ip))
		return false;
	if (v6 && !is_ipv6_of_rfc5321(inner))
		return false;
	*out = ip_literal(&ip, a);
	return true;
}

bool
domain_parse(struct slice in, bool smtputf8, bool literal_ok, struct arena *a,
	struct slice *alabel_out)
{
	if (in.n > 2 && in.p[0] == '[' && in.p[in.n - 1] == ']')
		return literal_ok && parse_literal(in, a, alabel_out);
	if (!smtputf8 && has_8bit(in))
		return false;
	return domain_to_ascii(in, a, alabel_out);
}

bool
domain_is_below(struct slice name, struct slice domain)
{
	if (slice_eq(name, domain))
		return true;
	return name.n > domain.n && domain.n > 0 && slice_ends(name, domain) &&
	       name.p[name.n - domain.n - 1] == '.';
}
