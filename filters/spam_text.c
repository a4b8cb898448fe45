/*
 * The judgement in words, see spam_text.h. The field has the shape of Authentication-Results, a
 * name of who says so first, so that a forged one is known by the same reader (authres.h).
 */
#include "filters/spam_text.h"

#include <string.h>

#include "base/must.h"
#include "filters/fold.h"

enum { FIELD_BYTES_MOST = 4096 };

/* A detail is somebody else's text. */
static struct slice
clean(struct slice s, struct arena *a)
{
	s = slice_first(s, SPAM_DETAIL_MOST);
	char *out = arena_alloc(a, s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool ok = c >= ' ' && c < 0x7f && strchr("()\\;,\"", c) == NULL;
		out[i] = ok ? c : '?';
	}
	return (struct slice){out, s.n};
}

static struct slice
in_brackets(const struct spam_piece *p, struct arena *a)
{
	struct slice detail = clean(p->detail, a);
	return detail.n != 0 ? arena_printf(a, " (%.*s)", SLICE_ARG(detail)) : SLICE_NONE;
}

struct slice
spam_piece_text(const struct spam_piece *p, struct arena *a)
{
	return arena_printf(
		a, "%s %+.2f%.*s", p->name, p->weight, SLICE_ARG(in_brackets(p, a)));
}

struct slice
spam_why_text(const struct spam_judgement *j, struct arena *a)
{
	struct slice text = SLICE_NONE;
	for (size_t i = 0; i < j->n_why; i++) {
		struct slice more = arena_printf(a, "%.*s%s%.*s", SLICE_ARG(text),
			i != 0 ? ", " : "", SLICE_ARG(spam_piece_text(&j->why[i], a)));
		if (more.n > SPAM_WORDS_MOST)
			break;
		text = more;
	}
	return text;
}

/* Words that stand together where the line has room, the last with what ends the item. */
static void
add_words(struct fold *f, struct slice words, const char *end, struct arena *a)
{
	struct slice word;
	bool more = true;
	while (more) {
		more = slice_cut(words, ' ', &word, &words);
		if (!more)
			word = arena_printf(a, "%.*s%s", SLICE_ARG(word), end);
		if (word.n != 0)
			fold_add(f, true, word);
	}
}

struct slice
spam_field(struct slice hostname, const struct spam_judgement *j, struct arena *a)
{
	struct slice items[SPAM_WHY_MOST] = {SLICE_NONE};
	size_t n = 0, bytes = 0;
	for (size_t i = 0; i < j->n_why; i++) {
		const struct spam_piece *p = &j->why[i];
		items[i] = arena_printf(
			a, "%s=%+.2f%.*s", p->name, p->weight, SLICE_ARG(in_brackets(p, a)));
		bytes += items[i].n + 2;
		if (bytes <= SPAM_WORDS_MOST)
			n = i + 1;
	}
	struct fold f;
	fold_init(&f, FIELD_BYTES_MOST, SLICE(SPAM_FIELD ":"));
	add_words(&f, hostname, ";", a);
	add_words(&f, arena_printf(a, "spam=%.3f", j->probability), n != 0 ? ";" : "", a);
	for (size_t i = 0; i < n; i++)
		add_words(&f, items[i], i + 1 < n ? ";" : "", a);
	must(buf_add(&f.text, SLICE("\r\n")) == 0);
	struct slice out = arena_slice(a, buf_slice(&f.text));
	fold_fini(&f);
	return out;
}
