/*
 * `server "127.0.0.1:11333" then "unix:/run/spamd.sock"` of `filter rspamd` and `filter
 * spamassassin`: scanners beside us that are asked about a mail. Addresses, not names: which
 * machine gets to see our mail is not the DNS's to say.
 */
#include "conf/parse_priv.h"

/* As a path fits into the address of a socket, with its NUL. */
enum { PATH_MOST = 107 };

uint16_t
conf_server_port(struct slice filter)
{
	static const struct {
		const char *name;
		uint16_t port;
	} ports[] = {{"rspamd", 11333}, {"spamassassin", 783}};
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (slice_eq(filter, slice_of(ports[i].name)))
			return ports[i].port;
	return 0;
}

static bool
read_server(struct parser *p, struct conf_at at, struct slice text, struct conf_server *s)
{
	struct slice host;
	if (slice_starts(text, SLICE("unix:"))) {
		s->path = slice_from(text, 5);
		if (slice_starts(s->path, SLICE("/")) && s->path.n <= PATH_MOST)
			return true;
		return parse_fail(p, at,
			"\"%.*s\" is no whole path of at most %d bytes, as in "
			"\"unix:/run/spamd.sock\"",
			SLICE_ARG(slice_first(text, 80)), PATH_MOST);
	}
	if (address_port_split(text, &host, &s->port) && ip_parse(host, &s->ip))
		return true;
	return parse_fail(p, at,
		"\"%.*s\" is no address and port, as in \"127.0.0.1:%u\" or \"[::1]:%u\": "
		"names are not looked up here",
		SLICE_ARG(slice_first(text, 80)), s->port, s->port);
}

bool
parse_server(struct parser *p, struct conf_at at, void *target)
{
	struct conf_filter *f = target;
	uint16_t port = conf_server_port(f->name);
	if (port == 0)
		return parse_fail(p, at,
			"only \"filter rspamd\" and \"filter spamassassin\" have servers");
	do {
		struct conf_at text_at = p->tok.at;
		struct conf_server s = {.port = port};
		if (!parse_string(p, "where it listens, as in \"127.0.0.1:11333\"", &s.text) ||
			!read_server(p, text_at, s.text, &s))
			return false;
		if (f->n_servers == CONF_SERVERS_MOST)
			return parse_fail(
				p, text_at, "at most %d servers are tried", CONF_SERVERS_MOST);
		f->servers[f->n_servers++] = s;
	} while (parse_accept(p, "then"));
	return true;
}

void
parse_check_servers(struct parser *p, struct conf_at at, const struct conf_filter *f)
{
	uint16_t port = conf_server_port(f->name);
	if (port != 0 && f->n_servers == 0 && (f->timeout_ms != 0 || f->connections != 0))
		parse_fail(p, at,
			"\"filter %.*s\" has no server: write server \"127.0.0.1:%u\"",
			SLICE_ARG(f->name), port);
}
