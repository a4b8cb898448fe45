/*
 * Evidence in the subject, decoded: how it is written, not what it says (that is for
 * spam_evidence_words.c).
 */
#include "filters/spam_evidence_priv.h"

enum { CAPITALS_LEAST = 10, SPACED_LEAST = 4, GAP_LEAST = 5 };

static void
letters(struct spam_gather *g)
{
	unsigned upper = 0, lower = 0, exclaims = 0;
	struct slice s = g->subject;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		upper += c >= 'A' && c <= 'Z';
		lower += c >= 'a' && c <= 'z';
		exclaims += c == '!';
	}
	if (upper >= CAPITALS_LEAST && lower * 12 <= upper && slice_has(s, ' '))
		spam_find(g, SPAM_SUBJECT_CAPITALS, SLICE_NONE);
	if (exclaims >= 2)
		spam_find(g, SPAM_SUBJECT_EXCLAIMS, SLICE_NONE);
	struct slice raw = g->field[SPAM_F_SUBJECT];
	if (slice_has(raw, '=') && spam_where(raw, SLICE("=?")) < raw.n && s.n > 0 &&
		upper + lower > 0 && spam_all_ascii(s) && !slice_starts(s, SLICE("=?")))
		spam_find(g, SPAM_SUBJECT_ENCODED, SLICE_NONE);
}

/* "$5", "5 USD", "EUR 50", a sign of money beside a digit. */
static bool
money(struct slice lower)
{
	static const char *const signs[] = {"$", "\xe2\x82\xac", "\xc2\xa3", "usd", "eur",
		"gbp", "r$", "us$", "million", "btc"};
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		struct slice sign = slice_of(signs[i]);
		size_t at = slice_find_slice(lower, sign);
		if (at == lower.n)
			continue;
		struct slice behind = slice_from(lower, at + sign.n);
		if (behind.n > 0 && behind.p[0] == ' ')
			behind = slice_from(behind, 1);
		if (behind.n > 0 && ascii_digit(behind.p[0]) && at + sign.n > 0)
			return true;
		struct slice before = slice_trim(slice_first(lower, at));
		if (before.n > 0 && ascii_digit(before.p[before.n - 1]))
			return true;
	}
	return false;
}

/* "v i a g r a", "f.r.e.e", "GET_YOUR_GIFT_NOW". */
static bool
spaced(struct slice s)
{
	unsigned single = 0, underscores = 0, blanks = 0;
	for (size_t i = 0; i < s.n; i++) {
		underscores += s.p[i] == '_';
		blanks += s.p[i] == ' ';
		bool gap = i + 1 < s.n &&
			   (s.p[i + 1] == ' ' || s.p[i + 1] == '.' || s.p[i + 1] == '_' ||
				   s.p[i + 1] == '*' || s.p[i + 1] == '-');
		if (!ascii_alpha(s.p[i]) || (!gap && i + 1 < s.n)) {
			single = 0;
			continue;
		}
		if (++single > SPACED_LEAST)
			return true;
		i++;
	}
	return underscores >= 4 && blanks <= 1;
}

/* Text, a gap of blanks, and a short word that says nothing. */
static struct slice
tail(struct slice s)
{
	for (size_t i = 0; i + GAP_LEAST < s.n; i++) {
		size_t n = 0;
		while (i + n < s.n && (s.p[i + n] == ' ' || s.p[i + n] == '\t'))
			n++;
		if (n >= GAP_LEAST && i > 0)
			return slice_trim(slice_from(s, i + n));
		i += n;
	}
	return SLICE_NONE;
}

static void
recipient(struct spam_gather *g)
{
	struct slice to = g->field[SPAM_F_TO];
	size_t open = slice_find_last(to, '<');
	if (open < to.n)
		slice_cut(slice_from(to, open + 1), '>', &to, &(struct slice){0});
	to = arena_lower(g->a, slice_first(slice_trim(to), 254));
	if (to.n >= 6 && slice_has(to, '@') && !slice_has(to, ',') &&
		slice_find_slice(g->subject_lower, to) < g->subject_lower.n)
		spam_find(g, SPAM_SUBJECT_RECIPIENT, to);
}

void
spam_gather_subject(struct spam_gather *g)
{
	struct slice lower = g->subject_lower;
	if (slice_trim(g->subject).n == 0) {
		spam_find(g, SPAM_SUBJECT_MISSING, SLICE_NONE);
		return;
	}
	letters(g);

	if (slice_starts(lower, SLICE("=?")) && spam_where(lower, SLICE("?=")) < lower.n)
		spam_find(g, SPAM_MIME_CHARSET, lower);
	if (money(lower))
		spam_find(g, SPAM_SUBJECT_MONEY, SLICE_NONE);
	if (spaced(g->subject))
		spam_find(g, SPAM_SUBJECT_SPACED, SLICE_NONE);
	static const char *const adv[] = {"adv:", "(adv)", "[adv]", "adv.", "<adv>", "*adv*",
		"advertisement:", "[ad]", "(ad)"};
	for (size_t i = 0; i < sizeof(adv) / sizeof(adv[0]); i++)
		if (slice_starts(lower, slice_of(adv[i])))
			spam_find(g, SPAM_SUBJECT_ADV, SLICE_NONE);
	struct slice dice = tail(g->subject);
	if (dice.n >= 2 && dice.n <= 24 && !slice_has(dice, ' '))
		spam_find(g, SPAM_SUBJECT_TAIL, dice);
	struct spam_disguises d = spam_disguised(g->subject);
	if (d.by != 0)
		spam_find(g, SPAM_SUBJECT_DISGUISE, SLICE_NONE);
	if (d.emoji >= 2)
		spam_find(g, SPAM_SUBJECT_EMOJI, SLICE_NONE);
	recipient(g);
}
