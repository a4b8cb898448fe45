/*
 * `listen inbound|outbound|milter on "ADDR:PORT" ...`: where the gateway listens, with TLS,
 * accounts, networks and proxies. What a listener needs as a whole is checked in check.c.
 */
#include "conf/file.h"
#include "conf/habits.h"
#include "conf/parse_priv.h"
#include "conf/passwd.h"

enum { LISTENERS_MOST = 64 };

bool
address_port_split(struct slice text, struct slice *host_out, uint16_t *port_out)
{
	struct slice host, port = SLICE_NONE;
	uint64_t v = 0;
	bool has_port;
	if (slice_starts(text, SLICE("["))) {
		struct slice rest;
		if (!slice_cut(slice_from(text, 1), ']', &host, &rest))
			return false;
		has_port = rest.n != 0;
		if (has_port && !slice_starts(rest, SLICE(":")))
			return false;
		port = slice_from(rest, 1);
		if (!slice_has(host, ':'))
			return false;
	} else {
		size_t colon = slice_find_last(text, ':');
		has_port = colon < text.n;
		host = slice_first(text, colon);
		port = slice_from(text, colon + 1);
		if (slice_has(host, ':'))
			return false;
	}
	if (host.n == 0 || (has_port && (!slice_u64(port, &v) || v == 0 || v > 65535)))
		return false;
	*host_out = host;
	if (has_port)
		*port_out = (uint16_t)v;
	return true;
}

static bool
listen_address(struct parser *p, struct conf_listener *l)
{
	struct conf_at at = p->tok.at;
	struct slice host;
	if (!parse_string(p, "an address and port, as in \"0.0.0.0:25\"", &l->text))
		return false;
	if (slice_starts(l->text, SLICE("*:")) || slice_starts(l->text, SLICE(":")))
		return parse_fail(p, at,
			"\"%.*s\" is no address: all of IPv4 is \"0.0.0.0:PORT\", all of "
			"IPv6 \"[::]:PORT\"",
			SLICE_ARG(slice_first(l->text, 80)));
	if (!address_port_split(l->text, &host, &l->port) || l->port == 0 ||
		!ip_parse(host, &l->ip))
		return parse_fail(p, at,
			"\"%.*s\" is no address and port, as in \"0.0.0.0:25\" or "
			"\"[2001:db8::1]:25\"",
			SLICE_ARG(slice_first(l->text, 80)));
	return true;
}

/* "inet:PORT@ADDRESS", "inet6:PORT@ADDRESS" or "unix:/PATH", as milters have always been named.
 */
static bool
milter_address(struct parser *p, struct conf_listener *l)
{
	struct conf_at at = p->tok.at;
	struct slice kind, place, port;
	uint64_t number = 0;
	if (!parse_string(p, "a milter's address, as in \"inet:8891@127.0.0.1\"", &l->text))
		return false;
	slice_cut(l->text, ':', &kind, &place);
	if (slice_eq(kind, SLICE("unix")) || slice_eq(kind, SLICE("local"))) {
		if (!slice_starts(place, SLICE("/")) || slice_has(place, '\0'))
			return parse_fail(
				p, at, "the path of a milter's socket begins with \"/\"");
		l->path = place;
		/* sun_path holds 108 bytes with its NUL. */
		return place.n < 108 ||
		       parse_fail(p, at, "the socket's path is longer than 107 bytes");
	}
	bool six = slice_eq(kind, SLICE("inet6"));
	if ((!six && !slice_eq(kind, SLICE("inet"))) || !slice_cut(place, '@', &port, &place) ||
		!slice_u64(port, &number) || number == 0 || number > 65535 ||
		!ip_parse(place, &l->ip) || (l->ip.family == 6) != six)
		return parse_fail(p, at,
			"\"%.*s\" is no milter's address, as in \"inet:8891@127.0.0.1\", "
			"\"inet6:8891@::1\" or \"unix:/run/postern/milter\"",
			SLICE_ARG(slice_first(l->text, 80)));
	l->port = (uint16_t)number;
	return true;
}

bool
parse_listen(struct parser *p, struct conf_at at, void *target)
{
	static const char *const kinds[] = {[LISTEN_INBOUND] = "inbound",
		[LISTEN_OUTBOUND] = "outbound",
		[LISTEN_MILTER] = "milter"};
	struct conf *c = target;
	struct conf_listener l = {.at = at, .header_rules = true};
	int kind = parse_choice(p, "\"inbound\", \"outbound\" or \"milter\"", kinds, 3);
	if (kind < 0)
		return false;
	l.kind = (enum listen_kind)kind;
	if (!parse_word(p, "on") ||
		!(l.kind == LISTEN_MILTER ? milter_address(p, &l) : listen_address(p, &l)))
		return false;
	if (c->n_listeners == LISTENERS_MOST)
		return parse_fail(p, at, "at most %d listeners", LISTENERS_MOST);
	bool ok = parse_options(p, "listen", &l);
	/* One that is wrong is kept, so that nobody misses it, without a place: not looked at
	 * again. */
	if (!ok) {
		l.port = 0;
		l.path = SLICE_NONE;
	}
	c->listeners = parse_room(p, c->listeners, c->n_listeners, sizeof(l));
	c->listeners[c->n_listeners++] = l;
	return ok;
}

/* The file is read once here, so that a broken line is found before anything starts. */
bool
parse_listen_auth(struct parser *p, struct conf_at at, void *target)
{
	struct conf_listener *l = target;
	struct slice path;
	struct map *users;
	struct err err;
	(void)at;
	struct conf_at path_at = p->tok.at;
	if (!parse_string(p, "the file of the users", &path))
		return false;
	l->auth_file = file_absolute(path, p->source->folder, p->arena);
	struct arena *a = arena_new(8 * (size_t)PASSWD_FILE_MOST);
	if (passwd_read(l->auth_file.p, a, &users, &err) < 0)
		parse_fail(p, path_at, "%s", err.text);
	arena_free(&a);
	return true;
}

bool
parse_listen_tls(struct parser *p, struct conf_at at, void *target)
{
	static const char *const words[] = {"optional", "required", "implicit"};
	struct conf_listener *l = target;
	(void)at;
	int i = parse_choice(p, "\"optional\", \"required\" or \"implicit\"", words, 3);
	if (i >= 0)
		l->tls = (enum listen_tls)(LISTEN_TLS_OPTIONAL + i);
	return i >= 0;
}

bool
parse_listen_certificate(struct parser *p, struct conf_at at, void *target)
{
	struct conf_listener *l = target;
	struct conf_certificate c;
	(void)at;
	if (!parse_file_path(p, "the file of the certificate", &c.certificate))
		return false;
	if (!parse_at(p, "key"))
		return parse_expected(
			p, "key \"FILE\": a certificate is nothing without its key");
	if (!parse_word(p, "key") || !parse_file_path(p, "the file of its key", &c.key))
		return false;
	l->certificates = parse_room(p, l->certificates, l->n_certificates, sizeof(c));
	l->certificates[l->n_certificates++] = c;
	return true;
}

struct nets {
	struct ip_net *nets;
	size_t n;
};

bool
parse_net(struct parser *p, struct ip_net *net_out)
{
	if (p->tok.kind != TOK_NET && p->tok.kind != TOK_STRING)
		return parse_expected(p, "a network, as in 10.0.0.0/8 or 2001:db8::/32");
	if (!ip_net_parse(p->tok.text, net_out))
		return parse_fail(p, p->tok.at, "\"%.*s\" is no network%.*s",
			SLICE_ARG(slice_first(p->tok.text, 80)),
			SLICE_ARG(habit_of_net(p->tok.text, p->arena)));
	parse_next(p);
	return true;
}

static bool
add_net(struct parser *p, void *arg)
{
	struct nets *v = arg;
	struct ip_net net;
	if (!parse_net(p, &net))
		return false;
	v->nets = parse_room(p, v->nets, v->n, sizeof(net));
	v->nets[v->n++] = net;
	return true;
}

bool
parse_nets(struct parser *p, struct ip_net **nets, size_t *n)
{
	struct nets v = {0};
	bool ok = parse_set(p, "networks in { }", add_net, &v);
	*nets = v.nets;
	*n = v.n;
	return ok;
}

bool
parse_listen_from(struct parser *p, struct conf_at at, void *target)
{
	struct conf_listener *l = target;
	(void)at;
	return parse_nets(p, &l->from, &l->n_from);
}

bool
parse_listen_outbound_from(struct parser *p, struct conf_at at, void *target)
{
	struct conf_listener *l = target;
	(void)at;
	return parse_nets(p, &l->outbound_from, &l->n_outbound_from);
}

bool
parse_listen_proxied(struct parser *p, struct conf_at at, void *target)
{
	struct conf_listener *l = target;
	(void)at;
	return parse_nets(p, &l->proxied, &l->n_proxied);
}

bool
parse_listen_header_rules(struct parser *p, struct conf_at at, void *target)
{
	static const char *const words[] = {"on", "off"};
	struct conf_listener *l = target;
	(void)at;
	int i = parse_choice(p, "\"on\" or \"off\"", words, 2);
	l->header_rules = i == 0;
	return i >= 0;
}

/* `filter from { 127.0.0.1 } to "127.0.0.1:10026"` */
bool
parse_listen_filter(struct parser *p, struct conf_at at, void *target)
{
	struct conf_listener *l = target;
	(void)at;
	return parse_nets(p, &l->peers, &l->n_peers) && parse_word(p, "to") &&
	       parse_hops(p, &l->filter, false);
}

bool
parse_listen_xclient(struct parser *p, struct conf_at at, void *target)
{
	struct conf_listener *l = target;
	(void)at;
	return parse_nets(p, &l->xclient, &l->n_xclient);
}

bool
parse_listen_client(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	return parse_hop_client(p, &((struct conf_listener *)target)->filter);
}
