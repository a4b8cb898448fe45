/*
 * From a next hop to the addresses to be tried: asks the DNS for MX, A and AAAA and lets
 * relay/mx.c choose; see relay.h. All questions of a step are asked at once.
 */
#include <string.h>

#include "base/must.h"
#include "relay/relay_priv.h"

enum { PORT_SMTP = 25 };

static uint16_t
port_of(const struct next_hop *n)
{
	return n->port != 0 ? n->port : PORT_SMTP;
}

static void
add_address(struct relay_transfer *t, const struct ip *ip, struct slice host)
{
	must(t->n_addresses < MX_ADDRESSES_MOST);
	struct relay_address *a = &t->addresses[t->n_addresses++];
	*a = (struct relay_address){.host = host, .tls = relay_way_tls(&t->way, t->next_hop)};
	a->to.ip = *ip;
	a->to.port = port_of(t->next_hop);
}

static enum mx_verdict
take_path(struct relay_transfer *t)
{
	struct relay_address *a = &t->addresses[t->n_addresses++];
	struct slice path = t->next_hop->host;
	*a = (struct relay_address){.host = path, .tls = relay_way_tls(&t->way, t->next_hop)};
	must(path.n < sizeof(a->to.path)); /* the configuration sees to it */
	memcpy(a->to.path, path.p, path.n);
	return MX_GOOD;
}

static enum mx_verdict
take_literal(struct relay_transfer *t)
{
	const struct relay_config *c = &t->pool->config;
	for (size_t i = 0; i < c->n_own && t->resolve.direct; i++)
		if (ip_in_net(&t->next_hop->ip, &c->own[i]))
			return MX_LOOP;
	add_address(t, &t->next_hop->ip, t->next_hop->host);
	return MX_GOOD;
}

/* Answers live for the time of the callback; the addresses are values. */
static void
keep_answer(struct relay_transfer *t, const struct dns_answer *from, struct dns_answer *to)
{
	size_t n = from->n < MX_HOST_ADDRESSES ? from->n : MX_HOST_ADDRESSES;
	*to = *from;
	to->n = n;
	to->rr = arena_array(t->arena, n + 1, sizeof(*to->rr));
	for (size_t i = 0; i < n; i++)
		to->rr[i].ip = from->rr[i].ip;
}

/* The address that the caller wants first, the others behind it in their order. */
static void
prefer(struct relay_transfer *t)
{
	if (t->mail == NULL || t->mail->prefer.family == 0)
		return;
	for (size_t i = 0; i < t->n_addresses; i++) {
		struct relay_address first = t->addresses[i];
		if (!ip_eq(&first.to.ip, &t->mail->prefer))
			continue;
		memmove(&t->addresses[1], &t->addresses[0], i * sizeof(first));
		t->addresses[0] = first;
		return;
	}
}

static enum mx_verdict
choose_addresses(struct relay_transfer *t)
{
	struct relay_resolve *r = &t->resolve;
	const struct relay_config *c = &t->pool->config;
	struct mx_addresses found;
	/* A hop named by the administrator may well be on this machine. */
	bool may_loop = t->next_hop->kind == HOP_MX;
	enum mx_verdict v =
		mx_addresses(&r->list, r->lookups, c->own, may_loop ? c->n_own : 0, &found);
	for (size_t i = 0; i < found.n; i++)
		add_address(t, &found.at[i].ip, found.at[i].host);
	prefer(t);
	return v;
}

static void
on_address(void *arg, const struct dns_answer *answer)
{
	struct relay_lookup *l = arg;
	struct relay_resolve *r = l->resolve;
	l->query = NULL;
	keep_answer(r->transfer, answer, l->answer);
	if (--r->open == 0)
		relay_transfer_resolved(r->transfer, choose_addresses(r->transfer));
}

static void
ask_address(struct relay_resolve *r, size_t host, enum dns_type type)
{
	struct relay_transfer *t = r->transfer;
	struct mx_lookup *found = &r->lookups[host];
	struct relay_lookup *l = &r->asked[2 * host + (type == DNS_AAAA)];
	*l = (struct relay_lookup){
		.resolve = r, .answer = type == DNS_A ? &found->v4 : &found->v6};
	l->query = dns_ask(
		t->pool->config.dns, r->list.hosts[host].name, type, 0, 0, on_address, l);
	r->open++;
}

static void
ask_addresses(struct relay_resolve *r)
{
	for (size_t i = 0; i < r->list.n; i++) {
		ask_address(r, i, DNS_A);
		ask_address(r, i, DNS_AAAA);
	}
}

static void
on_mx(void *arg, const struct dns_answer *answer)
{
	struct relay_resolve *r = arg;
	struct relay_transfer *t = r->transfer;
	r->mx = NULL;
	t->mx_set = mx_set_hash(t->next_hop->host, answer, t->arena);
	if (answer->status != DNS_OK && answer->status != DNS_NODATA)
		t->mx_set = 0;
	t->result.mx_set = t->mx_set;
	enum mx_verdict v = mx_hosts(t->next_hop->host, answer, t->pool->config.hostname,
		t->pool->turn++, t->arena, &r->list);
	if (v == MX_GOOD)
		ask_addresses(r);
	else
		relay_transfer_resolved(t, v);
}

bool
relay_resolve_start(struct relay_transfer *t, enum mx_verdict *verdict_out)
{
	const struct next_hop *n = t->next_hop;
	struct relay_resolve *r = &t->resolve;
	*r = (struct relay_resolve){.transfer = t, .direct = t->way.direct};
	t->n_addresses = t->address_at = 0;
	t->mx_set = 0;
	*verdict_out = MX_LATER;
	if (n->kind == HOP_LMTP_PATH) {
		*verdict_out = take_path(t);
		return true;
	}
	if (n->kind == HOP_HOST && n->ip.family != 0) {
		*verdict_out = take_literal(t);
		return true;
	}
	if (t->pool->config.dns == NULL)
		return true;
	if (n->kind == HOP_MX) {
		r->mx = dns_ask(t->pool->config.dns, n->host, DNS_MX, 0, 0, on_mx, r);
		return false;
	}
	r->list.hosts[0].name = n->host;
	r->list.n = 1;
	ask_addresses(r);
	return false;
}

void
relay_resolve_cancel(struct relay_transfer *t)
{
	struct relay_resolve *r = &t->resolve;
	if (r->mx != NULL)
		dns_cancel(&r->mx);
	for (size_t i = 0; i < sizeof(r->asked) / sizeof(r->asked[0]); i++)
		if (r->asked[i].query != NULL)
			dns_cancel(&r->asked[i].query);
}
