/*
 * Settings by the schema: finds the row that the next words name, reads its value by its type
 * and bounds, and the simple statements that need a little more than a row (resolver, limits,
 * filter, destination).
 */
#include <string.h>
#include <sys/stat.h>

#include "conf/file.h"
#include "conf/habits.h"
#include "conf/parse_priv.h"
#include "conf/words.h"

enum { SPOOL_PATH_MOST = 80 };

/* A row of the group whose name goes on with these words. */
static bool
is_prefix(const char *group, struct slice words)
{
	for (size_t i = 0; i < schema_n_rows; i++) {
		struct slice name = slice_of(schema_rows[i].name);
		if (strcmp(schema_rows[i].group, group) == 0 && slice_starts(name, words) &&
			(name.n == words.n || name.p[words.n] == ' '))
			return true;
	}
	return false;
}

static const struct schema_row *
find_row(const char *group, struct slice name)
{
	for (size_t i = 0; i < schema_n_rows; i++)
		if (strcmp(schema_rows[i].group, group) == 0 &&
			slice_eq(slice_of(schema_rows[i].name), name))
			return &schema_rows[i];
	return NULL;
}

/* Words of a group's settings, for hints. */
static size_t
group_names(const char *group, const char **names)
{
	size_t n = 0;
	for (size_t i = 0; i < schema_n_rows; i++)
		if (strcmp(schema_rows[i].group, group) == 0)
			names[n++] = schema_rows[i].name;
	return n;
}

/* What was meant by a name that no row has: `mail 5M`, `per clint 5`, an option on a line
 * alone. */
static struct slice
row_hint(struct parser *p, const char *group, struct slice name)
{
	const char *names[SCHEMA_ROWS_MOST] = {NULL};
	size_t n = group_names(group, names);
	struct slice hint = words_hint(name, names, n, p->arena);
	for (size_t i = 0; hint.n == 0 && i < n; i++)
		if (slice_starts(slice_of(names[i]), name) && names[i][name.n] == ' ')
			hint = arena_printf(p->arena, " (did you mean \"%s\"?)", names[i]);
	static const char *const options_of[] = {"domain", "listen", "send"};
	for (size_t i = 0; hint.n == 0 && group[0] == '\0' && i < 3; i++)
		if (is_prefix(options_of[i], name))
			hint = arena_printf(p->arena,
				" (it belongs to \"%s\": a statement is one line, or goes on "
				"behind a \\)",
				options_of[i]);
	return hint;
}

static const struct schema_row *
no_row(struct parser *p, const char *group, struct slice name, struct conf_at at)
{
	const char *of = group[0] != '\0' ? group : "postern.conf";
	if (p->tok.kind == TOK_WORD) {
		struct slice two = arena_printf(
			p->arena, "%.*s %.*s", SLICE_ARG(name), SLICE_ARG(p->tok.text));
		const char *names[SCHEMA_ROWS_MOST] = {NULL};
		if (words_nearest(two, names, group_names(group, names)) != NULL)
			name = two;
	}
	struct slice hint = habit_of_word(name, p->arena);
	if (hint.n == 0)
		hint = row_hint(p, group, name);
	parse_fail(p, at, "\"%.*s\" is no setting of %s%.*s", SLICE_ARG(slice_first(name, 60)),
		of, SLICE_ARG(hint));
	return NULL;
}

const struct schema_row *
parse_row(struct parser *p, const char *group)
{
	struct conf_at at = p->tok.at;
	if (p->tok.kind != TOK_WORD) {
		parse_expected(p, group[0] != '\0' ? "a setting" : "a statement");
		return NULL;
	}
	struct slice name = p->tok.text;
	parse_next(p);
	while (p->tok.kind == TOK_WORD) {
		struct slice longer = arena_printf(
			p->arena, "%.*s %.*s", SLICE_ARG(name), SLICE_ARG(p->tok.text));
		if (!is_prefix(group, longer))
			break;
		name = longer;
		parse_next(p);
	}
	const struct schema_row *row = find_row(group, name);
	if (row == NULL)
		return no_row(p, group, name, at);
	if (row->later != NULL) {
		parse_fail(p, at, "\"%s\" is not there yet: %s", row->name, row->later);
		return NULL;
	}
	if (row->spool)
		parse_needs_spool(p, at, row->name);
	return row;
}

void
parse_needs_spool(struct parser *p, struct conf_at at, const char *what)
{
	p->spool_uses = parse_room(p, p->spool_uses, p->n_spool_uses, sizeof(*p->spool_uses));
	p->spool_uses[p->n_spool_uses++] = (struct spool_use){what, at};
}

static bool
bounded(struct parser *p, const struct schema_row *row, uint64_t *out)
{
	struct conf_at at = p->tok.at;
	struct slice what = schema_type_text(row, p->arena);
	char unit = row->type == SCHEMA_SIZE ? 's' : row->type == SCHEMA_DURATION ? 'd' : 0;
	double v;
	if (!parse_number(p, unit, what.p, &v))
		return false;
	if (v < (double)row->least || v > (double)row->most || v != (double)(uint64_t)v) {
		parse_fail(p, at, "\"%s\" must be %.*s", row->name, SLICE_ARG(what));
		return true;
	}
	*out = (uint64_t)v;
	return true;
}

bool
parse_row_value(struct parser *p, const struct schema_row *row, struct conf_at at, void *target)
{
	char *place = (char *)target + row->offset;
	switch (row->type) {
	case SCHEMA_OWN: return row->parse(p, at, target);
	case SCHEMA_FLAG: *(bool *)place = true; return true;
	case SCHEMA_NUMBER:
	case SCHEMA_SIZE:
	case SCHEMA_DURATION: return bounded(p, row, (uint64_t *)(void *)place);
	case SCHEMA_NAME: return parse_domain(p, "a host name", (struct slice *)(void *)place);
	case SCHEMA_TEXT: return parse_string(p, "a text", (struct slice *)(void *)place);
	case SCHEMA_FILE:
		return parse_file_path(p, "the name of a file", (struct slice *)(void *)place);
	}
	return false;
}

/* One setting of a group; lines[] says where each row was set before. */
static bool
setting(struct parser *p, const char *group, void *target, unsigned *lines)
{
	struct conf_at at = p->tok.at;
	const struct schema_row *row = parse_row(p, group);
	if (row == NULL)
		return false;
	unsigned *line = &lines[row - schema_rows];
	if (!row->many && *line != 0)
		return parse_fail(p, at, "\"%s\" stands a second time, first in line %u",
			row->name, *line);
	*line = at.line;
	return parse_row_value(p, row, at, target);
}

bool
parse_options(struct parser *p, const char *group, void *target)
{
	unsigned lines[SCHEMA_ROWS_MOST] = {0};
	while (p->tok.kind != TOK_NEWLINE && p->tok.kind != TOK_END)
		if (!setting(p, group, target, lines))
			return false;
	return true;
}

bool
parse_settings_block(struct parser *p, const char *group, void *target)
{
	unsigned lines[SCHEMA_ROWS_MOST] = {0};
	struct conf_at at = p->tok.at;
	if (!parse_kind(p, TOK_OPEN, "\"{\""))
		return false;
	while (p->tok.kind != TOK_CLOSE) {
		if (p->tok.kind == TOK_END)
			return parse_fail(p, at, "the block has no closing }");
		if (p->tok.kind == TOK_NEWLINE)
			parse_next(p);
		else if (!setting(p, group, target, lines) && !parse_recover_in_block(p))
			return parse_fail(p, at, "the block has no closing }");
	}
	parse_next(p);
	return true;
}

bool
parse_file_path(struct parser *p, const char *what, struct slice *out)
{
	struct conf_at at = p->tok.at;
	struct slice path;
	struct err err;
	if (!parse_string(p, what, &path))
		return false;
	*out = file_absolute(path, p->source->folder, p->arena);
	if (slice_has(*out, '\0') || file_is_readable(out->p, &err) < 0)
		parse_fail(p, at, "%s", err.text);
	return true;
}

bool
parse_domain(struct parser *p, const char *what, struct slice *out)
{
	struct conf_at at = p->tok.at;
	struct slice name;
	struct ip ip;
	if (!parse_string(p, what, &name))
		return false;
	if (ip_parse(name, &ip) || !domain_parse(name, true, false, p->arena, out))
		parse_fail(
			p, at, "\"%.*s\" is no domain name", SLICE_ARG(slice_first(name, 80)));
	return true;
}

/* It need not be there: the parent makes it, with rights that whoever checks may not have. */
bool
parse_spool(struct parser *p, struct conf_at at, void *target)
{
	struct conf_at path_at = p->tok.at;
	struct slice path;
	struct stat st;
	(void)at;
	if (!parse_string(p, "the folder of the spool", &path))
		return false;
	while (path.n > 1 && slice_ends(path, SLICE("/")))
		path.n--;
	if (!slice_starts(path, SLICE("/")) || path.n == 1)
		return parse_fail(p, path_at,
			"\"%.*s\" is no folder for the spool: write its whole path, as in "
			"\"/var/spool/postern\"",
			SLICE_ARG(slice_first(path, 80)));
	/* sun_path holds 108 bytes, and the control socket stands in the spool. */
	if (path.n > SPOOL_PATH_MOST)
		return parse_fail(p, path_at, "the spool's path is longer than %d bytes",
			SPOOL_PATH_MOST);
	const char *folder = arena_text(p->arena, path);
	if (stat(folder, &st) == 0 && !S_ISDIR(st.st_mode))
		return parse_fail(p, path_at, "%s is no folder", folder);
	((struct conf *)target)->spool = slice_of(folder);
	return true;
}

bool
parse_log_to(struct parser *p, struct conf_at at, void *target)
{
	static const char *const words[] = {"stderr", "syslog"};
	struct conf *c = target;
	(void)at;
	int i = parse_choice(p, "\"stderr\" or \"syslog\"", words, 2);
	c->log_syslog = i == 1;
	return i >= 0;
}

bool
parse_resolver(struct parser *p, struct conf_at at, void *target)
{
	struct conf_resolver *r = &((struct conf *)target)->resolver;
	size_t most = sizeof(r->servers) / sizeof(r->servers[0]);
	struct conf_at text_at = p->tok.at;
	struct slice text, host;
	uint16_t port = 53;
	struct ip ip;
	if (!parse_string(p, "an address and port, as in \"127.0.0.1:53\"", &text))
		return false;
	if (!address_port_split(text, &host, &port) || !ip_parse(host, &ip))
		return parse_fail(p, text_at,
			"\"%.*s\" is no address and port, as in \"127.0.0.1:53\" "
			"or \"[::1]:53\"",
			SLICE_ARG(slice_first(text, 80)));
	if (r->n_servers == most)
		return parse_fail(p, at, "at most %zu resolvers are asked", most);
	if (r->n_servers == 0)
		r->at = at;
	r->servers[r->n_servers].ip = ip;
	r->servers[r->n_servers++].port = port;
	if (parse_accept(p, "insecure")) {
		r->insecure = true;
		return true;
	}
	return !parse_accept(p, "trust") ||
	       parse_file_path(p, "the file of trust anchors", &r->trust);
}

bool
parse_sign(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	struct conf_sign s = {.at = at};
	struct slice selector;
	if (!parse_domain(p, "the domain to sign for", &s.domain) || !parse_word(p, "selector"))
		return false;
	struct conf_at selector_at = p->tok.at;
	if (!parse_string(p, "the selector", &selector))
		return false;
	/* A selector may be several labels (RFC 6376 3.1), so it is checked as a domain name
	 * is. */
	if (!domain_parse(selector, false, false, p->arena, &s.selector))
		parse_fail(p, selector_at, "\"%.*s\" is no selector",
			SLICE_ARG(slice_first(selector, 80)));
	if (!parse_word(p, "key") || !parse_file_path(p, "the file of the private key", &s.key))
		return false;
	for (size_t i = 0; i < c->n_signs; i++)
		if (slice_eq(c->signs[i].domain, s.domain) &&
			slice_eq(c->signs[i].selector, s.selector))
			return parse_fail(p, at,
				"the selector \"%.*s\" of \"%.*s\" stands a second time",
				SLICE_ARG(s.selector), SLICE_ARG(s.domain));
	c->signs = parse_room(p, c->signs, c->n_signs, sizeof(s));
	c->signs[c->n_signs++] = s;
	return true;
}

bool
parse_limits(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	return parse_settings_block(p, "limits", &((struct conf *)target)->limits);
}
