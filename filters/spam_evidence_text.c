/*
 * Evidence in how text and HTML are made: what is hidden from the eye, or from a reader that is
 * a program. Counts of HTML come from the view. What the text says is for
 * spam_evidence_words.c.
 */
#include <string.h>

#include "filters/spam_evidence_priv.h"

enum {
	SHORT_TEXT = 60,    /* bytes: next to none */
	SCANT_TEXT = 200,   /* and beside pictures */
	HIDDEN_BYTES = 400, /* more than what is seen: words for filters */
	HIDDEN_LEAST = 8,   /* a newsletter's preview line takes one or two */
	LETTERS_LEAST = 200,
	MIXED_LEAST = 2, /* words */
};

static bool
ascii_letter_or_high(char c)
{
	return ascii_alpha(c) || (unsigned char)c >= 0x80;
}

static void
html(struct spam_gather *g)
{
	const struct spam_html *h = &g->v->html;
	if (g->v->html_only)
		spam_find(g, SPAM_HTML_ONLY, SLICE_NONE);
	if (h->images > 0 && g->v->text.n < (h->links > 0 ? SCANT_TEXT : SHORT_TEXT))
		spam_find_part(g, SPAM_HTML_IMAGE,
			h->links == 0               ? 0.4
			: g->v->text.n < SHORT_TEXT ? 1
						    : 0.6,
			SLICE_NONE);
	if (h->forms > 0)
		spam_find(g, SPAM_HTML_FORM, SLICE_NONE);
	if (h->scripts > 0)
		spam_find(g, SPAM_HTML_SCRIPT, SLICE_NONE);
	if (h->hidden >= HIDDEN_LEAST ||
		(h->hidden_bytes >= HIDDEN_BYTES && h->hidden_bytes > h->text_bytes))
		spam_find(g, SPAM_HTML_HIDDEN, SLICE_NONE);
	if (h->broken >= 3)
		spam_find(g, SPAM_HTML_BROKEN, SLICE_NONE);
	if (h->entities >= 40 && h->entities * 4 > h->text_bytes)
		spam_find(g, SPAM_HTML_ENTITIES, SLICE_NONE);
}

static bool
starts_any(struct slice s, const char *const *starts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_starts(s, slice_of(starts[i])))
			return true;
	return false;
}

static bool
known_charset(struct slice s)
{
	static const char *const known[] = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-",
		"iso8859", "windows-125", "windows-874", "cp125", "koi8-", "gb", "hz-gb-2312",
		"big5", "shift_jis", "shift-jis", "sjis", "euc-", "iso-2022-", "ks_c_5601",
		"ansi_x3", "utf-16", "utf-7", "tis-620", "latin1", "macintosh", "x-mac",
		"unicode-1-1-utf-7", "unknown-8bit", "default", "x-gbk", "iso_8859-1",
		"x-unknown", "8859_1", "cp-850", "viscii", "cp932", "cp936", "cp949", "ibm850",
		"latin-1"};
	return starts_any(s, known, sizeof(known) / sizeof(known[0]));
}

/* Of another script than ASCII's, for a text in ASCII. */
static bool
foreign_charset(struct slice s)
{
	static const char *const foreign[] = {"koi8", "windows-1251", "gb2312", "gbk", "big5",
		"euc-kr", "ks_c", "shift_jis", "windows-1255", "windows-1256", "windows-874"};
	return starts_any(s, foreign, sizeof(foreign) / sizeof(foreign[0]));
}

static void
parts(struct spam_gather *g)
{
	for (size_t i = 0; i < g->v->n_parts; i++) {
		const struct spam_part *p = &g->v->parts[i];
		if (!slice_starts(p->type, SLICE("text/")) || p->attachment)
			continue;
		if (g->ascii && g->v->text.n >= SHORT_TEXT &&
			slice_eq(p->encoding, SLICE("base64")) && !g->list)
			spam_find(g, SPAM_MIME_BASE64, p->type);
		if (p->charset.n != 0 && !known_charset(p->charset))
			spam_find(g, SPAM_MIME_CHARSET, p->charset);
		else if (g->ascii && g->v->text.n >= SCANT_TEXT && foreign_charset(p->charset))
			spam_find(g, SPAM_MIME_CHARSET, p->charset);
	}
}

/* How many of eight bytes are letters from first to last: a carry in each byte tells. */
static unsigned
count_eight(uint64_t w, unsigned first, unsigned last)
{
	const uint64_t each = 0x0101010101010101, upper = each * 0x80;
	uint64_t low = w & ~upper;
	uint64_t from = low + each * (0x80 - first), past = low + each * (0x80 - last - 1);
	return (unsigned)((((from ^ past) & ~w & upper) >> 7) * each >> 56);
}

static void
capitals(struct spam_gather *g)
{
	unsigned upper = 0, lower = 0;
	struct slice s = g->v->text_as_is;
	size_t i = 0;
	for (uint64_t w; s.n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, s.p + i, sizeof(w));
		upper += count_eight(w, 'A', 'Z');
		lower += count_eight(w, 'a', 'z');
	}
	for (; i < s.n; i++) {
		upper += s.p[i] >= 'A' && s.p[i] <= 'Z';
		lower += s.p[i] >= 'a' && s.p[i] <= 'z';
	}
	if (upper + lower >= LETTERS_LEAST && upper * 2 > lower)
		spam_find_part(g, SPAM_TEXT_CAPITALS, upper > lower ? 1 : 0.7, SLICE_NONE);
}

/* Letters one by one with gaps: "v i a g r a"; and several such words. */
static void
gaps(struct spam_gather *g)
{
	struct slice s = g->v->text;
	unsigned row = 0, rows = 0;
	size_t start = 0;
	for (size_t i = 0; i + 1 < s.n; i += 2) {
		bool gap = s.p[i + 1] == ' ' || s.p[i + 1] == '*' || s.p[i + 1] == '_' ||
			   s.p[i + 1] == '-';
		bool before = i == 0 || !ascii_letter_or_high(s.p[i - 1]);
		if (ascii_alpha(s.p[i]) && gap && before) {
			if (row == 0)
				start = i;
			if (++row == 5)
				rows++;
			continue;
		}
		row = 0;
		/* to the next word, so that the step of two falls on its first letter */
		while (i < s.n && s.p[i] != ' ')
			i++;
		i -= i < s.n;
	}
	if (rows > 0)
		spam_find_part(g, SPAM_TEXT_GAPPY, rows > 1 ? 1 : 0.6,
			slice_first(slice_from(s, start), 20));
}

void
spam_gather_text(struct spam_gather *g)
{
	html(g);
	parts(g);
	capitals(g);
	gaps(g);
	unsigned mixed = g->ascii ? 0 : spam_disguised(g->v->text).mixed;
	if (mixed >= MIXED_LEAST)
		spam_find_part(
			g, SPAM_TEXT_DISGUISE, mixed >= 2 * MIXED_LEAST ? 1 : 0.7, SLICE_NONE);
	if (g->links && g->v->text.n < SHORT_TEXT && g->v->html.images == 0 && !g->list)
		spam_find(g, SPAM_TEXT_LINK_ONLY, SLICE_NONE);
}
