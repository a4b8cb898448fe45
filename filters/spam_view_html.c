/*
 * HTML to what an eye sees of it: text without tags, styles, scripts and comments, and without
 * what is hidden (display, visibility, opacity, a font of no size, the colour of the
 * background), which is counted. Links, images, forms go to spam_view_links.c. No document is
 * refused; like browsers, an unknown tag is nothing and an open comment runs to the end.
 *
 * One pass; open elements stand on a stack of OPEN_MOST with what they hand down.
 */
#include <string.h>

#include "filters/spam_view_priv.h"

enum { INLINE = 0, VOID = 1, BLOCK = 2 };

enum tag {
#define SPAM_TAG(id, name, kind) TAG_##id,
#include "filters/spam_view_tags.def"
#undef SPAM_TAG
	TAGS
};

static const struct {
	char name[11];
	uint8_t n, kind;
} tags[TAGS] = {
#define SPAM_TAG(id, name, kind) {name, sizeof(name) - 1, kind},
#include "filters/spam_view_tags.def"
#undef SPAM_TAG
};

/* The first tag of each letter or of one behind it. */
static const uint8_t letters[27] = {TAG_A, TAG_B, TAG_CAPTION, TAG_DD, TAG_EM, TAG_FIELDSET,
	TAG_H1, TAG_H1, TAG_I, TAG_KBD, TAG_KBD, TAG_LABEL, TAG_MAIN, TAG_NAV, TAG_OBJECT,
	TAG_P, TAG_Q, TAG_S, TAG_S, TAG_TABLE, TAG_U, TAG_VIDEO, TAG_WBR, TAGS, TAGS, TAGS,
	TAGS};

enum { OPEN_MOST = 96 };

struct element {
	uint8_t tag;
	bool counted;
	struct spam_look look;
};

/* What we read of a tag. */
struct attributes {
	struct slice href, src, alt, action, style, color, bgcolor, size, content, equiv;
	bool hidden, background;
};

struct html {
	struct spam_reading *r;
	struct slice in;
	struct element open[OPEN_MOST];
	size_t n_open;           /* the first is no element, but the page */
	uint16_t in_stack[TAGS]; /* how many are on it */
	uint16_t too_deep[TAGS]; /* and how many had no place */
	bool painted_by_style;   /* a style sheet may have coloured anything */
	bool cut_word;           /* a comment or an unknown tag stands behind a letter */
	bool in_anchor;
	struct spam_link *anchor;  /* NULL: it is no link for us */
	size_t anchor_at, scanned; /* in the text: where it began; what was searched for URLs */
};

static enum tag
tag_of(struct slice name)
{
	char c = name.n != 0 ? ascii_lower(name.p[0]) : 0;
	if (c < 'a' || c > 'z')
		return TAGS;
	for (size_t i = letters[c - 'a']; i < letters[c - 'a' + 1]; i++)
		if (tags[i].n == name.n &&
			slice_eq_nocase(name, (struct slice){tags[i].name, tags[i].n}))
			return (enum tag)i;
	return TAGS;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

static void
note_attribute(struct attributes *at, struct slice name, struct slice value)
{
	struct slice *to = NULL;
	switch (ascii_lower(name.p[0])) {
	case 'h':
		if (slice_eq_nocase(name, SLICE("href")))
			to = &at->href;
		else if (slice_eq_nocase(name, SLICE("http-equiv")))
			to = &at->equiv;
		at->hidden |= slice_eq_nocase(name, SLICE("hidden"));
		break;
	case 's':
		to = slice_eq_nocase(name, SLICE("style"))  ? &at->style
		     : slice_eq_nocase(name, SLICE("src"))  ? &at->src
		     : slice_eq_nocase(name, SLICE("size")) ? &at->size
							    : NULL;
		break;
	case 'a':
		to = slice_eq_nocase(name, SLICE("alt"))      ? &at->alt
		     : slice_eq_nocase(name, SLICE("action")) ? &at->action
							      : NULL;
		break;
	case 'b':
		if (slice_eq_nocase(name, SLICE("bgcolor")))
			to = &at->bgcolor;
		at->background |= slice_eq_nocase(name, SLICE("background"));
		break;
	case 'c':
		to = slice_eq_nocase(name, SLICE("color"))     ? &at->color
		     : slice_eq_nocase(name, SLICE("content")) ? &at->content
							       : NULL;
		break;
	case 'f':
		if (slice_eq_nocase(name, SLICE("formaction")))
			to = &at->action;
		break;
	case 't':
		if (slice_eq_nocase(name, SLICE("text"))) /* of <body> */
			to = &at->color;
		break;
	default: break;
	}
	if (to != NULL && to->p == NULL)
		*to = value;
}

/* The value that begins at i: where it ends. A quote that never ends is none. */
static size_t
read_value(struct slice in, size_t i, struct slice *value_out)
{
	if (i < in.n && (in.p[i] == '"' || in.p[i] == '\'')) {
		const char *end = memchr(in.p + i + 1, in.p[i], in.n - i - 1);
		if (end != NULL) {
			*value_out = (struct slice){in.p + i + 1, (size_t)(end - in.p) - i - 1};
			return (size_t)(end - in.p) + 1;
		}
		i++;
	}
	size_t from = i;
	while (i < in.n && !is_blank(in.p[i]) && in.p[i] != '>')
		i++;
	*value_out = (struct slice){in.p + from, i - from};
	return i;
}

/* From behind a tag's name to behind its '>'. */
static size_t
read_attributes(struct slice in, size_t i, struct attributes *at)
{
	while (i < in.n) {
		if (in.p[i] == '>')
			return i + 1;
		if (is_blank(in.p[i]) || in.p[i] == '/' || in.p[i] == '=') {
			i++;
			continue;
		}
		size_t from = i;
		while (i < in.n && !is_blank(in.p[i]) && in.p[i] != '=' && in.p[i] != '>' &&
			in.p[i] != '/')
			i++;
		struct slice name = {in.p + from, i - from}, value = SLICE_NONE;
		while (i < in.n && is_blank(in.p[i]))
			i++;
		if (i < in.n && in.p[i] == '=') {
			i++;
			while (i < in.n && is_blank(in.p[i]))
				i++;
			i = read_value(in, i, &value);
		}
		note_attribute(at, name, value);
	}
	return in.n;
}

static struct element *
innermost(struct html *h)
{
	return &h->open[h->n_open - 1];
}

static bool
cannot_be_seen(const struct html *h, const struct element *e)
{
	return spam_look_hides(&e->look, h->painted_by_style);
}

/* So many bytes of text stand here that are hidden: their element counts once. */
static void
count_hidden(struct html *h, size_t bytes)
{
	struct element *e = innermost(h);
	h->r->v->html.hidden_bytes += (unsigned)bytes;
	if (e->counted)
		return;
	h->r->v->html.hidden++;
	for (size_t i = h->n_open;
		i > 0 && cannot_be_seen(h, &h->open[i - 1]) && !h->open[i - 1].counted; i--)
		h->open[i - 1].counted = true;
}

/* Open elements down to the last of this tag go. */
static void
pop_to(struct html *h, enum tag t)
{
	if (h->too_deep[t] > 0) {
		h->too_deep[t]--;
		return;
	}
	if (h->in_stack[t] == 0)
		return;
	for (;;) {
		enum tag top = (enum tag)innermost(h)->tag;
		h->n_open--;
		h->in_stack[top]--;
		if (top == t)
			return;
	}
}

static void
push(struct html *h, enum tag t, const struct attributes *at)
{
	enum tag top = h->n_open > 1 ? (enum tag)innermost(h)->tag : TAGS;
	if (top == t && (t == TAG_P || t == TAG_LI || t == TAG_TD || t == TAG_TR || t == TAG_A))
		pop_to(h, t); /* its end tag was left out */
	if (h->n_open == OPEN_MOST) {
		h->too_deep[t]++;
		return;
	}
	h->open[h->n_open] = *innermost(h);
	struct element *e = &h->open[h->n_open++];
	e->tag = (uint8_t)t;
	h->in_stack[t]++;
	if (t == TAG_A)
		e->look.text = SPAM_COLOUR_UNKNOWN;
	if (at->hidden)
		e->look.hide |= SPAM_HIDES;
	if (at->bgcolor.n != 0)
		spam_look_back(&e->look, at->bgcolor);
	if (at->background) {
		e->look.back = SPAM_COLOUR_UNKNOWN;
		e->look.painted = true;
	}
	if (at->color.n != 0)
		spam_look_text(&e->look, at->color);
	if (at->size.n != 0)
		e->look.hide &= (uint8_t)~SPAM_TINY;
	if (at->style.n != 0)
		spam_look_style(&e->look, at->style);
	if (!cannot_be_seen(h, e))
		e->counted = false;
}

static void
close_anchor(struct html *h)
{
	struct spam_sink *s = &h->r->text;
	if (!h->in_anchor)
		return;
	h->in_anchor = false;
	struct slice shown = {s->p + h->anchor_at, s->n - h->anchor_at};
	if (h->anchor != NULL && spam_link_shows_other(slice_trim(shown), h->anchor->host))
		h->anchor->flags |= SPAM_LINK_OTHER;
	h->scanned = s->n;
}

/* A link in there is for filters to find, not for people to click. */
static bool
cannot_be_reached(const struct html *h)
{
	return (h->open[h->n_open - 1].look.hide & SPAM_HIDES) != 0;
}

static void
open_anchor(struct html *h, const struct attributes *at)
{
	struct spam_sink *s = &h->r->text;
	close_anchor(h);
	if (at->href.n == 0)
		return;
	if (cannot_be_reached(h))
		return;
	h->r->v->html.links++;
	spam_links_of_text(h->r, (struct slice){s->p + h->scanned, s->n - h->scanned});
	h->scanned = s->n;
	h->in_anchor = true;
	h->anchor_at = s->n;
	h->anchor = spam_link_add(h->r, at->href, 0, true);
}

static void add_text(struct html *h, struct slice in);

static void
read_refresh(struct html *h, const struct attributes *at)
{
	if (!slice_eq_nocase(slice_trim(at->equiv), SLICE("refresh")))
		return;
	struct slice wait, to, key;
	slice_cut(at->content, ';', &wait, &to);
	slice_cut(to, '=', &key, &to);
	if (slice_eq_nocase(slice_trim(key), SLICE("url")))
		spam_link_add(h->r, to, 0, true);
}

static void
take_special(struct html *h, enum tag t, const struct attributes *at)
{
	struct spam_html *counts = &h->r->v->html;
	switch ((int)t) {
	case TAG_A: open_anchor(h, at); break;
	case TAG_AREA:
		if (!cannot_be_reached(h)) {
			counts->links += at->href.n != 0;
			spam_link_add(h->r, at->href, 0, true);
		}
		break;
	case TAG_IMG:
		counts->images++;
		spam_link_add(h->r, at->src, SPAM_LINK_IMAGE, true);
		if (at->alt.n != 0) {
			h->r->text.blank = true;
			add_text(h, at->alt);
			h->r->text.blank = true;
		}
		break;
	case TAG_IFRAME:
	case TAG_FRAME: spam_link_add(h->r, at->src, 0, true); break;
	case TAG_FORM:
		counts->forms++;
		spam_link_add(h->r, at->action, SPAM_LINK_FORM, true);
		break;
	case TAG_BUTTON:
	case TAG_INPUT: spam_link_add(h->r, at->action, SPAM_LINK_FORM, true); break;
	case TAG_BASE:
		if (h->r->base_host.n == 0)
			h->r->base_host = spam_link_base(h->r, at->href);
		break;
	case TAG_META: read_refresh(h, at); break;
	case TAG_FONT: counts->fonts++; break;
	case TAG_TABLE: counts->tables++; break;
	case TAG_SCRIPT: counts->scripts++; break;
	case TAG_STYLE: counts->styles++; break;
	default: break;
	}
}

/* Behind "</name" or at the end. */
static size_t
skip_content(struct slice in, size_t i, struct slice name)
{
	while (i < in.n) {
		const char *at = memchr(in.p + i, '<', in.n - i);
		if (at == NULL)
			return in.n;
		i = (size_t)(at - in.p) + 1;
		if (i < in.n && in.p[i] == '/' &&
			slice_starts_nocase(slice_from(in, i + 1), name))
			return i + 1 + name.n;
	}
	return in.n;
}

static size_t
behind_tag(struct slice in, size_t i)
{
	const char *end = i < in.n ? memchr(in.p + i, '>', in.n - i) : NULL;
	return end != NULL ? (size_t)(end - in.p) + 1 : in.n;
}

static bool
in_word(const struct spam_sink *s)
{
	return s->n > 0 && !s->blank &&
	       (ascii_alpha(s->p[s->n - 1]) || ascii_digit(s->p[s->n - 1]));
}

/* "<!" and "<?": comments and what is read as such. */
static size_t
read_comment(struct html *h, size_t i)
{
	struct slice rest = slice_from(h->in, i);
	h->cut_word = in_word(&h->r->text);
	if (!slice_starts(rest, SLICE("<!--")))
		return behind_tag(h->in, i);
	h->r->v->html.comments++;
	if (slice_starts(rest, SLICE("<!-->")))
		return i + 5;
	rest = slice_from(rest, 4);
	size_t end = slice_find_slice(rest, SLICE("-->"));
	return end < rest.n ? i + 4 + end + 3 : h->in.n;
}

static size_t
read_end_tag(struct html *h, size_t i)
{
	size_t from = i + 2, n = from;
	while (n < h->in.n && (ascii_alpha(h->in.p[n]) || ascii_digit(h->in.p[n])))
		n++;
	enum tag t = tag_of((struct slice){h->in.p + from, n - from});
	if (t == TAGS) {
		h->cut_word = in_word(&h->r->text);
	} else {
		if (t == TAG_A)
			close_anchor(h);
		if ((tags[t].kind & VOID) == 0)
			pop_to(h, t);
		if ((tags[t].kind & BLOCK) != 0)
			h->r->text.blank = true;
	}
	return behind_tag(h->in, n);
}

static size_t
read_start_tag(struct html *h, size_t i)
{
	size_t from = i + 1, n = from;
	struct attributes at = {0};
	while (n < h->in.n && (ascii_alpha(h->in.p[n]) || ascii_digit(h->in.p[n])))
		n++;
	struct slice name = {h->in.p + from, n - from};
	enum tag t = tag_of(name);
	h->r->v->html.tags++;
	if (t == TAGS) {
		h->cut_word = in_word(&h->r->text);
		return read_attributes(h->in, n, &at);
	}
	n = read_attributes(h->in, n, &at);
	if ((tags[t].kind & BLOCK) != 0)
		h->r->text.blank = true;
	if (t == TAG_SCRIPT || t == TAG_STYLE || t == TAG_TITLE) {
		take_special(h, t, &at);
		size_t end = skip_content(h->in, n, name);
		if (t == TAG_STYLE) {
			struct slice sheet = slice_first(slice_from(h->in, n), end - n);
			h->painted_by_style |=
				slice_find_slice(sheet, SLICE("background")) < sheet.n;
		}
		return behind_tag(h->in, end);
	}
	if ((tags[t].kind & VOID) == 0)
		push(h, t, &at);
	take_special(h, t, &at);
	return n;
}

static size_t
read_markup(struct html *h, size_t i)
{
	char c = h->in.n - i > 1 ? h->in.p[i + 1] : ' ';
	if (c == '!' || c == '?')
		return read_comment(h, i);
	if (c == '/')
		return h->in.n - i > 2 && ascii_alpha(h->in.p[i + 2]) ? read_end_tag(h, i)
								      : behind_tag(h->in, i);
	if (ascii_alpha(c))
		return read_start_tag(h, i);
	if (!cannot_be_seen(h, innermost(h)))
		spam_sink_run(&h->r->text, "<", 1);
	return i + 1;
}

/* A character or a run of them that is not ASCII without blanks: its length. */
static size_t
add_character(struct html *h, struct slice in, bool hidden)
{
	uint32_t u = '&';
	size_t n = 0;
	if (in.p[0] == '&') {
		n = spam_entity(in, &u);
		h->r->v->html.entities += n != 0;
		n += n == 0;
	} else {
		u = spam_char(in, &n);
	}
	if (!hidden)
		spam_sink_char(&h->r->text, u);
	else if (u > 0xa0 && u < 0x2000)
		count_hidden(h, n);
	return n;
}

/* Text without tags: up to a '<' or the end. */
static size_t
add_run(struct html *h, struct slice in, bool hidden)
{
	struct spam_sink *s = &h->r->text;
	size_t i = 0;
	if (h->cut_word) {
		h->r->v->html.broken += ascii_alpha(in.p[0]) || ascii_digit(in.p[0]);
		h->cut_word = false;
	}
	while (i < in.n && in.p[i] != '<') {
		unsigned c = spam_classes[(unsigned char)in.p[i]];
		size_t from = i;
		if (c == SPAM_BLANK) {
			s->blank |= !hidden;
			i++;
		} else if (c == SPAM_PLAIN) {
			while (++i < in.n && spam_classes[(unsigned char)in.p[i]] == SPAM_PLAIN)
				;
			if (hidden)
				count_hidden(h, i - from);
			else
				spam_sink_run(s, in.p + from, i - from);
		} else {
			i += add_character(h, slice_from(in, i), hidden);
		}
	}
	return i;
}

/* Of an attribute: '<' is a character there. */
static void
add_text(struct html *h, struct slice in)
{
	bool hidden = cannot_be_seen(h, innermost(h));
	while (in.n > 0) {
		size_t n = add_run(h, in, hidden);
		if (n == 0) {
			if (!hidden)
				spam_sink_run(&h->r->text, "<", 1);
			n = 1;
		}
		in = slice_from(in, n);
	}
}

void
spam_read_html(struct spam_reading *r, struct slice in)
{
	size_t from = r->text.n, i = 0;
	struct html h = {.r = r, .in = in, .n_open = 1, .scanned = from};
	h.open[0] = (struct element){.tag = TAG_HTML, .look = {.back = 0xffffff}};
	r->base_host = SLICE_NONE;
	while (i < in.n) {
		if (in.p[i] == '<')
			i = read_markup(&h, i);
		else
			i += add_run(&h, slice_from(in, i), cannot_be_seen(&h, innermost(&h)));
	}
	close_anchor(&h);
	spam_links_of_text(r, (struct slice){r->text.p + h.scanned, r->text.n - h.scanned});
	r->text.blank = true;
	r->v->html.text_bytes += (unsigned)(r->text.n - from);
}
