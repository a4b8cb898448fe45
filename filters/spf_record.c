/*
 * The terms of an SPF record, by the grammar of RFC 7208 section 12 and nothing beside it: a
 * record with one bad term is a permerror as a whole (4.6), so nothing is guessed.
 */
#include "filters/spf_priv.h"

#include <string.h>

static const struct {
	const char *name;
	enum spf_kind kind;
	bool spec, spec_required, cidr;
} mechanisms[] = {
	{"all", SPF_ALL, false, false, false},
	{"include", SPF_INCLUDE, true, true, false},
	{"a", SPF_A, true, false, true},
	{"mx", SPF_MX, true, false, true},
	{"ptr", SPF_PTR, true, false, false},
	{"ip4", SPF_IP4, true, true, false},
	{"ip6", SPF_IP6, true, true, false},
	{"exists", SPF_EXISTS, true, true, false},
};

bool
spf_is_record(struct slice txt)
{
	const struct slice version = SLICE("v=spf1");
	return slice_starts_nocase(txt, version) &&
	       (txt.n == version.n || txt.p[version.n] == ' ');
}

/* Digits without leading zero, at most `most`. */
static bool
parse_prefix(struct slice s, unsigned most, uint8_t *prefix_out)
{
	uint64_t v;
	if (s.n == 0 || s.n > 3 || (s.n > 1 && s.p[0] == '0') || !slice_u64(s, &v) || v > most)
		return false;
	*prefix_out = (uint8_t)v;
	return true;
}

/*
 * "/N", "//N" or "/N//N" off the end of *s, if it is there at all; a slash may be part of a
 * macro string, so only what looks like a length is taken for one.
 */
static bool
cut_dual_cidr(struct slice *s, struct spf_term *t)
{
	for (int which = 6; which >= 4; which -= 2) {
		size_t n = s->n;
		while (n > 0 && ascii_digit(s->p[n - 1]))
			n--;
		size_t slashes = which == 6 ? 2 : 1;
		if (n == s->n || n < slashes || memcmp(s->p + n - slashes, "//", slashes) != 0)
			continue;
		struct slice digits = slice_from(*s, n);
		if (!(which == 6 ? parse_prefix(digits, 128, &t->prefix6)
				 : parse_prefix(digits, 32, &t->prefix4)))
			return false;
		*s = slice_first(*s, n - slashes);
	}
	return true;
}

static bool
parse_net(struct slice s, uint8_t family, struct spf_term *t)
{
	struct slice address, length;
	uint8_t prefix = family == 4 ? 32 : 128;
	if (slice_cut(s, '/', &address, &length) && !parse_prefix(length, prefix, &prefix))
		return false;
	if (slice_has(address, ':') != (family == 6) || !ip_parse(address, &t->net.ip))
		return false;
	if (t->net.ip.family != family)
		t->net.ip.family = 0;
	t->net.prefix = prefix;
	return true;
}

static const char *
parse_mechanism(struct slice s, struct spf_term *t)
{
	size_t n = 0;
	while (n < s.n && (ascii_alpha(s.p[n]) || ascii_digit(s.p[n])))
		n++;
	struct slice name = slice_first(s, n), rest = slice_from(s, n);
	size_t i = 0, count = sizeof(mechanisms) / sizeof(mechanisms[0]);
	while (i < count && !slice_eq_nocase(name, slice_of(mechanisms[i].name)))
		i++;
	if (i == count)
		return "unknown mechanism";
	t->kind = mechanisms[i].kind;
	if (mechanisms[i].cidr && !cut_dual_cidr(&rest, t))
		return "bad CIDR length";
	if (rest.n == 0)
		return mechanisms[i].spec_required ? "mechanism without its argument" : NULL;
	if (rest.p[0] != ':' || !mechanisms[i].spec)
		return "text behind the mechanism";
	t->spec = slice_from(rest, 1);
	if (t->kind == SPF_IP4 || t->kind == SPF_IP6)
		return parse_net(t->spec, t->kind == SPF_IP4 ? 4 : 6, t) ? NULL : "bad network";
	return spf_domain_spec_ok(t->spec) ? NULL : "bad domain-spec";
}

static const char *
parse_modifier(struct slice name, struct slice value, struct spf_term *t)
{
	if (name.n == 0 || !ascii_alpha(name.p[0]))
		return "bad name of a modifier";
	for (size_t i = 0; i < name.n; i++)
		if (!ascii_alpha(name.p[i]) && !ascii_digit(name.p[i]) &&
			(name.p[i] == '\0' || strchr("-_.", name.p[i]) == NULL))
			return "bad name of a modifier";
	t->spec = value;
	t->kind = slice_eq_nocase(name, SLICE("redirect")) ? SPF_REDIRECT
		  : slice_eq_nocase(name, SLICE("exp"))    ? SPF_EXP
							   : SPF_UNKNOWN_MODIFIER;
	if (t->kind == SPF_UNKNOWN_MODIFIER)
		return spf_macro_ok(value, false) ? NULL : "bad macro string";
	return spf_domain_spec_ok(value) ? NULL : "bad domain-spec";
}

/* A modifier has its '=' before any ':', '/' or macro. */
static bool
is_modifier(struct slice s)
{
	size_t n = 0;
	while (n < s.n && strchr("=:/%", s.p[n]) == NULL)
		n++;
	return n < s.n && s.p[n] == '=';
}

bool
spf_term_next(struct slice *rest, struct spf_term *term_out, const char **problem_out)
{
	while (rest->n > 0 && rest->p[0] == ' ')
		*rest = slice_from(*rest, 1);
	*problem_out = NULL;
	if (rest->n == 0)
		return false;
	struct spf_term *t = term_out;
	*t = (struct spf_term){.result = SPFR_PASS, .prefix4 = 32, .prefix6 = 128};
	slice_cut(*rest, ' ', &t->text, rest);
	struct slice s = t->text, name, value;
	if (is_modifier(s)) {
		slice_cut(s, '=', &name, &value);
		*problem_out = parse_modifier(name, value, t);
		return *problem_out == NULL;
	}
	switch (s.p[0]) {
	case '-': t->result = SPFR_FAIL; break;
	case '~': t->result = SPFR_SOFTFAIL; break;
	case '?': t->result = SPFR_NEUTRAL; break;
	case '+': break;
	default: *problem_out = parse_mechanism(s, t); return *problem_out == NULL;
	}
	*problem_out = parse_mechanism(slice_from(s, 1), t);
	return *problem_out == NULL;
}
