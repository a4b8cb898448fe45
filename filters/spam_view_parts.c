/*
 * The parts of a mail in the order of its bytes (RFC 2046), found by the boundaries that are
 * open, and each part's text into the view's. Of multipart/alternative the last one with
 * something to read is kept, as mail programs show it; what it has links to is kept of all.
 *
 * One pass over the lines; no recursion: what is open stands on a stack of SPAM_DEPTH_MOST.
 */
#include <string.h>

#include "filters/spam_view_priv.h"

enum {
	BOUNDARY_MOST = 200, /* RFC 2046: 70 */
	NAME_MOST = 255,
	ENOUGH_TEXT = 64, /* an alternative with so many bytes of text is what is read */
};

struct open {
	struct slice boundary;
	bool alternative, digest;
	size_t best;  /* where the text of the alternative begins that is kept so far */
	size_t child; /* where the text of the one being read begins */
	size_t most;  /* of the sink when this was opened */
	unsigned depth;
};

/* What the fields of a part say. */
struct heads {
	struct slice type, disposition, encoding; /* values, folds and all; empty: not there */
	struct slice boundary;
};

struct walk {
	struct spam_reading *r;
	struct slice body;
	struct open open[SPAM_DEPTH_MOST];
	size_t n_open;
	struct spam_part *leaf; /* being read; NULL: between parts */
	size_t leaf_at;
	unsigned depth; /* of the next part */
};

/* name=value of ";name=value; ...": cut off *rest. False: no more. */
static bool
next_parameter(
	struct slice *rest, struct slice *name_out, struct slice *value_out, bool *quoted_out)
{
	struct slice in = *rest;
	while (in.n > 0 && (in.p[0] == ';' || in.p[0] == ' ' || in.p[0] == '\t'))
		in = slice_from(in, 1);
	size_t n = 0;
	while (n < in.n && in.p[n] != '=' && in.p[n] != ';')
		n++;
	*name_out = slice_trim(slice_first(in, n));
	*value_out = SLICE_NONE;
	*quoted_out = false;
	if (n == in.n || in.p[n] == ';') {
		*rest = slice_from(in, n);
		return in.n != 0;
	}
	in = slice_trim(slice_from(in, n + 1));
	if (in.n > 0 && in.p[0] == '"') {
		n = 1;
		while (n < in.n && in.p[n] != '"')
			n += in.p[n] == '\\' && in.n - n > 1 ? 2 : 1;
		*value_out = slice_from(slice_first(in, n), 1);
		*quoted_out = true;
		in = slice_from(in, n);
		n = slice_find(in, ';');
	} else {
		n = slice_find(in, ';');
		*value_out = slice_trim(slice_first(in, n));
	}
	*rest = slice_from(in, n);
	return true;
}

static struct slice
unquoted(struct slice s, struct arena *a)
{
	if (!slice_has(s, '\\'))
		return s;
	char *to = arena_alloc(a, s.n);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		to[n++] = s.p[i];
	}
	return (struct slice){to, n};
}

/* What is put together of a file's name: "filename", or RFC 2231's "filename*0*" and on. */
struct file_name {
	char bytes[NAME_MOST];
	size_t n;
	bool extended; /* charset'language' stands in front */
	bool found;
};

static void
add_name(struct file_name *f, struct slice value, bool escaped)
{
	for (size_t i = 0; i < value.n && f->n < NAME_MOST; i++) {
		char c = value.p[i];
		if (escaped && c == '%' && value.n - i > 2 && ascii_hex(value.p[i + 1]) >= 0 &&
			ascii_hex(value.p[i + 2]) >= 0) {
			c = (char)(ascii_hex(value.p[i + 1]) << 4 | ascii_hex(value.p[i + 2]));
			i += 2;
		}
		f->bytes[f->n++] = c;
	}
}

static void
take_name(struct file_name *f, struct slice name, struct slice stem, struct slice value)
{
	if (!slice_starts_nocase(name, stem))
		return;
	struct slice rest = slice_from(name, stem.n);
	if (rest.n == 0) {
		if (!f->found)
			add_name(f, value, false);
	} else if (rest.p[0] == '*') {
		if (!f->found && f->n > 0)
			f->n = 0; /* the plain one was for programs that know no better */
		f->extended |= !f->found && slice_ends(rest, SLICE("*"));
		add_name(f, value, slice_ends(rest, SLICE("*")));
		f->found = true;
	}
}

static struct slice
name_text(struct file_name *f, struct arena *a)
{
	struct slice s = {f->bytes, f->n}, charset, rest, language;
	if (f->extended && slice_cut(s, '\'', &charset, &rest) &&
		slice_cut(rest, '\'', &language, &rest)) {
		struct spam_part as = {.charset = arena_lower(a, charset)};
		return arena_slice(a, spam_decode(&as, rest, a));
	}
	return message_decode_words(arena_slice(a, s), a);
}

static void
read_type(struct spam_part *part, struct heads *h, struct file_name *f, struct walk *w)
{
	struct slice rest, name, value, type;
	bool quoted;
	if (h->type.n == 0)
		return;
	slice_cut(message_unfold(h->type, w->r->a), ';', &type, &rest);
	slice_cut(slice_trim(type), ' ', &type, &value);
	if (slice_has(type, '/'))
		part->type = arena_lower(w->r->a, slice_trim(type));
	while (next_parameter(&rest, &name, &value, &quoted)) {
		if (quoted)
			value = unquoted(value, w->r->a);
		if (slice_eq_nocase(name, SLICE("charset")) && part->charset.n == 0)
			part->charset = arena_lower(w->r->a, slice_first(value, NAME_MOST));
		else if (slice_eq_nocase(name, SLICE("boundary")) && h->boundary.n == 0)
			h->boundary = slice_first(value, BOUNDARY_MOST);
		else
			take_name(f, name, SLICE("name"), value);
	}
}

static void
read_disposition(struct spam_part *part, struct heads *h, struct walk *w)
{
	struct slice rest, name, value, word;
	struct file_name f = {0};
	bool quoted;
	if (h->disposition.n == 0)
		return;
	slice_cut(message_unfold(h->disposition, w->r->a), ';', &word, &rest);
	part->attachment = slice_starts_nocase(slice_trim(word), SLICE("attachment"));
	while (next_parameter(&rest, &name, &value, &quoted))
		take_name(
			&f, name, SLICE("filename"), quoted ? unquoted(value, w->r->a) : value);
	if (f.n != 0)
		part->name = name_text(&f, w->r->a);
}

/* NULL: there are as many as we look at. */
static struct spam_part *
add_part(struct walk *w, struct heads *h, bool in_digest)
{
	struct spam_view *v = w->r->v;
	struct file_name f = {0};
	if (v->n_parts == SPAM_PARTS_MOST)
		return NULL;
	struct spam_part *part = &v->parts[v->n_parts++];
	*part = (struct spam_part){
		.type = in_digest ? SLICE("message/rfc822") : SLICE("text/plain"),
		.depth = w->depth,
	};
	read_type(part, h, &f, w);
	read_disposition(part, h, w);
	if (part->name.n == 0 && f.n != 0)
		part->name = name_text(&f, w->r->a);
	struct slice word = message_unfold(h->encoding, w->r->a), rest;
	slice_cut(word, ';', &word, &rest);
	part->encoding = arena_lower(w->r->a, slice_first(slice_trim(word), NAME_MOST));
	return part;
}

static void
note_field(struct heads *h, struct slice name, struct slice value)
{
	if (name.n < 12 || !slice_starts_nocase(name, SLICE("content-")))
		return;
	struct slice *to =
		slice_eq_nocase(name, SLICE("content-type"))                ? &h->type
		: slice_eq_nocase(name, SLICE("content-disposition"))       ? &h->disposition
		: slice_eq_nocase(name, SLICE("content-transfer-encoding")) ? &h->encoding
									    : NULL;
	if (to != NULL && to->n == 0)
		*to = value;
}

/* The line at `at` without its end; *next_out: where the next one begins. */
static struct slice
line_at(struct slice in, size_t at, size_t *next_out)
{
	const char *end = memchr(in.p + at, '\n', in.n - at);
	size_t n = end != NULL ? (size_t)(end - in.p) - at : in.n - at;
	*next_out = at + n + (end != NULL);
	if (n > 0 && in.p[at + n - 1] == '\r')
		n--;
	return (struct slice){in.p + at, n};
}

/* The fields of a part that begins at `at`: where its content does. */
static size_t
read_heads(struct slice in, size_t at, struct heads *h)
{
	struct slice name = SLICE_NONE, value = SLICE_NONE;
	while (at < in.n) {
		size_t next;
		struct slice line = line_at(in, at, &next);
		if (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
			if (name.n != 0)
				value.n = (size_t)(line.p + line.n - value.p);
			at = next;
			continue;
		}
		note_field(h, name, value);
		name = SLICE_NONE;
		if (line.n == 0)
			return next;
		size_t colon = slice_find(line, ':');
		if (slice_starts(line, SLICE("--")) || colon == line.n)
			return at; /* no blank line: what mail programs do differs */
		name = slice_trim(slice_first(line, colon));
		/* not slice_from: an empty value still has a place, that its folds follow */
		value = (struct slice){line.p + colon + 1, line.n - colon - 1};
		at = next;
	}
	note_field(h, name, value);
	return in.n;
}

static bool
is_html_file(const struct spam_part *part)
{
	return slice_ends_nocase(part->name, SLICE(".html")) ||
	       slice_ends_nocase(part->name, SLICE(".htm")) ||
	       slice_ends_nocase(part->name, SLICE(".shtml")) ||
	       slice_ends_nocase(part->name, SLICE(".xhtml"));
}

static bool
is_html(const struct spam_part *part)
{
	return slice_eq(part->type, SLICE("text/html")) ||
	       slice_eq(part->type, SLICE("application/xhtml+xml")) || is_html_file(part);
}

/* Fields of a mail that is not there; what no mail program of today shows. */
static bool
is_text(const struct spam_part *part)
{
	if (part->depth == 0 && slice_starts(part->type, SLICE("multipart/")))
		return true; /* without a boundary */
	return slice_starts(part->type, SLICE("text/")) &&
	       !slice_eq(part->type, SLICE("text/rfc822-headers")) &&
	       !slice_eq(part->type, SLICE("text/x-amp-html"));
}

/* An invitation beside the words that tell of it: only its links are of interest. */
static bool
is_for_programs(const struct walk *w, const struct spam_part *part)
{
	const struct open *o = w->n_open > 0 ? &w->open[w->n_open - 1] : NULL;
	return o != NULL && o->alternative && o->child > o->best &&
	       !slice_eq(part->type, SLICE("text/plain")) && !is_html(part);
}

static void
read_leaf(struct walk *w, size_t end)
{
	struct spam_part *part = w->leaf;
	w->leaf = NULL;
	if (part == NULL || end <= w->leaf_at)
		return;
	struct slice raw = slice_first(slice_from(w->body, w->leaf_at), end - w->leaf_at);
	struct spam_sink *to = &w->r->text;
	size_t from = to->n;
	if (is_html(part)) {
		spam_read_html(w->r, spam_decode(part, raw, w->r->a));
	} else if (is_text(part)) {
		spam_sink_text(to, spam_decode(part, raw, w->r->a));
		spam_links_of_text(w->r, (struct slice){to->p + from, to->n - from});
		if (is_for_programs(w, part))
			to->n = from;
	}
}

/* One of the alternatives is read: which is kept? */
static void
settle(struct walk *w, struct open *o)
{
	struct spam_sink *s = &w->r->text;
	if (!o->alternative)
		return;
	size_t from = o->child;
	if (o->best == 0 && s->n > from && s->p[from] == ' ')
		from++; /* it stood between two */
	size_t before = o->child - o->best, now = s->n - from;
	if (now > 0 && (now >= ENOUGH_TEXT || now > before)) {
		memmove(s->p + o->best, s->p + from, now);
		s->n = o->best + now;
	} else {
		s->n = o->child;
	}
	o->child = s->n;
}

/* Each alternative has as much room as if it stood alone, so that none can crowd the next out.
 */
static void
begin_child(struct walk *w, struct open *o)
{
	struct spam_sink *s = &w->r->text;
	if (!o->alternative)
		return;
	o->child = s->n;
	size_t share = o->most - o->best;
	s->most = s->room - s->n > share ? s->n + share : s->room;
}

static void
close_innermost(struct walk *w)
{
	struct open *o = &w->open[--w->n_open];
	struct spam_sink *s = &w->r->text;
	settle(w, o);
	s->most = o->most < s->n ? s->n : o->most;
	w->depth = o->depth;
}

/* A part that begins at `at` with these fields: what it holds is read from there on. */
static size_t
enter(struct walk *w, struct heads *h, size_t at)
{
	bool in_digest = w->n_open > 0 && w->open[w->n_open - 1].digest;
	for (;; in_digest = false) {
		struct spam_part *part = add_part(w, h, in_digest);
		if (part == NULL)
			return at;
		bool plain = part->encoding.n == 0 ||
			     slice_starts(part->encoding, SLICE("7")) ||
			     slice_starts(part->encoding, SLICE("8")) ||
			     slice_starts(part->encoding, SLICE("bin"));
		if (slice_starts(part->type, SLICE("multipart/")) && h->boundary.n != 0 &&
			w->n_open < SPAM_DEPTH_MOST) {
			w->open[w->n_open++] = (struct open){.boundary = h->boundary,
				.alternative =
					slice_eq(part->type, SLICE("multipart/alternative")),
				.digest = slice_eq(part->type, SLICE("multipart/digest")),
				.best = w->r->text.n,
				.child = w->r->text.n,
				.most = w->r->text.most,
				.depth = w->depth++};
			return at;
		}
		if (slice_eq(part->type, SLICE("message/rfc822")) && plain &&
			w->depth < SPAM_DEPTH_MOST) {
			*h = (struct heads){0};
			at = read_heads(w->body, at, h);
			w->depth++;
			continue;
		}
		w->leaf = part;
		w->leaf_at = at;
		return at;
	}
}

/* Which of the open boundaries this line is: from 1; 0: none. */
static size_t
boundary_of(const struct walk *w, struct slice line, bool *last_out)
{
	if (line.n < 3 || line.p[0] != '-' || line.p[1] != '-')
		return 0;
	line = slice_from(line, 2);
	for (size_t i = w->n_open; i > 0; i--) {
		struct slice b = w->open[i - 1].boundary;
		if (!slice_starts(line, b))
			continue;
		struct slice rest = slice_from(line, b.n);
		*last_out = slice_starts(rest, SLICE("--"));
		if (*last_out || slice_trim(rest).n == 0)
			return i;
	}
	return 0;
}

/* A boundary ends at `end`; what comes next begins at `at`: where to go on. */
static size_t
turn(struct walk *w, size_t which, bool last, size_t end, size_t at)
{
	read_leaf(w, end);
	while (w->n_open > which)
		close_innermost(w);
	struct open *o = &w->open[which - 1];
	if (last) {
		close_innermost(w);
		return at;
	}
	struct heads h = {0};
	settle(w, o);
	begin_child(w, o);
	w->depth = o->depth + 1;
	return enter(w, &h, read_heads(w->body, at, &h));
}

static void
heads_of_mail(const struct spam_view *v, struct heads *h)
{
	for (size_t i = 0; i < v->n_fields; i++)
		note_field(h, slice_trim(v->fields[i].name), v->fields[i].value);
}

void
spam_read_parts(struct spam_reading *r, struct slice body)
{
	struct walk w = {.r = r, .body = body};
	struct heads h = {0};
	bool last;
	heads_of_mail(r->v, &h);
	size_t at = enter(&w, &h, 0);
	while (w.n_open > 0 && at < body.n) {
		size_t next, from = at;
		struct slice line = line_at(body, at, &next);
		size_t which = boundary_of(&w, line, &last);
		at = which != 0 ? turn(&w, which, last, from, next) : next;
	}
	read_leaf(&w, body.n);
	while (w.n_open > 0)
		close_innermost(&w);
}
