/*
 * What no single statement can see: things that must be there, that need each other, or that
 * exclude each other. Runs once, when all files are read. An outbound listener must ask for an
 * account or a network: the gateway is no open relay by construction.
 */
#include <string.h>

#include "conf/parse_priv.h"

#define SPOOL_MISSING "\"%s\" needs the spool: add spool \"/var/spool/postern\""

/* A statement stands in the configuration, right or wrong: what is wrong with it has been said.
 */
static bool
stands(const struct parser *p, const char *name)
{
	for (size_t i = 0; i < schema_n_rows; i++)
		if (schema_rows[i].group[0] == '\0' && strcmp(schema_rows[i].name, name) == 0)
			return p->seen[i].line != 0;
	return false;
}

static bool
same_place(const struct conf_listener *a, const struct conf_listener *b)
{
	return a->port == b->port && ip_eq(&a->ip, &b->ip) && slice_eq(a->path, b->path);
}

static bool
is_filter(const struct conf_listener *l)
{
	return l->n_peers != 0 || l->filter.n != 0;
}

/* What an MTA in front has done, or does itself. */
static void
check_milter(struct parser *p, const struct conf_listener *l)
{
	if (l->tls != LISTEN_TLS_NONE || l->n_certificates != 0)
		parse_fail(p, l->at, "TLS is the MTA's: a milter has none");
	if (l->auth_file.n != 0)
		parse_fail(p, l->at,
			"accounts are the MTA's: write \"outbound authenticated\" for theirs");
	if (l->n_from != 0)
		parse_fail(p, l->at, "a milter has \"outbound from\" instead of \"from\"");
	if (l->n_proxied != 0)
		parse_fail(
			p, l->at, "\"proxied from\" is for SMTP: a milter hears of the client");
	if (is_filter(l) || l->filter.client != HOP_CLIENT_NONE || l->n_xclient != 0)
		parse_fail(p, l->at,
			"\"filter from\", \"client by\" and \"xclient from\" are for SMTP: a "
			"milter hears of the client");
	if (l->hide_received && !conf_listener_judges(l, true))
		parse_fail(p, l->at,
			"\"hide received\" is for outbound mail: add \"outbound from\" or "
			"\"outbound "
			"authenticated\"");
}

/* `client by proxy` and a socket of this machine. */
static void
check_hop_client(struct parser *p, const struct hop_list *l)
{
	for (size_t i = 0; i < l->n && l->client == HOP_CLIENT_PROXY; i++) {
		const struct next_hop *h = &l->hops[i];
		bool path = h->kind == HOP_LMTP_PATH;
		for (size_t k = 0; h->kind == HOP_BALANCED && k < h->n_items; k++)
			path = path || h->items[k].kind == HOP_LMTP_PATH;
		if (path)
			parse_fail(p, h->at, "\"client by proxy\" is for next hops over TCP");
	}
}

/*
 * A filter beside another MTA: who may connect and where mail goes is said in one place. False:
 * it is none.
 */
static bool
check_filter(struct parser *p, const struct conf_listener *l)
{
	if (!is_filter(l)) {
		if (l->filter.client != HOP_CLIENT_NONE)
			parse_fail(p, l->at,
				"\"client by\" needs \"filter\" here: for the servers of a "
				"domain it stands behind \"domain\"");
		return false;
	}
	if (l->n_from != 0)
		parse_fail(p, l->at,
			"\"from\" and \"filter\" exclude each other: a filter's peers stand "
			"behind \"filter from\"");
	if (l->auth_file.n != 0)
		parse_fail(p, l->at,
			"\"auth\" and \"filter\" exclude each other: accounts are known to the "
			"MTA in front");
	if (l->n_proxied != 0)
		parse_fail(p, l->at,
			"\"proxied from\" and \"filter\" exclude each other: the MTA in front "
			"names the client by XCLIENT or XFORWARD");
	if (l->n_xclient != 0)
		parse_fail(p, l->at,
			"\"xclient from\" and \"filter\" exclude each other: a filter's peers "
			"may name the client");
	for (size_t i = 0; i < l->filter.n; i++)
		if (l->filter.hops[i].port == l->port && ip_eq(&l->filter.hops[i].ip, &l->ip))
			parse_fail(p, l->filter.hops[i].at,
				"this filter's next hop is the listener itself");
	check_hop_client(p, &l->filter);
	return true;
}

static void
check_listener(struct parser *p, size_t i)
{
	const struct conf_listener *l = &p->conf->listeners[i];
	bool tls = l->tls != LISTEN_TLS_NONE;
	if (l->port == 0 && l->path.n == 0)
		return;
	for (size_t j = 0; j < i; j++)
		if (same_place(l, &p->conf->listeners[j]))
			parse_fail(p, l->at, "\"%.*s\" is listened on already in line %u",
				SLICE_ARG(l->text), p->conf->listeners[j].at.line);
	if (l->kind == LISTEN_MILTER) {
		check_milter(p, l);
		return;
	}
	if (l->hide_received && l->kind == LISTEN_INBOUND)
		parse_fail(p, l->at,
			"\"hide received\" is for outbound mail: what strangers wrote stays, "
			"loops are "
			"counted by it");
	if (l->n_outbound_from != 0 || l->outbound_authenticated)
		parse_fail(p, l->at,
			"\"outbound from\" and \"outbound authenticated\" are for milters");
	if (l->through_libmilter)
		parse_fail(p, l->at, "\"through libmilter\" is for milters");
	if (tls && l->n_certificates == 0)
		parse_fail(p, l->at,
			"\"tls\" needs a certificate: add certificate \"FILE\" key \"FILE\"");
	if (!tls && l->n_certificates != 0)
		parse_fail(p, l->at,
			"a certificate without TLS: add \"tls optional\", \"tls required\" or "
			"\"tls implicit\"");
	if (check_filter(p, l))
		return;
	if (l->kind == LISTEN_INBOUND) {
		if (l->auth_file.n != 0)
			parse_fail(p, l->at, "\"auth\" is for outbound listeners");
		if (l->n_from != 0)
			parse_fail(p, l->at, "\"from\" is for outbound listeners");
		return;
	}
	if (l->auth_file.n == 0 && l->n_from == 0)
		parse_fail(p, l->at,
			"an outbound listener needs \"auth\" or \"from\": it would be an open "
			"relay");
	if (l->auth_file.n != 0 && l->tls != LISTEN_TLS_REQUIRED &&
		l->tls != LISTEN_TLS_IMPLICIT)
		parse_fail(p, l->at,
			"\"auth\" needs \"tls required\" or \"tls implicit\": passwords do not "
			"travel in clear");
}

static bool
listens(const struct conf *c, enum listen_kind kind)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i].kind == kind)
			return true;
	return false;
}

/* One that is no filter, whose way is given: it needs domains, or `send`. */
static bool
finds_way(const struct conf *c, enum listen_kind kind)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i].kind == kind && !is_filter(&c->listeners[i]))
			return true;
	return false;
}

bool
conf_listener_judges(const struct conf_listener *l, bool outbound)
{
	if (l->kind == LISTEN_MILTER)
		return !outbound || l->n_outbound_from != 0 || l->outbound_authenticated;
	return (l->kind == LISTEN_OUTBOUND) == outbound;
}

bool
conf_uses_block(const struct conf *c, bool outbound)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (conf_listener_judges(&c->listeners[i], outbound))
			return true;
	return false;
}

/* The blocks that the listeners need, and none that nobody uses. */
static void
check_blocks(struct parser *p)
{
	const struct conf *c = p->conf;
	const struct conf_at file = {.file = c->file};
	bool inbound = conf_uses_block(c, false), outbound = conf_uses_block(c, true);
	if (inbound && !stands(p, "inbound"))
		parse_fail(p, file, "%s listener needs a block inbound { ... }",
			listens(c, LISTEN_INBOUND) ? "an inbound" : "a milter");
	if (outbound && !stands(p, "outbound"))
		parse_fail(p, file, "%s needs a block outbound { ... }",
			listens(c, LISTEN_OUTBOUND) ? "an outbound listener"
						    : "a milter with outbound mail");
	if (!inbound && c->inbound.at.line != 0 && stands(p, "listen"))
		conf_warn(p->report, c->inbound.at, "no inbound listener uses this block");
	if (!outbound && c->outbound.at.line != 0 && stands(p, "listen"))
		conf_warn(p->report, c->outbound.at, "no outbound listener uses this block");
}

static void
check_listeners(struct parser *p)
{
	struct conf *c = p->conf;
	struct conf_at file = {.file = c->file};
	for (size_t i = 0; i < c->n_listeners; i++) {
		check_listener(p, i);
		if (c->listeners[i].mode == MODE_RULES)
			c->listeners[i].mode = c->mode;
	}
	if (!stands(p, "listen"))
		parse_fail(p, file, "nothing listens: add listen inbound on \"ADDRESS:PORT\"");
	check_blocks(p);
	if (finds_way(c, LISTEN_INBOUND) && !stands(p, "domain"))
		parse_fail(p, file,
			"an inbound listener needs a domain \"NAME\" deliver to NEXTHOP");
	if (finds_way(c, LISTEN_OUTBOUND) && !stands(p, "send"))
		parse_fail(p, file,
			"an outbound listener needs \"send direct\" or \"send smarthost\"");
}

static void
check_domains(struct parser *p)
{
	struct conf *c = p->conf;
	for (size_t i = 0; i < c->n_domains; i++) {
		struct conf_domain *d = &c->domains[i];
		if (d->name.n == 0) /* what is wrong with it has been said */
			continue;
		const struct conf_domain *other = map_get(c->domain_map, d->name);
		if (other != NULL)
			parse_fail(p, d->at,
				"the domain \"%.*s\" stands a second time, first at %s:%u",
				SLICE_ARG(d->name), other->at.file, other->at.line);
		else
			map_put(c->domain_map, d->name, d);
		/* beside a milter or filter the MTA knows where the domain's mail goes */
		if (d->deliver.n == 0 &&
			(finds_way(c, LISTEN_INBOUND) || finds_way(c, LISTEN_OUTBOUND)))
			parse_fail(p, d->at, "a domain needs \"deliver to\"");
		else if (d->deliver.n == 0 && d->recipients == RECIPIENTS_VERIFY)
			parse_fail(p, d->at, "\"recipients verify\" needs \"deliver to\"");
		else if (d->deliver.n == 0 && d->hold_when_unreachable)
			parse_fail(p, d->at, "\"hold when unreachable\" needs \"deliver to\"");
		check_hop_client(p, &d->deliver);
		if (d->n_tag_keys != 0 && listens(c, LISTEN_MILTER))
			parse_fail(p, d->at,
				"\"bounces tagged\" and a milter exclude each other: an MTA "
				"looks its "
				"recipients up before a milter can take their tags off");
	}
	for (size_t i = 0; i < p->n_table_uses; i++) {
		const struct table_use *u = &p->table_uses[i];
		const struct conf_table *t = map_get(c->tables, u->table);
		if (t == NULL)
			parse_fail(p, u->at, "there is no table \"%.*s\"", SLICE_ARG(u->table));
		else if (u->domain < c->n_domains)
			c->domains[u->domain].table = t;
	}
}

/*
 * `redirect to` and `copy to`: an MTA changes the recipients for its milter; the gateway itself
 * sends one mail two ways, and stores it for that. `quarantine`: an MTA keeps what it has.
 */
static void
check_stored(struct parser *p, const struct rule_block *block, enum listen_kind smtp)
{
	if (!listens(p->conf, smtp) || stands(p, "spool"))
		return;
	for (size_t i = 0; i < block->n_rules; i++) {
		const struct rule *r = &block->rules[i];
		if (r->action == ACTION_REDIRECT || r->action == ACTION_COPY ||
			r->action == ACTION_QUARANTINE)
			parse_fail(p, r->at, SPOOL_MISSING, action_text(r->action));
	}
}

/* Where copies of whole directions go: to servers that we know, and never by a milter. */
static void
check_journal(struct parser *p, bool outbound)
{
	const struct conf_journal *j = &p->conf->journal[outbound];
	struct slice local, domain;
	if (j->to.n == 0)
		return;
	slice_cut(slice_from(j->to, slice_find_last(j->to, '@')), '@', &local, &domain);
	if (conf_domain_find(p->conf, domain) == NULL)
		parse_fail(p, j->at,
			"\"journal to\" leads to \"%.*s\", which is none of the domains: add "
			"domain \"%.*s\"",
			SLICE_ARG(domain), SLICE_ARG(domain));
	for (size_t i = 0; i < p->conf->n_listeners; i++) {
		const struct conf_listener *l = &p->conf->listeners[i];
		if (l->kind == LISTEN_MILTER && conf_listener_judges(l, outbound)) {
			parse_fail(p, j->at,
				"\"journal to\" is not for milters, and the one in line %u has "
				"%s "
				"mail: the MTA has always_bcc for that",
				l->at.line, outbound ? "outbound" : "inbound");
			return;
		}
	}
}

static void
check_networks(struct parser *p)
{
	const struct conf *c = p->conf;
	if (c->n_networks != 0 && !conf_uses_block(c, true) && stands(p, "listen"))
		conf_warn(p->report, c->networks[0].at,
			"no listener has outbound mail that this network could be held to");
}

/* Nothing is kept without a place to keep it. */
static void
check_spool(struct parser *p)
{
	if (stands(p, "spool"))
		return;
	for (size_t i = 0; i < p->n_spool_uses; i++)
		parse_fail(p, p->spool_uses[i].at, SPOOL_MISSING, p->spool_uses[i].what);
}

static void
check_limits(struct parser *p)
{
	const struct conf_limits *l = &p->conf->limits;
	struct conf_at file = {.file = p->conf->file};
	if (l->header_bytes > l->mail_bytes)
		parse_fail(p, file, "\"header bytes\" is larger than \"mail size\"");
	if (l->mail_bytes > l->memory_bytes)
		parse_fail(p, file, "\"mail size\" is larger than \"memory\"");
	if (l->per_client > l->connections)
		conf_warn(p->report, file, "\"per client\" is larger than \"connections\"");
}

void
conf_cross_check(struct parser *p)
{
	if (!stands(p, "hostname"))
		parse_fail(p, (struct conf_at){.file = p->conf->file},
			"the gateway has no name: add hostname \"NAME\"");
	check_listeners(p);
	check_domains(p);
	check_networks(p);
	check_stored(p, &p->conf->inbound, LISTEN_INBOUND);
	check_stored(p, &p->conf->outbound, LISTEN_OUTBOUND);
	check_journal(p, false);
	check_journal(p, true);
	check_spool(p);
	check_limits(p);
	check_spam(p);
	if (p->conf->resolver.insecure && p->conf->resolver.trust.n != 0)
		parse_fail(p, p->conf->resolver.at,
			"\"insecure\" and \"trust\" exclude each other");
}

const struct conf_domain *
conf_domain_find(const struct conf *c, struct slice alabel)
{
	return map_get(c->domain_map, alabel);
}
