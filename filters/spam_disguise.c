/*
 * Small questions about words that several finders of evidence ask: whether letters are
 * disguised ones, whether a name was made by dice.
 */
#include <string.h>

#include "filters/spam_evidence_priv.h"

bool
spam_all_ascii(struct slice text)
{
	uint64_t high = 0;
	size_t i = 0;
	for (uint64_t word; i + sizeof(word) <= text.n; i += sizeof(word)) {
		memcpy(&word, text.p + i, sizeof(word));
		high |= word;
	}
	for (; i < text.n; i++)
		high |= (uint64_t)(unsigned char)text.p[i];
	return (high & 0x8080808080808080U) == 0;
}

size_t
spam_where(struct slice text, struct slice needle)
{
	if (needle.n == 0 || needle.n > text.n)
		return text.n;
	for (size_t i = 0; i + needle.n <= text.n; i++)
		if (ascii_lower(text.p[i]) == needle.p[0] &&
			slice_eq_nocase((struct slice){text.p + i, needle.n}, needle))
			return i;
	return text.n;
}

/* The character at i, U+FFFD for what is no UTF-8; *n_out its bytes. */
static uint32_t
character(struct slice s, size_t i, size_t *n_out)
{
	unsigned char c = (unsigned char)s.p[i];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
	*n_out = 1;
	if (n == 1)
		return c;
	if (n == 0 || i + n > s.n)
		return 0xfffd;
	uint32_t u = c & (0xffU >> (n + 1));
	for (size_t k = 1; k < n; k++) {
		unsigned char next = (unsigned char)s.p[i + k];
		if ((next & 0xc0) != 0x80)
			return 0xfffd;
		u = u << 6 | (next & 0x3f);
	}
	*n_out = n;
	return u;
}

/*
 * Greek, Cyrillic, Armenian, Syriac, Cherokee, phonetic letters: what is put among Latin ones.
 * Not what honest people write beside Latin letters without a blank (Hebrew, Arabic, Thai,
 * Han), and not the letters of formulas.
 */
static bool
is_foreign(uint32_t u)
{
	bool formula = u == 0x3bc || u == 0x3a9 || u == 0x3c0 || u == 0x394 || u == 0x2126;
	return !formula && ((u >= 0x250 && u <= 0x2af) || (u >= 0x370 && u <= 0x58f) ||
				   (u >= 0x700 && u <= 0x74f) || (u >= 0x13a0 && u <= 0x13ff) ||
				   (u >= 0x1d00 && u <= 0x1dbf));
}

static bool
is_emoji(uint32_t u)
{
	return (u >= 0x1f300 && u <= 0x1faff) || (u >= 0x2600 && u <= 0x27bf) || u == 0x2b50 ||
	       (u >= 0x23e9 && u <= 0x23f3);
}

/* A word's letters: how many of each kind, how often they change. */
struct letters {
	unsigned latin, foreign, turns;
	bool last_foreign;
};

static void
count_letter(struct letters *l, bool foreign)
{
	l->turns += l->latin + l->foreign > 0 && foreign != l->last_foreign;
	l->last_foreign = foreign;
	l->latin += !foreign;
	l->foreign += foreign;
}

/* "PDF" with an ending of its own is honest; a letter in the middle, or one alone, is not. */
static bool
is_mixed(const struct letters *l)
{
	return l->latin >= 1 && (l->turns >= 2 || (l->foreign == 1 && l->latin >= 2));
}

struct spam_disguises
spam_disguised(struct slice text)
{
	struct spam_disguises d = {0};
	struct letters word = {0};
	bool letter = false;
	for (size_t i = 0, n; i < text.n; i += n) {
		uint32_t u = character(text, i, &n);
		if (u < 0x80 && !ascii_alpha((char)u)) {
			d.mixed += is_mixed(&word);
			word = (struct letters){0};
			letter = false;
			continue;
		}
		if (u < 0x80 || is_foreign(u)) {
			count_letter(&word, u >= 0x80);
			letter = true;
			continue;
		}
		if (is_emoji(u))
			d.emoji++;
		else if ((letter && (u == 0x200b || u == 0x2060 || u == 0xad || u == 0x200c)) ||
			 u == 0x202e || u == 0x202d || u == 0x2066 || u == 0x2067)
			d.by |= SPAM_UNSEEN;
		else if ((u >= 0x1d400 && u <= 0x1d7ff) || (u >= 0x24b6 && u <= 0x24e9) ||
			 (u >= 0xff21 && u <= 0xff5a && letter))
			d.by |= SPAM_PICTURED;
		letter = u != 0x200b && !is_emoji(u);
	}
	d.mixed += is_mixed(&word);
	if (d.mixed > 0)
		d.by |= SPAM_MIXED;
	return d;
}

/* Words of people have vowels, and turn from letters to digits once. */
bool
spam_diced(struct slice word)
{
	unsigned letters = 0, vowels = 0, digits = 0, turns = 0, consonants = 0, longest = 0;
	if (word.n < 8 || word.n > 40)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		char c = ascii_lower(word.p[i]);
		if (ascii_digit(c)) {
			digits++;
			turns += i > 0 && ascii_alpha(word.p[i - 1]);
			consonants = 0;
		} else if (c >= 'a' && c <= 'z') {
			letters++;
			turns += i > 0 && ascii_digit(word.p[i - 1]);
			bool vowel = memchr("aeiouy", c, 6) != NULL;
			vowels += vowel;
			consonants = vowel ? 0 : consonants + 1;
			if (consonants > longest)
				longest = consonants;
		} else
			return false;
	}
	if (digits > 0 && turns >= 5 && letters >= 3)
		return true;
	return letters >= 8 && (longest >= 7 || vowels * 10 < letters);
}
