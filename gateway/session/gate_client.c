/*
 * Who the client is where another MTA stands in front (EXT-09): a listed peer names it by
 * XCLIENT, for the rest of the session, or by XFORWARD, for one mail. From then on facts,
 * rules, log and Received are that client's, and nothing that was found out of the peer, or of
 * the client before, is left. And the other way round: what a next hop is told of it.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "session/gate_priv.h"

struct named {
	struct flt_session peer; /* as it came to us */
	struct xclient told;     /* by all XCLIENT of the session; the session points into it */
	struct xclient forward;  /* by XFORWARD, for the mail that comes or is under way */
	bool pending;            /* and MAIL has not come yet */
	bool forwarding;         /* the session is now that of `forward` ... */
	struct flt_session self; /* ... and was this one */
};

static const char marked[] = "421 4.7.0 Connections from this client's address have failed "
			     "here, try again in an hour";
static const char stranger[] = "554 5.7.1 Only the mail server in front may connect here";

bool
gate_is_peer(const struct conf_listener *l, const struct ip *ip)
{
	return ip_in_nets(ip, l->peers, l->n_peers) || ip_in_nets(ip, l->xclient, l->n_xclient);
}

static void
find_network(struct gate *g)
{
	const struct conf_listener *l = g->config->listener;
	g->in_network = ip_in_nets(&g->session.client, l->from, l->n_from);
}

void
gate_peer_begin(struct gate *g)
{
	const struct conf_listener *l = g->config->listener;
	struct log_line line;
	find_network(g);
	if (gate_is_peer(l, &g->session.client)) {
		g->named = MEM_NEW(struct named);
		g->named->peer = g->session;
	} else if (l->filter.n != 0 && g->refuse.n == 0) {
		g->refuse = slice_of(stranger);
		log_begin(&line, EV_REJECT, &g->log);
		log_ip(&line, "client", &g->session.client);
		log_text(&line, "rule", "filter-peers");
		log_text(&line, "reply", stranger);
		log_end(&line);
	}
}

static bool
is_marked(const struct gate *g)
{
	return g->config->account != NULL &&
	       account_is_marked(g->config->account, &g->session.client, clock_ms());
}

static void
log_client(const struct gate *g, const char *by, const struct xclient *x)
{
	const struct flt_session *s = &g->session;
	struct log_line l;
	log_begin(&l, EV_CLIENT, &g->log);
	log_ip(&l, "peer", &g->named->peer.client);
	log_text(&l, "by", by);
	log_ip(&l, "client", &s->client);
	log_number(&l, "port", s->client_port);
	if ((x->known & XCLIENT_NAME) != 0)
		log_slice(&l, "name", xclient_slice(&x->name));
	if (s->helo.n != 0)
		log_slice(&l, "helo", s->helo);
	if (s->user.n != 0)
		log_slice(&l, "user", s->user);
	if ((x->known & XCLIENT_IDENT) != 0)
		log_slice(&l, "ident", xclient_slice(&x->ident));
	log_end(&l);
}

/* What is not known of a client is not the peer's either. */
static struct ip
address_of(const struct xclient *x)
{
	return (x->known & XCLIENT_ADDR) != 0 ? x->addr : (struct ip){0};
}

static struct slice
word_if(const struct xclient *x, unsigned bit, const struct xclient_word *w)
{
	return (x->known & bit) != 0 ? xclient_slice(w) : SLICE_NONE;
}

void
gate_on_xclient(struct gate *g, const struct smtp_event *ev)
{
	struct named *n = g->named;
	struct xclient *x = &n->told;
	struct flt_session *s = &g->session;
	xclient_add(x, ev->named);
	n->pending = false;
	if ((x->given & XCLIENT_ADDR) != 0)
		s->client = address_of(x);
	if ((x->given & XCLIENT_PORT) != 0)
		s->client_port = (x->known & XCLIENT_PORT) != 0 ? x->port : 0;
	if ((x->known & XCLIENT_DESTADDR) != 0)
		s->local = x->dest;
	s->user = word_if(x, XCLIENT_LOGIN, &x->login);
	s->helo = word_if(x, XCLIENT_HELO, &x->helo);
	s->esmtp = (x->known & XCLIENT_PROTO) != 0 && x->esmtp;
	find_network(g);
	gate_set_offer(g);
	pipeline_client(g->pipeline, true);
	log_client(g, "xclient", x);
	gate_reply(g, is_marked(g) ? smtp_reply_of(marked) : smtp_reply_of("220 Postern"));
}

void
gate_peer_again(struct gate *g)
{
	struct named *n = g->named;
	if (n == NULL || n->told.given == 0)
		return;
	n->told = (struct xclient){0};
	g->session.client = n->peer.client;
	g->session.client_port = n->peer.client_port;
	g->session.local = n->peer.local;
	find_network(g);
	pipeline_client(g->pipeline, false);
}

void
gate_helo(struct gate *g, const struct smtp_event *ev)
{
	const struct xclient *x = g->named != NULL ? &g->named->told : NULL;
	if (g->named != NULL)
		g->named->pending = false;
	if (x == NULL || (x->known & XCLIENT_HELO) == 0)
		g->session.helo = arena_slice(g->arena, ev->name);
	if (x == NULL || (x->known & XCLIENT_PROTO) == 0)
		g->session.esmtp = ev->esmtp;
}

void
gate_on_xforward(struct gate *g, const struct smtp_event *ev)
{
	struct named *n = g->named;
	if (!n->pending)
		n->forward = (struct xclient){0};
	xclient_add(&n->forward, ev->named);
	n->pending = true;
	gate_reply(g, smtp_reply_of("250 2.0.0 ok"));
}

bool
gate_forward_begin(struct gate *g)
{
	struct named *n = g->named;
	if (n == NULL || !n->pending)
		return true;
	const struct xclient *x = &n->forward;
	n->pending = false;
	n->forwarding = true;
	n->self = g->session;
	g->session.client = address_of(x);
	g->session.client_port = (x->known & XCLIENT_PORT) != 0 ? x->port : 0;
	g->session.helo = word_if(x, XCLIENT_HELO, &x->helo);
	g->session.esmtp = (x->known & XCLIENT_PROTO) != 0 && x->esmtp;
	pipeline_client(g->pipeline, true);
	log_client(g, "xforward", x);
	if (!is_marked(g))
		return true;
	gate_reply(g, smtp_reply_of(marked));
	return false;
}

void
gate_forward_end(struct gate *g)
{
	struct named *n = g->named;
	if (n == NULL || !n->forwarding)
		return;
	n->self.wall_ms = g->session.wall_ms;
	g->session = n->self;
	n->forwarding = false;
	pipeline_client(g->pipeline, false);
}

struct slice
gate_ident(const struct gate *g)
{
	const struct named *n = g->named;
	if (n == NULL || !n->forwarding)
		return SLICE_NONE;
	return word_if(&n->forward, XCLIENT_IDENT, &n->forward.ident);
}

const struct ip *
gate_client_ip(const struct gate *g)
{
	return &g->session.client;
}

/*
 * The name is ours, by the DNS (edits.c has waited for it), whatever the peer calls the client.
 * A hop may refuse one that is no host name.
 */
static void
set_name(struct gate *g, struct xclient *x)
{
	struct value name = {0};
	struct slice alabel;
	enum fact_state s = facts_read(pipeline_facts(g->pipeline), "client.name", SLICE_NONE,
		SIZE_MAX, COST_FREE, &name);
	bool good = s == FACT_KNOWN &&
		    domain_parse(name.text, true, false, pipeline_arena(g->pipeline), &alabel);
	xclient_set(x, XCLIENT_NAME, good ? name.text : SLICE_NONE);
	x->later |= s == FACT_KNOWN ? 0u : XCLIENT_NAME;
}

const struct xclient *
gate_client_of_mail(struct gate *g, const struct hop_list *hops)
{
	const struct flt_session *s = &g->session;
	const struct named *n = g->named;
	if (hops == NULL || hops->client == HOP_CLIENT_NONE)
		return NULL;
	struct xclient *x = ARENA_NEW(pipeline_arena(g->pipeline), struct xclient);
	*x = (struct xclient){.given = XCLIENT_ALL | XFORWARD_ALL,
		.known = XCLIENT_PROTO | XCLIENT_SOURCE | XCLIENT_DESTPORT,
		.addr = s->client,
		.port = s->client_port,
		.dest = s->local,
		.dest_port = g->config->listener->port,
		.esmtp = s->esmtp,
		.local = s->client.family == 0};
	if (n != NULL && (n->told.known & XCLIENT_DESTPORT) != 0)
		x->dest_port = n->told.dest_port;
	x->known |= s->client.family != 0 ? XCLIENT_ADDR : 0u;
	x->known |= s->client_port != 0 ? XCLIENT_PORT : 0u;
	x->known |= s->local.family != 0 ? XCLIENT_DESTADDR : 0u;
	set_name(g, x);
	xclient_set(x, XCLIENT_HELO, s->helo);
	xclient_set(x, XCLIENT_LOGIN, s->user);
	xclient_set(x, XCLIENT_IDENT, slice_of(pipeline_id(g->pipeline)));
	return x;
}
