/*
 * From a mail's destination to the way there: what `send` says (smarthosts, or the site's own
 * mail servers, with the site's settings), the servers of a declared domain, or the next hop
 * that a rule named (POLICY.md `send`, `destination`, `domain`, `route to`). What the mail's
 * client knew by an older configuration may be gone: then it goes as `send` says.
 */
#include "base/mem.h"
#include "delivery/delivery_priv.h"

enum { PORT_SMTP = 25 };

static const struct conf_destination *
find_destination(const struct conf *conf, struct slice site)
{
	for (size_t i = 0; i < conf->n_destinations; i++)
		if (slice_eq_nocase(conf->destinations[i].site, site))
			return &conf->destinations[i];
	return NULL;
}

/* RFC 5321 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
static bool
parse_literal(struct slice site, struct ip *ip_out)
{
	struct slice text = slice_first(slice_from(site, 1), site.n - 2);
	if (!slice_ends(site, SLICE("]")))
		return false;
	if (slice_starts_nocase(text, SLICE("IPv6:")))
		return ip_parse(slice_from(text, 5), ip_out) && ip_out->family == 6;
	return ip_parse(text, ip_out) && ip_out->family == 4;
}

static bool
route_direct(struct slice site, struct delivery_route *r, struct smtp_reply *reply_out)
{
	r->hop = (struct next_hop){
		.kind = HOP_MX, .text = site, .host = site, .port = PORT_SMTP};
	if (site.n > 2 && site.p[0] == '[') {
		r->hop.kind = HOP_HOST;
		if (!parse_literal(site, &r->hop.ip)) {
			*reply_out =
				smtp_reply_of("550 5.1.2 The address literal is no address");
			return false;
		}
	}
	r->list = (struct hop_list){.hops = &r->hop, .n = 1};
	r->way.direct = true;
	return true;
}

static void
route_begin(struct delivery_route *r, const struct relay_times *times)
{
	*r = (struct delivery_route){.way = {.hops = &r->list}, .times = times};
}

bool
delivery_route_send(const struct conf *conf, struct slice site, struct delivery_route *r,
	struct smtp_reply *reply_out)
{
	const struct conf_destination *d = find_destination(conf, site);
	route_begin(r, &relay_times_outbound);
	switch (conf->send.way) {
	case SEND_NONE:
		*reply_out = smtp_reply_of("451 4.3.5 No way to the outside is configured");
		return false;
	case SEND_SMARTHOST: r->list = conf->send.smarthosts; return true;
	case SEND_DIRECT:
	case SEND_DIRECT_THEN_SMARTHOST: break;
	}
	r->way.connections = DELIVERY_CONNECTIONS;
	if (d != NULL) { /* the schema bounds both */
		r->way.connections = (unsigned)d->connections;
		r->way.mails = (unsigned)d->per_connection;
	}
	if (d != NULL && d->tls_required)
		r->way.tls = (struct tls_policy){
			.level = TLS_LEVEL_VERIFIED, .source = "tls required"};
	return route_direct(site, r, reply_out);
}

static bool
by_smarthost(const struct conf *conf, struct delivery_route *r, struct err *err)
{
	route_begin(r, &relay_times_outbound);
	r->list = conf->send.smarthosts;
	r->way.connections = DELIVERY_CONNECTIONS;
	if (r->list.n > 0)
		return true;
	err_set(err, "there is no smarthost");
	return false;
}

static bool
by_domain(const struct conf *conf, struct slice site, struct delivery_route *r, struct err *err)
{
	const struct conf_domain *d = conf_domain_find(conf, site);
	route_begin(r, &relay_times_inbound);
	r->way.connections = DELIVERY_CONNECTIONS;
	if (d == NULL) {
		err_set(err, "there is no domain \"%.*s\"", SLICE_ARG(site));
		return false;
	}
	r->list = d->deliver;
	return true;
}

static bool
by_route(struct slice text, struct arena *a, struct delivery_route *r, struct err *err)
{
	route_begin(r, &relay_times_outbound);
	r->way.connections = DELIVERY_CONNECTIONS;
	return conf_hops_parse(text, a, &r->list, err) == 0;
}

static void
log_gone(const struct log_context *log, const struct delivery_mail *m, const struct err *err)
{
	struct log_line l;
	log_begin(&l, EV_ROUTE_GONE, log);
	log_slice(&l, "site", m->site);
	if (m->way == DELIVERY_BY_ROUTE)
		log_slice(&l, "route", m->route);
	log_text(&l, "why", err->text);
	log_end(&l);
}

bool
delivery_route(const struct conf *conf, const struct delivery_mail *m, struct arena *a,
	const struct log_context *log, struct delivery_route *r, struct smtp_reply *reply_out)
{
	struct err err;
	bool found = false;
	switch (m->way) {
	case DELIVERY_BY_SMARTHOST: found = by_smarthost(conf, r, &err); break;
	case DELIVERY_BY_DOMAIN: found = by_domain(conf, m->site, r, &err); break;
	case DELIVERY_BY_ROUTE: found = by_route(m->route, a, r, &err); break;
	case DELIVERY_BY_SEND:
	case DELIVERY_WAYS: return delivery_route_send(conf, m->site, r, reply_out);
	}
	if (found)
		return true;
	log_gone(log, m, &err);
	return delivery_route_send(conf, m->site, r, reply_out);
}

static bool
is_any(const struct ip *ip)
{
	for (size_t i = 0; i < sizeof(ip->bytes); i++)
		if (ip->bytes[i] != 0)
			return false;
	return true;
}

/*
 * This machine by its loopback and the addresses that we listen on for mail: a name of others
 * that leads here is a loop, or somebody who wants to reach what listens behind us (OUT-01).
 */
struct ip_net *
delivery_own_networks(const struct conf *conf, size_t *n_out)
{
	static const char *const always[] = {"127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"};
	size_t n = 0, most = sizeof(always) / sizeof(always[0]) + conf->n_listeners;
	struct ip_net *own = mem_array(most, sizeof(*own));
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		n += ip_net_parse(slice_of(always[i]), &own[n]);
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *l = &conf->listeners[i];
		if (l->kind == LISTEN_INBOUND && l->ip.family != 0 && l->port == PORT_SMTP &&
			!is_any(&l->ip))
			own[n++] = (struct ip_net){l->ip, l->ip.family == 4 ? 32 : 128};
	}
	*n_out = n;
	return own;
}
