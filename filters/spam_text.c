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

struct slice
spam_field(struct slice hostname, const struct spam_judgement *j, struct arena *a)
{
	struct fold f;
	size_t words = 0;
	fold_init(&f, FIELD_BYTES_MOST, SLICE(SPAM_FIELD ":"));
	fold_add(&f, true, hostname);
	fold_add(&f, false, SLICE(";"));
	fold_add(&f, true, arena_printf(a, "spam=%.3f", j->probability));
	for (size_t i = 0; i < j->n_why; i++) {
		const struct spam_piece *p = &j->why[i];
		struct slice head = arena_printf(a, "%s=%+.2f", p->name, p->weight);
		struct slice word, rest = in_brackets(p, a);
		words += head.n + rest.n + 2;
		if (words > SPAM_WORDS_MOST)
			break;
		fold_add(&f, false, SLICE(";"));
		fold_add(&f, true, head);
		while (rest.n != 0) {
			slice_cut(rest, ' ', &word, &rest);
			if (word.n != 0)
				fold_add(&f, true, word);
		}
	}
	must(buf_add(&f.text, SLICE("\r\n")) == 0);
	struct slice out = arena_slice(a, buf_slice(&f.text));
	fold_fini(&f);
	return out;
}
