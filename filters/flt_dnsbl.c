/*
 * DNS lists of addresses (RFC 5782). An answer outside 127.0.0.0/8, or in 127.255.255.0/24
 * where lists put their errors (resolver refused, quota used up), is a failure of the list and
 * never a listing: a list that has died with a wildcard must not refuse everyone's mail.
 */
#include "filters/filter.h"

static const struct fact_decl facts[] = {
	{.name = "dnsbl",
		.phrase = "client in dnsbl",
		.type = FACT_FLAG,
		.arg = FACT_ARG_STRING,
		.scope = SCOPE_SESSION,
		.stage = STAGE_CONNECT,
		.cost = COST_CHEAP,
		.skip = true,
		.text = "Whether the client's address is on the DNS list of that zone."},
	{.name = NULL},
};

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	if (c->session->client.family == 0)
		return flt_flag(v, false);
	struct slice name = ip_reverse(&c->session->client, ref->arg, c->arena);
	if (!dns_name_ok(name))
		return flt_failed(c, v, "not a zone: %.*s", SLICE_ARG(ref->arg));
	const struct dns_answer *answer = flt_dns(c, name, DNS_A);
	if (answer == NULL)
		return FACT_OPEN;
	if (answer->status == DNS_FAIL || answer->status == DNS_BOGUS)
		return flt_failed(
			c, v, "%.*s: %s", SLICE_ARG(ref->arg), dns_status_text(answer->status));
	for (size_t i = 0; i < answer->n; i++) {
		char text[IP_TEXT_BYTES];
		struct slice ip = ip_text(&answer->rr[i].ip, text);
		if (!flt_is_listing(&answer->rr[i].ip))
			return flt_failed(
				c, v, "%.*s answers %.*s", SLICE_ARG(ref->arg), SLICE_ARG(ip));
		v->evidence = arena_printf(
			c->arena, "%.*s: %.*s", SLICE_ARG(ref->arg), SLICE_ARG(ip));
	}
	return flt_flag(v, answer->n != 0);
}

const struct filter flt_dnsbl = {.name = "dnsbl", .facts = facts, .gather = gather};
