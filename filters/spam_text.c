/*
 * The judgement in words, see spam_text.h. The field has the shape of Authentication-Results, a
 * name of who says so first, so that a forged one is known by the same reader (authres.h).
 */
#include "filters/spam_text.h"

#include <math.h>
#include <string.h>

#include "base/must.h"
#include "filters/fold.h"

enum { FIELD_BYTES_MOST = 4096, PIECE_MOST = 200, WEIGHT_BYTES = 16, WEIGHT_MOST = 1000000 };

/* A detail is somebody else's text. */
static void
add_detail(struct buf *out, struct slice s)
{
	s = slice_first(s, SPAM_DETAIL_MOST);
	if (s.n == 0)
		return;
	buf_add_text(out, " (");
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool ok = c >= ' ' && c < 0x7f && strchr("()\\;,\"", c) == NULL;
		buf_add_byte(out, ok ? c : '?');
	}
	buf_add_byte(out, ')');
}

/* "+1.20"; every mail that is judged has ten of them, and printf is slow with such numbers. */
static void
add_weight(struct buf *out, double weight)
{
	char digits[WEIGHT_BYTES];
	size_t at = sizeof(digits);
	unsigned long left = (unsigned long)lround(fmin(fabs(weight), WEIGHT_MOST) * 100);
	bool minus = weight < 0 && left != 0;
	for (unsigned n = 0; n < 3 || left != 0; n++, left /= 10) {
		if (n == 2)
			digits[--at] = '.';
		digits[--at] = (char)('0' + left % 10);
	}
	buf_add_byte(out, minus ? '-' : '+');
	buf_add(out, (struct slice){digits + at, sizeof(digits) - at});
}

static void
add_piece(struct buf *out, const struct spam_piece *p, char between)
{
	buf_add_text(out, p->name);
	buf_add_byte(out, between);
	add_weight(out, p->weight);
	add_detail(out, p->detail);
}

static struct slice
one_piece(const struct spam_piece *p, char between, struct arena *a)
{
	struct buf b;
	buf_init(&b, PIECE_MOST);
	add_piece(&b, p, between);
	struct slice text = arena_slice(a, buf_slice(&b));
	buf_fini(&b);
	return text;
}

struct slice
spam_piece_text(const struct spam_piece *p, struct arena *a)
{
	return one_piece(p, ' ', a);
}

struct slice
spam_why_text(const struct spam_judgement *j, struct arena *a)
{
	struct buf b;
	size_t whole = 0;
	buf_init(&b, SPAM_WORDS_MOST + PIECE_MOST);
	for (size_t i = 0; i < j->n_why && whole == buf_slice(&b).n; i++) {
		if (i != 0)
			buf_add_text(&b, ", ");
		add_piece(&b, &j->why[i], ' ');
		if (buf_slice(&b).n <= SPAM_WORDS_MOST)
			whole = buf_slice(&b).n;
	}
	struct slice text = arena_slice(a, slice_first(buf_slice(&b), whole));
	buf_fini(&b);
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
		items[i] = one_piece(&j->why[i], '=', a);
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
