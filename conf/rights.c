/*
 * Who may send as whom: `user "NAME" sends as { ... }` for accounts, `network NET sends as {
 * ... }` for clients without one. What the rights are held against is in session/rights.c.
 */
#include "conf/parse_priv.h"

enum { NETWORKS_MOST = 10000 };

static bool
add_sends_as(struct parser *p, void *arg)
{
	struct conf_rights *r = arg;
	struct conf_at at = p->tok.at;
	struct slice text, kept;
	struct address address;
	if (!parse_string(p, "an address or a domain", &text))
		return false;
	struct slice domain = slice_starts(text, SLICE("@")) ? slice_from(text, 1) : text;
	if (slice_has(domain, '@') ? address_parse(text, true, p->arena, &address) != ADDRESS_OK
				   : !domain_parse(domain, true, false, p->arena, &kept))
		return parse_fail(p, at, "\"%.*s\" is no address (a@b.example) and no domain",
			SLICE_ARG(slice_first(text, 80)));
	if (slice_has(domain, '@'))
		kept = arena_slice(p->arena, address.text);
	r->sends_as = parse_room(p, r->sends_as, r->n_sends_as, sizeof(kept));
	r->sends_as[r->n_sends_as++] = kept;
	return true;
}

static bool
parse_as(struct parser *p, struct conf_rights *r)
{
	return parse_word(p, "as") &&
	       parse_set(p, "addresses and domains in { }", add_sends_as, r);
}

/* `user "postern"`: whom to run as. `user "alice" sends as { ... }`: what an account may send
 * as. */
bool
parse_user(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	struct slice name;
	if (!parse_string(p, "the name of a user", &name))
		return false;
	if (!parse_accept(p, "sends")) {
		if (c->user.n != 0)
			return parse_fail(p, at, "whom to run as is said a second time");
		c->user = name;
		return true;
	}
	struct conf_user *u = ARENA_NEW(p->arena, struct conf_user);
	u->name = name;
	if (map_get(c->users, name) != NULL)
		return parse_fail(p, at, "the user \"%.*s\" stands a second time",
			SLICE_ARG(slice_first(name, 80)));
	map_put(c->users, name, u);
	return parse_as(p, &u->rights);
}

static bool
same_net(const struct ip_net *a, const struct ip_net *b)
{
	return a->prefix == b->prefix && ip_eq(&a->ip, &b->ip);
}

/* `network 10.1.0.0/16 sends as { ... }` */
bool
parse_network(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	struct conf_network n = {.at = at};
	struct conf_at net_at = p->tok.at;
	if (!parse_net(p, &n.net) || !parse_word(p, "sends") || !parse_as(p, &n.rights))
		return false;
	for (size_t i = 0; i < c->n_networks; i++)
		if (same_net(&c->networks[i].net, &n.net))
			return parse_fail(p, net_at,
				"this network stands a second time, first at %s:%u: write all "
				"that it "
				"sends as in one place",
				c->networks[i].at.file, c->networks[i].at.line);
	if (c->n_networks == NETWORKS_MOST)
		return parse_fail(p, at, "at most %d networks", NETWORKS_MOST);
	c->networks = parse_room(p, c->networks, c->n_networks, sizeof(n));
	c->networks[c->n_networks++] = n;
	return true;
}
