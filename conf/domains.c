/*
 * `domain` and next hops: whom we guard, and where mail goes; `send` and `queue` are in
 * sending.c. Hops keep the order in which they are written; which one is tried when is relay's
 * affair.
 */
#include <string.h>

#include "conf/file.h"
#include "conf/parse_priv.h"

enum { DOMAINS_MOST = 100000, HOPS_MOST = 64, PASSWORD_BYTES_MOST = 1024 };

static bool parse_hop(struct parser *p, struct next_hop *hop, bool inner);

static bool
add_balanced(struct parser *p, void *arg)
{
	struct next_hop *hop = arg;
	if (hop->n_items == HOPS_MOST)
		return parse_fail(p, p->tok.at, "at most %d next hops are balanced", HOPS_MOST);
	hop->items = parse_room(p, hop->items, hop->n_items, sizeof(*hop->items));
	return parse_hop(p, &hop->items[hop->n_items++], true);
}

/* "host:port", "[address]:port", "lmtp:/path", "lmtp:host:port" */
static bool
hop_text(struct parser *p, struct next_hop *hop)
{
	struct slice text = hop->text;
	hop->port = 25;
	if (slice_starts_nocase(text, SLICE("lmtp:"))) {
		text = slice_from(text, 5);
		hop->lmtp = true;
		hop->port = 0;
		if (slice_starts(text, SLICE("/"))) {
			hop->kind = HOP_LMTP_PATH;
			hop->host = text;
			/* sun_path holds 108 bytes with its NUL. */
			return text.n < 108 || parse_fail(p, hop->at,
						       "the socket's path is longer than "
						       "107 bytes");
		}
	}
	if (!address_port_split(text, &hop->host, &hop->port))
		return parse_fail(p, hop->at,
			"\"%.*s\" is no next hop: write \"host:port\", "
			"\"[address]:port\" or \"lmtp:/path\"",
			SLICE_ARG(slice_first(hop->text, 80)));
	if (hop->port == 0)
		return parse_fail(p, hop->at,
			"LMTP has no port of its own: write \"lmtp:%.*s:PORT\"",
			SLICE_ARG(slice_first(text, 80)));
	struct slice name;
	if (ip_parse(hop->host, &hop->ip))
		return true;
	if (!domain_parse(hop->host, true, false, p->arena, &name))
		return parse_fail(p, hop->at, "\"%.*s\" is no host name and no address",
			SLICE_ARG(slice_first(hop->host, 80)));
	hop->host = name;
	return true;
}

static bool
parse_hop(struct parser *p, struct next_hop *hop, bool inner)
{
	*hop = (struct next_hop){
		.kind = HOP_HOST, .at = p->tok.at, .text = p->tok.raw, .port = 25};
	if (parse_accept(p, "mx")) {
		hop->kind = HOP_MX;
		hop->text = arena_printf(p->arena, "mx %.*s", SLICE_ARG(p->tok.raw));
		return parse_domain(p, "the domain whose MX to use", &hop->host);
	}
	if (!inner && parse_accept(p, "balanced")) {
		hop->kind = HOP_BALANCED;
		return parse_set(p, "next hops in { }", add_balanced, hop) &&
		       (hop->n_items > 0 ||
			       parse_fail(p, hop->at, "\"balanced\" stands before no hop"));
	}
	return parse_string(p, "a next hop (\"host:port\", \"lmtp:/path\", mx \"NAME\")",
		       &hop->text) &&
	       hop_text(p, hop);
}

/* `auth "user" password "FILE"`, where a smarthost asks for it. */
static bool
hop_auth(struct parser *p, struct next_hop *hop)
{
	struct err err;
	struct slice text;
	if (!parse_accept(p, "auth"))
		return true;
	if (hop->kind == HOP_BALANCED || hop->lmtp)
		return parse_fail(p, hop->at, "\"auth\" stands behind one smarthost");
	if (!parse_string(p, "the user's name", &hop->user) || !parse_word(p, "password"))
		return false;
	struct conf_at at = p->tok.at;
	if (!parse_string(p, "the file of the password", &text))
		return false;
	hop->password_file = file_absolute(text, p->source->folder, p->arena);
	if (file_read(hop->password_file.p, PASSWORD_BYTES_MOST, p->arena, &text, &err) < 0)
		return parse_fail(p, at, "%s", err.text);
	slice_cut(text, '\n', &hop->password, &text);
	hop->password = slice_trim(hop->password);
	if (hop->password.n == 0)
		parse_fail(p, at, "%.*s holds no password", SLICE_ARG(hop->password_file));
	return true;
}

bool
parse_hops(struct parser *p, struct hop_list *list, bool auth)
{
	do {
		if (list->n == HOPS_MOST)
			return parse_fail(p, p->tok.at, "at most %d next hops", HOPS_MOST);
		list->hops = parse_room(p, list->hops, list->n, sizeof(*list->hops));
		if (!parse_hop(p, &list->hops[list->n], false) ||
			(auth && !hop_auth(p, &list->hops[list->n])))
			return false;
		list->n++;
	} while (parse_accept(p, "then"));
	return true;
}

/* As it was written, with one blank between the words, so that equal ways have equal texts. */
static struct slice
hop_written(const struct next_hop *hop, struct arena *a)
{
	if (hop->kind != HOP_BALANCED)
		return hop->text;
	struct slice text = SLICE("balanced {");
	for (size_t i = 0; i < hop->n_items; i++) {
		const char *quote = hop->items[i].kind == HOP_MX ? "" : "\"";
		text = arena_printf(a, "%.*s %s%.*s%s", SLICE_ARG(text), quote,
			SLICE_ARG(hop->items[i].text), quote);
	}
	return arena_printf(a, "%.*s }", SLICE_ARG(text));
}

bool
parse_route(struct parser *p, struct hop_list **list_out, struct slice *text_out)
{
	struct hop_list *list = ARENA_NEW(p->arena, struct hop_list);
	list->hops = ARENA_NEW(p->arena, struct next_hop);
	list->n = 1;
	if (!parse_hop(p, list->hops, false))
		return false;
	*list_out = list;
	*text_out = hop_written(list->hops, p->arena);
	return true;
}

bool
parse_hop_client(struct parser *p, struct hop_list *list)
{
	static const char *const words[] = {"xclient", "xforward", "proxy"};
	int i = parse_choice(p, "\"xclient\", \"xforward\" or \"proxy\"", words, 3);
	if (i >= 0)
		list->client = (enum hop_client)(HOP_CLIENT_XCLIENT + i);
	return i >= 0;
}

bool
parse_domain_statement(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	struct conf_domain d = {.at = at};
	struct conf_at name_at = p->tok.at;
	if (p->tok.kind == TOK_STRING && slice_starts(p->tok.text, SLICE("*.")))
		return parse_fail(p, name_at,
			"a domain stands for itself alone: "
			"wildcards such as \"%.*s\" are for tables",
			SLICE_ARG(slice_first(p->tok.text, 80)));
	if (p->tok.kind == TOK_OPEN)
		return parse_expected(p, "one domain (each has a statement of its own)");
	if (!parse_domain(p, "a domain name", &d.name))
		return false;
	if (c->n_domains == DOMAINS_MOST)
		return parse_fail(p, at, "at most %d domains", DOMAINS_MOST);
	/* An option may note a use of a table by this number. */
	c->domains = parse_room(p, c->domains, c->n_domains, sizeof(d));
	bool ok = parse_options(p, "domain", &d);
	if (!ok) /* what is missing in it is missing because of that */
		d.name = SLICE_NONE;
	c->domains[c->n_domains++] = d;
	return ok;
}

bool
parse_domain_deliver(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	return parse_hops(p, &((struct conf_domain *)target)->deliver, false);
}

bool
parse_domain_client(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	return parse_hop_client(p, &((struct conf_domain *)target)->deliver);
}

bool
parse_domain_recipients(struct parser *p, struct conf_at at, void *target)
{
	static const char *const words[] = {"any", "verify", "table"};
	struct conf_domain *d = target;
	(void)at;
	int i = parse_choice(p, "\"any\", \"verify\" or \"table\"", words, 3);
	if (i < 0)
		return false;
	d->recipients = (enum domain_recipients)(RECIPIENTS_ANY + i);
	if (d->recipients != RECIPIENTS_TABLE)
		return true;
	struct table_use use = {p->conf->n_domains, p->tok.text, p->tok.at};
	if (p->tok.kind != TOK_WORD)
		return parse_expected(p, "the name of a table");
	parse_next(p);
	p->table_uses = parse_room(p, p->table_uses, p->n_table_uses, sizeof(use));
	p->table_uses[p->n_table_uses++] = use;
	return true;
}

bool
parse_domain_detail(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	((struct conf_domain *)target)->detail_significant = true;
	return parse_word(p, "significant");
}
