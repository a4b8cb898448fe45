/*
 * The client as such: its address, its name where both directions of the DNS agree (iprev, RFC
 * 8601 2.7.3), its greeting, TLS and authenticated user.
 */
#include "filters/filter.h"

enum { NAMES_MOST = 10 }; /* of one address; the rest is passed over */

static const struct fact_decl facts[] = {
	{.name = "client",
		.phrase = "client.ip",
		.type = FACT_IP,
		.scope = SCOPE_SESSION,
		.stage = STAGE_CONNECT,
		.cost = COST_FREE,
		.text = "The IP address of the client; empty for a local socket."},
	{.name = "client.name",
		.type = FACT_DOMAIN,
		.scope = SCOPE_SESSION,
		.stage = STAGE_CONNECT,
		.cost = COST_CHEAP,
		.text = "The client's host name by PTR, only if that name has the client's "
			"address; "
			"else empty."},
	{.name = "helo",
		.type = FACT_TEXT,
		.scope = SCOPE_HELO,
		.stage = STAGE_HELO,
		.cost = COST_FREE,
		.text = "The name the client gave in HELO or EHLO."},
	{.name = "tls",
		.type = FACT_FLAG,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_FREE,
		.text = "Whether the mail comes over TLS."},
	{.name = "user",
		.type = FACT_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_FREE,
		.text = "The account that the client is logged in as; empty if it is not."},
	{.name = NULL},
};
enum { CLIENT, CLIENT_NAME, HELO, TLS, USER };

/* A host name as RFC 1123 2.1 has it, or with underscores: nothing else from a PTR gets
 * further. */
static bool
is_host_name(struct slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];
		if (!ascii_alpha(ch) && !ascii_digit(ch) && ch != '-' && ch != '_' && ch != '.')
			return false;
	}
	return dns_name_ok(name);
}

/* FACT_KNOWN and v->flag: the name has the address. */
static enum fact_state
name_has_address(struct flt_call *c, struct slice name, struct value *v)
{
	const struct ip *client = &c->session->client;
	const struct dns_answer *answer =
		flt_dns(c, name, client->family == 4 ? DNS_A : DNS_AAAA);
	if (answer == NULL)
		return FACT_OPEN;
	if (answer->status == DNS_FAIL || answer->status == DNS_BOGUS)
		return FACT_FAILED;
	v->flag = false;
	for (size_t i = 0; i < answer->n; i++)
		if (ip_eq(&answer->rr[i].ip, client))
			v->flag = true;
	return FACT_KNOWN;
}

static enum fact_state
client_name(struct flt_call *c, struct value *v)
{
	if (c->session->client.family == 0)
		return flt_text(v, SLICE_NONE);
	struct slice arpa = ip_arpa(&c->session->client, c->arena);
	const struct dns_answer *ptr = flt_dns(c, arpa, DNS_PTR);
	if (ptr == NULL)
		return FACT_OPEN;
	if (ptr->status == DNS_FAIL || ptr->status == DNS_BOGUS)
		return flt_failed(
			c, v, "PTR of %.*s: %s", SLICE_ARG(arpa), dns_status_text(ptr->status));
	bool open = false, failed = false;
	for (size_t i = 0; i < ptr->n && i < NAMES_MOST; i++) {
		struct slice name = ptr->rr[i].text;
		struct value has = {0};
		enum fact_state s =
			is_host_name(name) ? name_has_address(c, name, &has) : FACT_KNOWN;
		open |= s == FACT_OPEN;
		failed |= s == FACT_FAILED;
		/* The first in the answer's order, whatever the order in which theirs come. */
		if (s == FACT_KNOWN && has.flag && !open)
			return flt_text(v, arena_lower(c->arena, name));
	}
	if (open)
		return FACT_OPEN;
	if (failed)
		return flt_failed(c, v, "the address of a name of the client is not known now");
	v->evidence =
		ptr->n == 0 ? SLICE("no PTR") : SLICE("no name of the PTR has the address");
	return flt_text(v, SLICE_NONE);
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct flt_session *s = c->session;
	switch (ref->decl - facts) {
	case CLIENT: {
		char text[IP_TEXT_BYTES];
		if (s->client.family == 0)
			return flt_text(v, SLICE_NONE);
		return flt_text(v, arena_slice(c->arena, ip_text(&s->client, text)));
	}
	case CLIENT_NAME: return client_name(c, v);
	case HELO: return flt_text(v, arena_slice(c->arena, s->helo));
	case TLS:
		if (s->tls_unknown)
			return flt_failed(c, v, "the MTA sends no macros: TLS is not known");
		v->evidence = arena_printf(c->arena, "%.*s %.*s", SLICE_ARG(s->tls_version),
			SLICE_ARG(s->tls_cipher));
		return flt_flag(v, s->tls_version.n != 0);
	case USER:
		if (s->user_unknown)
			return flt_failed(
				c, v, "the MTA sends no macros: the user is not known");
		return flt_text(v, arena_slice(c->arena, s->user));
	default: return flt_failed(c, v, "not a fact of connection");
	}
}

const struct filter flt_connection = {.name = "connection", .facts = facts, .gather = gather};
