/*
 * Features of a mail: byte 4-grams of the raw view; 4-grams and pairs of words of the text with
 * tokens of the header (spam_features_header.c). Distinct by a bitmap. Whatever is changed here
 * changes what each weight means: SPAM_FEATURES_VERSION goes up, the shipped model is trained
 * anew, and models of sites begin anew.
 */
#include <string.h>

#include "filters/spam_features_priv.h"
#include "filters/spam_score.h"

enum {
	TEXT_MOST = 2000,   /* bytes of text that are looked at: more helps no corpus of ours */
	PAIR_REACH = 2,     /* a word makes a pair with each of the next two */
	TOKENS_MOST = 2048, /* of the header, the parts and the links */
};

static const uint64_t mix_a = 0x9e3779b97f4a7c15, mix_b = 0xd6e8feb86659fd93;

static size_t
bounded(size_t room)
{
	return room < SPAM_FEATURES_MOST ? room : SPAM_FEATURES_MOST;
}

void
feature_set_init(struct feature_set *s, size_t room, struct arena *a)
{
	s->room = bounded(room);
	s->places = arena_array(a, s->room, sizeof(*s->places));
	s->n = 0;
	s->seen = arena_array(a, SPAM_WEIGHTS / 64, sizeof(*s->seen));
}

/* A second set, with the bits of the first, which is done: fewer pages to touch for each mail.
 */
static void
feature_set_follow(
	struct feature_set *s, const struct feature_set *done, size_t room, struct arena *a)
{
	for (size_t i = 0; i < done->n; i++)
		done->seen[done->places[i] >> 6] = 0;
	s->room = bounded(room);
	s->places = arena_array(a, s->room, sizeof(*s->places));
	s->n = 0;
	s->seen = done->seen;
}

uint64_t
feature_hash(uint64_t seed, struct slice bytes)
{
	uint64_t h = seed ^ mix_a;
	for (size_t i = 0; i < bytes.n; i++)
		h = (h ^ (unsigned char)bytes.p[i]) * 0x100000001b3;
	h = (h ^ h >> 32) * mix_b;
	return h ^ h >> 32;
}

void
feature_token(struct feature_set *s, const char *kind, struct slice token)
{
	feature_add(s, feature_place(feature_hash(feature_hash(0, slice_of(kind)), token)));
}

/*
 * As feature_add for each, without a branch that is taken by chance: half of the grams of a
 * text are new, half are not.
 */
static void
fourgrams(struct feature_set *s, struct slice bytes)
{
	uint32_t gram = 0, *places = s->places;
	uint64_t *seen = s->seen;
	size_t n = s->n;
	for (size_t i = 0; i < bytes.n && n < s->room; i++) {
		gram = gram << 8 | (unsigned char)bytes.p[i];
		if (i < 3)
			continue;
		uint32_t place = feature_place(gram * mix_a);
		uint64_t word = seen[place >> 6];
		places[n] = place;
		n += (~word >> (place & 63)) & 1;
		seen[place >> 6] = word | (uint64_t)1 << (place & 63);
	}
	s->n = n;
}

static bool
word_byte(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || (unsigned char)c >= 0x80 || c == '$';
}

bool
feature_word(struct slice *rest, struct slice *word_out)
{
	size_t from = 0;
	while (from < rest->n && !word_byte(rest->p[from]))
		from++;
	size_t to = from;
	while (to < rest->n && word_byte(rest->p[to]))
		to++;
	*word_out = slice_from(slice_first(*rest, to), from);
	*rest = slice_from(*rest, to);
	return word_out->n > 0;
}

/* Each word with the next two, and how far they stand apart. */
static void
pairs(struct feature_set *s, struct slice text)
{
	uint64_t before[PAIR_REACH] = {0};
	struct slice word;
	while (feature_word(&text, &word)) {
		uint64_t h = feature_hash(0, word);
		for (int far = 0; far < PAIR_REACH; far++)
			if (before[far] != 0)
				feature_add(s, feature_place((before[far] * mix_b + h +
								     (uint64_t)far) *
							     mix_a));
		before[1] = before[0];
		before[0] = h;
	}
}

/*
 * Four hashes, each over every fourth place, so that none waits for another; then two of them:
 * equal features, equal id. It tells mails apart, it does not withstand somebody who makes two
 * mails of one id; who can have mails taught gains nothing by one that counts once for two.
 */
static void
identify(struct spam_features *f)
{
	uint64_t lanes[4] = {f->n_raw, f->n_text, mix_a, mix_b}, h[2] = {0};
	const uint32_t *set[] = {f->raw, f->text};
	const size_t n[] = {f->n_raw, f->n_text};
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < n[k]; i++) {
			uint64_t lane = (lanes[i & 3] ^ set[k][i]) * mix_a;
			lanes[i & 3] = lane ^ lane >> 29;
		}
	for (size_t i = 0; i < 4; i++) {
		h[0] = (h[0] ^ lanes[i]) * mix_a;
		h[0] ^= h[0] >> 29;
		h[1] = (h[1] + lanes[i]) * mix_b;
		h[1] ^= h[1] >> 31;
	}
	for (size_t i = 0; i < SPAM_ID_BYTES; i++)
		f->id[i] = (uint8_t)(h[i / 8] >> i % 8 * 8);
}

_Static_assert((int)SPAM_RAW_MOST <= (int)SPAM_FEATURES_MOST, "each byte of raw has its place");

void
spam_features_of(const struct spam_view *v, struct arena *a, struct spam_features *f_out)
{
	struct feature_set raw, text;
	struct slice first = slice_first(v->text, TEXT_MOST);
	feature_set_init(&raw, v->raw.n, a);
	fourgrams(&raw, v->raw);
	feature_set_follow(&text, &raw, 3 * first.n + TOKENS_MOST, a);
	spam_features_header(v, a, &text);
	fourgrams(&text, first);
	pairs(&text, first);
	*f_out = (struct spam_features){
		.raw = raw.places, .n_raw = raw.n, .text = text.places, .n_text = text.n};
	identify(f_out);
	if (!v->bounce)
		f_out->shipped = spam_shipped(f_out);
}
