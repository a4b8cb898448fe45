/*
 * Words of a text against a list; see words.h. Both are brought into one form: letters and
 * digits of any script, decomposed and without case, with one space between words; all else
 * stands between words. A map holds each phrase and each beginning of one, so that a text is
 * gone through word by word, and on from a word only while a phrase may follow.
 */
#include "engine/words.h"

#include <glib.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/charset.h"

enum {
	LIST_BYTES_MOST = 64 << 20,
	PLAIN_BYTES_MOST = 64 << 20,
	WORDS_OF_PHRASE = 32,
	DECOMPOSED_MOST = 18,
};

struct words {
	struct arena *arena;
	struct map *map; /* of a phrase: &whole; of the beginning of one alone: &part */
};

static char whole, part;

static bool
is_of_word(uint32_t c)
{
	if (c < 0x80)
		return ascii_alpha((char)c) || ascii_digit((char)c);
	return c != UINT32_MAX && (g_unichar_isalnum(c) || g_unichar_ismark(c));
}

/* Zero-width characters are in no word and divide none. */
static bool
is_unseen(uint32_t c)
{
	return c == 0xad || (c >= 0x200b && c <= 0x200d) || c == 0x2060 || c == 0xfeff;
}

static void
put_folded(struct buf *out, uint32_t c)
{
	gunichar parts[DECOMPOSED_MOST];
	if (c < 0x80) {
		(void)buf_add_byte(out, ascii_lower((char)c));
		return;
	}
	/* up and down again: letters with two small forms become one */
	gsize n = g_unichar_fully_decompose(
		g_unichar_tolower(g_unichar_toupper(c)), TRUE, parts, DECOMPOSED_MOST);
	for (gsize i = 0; i < n && i < DECOMPOSED_MOST; i++)
		charset_put(out, g_unichar_tolower(parts[i]));
}

/* "one two three": every word with a space behind it. */
static void
plain(struct slice s, struct buf *out)
{
	bool within = false;
	uint32_t c;
	for (size_t n; (n = charset_next(s, &c)) != 0; s = slice_from(s, n)) {
		if (is_of_word(c)) {
			put_folded(out, c);
			within = true;
		} else if (within && !is_unseen(c)) {
			(void)buf_add_byte(out, ' ');
			within = false;
		}
	}
	if (within)
		(void)buf_add_byte(out, ' ');
}

/* Puts "one ", "one two ", and "one two three " as the phrase. */
static int
add_phrase(struct words *w, struct slice s, struct err *err)
{
	unsigned n = 0;
	if (s.n == 0)
		return err_set(err, "a word without a letter or a digit");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != ' ')
			continue;
		struct slice key = slice_first(s, i + 1);
		if (++n > WORDS_OF_PHRASE)
			return err_set(err, "a phrase of more than %d words", WORDS_OF_PHRASE);
		if (key.n == s.n)
			map_put(w->map, key, &whole);
		else if (map_get(w->map, key) == NULL)
			map_put(w->map, key, &part);
	}
	return 0;
}

struct words *
words_new(struct slice lines, struct err *err)
{
	struct words *w = MEM_NEW(struct words);
	struct buf b;
	int result = lines.n != 0 ? 0 : err_set(err, "a list without words");
	w->arena = arena_new(LIST_BYTES_MOST);
	w->map = map_new(w->arena, false);
	while (result == 0 && lines.n != 0) {
		struct slice line;
		slice_cut(lines, '\n', &line, &lines);
		buf_init(&b, 4096);
		plain(line, &b);
		result = add_phrase(w, buf_slice(&b), err);
		buf_fini(&b);
	}
	if (result < 0)
		words_free(&w);
	return w;
}

void
words_free(struct words **w)
{
	if (*w == NULL)
		return;
	arena_free(&(*w)->arena);
	mem_free(*w);
	*w = NULL;
}

/* The longest phrase at the front: its bytes, 0 for none. */
static size_t
phrase_at(const struct words *w, struct slice s)
{
	size_t longest = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != ' ')
			continue;
		const void *found = map_get(w->map, slice_first(s, i + 1));
		if (found == NULL)
			break;
		if (found == &whole)
			longest = i + 1;
	}
	return longest;
}

unsigned
words_count(const struct words *w, struct slice utf8, unsigned most)
{
	struct buf b;
	unsigned found = 0;
	buf_init(&b, PLAIN_BYTES_MOST);
	plain(utf8, &b);
	struct slice s = buf_slice(&b);
	while (s.n != 0 && found < most) {
		size_t n = phrase_at(w, s);
		found += n != 0;
		s = slice_from(s, n != 0 ? n : slice_find(s, ' ') + 1);
	}
	buf_fini(&b);
	return found;
}
