/*
 * One value held against one operand. Everything here is bounded by the text's length times the
 * operand's; only declared patterns can give up, and then the fact counts as failed.
 */
#include "policy/policy_priv.h"

#include <string.h>

enum { ADDRESS_ROOM = 400 };

static bool
match_number(const struct match *m, double v)
{
	switch (m->op) {
	case OP_IS: return !(v < m->number) && !(v > m->number);
	case OP_LT: return v < m->number;
	case OP_LE: return v <= m->number;
	case OP_GT: return v > m->number;
	case OP_GE: return v >= m->number;
	case OP_TRUE:
	case OP_IN:
	case OP_MATCHES:
	case OP_CONTAINS: break;
	}
	return false;
}

static bool
match_texts(const struct match *m, struct slice v, bool nocase)
{
	for (size_t i = 0; i < m->n; i++)
		if (nocase ? slice_eq_nocase(m->texts[i], v) : slice_eq(m->texts[i], v))
			return true;
	return false;
}

static bool
match_domains(const struct match *m, struct slice v)
{
	for (size_t i = 0; i < m->n; i++) {
		struct slice d = m->texts[i];
		if (slice_starts(d, SLICE("*."))) {
			if (v.n > d.n - 1 && slice_ends_nocase(v, slice_from(d, 1)))
				return true;
		} else if (slice_eq_nocase(d, v)) {
			return true;
		}
	}
	return false;
}

/* Without case: needle is in lower case already. */
static bool
holds(struct slice text, struct slice needle)
{
	for (size_t at = 0; at + needle.n <= text.n; at++) {
		size_t i = 0;
		while (i < needle.n && ascii_lower(text.p[at + i]) == needle.p[i])
			i++;
		if (i == needle.n)
			return true;
	}
	return false;
}

static bool
match_parts(const struct match *m, struct slice v)
{
	for (size_t i = 0; i < m->n; i++)
		if (holds(v, m->texts[i]))
			return true;
	return false;
}

/* --- addresses: POLICY.md, "Settings": the local part without case and detail in our own
 * domains */

struct parts {
	struct slice local, domain;
};

static struct parts
split(struct slice address)
{
	size_t at = slice_find_last(address, '@');
	return (struct parts){slice_first(address, at), slice_from(address, at + 1)};
}

static struct slice
without_detail(const struct conf_domain *own, struct slice local)
{
	return own != NULL && !own->detail_significant
		       ? slice_first(local, slice_find(local, '+'))
		       : local;
}

static bool
match_addresses(const struct policy *p, const struct match *m, struct slice v)
{
	struct parts have = split(v);
	const struct conf_domain *own = conf_domain_find(p->conf, have.domain);
	struct slice plain = without_detail(own, have.local);
	for (size_t i = 0; i < m->n; i++) {
		struct parts want = split(m->texts[i]);
		if (m->texts[i].n == 0 || v.n == 0) {
			if (m->texts[i].n == v.n)
				return true;
			continue;
		}
		if (!slice_eq_nocase(want.domain, have.domain))
			continue;
		if (want.local.n == 0)
			return true;
		if (own != NULL ? slice_eq_nocase(want.local, have.local) ||
					  slice_eq_nocase(want.local, plain)
				: slice_eq(want.local, have.local))
			return true;
	}
	return false;
}

/* As written, and where it is ours without its detail. */
static enum pattern_result
match_address_table(const struct policy *p, const struct conf_table *table, struct slice v,
	struct arena *scratch)
{
	char text[ADDRESS_ROOM];
	enum pattern_result first = conf_table_look(table, v, scratch);
	struct parts have = split(v);
	struct slice plain = without_detail(conf_domain_find(p->conf, have.domain), have.local);
	if (first == PATTERN_YES || plain.n == have.local.n ||
		plain.n + 1 + have.domain.n > sizeof(text))
		return first;
	if (plain.n != 0)
		memcpy(text, plain.p, plain.n);
	text[plain.n] = '@';
	if (have.domain.n != 0)
		memcpy(text + plain.n + 1, have.domain.p, have.domain.n);
	struct slice without = {text, plain.n + 1 + have.domain.n};
	enum pattern_result second = conf_table_look(table, without, scratch);
	return second == PATTERN_NO ? first : second;
}

static bool
match_networks(const struct match *m, struct slice v)
{
	struct ip ip;
	if (!ip_parse(v, &ip))
		return false;
	for (size_t i = 0; i < m->n; i++)
		if (ip_in_net(&ip, &m->nets[i]))
			return true;
	return false;
}

static bool
matches(const struct policy *p, const struct match *m, const struct value *v)
{
	switch (m->kind) {
	case MATCH_FLAG: return v->flag;
	case MATCH_NUMBER: return match_number(m, v->number);
	case MATCH_TEXT: return match_texts(m, v->text, true);
	case MATCH_WORD: return match_texts(m, v->text, false);
	case MATCH_DOMAIN: return match_domains(m, v->text);
	case MATCH_ADDRESS: return match_addresses(p, m, v->text);
	case MATCH_NETWORK: return match_networks(m, v->text);
	case MATCH_OWN_DOMAIN:
		return v->text.n != 0 && conf_domain_find(p->conf, v->text) != NULL;
	case MATCH_PART: return match_parts(m, v->text);
	case MATCH_GLOB: return glob_match(m->glob, v->text);
	case MATCH_TABLE:
	case MATCH_PATTERN: break;
	}
	return false;
}

enum pattern_result
match_value(const struct policy *p, const struct match *m, enum fact_type type,
	const struct value *v, struct arena *scratch)
{
	if (m->kind == MATCH_PATTERN)
		return pattern_match(m->pattern, v->text, scratch);
	if (m->kind == MATCH_TABLE)
		return type == FACT_ADDRESS ? match_address_table(p, m->table, v->text, scratch)
					    : conf_table_look(m->table, v->text, scratch);
	return matches(p, m, v) ? PATTERN_YES : PATTERN_NO;
}
