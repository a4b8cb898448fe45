/*
 * `table NAME { ... }`, `table NAME file "..."`: the lists that rules name. Items are kept as
 * written and in maps for look-ups.
 */
#include "conf/file.h"
#include "conf/parse_priv.h"

enum {
	TABLE_LINES_MOST = 1000000,
	TABLE_BYTES_MOST = 64 << 20,
	ITEM_BYTES_MOST = 512,
	/* What an item costs in its map and array beside its bytes, with room for their growth.
	 */
	ITEM_COST = 256,
};

/* Puts one item where look-ups find it. False: it is nothing that can be looked up. */
static bool
table_add(struct parser *p, struct conf_table *t, struct slice item)
{
	struct ip_net net;
	struct address address;
	if (item.n == 0 || item.n > ITEM_BYTES_MOST)
		return false;
	t->items = parse_room(p, t->items, t->n_items, sizeof(item));
	t->items[t->n_items++] = item;
	if (ip_net_parse(item, &net)) {
		t->nets = parse_room(p, t->nets, t->n_nets, sizeof(net));
		t->nets[t->n_nets++] = net;
		return true;
	}
	bool wildcard = slice_starts(item, SLICE("*."));
	struct slice key = wildcard ? slice_from(item, 2) : item;
	bool ascii = true;
	for (size_t i = 0; i < key.n; i++)
		ascii = ascii && (unsigned char)key.p[i] < 0x80;
	if (slice_has(key, '*'))
		return false;
	/* Domains compare as A-labels; what is ASCII already needs no second look. */
	if (!ascii && slice_has(key, '@')) {
		if (address_parse(key, true, p->arena, &address) != ADDRESS_OK)
			return false;
		key = address.text;
	} else if (!ascii && !domain_to_ascii(key, p->arena, &key)) {
		return false;
	}
	if (key.n == 0)
		return false;
	map_put(wildcard ? t->suffixes : t->exact, key, t);
	return true;
}

static bool
add_item(struct parser *p, void *arg)
{
	struct conf_table *t = arg;
	struct token tok = p->tok;
	struct slice text;
	if (tok.kind == TOK_NET) {
		text = tok.text;
		parse_next(p);
	} else if (!parse_string(p, "an item, as in \"name\" or \"*.suffix\"", &text)) {
		return false;
	}
	if (!table_add(p, t, text))
		parse_fail(p, tok.at,
			"\"%.*s\" is no item of a table: write \"name\", \"*.suffix\", "
			"an address or a network",
			SLICE_ARG(slice_first(text, 80)));
	return true;
}

/* A file of items, one a line; what follows a # is a comment. Lines are counted for errors. */
static bool
table_lines(struct parser *p, struct conf_table *t, struct slice text)
{
	const char *file = t->path.p;
	unsigned line = 0;
	while (text.n != 0) {
		struct slice item, comment;
		slice_cut(text, '\n', &item, &text);
		struct conf_at at = {file, ++line, 1};
		if (line > TABLE_LINES_MOST)
			return parse_fail(
				p, at, "a table's file has at most %d lines", TABLE_LINES_MOST);
		slice_cut(item, '#', &item, &comment);
		item = slice_trim(item);
		if (item.n != 0 && (slice_has(item, '\0') || !table_add(p, t, item)))
			parse_fail(p, at,
				"this is no item of a table: write one name, *.suffix, address "
				"or "
				"network a line");
	}
	return true;
}

static bool
table_file(struct parser *p, struct conf_table *t)
{
	struct conf_at at = p->tok.at;
	struct slice path, text;
	struct err err;
	if (!parse_string(p, "the name of a file", &path))
		return false;
	t->path = file_absolute(path, p->source->folder, p->arena);
	if (file_read(t->path.p, TABLE_BYTES_MOST, p->arena, &text, &err) < 0)
		return parse_fail(p, at, "%s", err.text);
	size_t lines = 1;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (lines * ITEM_COST + text.n + CONF_ROOM_LEAST > arena_room(p->arena))
		return parse_fail(p, at,
			"%s: all tables together take more memory than there is room for",
			t->path.p);
	return table_lines(p, t, text);
}

bool
parse_name(struct parser *p, const char *what, struct slice *out)
{
	static const char *const taken[] = {"domains", "and", "or", "not", "is", "in", "any",
		"every", "if", "then", "matches", "contains"};
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (parse_at(p, taken[i]))
			return parse_fail(p, p->tok.at,
				"\"%s\" is a word of the language and no name", taken[i]);
	if (p->tok.kind != TOK_WORD)
		return parse_expected(p, what);
	*out = p->tok.text;
	parse_next(p);
	return true;
}

bool
parse_table(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	struct conf_table *t = ARENA_NEW(p->arena, struct conf_table);
	t->at = at;
	t->exact = map_new(p->arena, true);
	t->suffixes = map_new(p->arena, true);
	if (!parse_name(p, "the name of the table", &t->name))
		return false;
	const struct conf_table *other = map_get(c->tables, t->name);
	if (other != NULL)
		return parse_fail(p, at,
			"the table \"%.*s\" stands a second time, first at %s:%u",
			SLICE_ARG(t->name), other->at.file, other->at.line);
	map_put(c->tables, t->name, t);
	if (parse_at(p, "ldap") || parse_at(p, "sql"))
		return parse_fail(p, p->tok.at,
			"\"table %.*s\" is not there yet: "
			"it comes with the directories",
			SLICE_ARG(p->tok.text));
	if (parse_accept(p, "file"))
		return table_file(p, t);
	return parse_set(p, "items in { }, or \"file\"", add_item, t);
}

static bool
has_suffix(const struct conf_table *t, struct slice domain)
{
	if (map_count(t->suffixes) == 0)
		return false;
	struct slice label;
	while (slice_cut(domain, '.', &label, &domain))
		if (map_get(t->suffixes, domain) != NULL)
			return true;
	return false;
}

bool
conf_table_has(const struct conf_table *t, struct slice value)
{
	struct ip ip;
	if (value.n == 0 || value.n > ITEM_BYTES_MOST)
		return false;
	if (map_get(t->exact, value) != NULL)
		return true;
	if (t->n_nets != 0 && ip_parse(value, &ip)) {
		for (size_t i = 0; i < t->n_nets; i++)
			if (ip_in_net(&ip, &t->nets[i]))
				return true;
		return false;
	}
	size_t at = slice_find_last(value, '@');
	if (at == value.n)
		return has_suffix(t, value);
	struct slice domain = slice_from(value, at + 1);
	return map_get(t->exact, slice_first(value, at + 1)) != NULL ||
	       map_get(t->exact, slice_from(value, at)) != NULL ||
	       map_get(t->exact, domain) != NULL || has_suffix(t, domain);
}
