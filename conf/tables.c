/*
 * `table NAME { ... }`, `table NAME file "..."`: the lists that rules name. What an item is
 * stands in table_items.c, `ldap` and `sql` in table_directory.c.
 */
#include "conf/file.h"
#include "conf/parse_priv.h"
#include "conf/table_directory.h"
#include "conf/table_items.h"

enum {
	TABLE_LINES_MOST = 1000000,
	TABLE_BYTES_MOST = 64 << 20,
	/* What an item costs in its map and array beside its bytes, with room for their growth.
	 */
	ITEM_COST = 256,
};

static bool
add_item(struct parser *p, void *arg)
{
	struct table_building *b = arg;
	struct token tok = p->tok;
	struct slice text = tok.text;
	struct err err;
	if (tok.kind == TOK_NET || tok.kind == TOK_REGEX)
		parse_next(p);
	else if (!parse_string(p, "an item, as in \"name\" or \"*.suffix\"", &text))
		return false;
	int result = tok.kind == TOK_REGEX ? table_item_regex(p, b, text, tok.flags, &err)
					   : table_item(p, b, text, &err);
	if (result < 0)
		parse_fail(p, tok.at, "%s", err.text);
	return true;
}

/* One line of a table's file: an item, or an expression between two /; # begins a comment. */
static int
table_line(struct parser *p, struct table_building *b, struct slice line, struct err *err)
{
	struct slice item, rest, regex, flags;
	if (slice_has(line, '\0'))
		return err_set(err, "the line holds a NUL");
	if (slice_starts(line, SLICE("/"))) {
		if (!table_item_line(line, &regex, &flags))
			return err_set(err,
				"an expression stands between two /, as in /^sales-.*/i, and "
				"alone on its line");
		return table_item_regex(p, b, regex, flags, err);
	}
	slice_cut(line, '#', &item, &rest);
	item = slice_trim(item);
	return item.n == 0 ? 0 : table_item(p, b, item, err);
}

static bool
table_lines(struct parser *p, struct table_building *b, struct slice text)
{
	const char *file = b->table->path.p;
	unsigned line = 0;
	while (text.n != 0) {
		struct slice item;
		struct err err;
		slice_cut(text, '\n', &item, &text);
		struct conf_at at = {file, ++line, 1};
		if (line > TABLE_LINES_MOST)
			return parse_fail(
				p, at, "a table's file has at most %d lines", TABLE_LINES_MOST);
		if (arena_room(p->arena) < CONF_ROOM_LEAST)
			return parse_fail(p, at,
				"all tables together take more memory than there is room for");
		if (table_line(p, b, slice_trim(item), &err) < 0)
			parse_fail(p, at, "%s", err.text);
	}
	return true;
}

static bool
table_file(struct parser *p, struct table_building *b)
{
	struct conf_table *t = b->table;
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
	return table_lines(p, b, text);
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
	if (parse_accept(p, "ldap"))
		return table_ldap(p, t);
	if (parse_accept(p, "sql"))
		return table_sql(p, t);
	struct table_building b = {.table = t};
	bool ok = parse_accept(p, "file")
			  ? table_file(p, &b)
			  : parse_set(p, "items in { }, \"file\", \"ldap\" or \"sql\"",
				    add_item, &b);
	table_items_done(p, &b);
	return ok;
}
