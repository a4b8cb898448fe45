/*
 * The parser's core: reads files, gives each statement to the function that its row in the
 * schema names, and goes on behind what is wrong, so that one run reports all there is. A
 * statement ends with its line; one that failed is passed over up to the end of its braces, or
 * to a line that begins with a statement's word in the first column.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/file.h"
#include "conf/parse_priv.h"
#include "conf/words.h"

enum {
	INCLUDE_DEPTH_MOST = 16,
	FILES_MOST = 256,
	FILE_BYTES_MOST = 1 << 20,
	ALL_BYTES_MOST = 16 << 20,
	CONF_BYTES_MOST = 1 << 30,
};

void
parse_next(struct parser *p)
{
	if (p->tok.kind == TOK_OPEN)
		p->braces++;
	if (p->tok.kind == TOK_CLOSE && p->braces != 0)
		p->braces--;
	do
		tokens_next(p->tokens, &p->tok);
	while (p->nested != 0 && p->tok.kind == TOK_NEWLINE);
}

bool
parse_at(const struct parser *p, const char *word)
{
	return p->tok.kind == TOK_WORD && slice_eq(p->tok.text, slice_of(word));
}

bool
parse_accept(struct parser *p, const char *word)
{
	if (!parse_at(p, word))
		return false;
	parse_next(p);
	return true;
}

bool
parse_accept_kind(struct parser *p, enum token_kind kind)
{
	if (p->tok.kind != kind)
		return false;
	parse_next(p);
	return true;
}

bool
parse_fail(struct parser *p, struct conf_at at, const char *fmt, ...)
{
	char text[sizeof(((struct conf_problem *)NULL)->text)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_error(p->report, at, "%s", text);
	return false;
}

bool
parse_expected_word(struct parser *p, const char *what, const char *const *words, size_t n)
{
	if (p->tok.kind == TOK_BAD) /* reported where it was read */
		return false;
	struct slice hint = SLICE("");
	if (n != 0 && p->tok.kind == TOK_WORD)
		hint = words_hint(p->tok.text, words, n, p->arena);
	struct slice found = token_describe(&p->tok, p->arena);
	return parse_fail(p, p->tok.at, "expected %s, found %.*s%.*s", what, SLICE_ARG(found),
		SLICE_ARG(hint));
}

bool
parse_expected(struct parser *p, const char *what)
{
	return parse_expected_word(p, what, NULL, 0);
}

bool
parse_word(struct parser *p, const char *word)
{
	if (parse_accept(p, word))
		return true;
	struct slice what = arena_printf(p->arena, "\"%s\"", word);
	return parse_expected_word(p, what.p, &word, 1);
}

bool
parse_kind(struct parser *p, enum token_kind kind, const char *what)
{
	return parse_accept_kind(p, kind) || parse_expected(p, what);
}

bool
parse_string(struct parser *p, const char *what, struct slice *out)
{
	struct token tok = p->tok;
	if (tok.kind == TOK_WORD)
		return parse_fail(p, tok.at,
			"expected %s, found the word \"%.*s\": strings stand in double quotes",
			what, SLICE_ARG(slice_first(tok.text, 60)));
	if (tok.kind == TOK_REGEX)
		return parse_fail(p, tok.at,
			"expected %s, found what begins with /: strings stand in double quotes",
			what);
	if (tok.kind != TOK_STRING)
		return parse_expected(p, what);
	if (tok.text.n == 0)
		return parse_fail(p, tok.at, "expected %s, found an empty string", what);
	*out = tok.text;
	parse_next(p);
	return true;
}

bool
parse_number(struct parser *p, char unit, const char *what, double *out)
{
	if (p->tok.kind != TOK_NUMBER || (p->tok.unit != unit && p->tok.number != 0))
		return parse_expected(p, what);
	*out = p->tok.number;
	parse_next(p);
	return true;
}

int
parse_choice(struct parser *p, const char *what, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (parse_accept(p, words[i]))
			return (int)i;
	parse_expected_word(p, what, words, n);
	return -1;
}

void *
parse_room(struct parser *p, void *items, size_t n, size_t bytes)
{
	if (n != 0 && (n < 4 || (n & (n - 1)) != 0))
		return items;
	void *more = arena_array(p->arena, n < 4 ? 4 : n * 2, bytes);
	if (n != 0)
		memcpy(more, items, n * bytes);
	return more;
}

bool
parse_set(struct parser *p, const char *what, bool (*item)(struct parser *, void *), void *arg)
{
	if (p->tok.kind != TOK_OPEN)
		return parse_expected(p, what);
	struct conf_at at = p->tok.at;
	p->nested++;
	parse_next(p);
	bool ok = true;
	for (size_t n = 0; ok && p->tok.kind != TOK_CLOSE; n++) {
		if (p->tok.kind == TOK_END)
			ok = parse_fail(p, at, "the set has no closing }");
		else if (n == SET_ITEMS_MOST)
			ok = parse_fail(p, p->tok.at,
				"a set holds at most %d items: use a table's file",
				SET_ITEMS_MOST);
		else
			ok = item(p, arg);
		if (ok)
			parse_accept_kind(p, TOK_COMMA);
	}
	p->nested--;
	if (ok && p->tok.kind == TOK_CLOSE)
		parse_next(p);
	return ok;
}

void
parse_recover(struct parser *p)
{
	p->nested = 0;
	for (;;) {
		if (p->tok.kind == TOK_END)
			break;
		if (p->tok.kind == TOK_NEWLINE && p->braces == 0)
			break;
		if (p->tok.kind == TOK_WORD && p->tok.first && p->tok.at.column == 1 &&
			p->braces != 0 && schema_begins_statement(p->tok.text))
			break;
		parse_next(p);
	}
	p->braces = 0;
}

bool
parse_recover_in_block(struct parser *p)
{
	p->nested = 0;
	for (;;) {
		if (p->tok.kind == TOK_END)
			return false;
		if (p->braces <= 1 && (p->tok.kind == TOK_NEWLINE || p->tok.kind == TOK_CLOSE))
			return true;
		if (p->tok.kind == TOK_WORD && p->tok.first && p->tok.at.column == 1 &&
			schema_begins_statement(p->tok.text))
			return false;
		parse_next(p);
	}
}

static void
statement(struct parser *p)
{
	struct conf_at at = p->tok.at;
	const struct schema_row *row = parse_row(p, "");
	bool ok = row != NULL;
	if (ok) {
		struct conf_at *seen = &p->seen[row - schema_rows];
		if (seen->line != 0 && !row->many)
			ok = parse_fail(p, at, "\"%s\" stands a second time, first at %s:%u",
				row->name, seen->file, seen->line);
		else if (seen->line == 0)
			*seen = at;
	}
	if (ok)
		ok = parse_row_value(p, row, at, p->conf);
	if (ok && p->tok.kind != TOK_NEWLINE && p->tok.kind != TOK_END)
		ok = parse_expected(p, "the end of the line");
	if (!ok)
		parse_recover(p);
}

static void
statements(struct parser *p)
{
	parse_next(p);
	for (;;) {
		if (p->tok.kind == TOK_END)
			return;
		if (p->tok.kind == TOK_NEWLINE) {
			parse_next(p);
		} else if (arena_room(p->arena) < CONF_ROOM_LEAST) {
			parse_fail(p, p->tok.at,
				"the configuration takes more than %d MiB of memory",
				CONF_BYTES_MOST >> 20);
			return;
		} else {
			p->braces = 0;
			statement(p);
		}
	}
}

static bool
is_open_already(const struct parser *p, struct slice path)
{
	for (const struct source *s = p->source; s != NULL; s = s->up)
		if (slice_eq(s->path, path))
			return true;
	return false;
}

bool
parse_file(struct parser *p, struct slice path, struct conf_at at)
{
	struct source source = {.up = p->source, .file = arena_text(p->arena, path)};
	source.depth = p->source != NULL ? p->source->depth + 1 : 0;
	source.folder = file_folder(source.file, p->arena);
	source.path = file_absolute(path, file_cwd(p->arena), p->arena);
	if (is_open_already(p, source.path))
		return parse_fail(p, at, "%s includes itself", source.file);
	if (source.depth > INCLUDE_DEPTH_MOST)
		return parse_fail(
			p, at, "includes are nested more than %d deep", INCLUDE_DEPTH_MOST);
	if (++p->files > FILES_MOST)
		return parse_fail(p, at, "more than %d files are included", FILES_MOST);
	struct slice text;
	struct err err;
	if (file_read(source.file, FILE_BYTES_MOST, p->arena, &text, &err) < 0)
		return parse_fail(p, at, "%s", err.text);
	p->bytes += text.n;
	if (p->bytes > ALL_BYTES_MOST)
		return parse_fail(p, at, "all files together are larger than %d MiB",
			ALL_BYTES_MOST >> 20);
	struct tokens tokens, *outer = p->tokens;
	struct token tok = p->tok;
	tokens_init(&tokens, p->arena, p->report, source.file, text);
	p->tokens = &tokens;
	p->source = &source;
	p->tok = (struct token){0};
	statements(p);
	p->tokens = outer;
	p->source = source.up;
	p->tok = tok;
	return true;
}

bool
parse_include(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	(void)target;
	struct conf_at path_at = p->tok.at;
	struct slice path;
	if (!parse_string(p, "the name of a file", &path))
		return false;
	path = file_absolute(path, p->source->folder, p->arena);
	/* What is wrong inside is reported there; the line itself may still have a tail. */
	parse_file(p, path, path_at);
	return true;
}

struct conf *
conf_read(const char *path, struct conf_report *r)
{
	struct arena *a = arena_new(CONF_BYTES_MOST);
	struct conf *c = ARENA_NEW(a, struct conf);
	size_t errors = r->n_errors;
	c->arena = a;
	c->file = arena_text(a, slice_of(path));
	c->domain_map = map_new(a, true);
	c->users = map_new(a, false);
	c->tables = map_new(a, false);
	c->patterns = map_new(a, false);
	schema_defaults(c);
	struct parser p = {.conf = c, .report = r, .arena = a};
	if (parse_file(&p, slice_of(path), (struct conf_at){.file = c->file}))
		conf_cross_check(&p);
	if (r->n_errors != errors)
		conf_free(&c);
	return c;
}

void
conf_free(struct conf **c)
{
	if (*c == NULL)
		return;
	struct arena *a = (*c)->arena;
	*c = NULL;
	arena_free(&a);
}
