/*
 * Evidence in what is said: spam_phrases.def, found in one walk over the text, however many
 * phrases there are. Each phrase hangs on the longest pair of neighbouring words in it (or its
 * one word) by their hash; the walk asks for each word and pair of the text. A phrase counts
 * once. One strong phrase is a part of its class's weight, two or more are all of it; hints,
 * which honest mail has as well, count where three of them meet.
 */
#include <string.h>

#include "base/must.h"
#include "filters/spam_evidence_priv.h"

enum {
	STRONG = 3,
	HINT = 1,
	ENOUGH = 3,
	WHOLE = 6,
	CALLED = 2 /* hints beside a telephone number */
};

static const struct phrase {
	struct slice text;
	enum spam_evidence_id of;
	unsigned points;
} phrases[] = {
#define SPAM_PHRASE(id, text) {SLICE(text), SPAM_##id, STRONG},
#define SPAM_HINT(id, text)   {SLICE(text), SPAM_##id, HINT},
#include "filters/spam_phrases.def"
#undef SPAM_PHRASE
#undef SPAM_HINT
};
enum {
	PHRASES = sizeof(phrases) / sizeof(phrases[0]),
	SLOTS = 8192,
	NONE = 0xffff,
	FILTER = 1 << 16
};
_Static_assert(PHRASES < NONE, "a phrase's number has 16 bits");

struct word {
	size_t at, n;
	uint32_t hash;
	uint32_t stem; /* of its first STEM_BYTES; 0: it is shorter */
};

/* Made once in a process, out of the table alone. */
static struct {
	bool made;
	uint64_t filter[FILTER / 64]; /* a bit for each hash there is: it stays in the cache */
	uint16_t first[SLOTS];
	uint16_t next[PHRASES];
	uint32_t hash[PHRASES];
	uint16_t at[PHRASES]; /* where the pair begins in the phrase */
} index_of;

/* A single word that may go on is known by its first bytes, whatever follows. */
enum { STEM_BYTES = 5 };
static const uint32_t stem_salt = 0x9e3779b9U;

enum char_class { C_GAP, C_WORD, C_HAN };

static enum char_class
class_of(unsigned char c)
{
	if (c >= 0x80) /* kana and Han are written without blanks: a word each */
		return c >= 0xe3 && c <= 0xe9 ? C_HAN : C_WORD;
	return ascii_alpha((char)c) || ascii_digit((char)c) ? C_WORD : C_GAP;
}

/* The next word of s at or behind `at`; false: there is none. */
static bool
next_word(struct slice s, size_t at, struct word *out)
{
	enum char_class class = C_GAP;
	while (at < s.n && (class = class_of((unsigned char)s.p[at])) == C_GAP)
		at++;
	if (at >= s.n)
		return false;
	uint32_t hash = 2166136261U, stem = 0;
	size_t end = at;
	if (class == C_HAN) {
		end = at + 3 < s.n ? at + 3 : s.n;
		for (size_t i = at; i < end; i++)
			hash = (hash ^ (unsigned char)s.p[i]) * 16777619U;
	} else {
		for (; end < s.n && class_of((unsigned char)s.p[end]) == C_WORD; end++) {
			hash = (hash ^ (unsigned char)s.p[end]) * 16777619U;
			if (end - at == STEM_BYTES - 1)
				stem = hash ^ stem_salt;
		}
	}
	*out = (struct word){at, end - at, hash, stem};
	return true;
}

static uint32_t
pair_hash(uint32_t a, uint32_t b)
{
	return (a * 31U) ^ (b + (a >> 15));
}

static size_t
slot(uint32_t hash)
{
	return (hash ^ hash >> 13) % SLOTS;
}

static size_t
filter_bit(uint32_t hash)
{
	return (hash ^ hash >> 16) % FILTER;
}

/* What most words of a text are not: the beginning of a phrase. */
static bool
may_be_there(uint32_t hash)
{
	size_t bit = filter_bit(hash);
	return (index_of.filter[bit / 64] >> bit % 64 & 1) != 0;
}

static struct slice
without_star(struct slice text)
{
	return text.p[text.n - 1] == '*' ? slice_first(text, text.n - 1) : text;
}

/* The last word of several that may go on is compared only. */
static void
hang_up(uint16_t i)
{
	struct slice text = without_star(phrases[i].text);
	bool open = text.n < phrases[i].text.n;
	struct word word, before = {0};
	size_t longest = 0;
	bool pair = false;
	for (size_t at = 0; next_word(text, at, &word); at = word.at + word.n) {
		if (open && word.at + word.n == text.n) {
			if (before.n == 0) {
				must(word.n >= STEM_BYTES);
				index_of.hash[i] = word.stem;
				index_of.at[i] = (uint16_t)word.at;
			}
			break;
		}
		if (before.n != 0 && (!pair || word.n + before.n > longest)) {
			pair = true;
			longest = word.n + before.n;
			index_of.hash[i] = pair_hash(before.hash, word.hash);
			index_of.at[i] = (uint16_t)before.at;
		} else if (!pair && word.n > longest) {
			longest = word.n;
			index_of.hash[i] = word.hash;
			index_of.at[i] = (uint16_t)word.at;
		}
		before = word;
	}
	size_t bit = filter_bit(index_of.hash[i]), to = slot(index_of.hash[i]);
	index_of.filter[bit / 64] |= 1ULL << bit % 64;
	index_of.next[i] = index_of.first[to];
	index_of.first[to] = i;
}

static void
make_index(void)
{
	memset(index_of.first, 0xff, sizeof(index_of.first));
	for (uint16_t i = 0; i < PHRASES; i++)
		hang_up(i);
	index_of.made = true;
}

struct hits {
	uint64_t seen[(PHRASES + 63) / 64];
	unsigned points[SPAM_EVIDENCES];
	const struct phrase *best[SPAM_EVIDENCES];
};

static bool
stands_at(struct slice text, size_t at, struct slice phrase)
{
	struct slice bare = without_star(phrase);
	if (at > text.n || text.n - at < bare.n || memcmp(text.p + at, bare.p, bare.n) != 0)
		return false;
	size_t end = at + bare.n;
	bool begins = at == 0 || class_of((unsigned char)bare.p[0]) != C_WORD ||
		      class_of((unsigned char)text.p[at - 1]) != C_WORD;
	bool ends = bare.n < phrase.n || end == text.n ||
		    class_of((unsigned char)bare.p[bare.n - 1]) != C_WORD ||
		    class_of((unsigned char)text.p[end]) != C_WORD;
	return begins && ends;
}

static void
look_up(struct hits *h, struct slice text, size_t at, uint32_t hash)
{
	if (!may_be_there(hash))
		return;
	for (uint16_t i = index_of.first[slot(hash)]; i != NONE; i = index_of.next[i]) {
		if (index_of.hash[i] != hash || (h->seen[i / 64] >> i % 64 & 1) != 0 ||
			at < index_of.at[i] ||
			!stands_at(text, at - index_of.at[i], phrases[i].text))
			continue;
		h->seen[i / 64] |= 1ULL << i % 64;
		const struct phrase *p = &phrases[i];
		if (h->best[p->of] == NULL || h->best[p->of]->points < p->points)
			h->best[p->of] = p;
		h->points[p->of] += p->points;
	}
}

/*
 * Base58 or bech32 of bitcoin, an account of Ethereum. The text has its case, since base58 has
 * one: digits, capitals and small letters, no 0, O, I, l.
 */
static bool
wallet(struct slice s)
{
	if (s.n == 42 && slice_starts_nocase(s, SLICE("0x"))) {
		size_t i = 2, letters = 0;
		for (; i < s.n && ascii_hex(s.p[i]) >= 0; i++)
			letters += ascii_alpha(s.p[i]);
		return i == s.n && letters > 4;
	}
	unsigned upper = 0, lower = 0, digits = 0;
	for (size_t i = 0; i < s.n; i++) {
		upper += s.p[i] >= 'A' && s.p[i] <= 'Z';
		lower += s.p[i] >= 'a' && s.p[i] <= 'z';
		digits += ascii_digit(s.p[i]);
		if (memchr("0OIl", s.p[i], 4) != NULL && !slice_starts_nocase(s, SLICE("bc1")))
			return false;
	}
	if (upper + lower + digits != s.n)
		return false;
	if (slice_starts_nocase(s, SLICE("bc1")))
		return (s.n == 42 || s.n == 62) && digits >= 6;
	return s.n >= 26 && s.n <= 35 && (s.p[0] == '1' || s.p[0] == '3') && upper >= 4 &&
	       lower >= 4 && digits >= 3;
}

static void
walk(struct spam_gather *g, struct hits *h, struct slice text, struct slice as_is)
{
	struct word word, before = {0};
	for (size_t at = 0; next_word(text, at, &word); at = word.at + word.n) {
		look_up(h, text, word.at, word.hash);
		if (word.stem != 0)
			look_up(h, text, word.at, word.stem);
		if (before.n != 0)
			look_up(h, text, before.at, pair_hash(before.hash, word.hash));
		if (word.n >= 26 && word.n <= 62 && as_is.n == text.n &&
			(word.at == 0 || strchr(" :(\"'>", as_is.p[word.at - 1]) != NULL) &&
			wallet((struct slice){as_is.p + word.at, word.n}))
			spam_find(
				g, SPAM_TEXT_WALLET, (struct slice){as_is.p + word.at, word.n});
		before = word;
	}
}

/* Classes that mean nothing without a way to follow them. */
static bool
idle(const struct spam_gather *g, enum spam_evidence_id id)
{
	if (id != SPAM_WORDS_INVOICE && id != SPAM_WORDS_DOCUMENT)
		return false;
	bool file = false;
	for (size_t i = 0; i < g->v->n_parts && !file; i++)
		file = g->v->parts[i].attachment || g->v->parts[i].name.n != 0;
	return !g->links && !file;
}

/* "+1 (808) 555-0142": ten digits with little between them, of America's toll-free kind. */
static bool
telephone(struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] != '8' ||
			(i > 0 && ascii_digit(text.p[i - 1]) && text.p[i - 1] != '1'))
			continue;
		size_t digits = 0, k = i;
		for (size_t other = 0; k < text.n && other <= 3 && digits <= 10; k++) {
			bool digit = ascii_digit(text.p[k]);
			if (!digit && strchr("()-. ", text.p[k]) == NULL)
				break;
			other = digit ? 0 : other + 1;
			digits += digit;
		}
		if (digits == 10)
			return true;
	}
	return false;
}

void
spam_gather_words(struct spam_gather *g)
{
	if (!index_of.made)
		make_index();
	struct hits h = {0};
	walk(g, &h, g->subject_lower, g->subject);
	walk(g, &h, g->v->text, g->v->text_as_is);
	if (h.points[SPAM_WORDS_RENEWAL] >= CALLED && telephone(g->v->text))
		h.points[SPAM_WORDS_RENEWAL] += STRONG;
	g->wrote = h.points[SPAM_HAM_QUOTED] > 0;
	g->patched = h.points[SPAM_HAM_PATCH] > 0;
	g->armoured = h.points[SPAM_HAM_SIGNED] > 0;
	for (int i = SPAM_WORDS_ADVANCE; i <= SPAM_HAM_CODE; i++) {
		enum spam_evidence_id id = (enum spam_evidence_id)i;
		if (h.points[id] >= ENOUGH && !idle(g, id))
			spam_find_part(
				g, id, h.points[id] >= WHOLE ? 1 : 0.6, h.best[id]->text);
	}
}
