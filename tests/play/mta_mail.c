/* A mail in the MTA's queue, read and edited; see mta_mail.h. */
#include "mta_mail.h"

#include <string.h>

#include "base/buf.h"
#include "base/must.h"

enum { MAIL_MOST = 16 * 1024 * 1024 };

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
put_field(struct mta_mail *m, size_t at, struct mta_field f)
{
	if (m->n == m->room) {
		size_t room = m->room != 0 ? 2 * m->room : 32;
		struct mta_field *more = arena_array(m->arena, room, sizeof(*more));
		if (m->n != 0)
			memcpy(more, m->fields, m->n * sizeof(*more));
		m->fields = more;
		m->room = room;
	}
	memmove(&m->fields[at + 1], &m->fields[at], (m->n - at) * sizeof(*m->fields));
	m->fields[at] = f;
	m->n++;
}

/* A name, blanks perhaps, a colon: how long the name is; 0: the line is no field. */
static size_t
name_bytes(struct slice line)
{
	size_t n = 0;
	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < line.n && is_blank(line.p[colon]))
		colon++;
	return colon < line.n && line.p[colon] == ':' ? n : 0;
}

/* One field with its folds off the front; false: there is none. */
static bool
read_field(struct slice *rest, struct mta_field *f_out)
{
	size_t name = name_bytes(slice_first(*rest, slice_find_slice(*rest, SLICE("\r\n"))));
	if (name == 0)
		return false;
	size_t end = 0;
	do
		end += slice_find_slice(slice_from(*rest, end), SLICE("\r\n")) + 2;
	while (end < rest->n && is_blank(rest->p[end]));
	struct slice text = slice_first(*rest, end - 2);
	*f_out = (struct mta_field){.name = slice_first(text, name),
		.text = text,
		.tail = slice_from(text, slice_find(text, ':') + 1)};
	*rest = slice_from(*rest, end);
	return true;
}

void
mta_mail_read(struct mta_mail *m, struct slice text)
{
	struct mta_field f;
	struct slice rest = arena_slice(m->arena, text);
	while (read_field(&rest, &f))
		put_field(m, m->n, f);
	bool has_blank = rest.n == 0 || slice_starts(rest, SLICE("\r\n"));
	m->body = has_blank ? rest : arena_printf(m->arena, "\r\n%.*s", SLICE_ARG(rest));
}

static struct mta_field
make_field(struct mta_mail *m, struct slice name, struct slice value)
{
	struct slice text = arena_printf(m->arena, "%.*s:", SLICE_ARG(name)), line;
	while (slice_cut(value, '\n', &line, &value))
		text = arena_printf(m->arena, "%.*s%.*s\r\n", SLICE_ARG(text), SLICE_ARG(line));
	text = arena_printf(m->arena, "%.*s%.*s", SLICE_ARG(text), SLICE_ARG(line));
	return (struct mta_field){
		.name = name, .text = text, .tail = slice_from(text, name.n + 1)};
}

void
mta_mail_stamp(struct mta_mail *m, struct slice name, struct slice value)
{
	struct mta_field f = make_field(m, name, value);
	f.own = true;
	put_field(m, 0, f);
}

void
mta_mail_insert(struct mta_mail *m, size_t index, struct slice name, struct slice value)
{
	put_field(m, index < m->n ? index : m->n, make_field(m, name, value));
}

bool
mta_mail_delete(struct mta_mail *m, size_t index, struct slice name)
{
	for (size_t i = 0; i < m->n; i++) {
		struct mta_field *f = &m->fields[i];
		if (f->own || (f->deleted && !m->counts_deleted) ||
			!slice_eq_nocase(f->name, name) || --index != 0)
			continue;
		bool was_there = !f->deleted;
		f->deleted = true;
		return was_there;
	}
	return false;
}

void
mta_mail_complete(struct mta_mail *m, struct slice name, struct slice value)
{
	size_t below = 0;
	for (size_t i = 0; i < m->n; i++) {
		const struct mta_field *f = &m->fields[i];
		if (f->own)
			below = i + 1;
		if (!f->deleted && slice_eq_nocase(f->name, name))
			return;
	}
	struct mta_field f = make_field(m, name, value);
	f.own = true;
	put_field(m, below, f);
}

struct slice
mta_mail_value(const struct mta_mail *m, const struct mta_field *f)
{
	char *out = arena_alloc(m->arena, f->tail.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < f->tail.n; i++)
		if (f->tail.p[i] != '\r')
			out[n++] = f->tail.p[i];
	return (struct slice){out, n};
}

struct slice
mta_mail_text(const struct mta_mail *m)
{
	struct buf text;
	buf_init(&text, MAIL_MOST);
	for (size_t i = 0; i < m->n; i++)
		if (!m->fields[i].deleted)
			must(buf_printf(&text, "%.*s\r\n", SLICE_ARG(m->fields[i].text)) == 0);
	must(buf_add(&text, m->body) == 0);
	struct slice all = arena_slice(m->arena, buf_slice(&text));
	buf_fini(&text);
	return all;
}
