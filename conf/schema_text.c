/*
 * What is printed from the table of settings: bounds for errors, defaults, the sample, the
 * manual. Nothing about a single setting stands here, so that a new row is all it takes.
 */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "conf/number.h"
#include "conf/schema.h"

enum { TEXT_MOST = 256 << 10 };

static struct slice
value_text(const struct schema_row *row, uint64_t v, struct arena *a)
{
	if (row->type == SCHEMA_SIZE)
		return number_size_text(v, a);
	if (row->type == SCHEMA_DURATION)
		return number_duration_text(v, a);
	return arena_printf(a, "%" PRIu64, v);
}

struct slice
schema_type_text(const struct schema_row *row, struct arena *a)
{
	const char *what = "";
	switch (row->type) {
	case SCHEMA_OWN: return slice_of(row->syntax);
	case SCHEMA_FLAG: return SLICE("");
	case SCHEMA_NAME: return SLICE("a host name");
	case SCHEMA_TEXT: return SLICE("a text");
	case SCHEMA_FILE: return SLICE("the name of a file");
	case SCHEMA_NUMBER: what = "a number"; break;
	case SCHEMA_SIZE: what = "a size"; break;
	case SCHEMA_DURATION: what = "a duration"; break;
	}
	struct slice least = value_text(row, row->least, a),
		     most = value_text(row, row->most, a);
	return arena_printf(a, "%s from %.*s to %.*s", what, SLICE_ARG(least), SLICE_ARG(most));
}

struct slice
schema_default_text(const struct schema_row *row, struct arena *a)
{
	if (row->initial_text != NULL)
		return slice_of(row->initial_text);
	if (row->initial != 0)
		return value_text(row, row->initial, a);
	return SLICE("");
}

/* "# " before each line of a text of several; folded where it is long. */
static void
comment(struct buf *b, const char *before, struct slice text)
{
	size_t column = 0;
	while (text.n != 0) {
		struct slice word;
		slice_cut(text, ' ', &word, &text);
		if (column != 0 && column + 1 + word.n > 94) {
			buf_add_byte(b, '\n');
			column = 0;
		}
		buf_printf(b, "%s%.*s", column == 0 ? before : " ", SLICE_ARG(word));
		column += word.n + (column == 0 ? strlen(before) : 1);
	}
	buf_add_byte(b, '\n');
}

static struct slice
finish(struct buf *b, struct arena *a)
{
	struct slice text = arena_slice(a, buf_slice(b));
	buf_fini(b);
	return text;
}

/* What may stand behind the name. */
static struct slice
value_syntax(const struct schema_row *row)
{
	if (row->syntax != NULL)
		return slice_of(row->syntax);
	switch (row->type) {
	case SCHEMA_NAME: return SLICE("\"NAME\"");
	case SCHEMA_TEXT: return SLICE("\"TEXT\"");
	case SCHEMA_FILE: return SLICE("\"FILE\"");
	case SCHEMA_NUMBER: return SLICE("N");
	case SCHEMA_SIZE: return SLICE("SIZE");
	case SCHEMA_DURATION: return SLICE("DURATION");
	case SCHEMA_OWN:
	case SCHEMA_FLAG: break;
	}
	return SLICE("");
}

static void
sample_option(struct buf *b, const struct schema_row *row, struct arena *a)
{
	struct slice syntax = value_syntax(row), initial = schema_default_text(row, a);
	struct slice bounds = SLICE("");
	if (row->most != 0) {
		struct slice least = value_text(row, row->least, a);
		struct slice most = value_text(row, row->most, a);
		bounds = arena_printf(a, " (%.*s to %.*s)", SLICE_ARG(least), SLICE_ARG(most));
	}
	struct slice head = arena_printf(a, "%s%s%.*s%.*s: %s%s%s%.*s%s", row->name,
		syntax.n != 0 ? " " : "", SLICE_ARG(syntax), SLICE_ARG(bounds), row->text,
		row->spool ? " It needs the spool." : "", initial.n != 0 ? " Default: " : "",
		SLICE_ARG(initial), initial.n != 0 ? "." : "");
	comment(b, "#     ", head);
}

static void
sample_statement(struct buf *b, const struct schema_row *row, struct arena *a)
{
	struct slice syntax = value_syntax(row), initial = schema_default_text(row, a);
	buf_add_byte(b, '\n');
	comment(b, "# ", slice_of(row->text));
	comment(b, "#   ", arena_printf(a, "%s %.*s", row->name, SLICE_ARG(syntax)));
	if (initial.n != 0)
		comment(b, "# ", arena_printf(a, "Default: %.*s.", SLICE_ARG(initial)));
	if (row->restart)
		comment(b, "# ", SLICE("A reload does not take it up."));
	if (row->spool)
		comment(b, "# ", SLICE("It needs the spool."));
	for (size_t i = 0; i < schema_n_rows; i++)
		if (strcmp(schema_rows[i].group, row->name) == 0 &&
			schema_rows[i].later == NULL)
			sample_option(b, &schema_rows[i], a);
	struct slice line, rest = slice_of(row->example);
	while (rest.n != 0) {
		slice_cut(rest, '\n', &line, &rest);
		buf_printf(b, "#%.*s\n", SLICE_ARG(line));
	}
}

struct slice
schema_sample(struct arena *a)
{
	struct buf b;
	buf_init(&b, TEXT_MOST);
	buf_add_text(&b,
		"# postern.conf: every statement, made by `postern sample`. Lines that begin "
		"with \"#\" and no\n# blank are examples to take over.\n");
	for (size_t i = 0; i < schema_n_rows; i++)
		if (schema_rows[i].group[0] == '\0' && schema_rows[i].later == NULL)
			sample_statement(&b, &schema_rows[i], a);
	return finish(&b, a);
}

struct slice
schema_defaults_text(struct arena *a)
{
	struct buf b;
	buf_init(&b, TEXT_MOST);
	for (size_t i = 0; i < schema_n_rows; i++) {
		const struct schema_row *row = &schema_rows[i];
		struct slice initial = schema_default_text(row, a);
		if (row->later != NULL || initial.n == 0)
			continue;
		struct slice name = arena_printf(
			a, "%s%s%s", row->group, row->group[0] != '\0' ? " " : "", row->name);
		buf_printf(&b, "%-26.*s %.*s%s\n", SLICE_ARG(name), SLICE_ARG(initial),
			row->restart ? " (a reload does not take it up)" : "");
	}
	return finish(&b, a);
}

/* mdoc takes a backslash and a leading dot or quote for its own. */
static void
roff(struct buf *b, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			buf_add_text(b, "\\e");
		else if (s.p[i] == '-')
			buf_add_text(b, "\\-");
		else
			buf_add_byte(b, s.p[i]);
	}
}

static void
manual_row(struct buf *b, const struct schema_row *row, struct arena *a)
{
	struct slice syntax = value_syntax(row), initial = schema_default_text(row, a);
	buf_printf(b, ".TP\n\\fB%s\\fR ", row->name);
	roff(b, syntax);
	buf_add_byte(b, '\n');
	roff(b, slice_of(row->text));
	buf_add_byte(b, '\n');
	if (row->later != NULL)
		buf_printf(b, "Not there yet: %s.\n", row->later);
	if (row->most != 0) {
		buf_add_text(b, "It is ");
		roff(b, schema_type_text(row, a));
		buf_add_text(b, ".\n");
	}
	if (initial.n != 0) {
		buf_add_text(b, "Default: ");
		roff(b, initial);
		buf_add_text(b, ".\n");
	}
	if (row->spool)
		buf_add_text(b, "It needs the spool.\n");
	if (row->group[0] == '\0' && row->restart)
		buf_add_text(b, "A reload does not take it up.\n");
}

struct slice
schema_manual(struct arena *a)
{
	struct buf b;
	buf_init(&b, TEXT_MOST);
	buf_add_text(&b, ".SH SETTINGS\n");
	for (size_t i = 0; i < schema_n_rows; i++) {
		const struct schema_row *row = &schema_rows[i];
		if (row->group[0] != '\0')
			continue;
		manual_row(&b, row, a);
		buf_add_text(&b, ".RS\n");
		for (size_t j = 0; j < schema_n_rows; j++)
			if (strcmp(schema_rows[j].group, row->name) == 0)
				manual_row(&b, &schema_rows[j], a);
		buf_add_text(&b, ".RE\n");
	}
	return finish(&b, a);
}
