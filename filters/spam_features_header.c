/*
 * Tokens of a mail's header and build that mean the same at every site: who writes, what the
 * subject says, the shape of dates and ids, which parts, which links. Never Received, To or
 * List-*: they tell a site or a list, and a model that leans on them is wrong elsewhere.
 */
#include <stdio.h>

#include "filters/spam_features_priv.h"

enum {
	WORD_MOST = 40,  /* bytes of a word: longer ones are cut */
	WORDS_MOST = 60, /* of a subject or a name */
	PARTS_MOST = 12,
	LINKS_MOST = 20,
};

/* Words of it, and with pairs each with the next. */
static void
words(struct feature_set *s, const char *kind, const char *kind_of_pairs, struct slice text,
	struct arena *a)
{
	struct slice rest = arena_lower(a, slice_first(text, 600)), word, before = SLICE_NONE;
	for (int i = 0; i < WORDS_MOST && feature_word(&rest, &word); i++) {
		word = slice_first(word, WORD_MOST);
		feature_token(s, kind, word);
		if (kind_of_pairs != NULL && before.n > 0) {
			uint64_t h = feature_hash(0, slice_of(kind_of_pairs));
			h = feature_hash(feature_hash(h, before), word);
			feature_add(s, feature_place(h));
		}
		before = word;
	}
}

static struct slice
field(const struct spam_view *v, struct slice name, struct arena *a)
{
	for (size_t i = 0; i < v->n_fields; i++)
		if (slice_eq_nocase(v->fields[i].name, name))
			return message_unfold(v->fields[i].value, a);
	return SLICE_NONE;
}

/* Letters as a, digits as 9, runs of one kind as one: "<a9.9@a.a>". */
static void
shape(struct feature_set *s, const char *kind, struct slice text)
{
	char out[24];
	size_t n = 0;
	char last = 0;
	for (size_t i = 0; i < text.n && n < sizeof(out); i++) {
		char c = text.p[i];
		c = ascii_alpha(c) ? 'a' : ascii_digit(c) ? '9' : c;
		if (c == last && (c == 'a' || c == '9'))
			continue;
		out[n++] = last = c;
	}
	feature_token(s, kind, (struct slice){out, n});
}

static void
labels(struct feature_set *s, const char *kind, struct slice domain)
{
	feature_token(s, kind, domain);
	size_t dot = slice_find_last(domain, '.');
	if (dot == domain.n)
		return;
	feature_token(s, kind, slice_from(domain, dot));
	size_t second = slice_find_last(slice_first(domain, dot), '.');
	if (second < dot)
		feature_token(s, kind, slice_from(domain, second));
}

static void
count(struct feature_set *s, const char *kind, size_t n)
{
	char text[24];
	size_t bucket = n;
	for (size_t step = 4; step < n; step *= 2)
		bucket = step;
	int bytes = snprintf(text, sizeof(text), "%zu", bucket);
	feature_token(s, kind, (struct slice){text, (size_t)bytes});
}

static void
people(const struct spam_view *v, struct arena *a, struct feature_set *s)
{
	struct slice from = field(v, SLICE("From"), a);
	words(s, "from", NULL, message_decode_words(from, a), a);
	const struct message *m = v->message;
	if (m->n_from == 1)
		labels(s, "from.domain", arena_lower(a, m->from[0].domain));
	else
		feature_token(s, "from.odd", SLICE(""));
	struct slice reply = field(v, SLICE("Reply-To"), a);
	if (reply.n == 0)
		feature_token(s, "reply", SLICE("none"));
	else if (m->from_domain.n > 0 &&
		 slice_find_slice(arena_lower(a, reply), m->from_domain) < reply.n)
		feature_token(s, "reply", SLICE("same"));
	else
		feature_token(s, "reply", SLICE("other"));
	words(s, "subject", "subject2", m->subject, a);
	if (slice_starts_nocase(m->subject, SLICE("re:")) &&
		field(v, SLICE("In-Reply-To"), a).n > 0)
		feature_token(s, "answer", SLICE(""));
}

static void
traces(const struct spam_view *v, struct arena *a, struct feature_set *s)
{
	struct slice date = field(v, SLICE("Date"), a);
	shape(s, "date", slice_first(date, 40));
	if (date.n >= 5)
		feature_token(s, "zone", slice_trim(slice_from(date, date.n - 5)));
	struct slice id = field(v, SLICE("Message-ID"), a);
	shape(s, "id", slice_first(id, 60));
	static const struct slice program[] = {SLICE("X-Mailer"), SLICE("User-Agent")};
	for (size_t i = 0; i < 2; i++)
		words(s, "mailer", NULL, slice_first(field(v, program[i], a), 40), a);
	static const struct slice said[] = {SLICE("MIME-Version"), SLICE("X-Priority"),
		SLICE("Importance"), SLICE("In-Reply-To"), SLICE("References")};
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		if (field(v, said[i], a).n > 0)
			feature_token(s, "field", said[i]);
}

static void
build(const struct spam_view *v, struct arena *a, struct feature_set *s)
{
	for (size_t i = 0; i < v->n_parts && i < PARTS_MOST; i++) {
		const struct spam_part *p = &v->parts[i];
		feature_token(s, "type", p->type);
		feature_token(s, "charset", p->charset);
		feature_token(s, "encoding", p->encoding);
		size_t dot = slice_find_last(p->name, '.');
		if (p->name.n > 0)
			feature_token(s, "extension",
				arena_lower(a, slice_first(slice_from(p->name, dot), 8)));
	}
	count(s, "parts", v->n_parts);
	count(s, "length", v->text.n / 64);
	for (size_t i = 0; i < v->n_links && i < LINKS_MOST; i++) {
		const struct spam_link *l = &v->links[i];
		labels(s, "link", l->host);
		shape(s, "path", slice_first(l->path, 40));
		count(s, "link.flags", l->flags);
	}
	count(s, "links", v->n_links);
	if (v->html.tags == 0)
		return;
	const struct {
		const char *kind;
		unsigned n;
	} counts[] = {{"html.tags", v->html.tags}, {"html.images", v->html.images},
		{"html.links", v->html.links}, {"html.forms", v->html.forms},
		{"html.scripts", v->html.scripts}, {"html.styles", v->html.styles},
		{"html.fonts", v->html.fonts}, {"html.tables", v->html.tables},
		{"html.comments", v->html.comments}, {"html.hidden", v->html.hidden},
		{"html.broken", v->html.broken}, {"html.text", v->html.text_bytes / 64}};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		count(s, counts[i].kind, counts[i].n);
	if (v->html_only)
		feature_token(s, "html.only", SLICE(""));
}

void
spam_features_header(const struct spam_view *v, struct arena *a, struct feature_set *s)
{
	people(v, a, s);
	traces(v, a, s);
	build(v, a, s);
}
