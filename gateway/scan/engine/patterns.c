/*
 * Patterns over text, with what they must add up to; see patterns.h. Matched here, behind the
 * sandbox, because the text is hostile and a pattern can be costly.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/patterns.h"

#include <pcre2.h>

#include "base/mem.h"
#include "base/must.h"

enum {
	MATCH_LIMIT = 200000,
	DEPTH_LIMIT = 2000,
	HEAP_LIMIT_KB = 4096,
	MATCHES_MOST = 1000,
	TRIES_MOST = 1000 * 1000
};

struct one {
	pcre2_code *code;
	enum pattern_kind kind;
};

struct pattern_set {
	struct one one[SCAN_PATTERNS_MOST];
	size_t n;
	pcre2_match_context *context;
	pcre2_match_data *data;
};

struct pattern_set *
pattern_set_new(void)
{
	struct pattern_set *s = MEM_NEW(struct pattern_set);
	s->context = pcre2_match_context_create(NULL);
	s->data = pcre2_match_data_create(1, NULL);
	must(s->context != NULL && s->data != NULL);
	pcre2_set_match_limit(s->context, MATCH_LIMIT);
	pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
	pcre2_set_heap_limit(s->context, HEAP_LIMIT_KB);
	return s;
}

void
pattern_set_free(struct pattern_set **s)
{
	if (*s == NULL)
		return;
	for (size_t i = 0; i < (*s)->n; i++)
		pcre2_code_free((*s)->one[i].code);
	pcre2_match_context_free((*s)->context);
	pcre2_match_data_free((*s)->data);
	mem_free(*s);
	*s = NULL;
}

int
pattern_set_add(struct pattern_set *s, const char *regex, bool nocase, enum pattern_kind kind,
	struct err *err)
{
	int code;
	PCRE2_SIZE at;
	if (s->n == SCAN_PATTERNS_MOST)
		return err_set(err, "more than %d patterns", SCAN_PATTERNS_MOST);
	pcre2_code *c = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | (nocase ? PCRE2_CASELESS : 0), &code, &at,
		NULL);
	if (c == NULL) {
		PCRE2_UCHAR words[128];
		pcre2_get_error_message(code, words, sizeof(words));
		return err_set(
			err, "pattern, at offset %zu: %s", (size_t)at, (const char *)words);
	}
	s->one[s->n++] = (struct one){c, kind};
	return 0;
}

bool
luhn_is_good(struct slice digits)
{
	unsigned sum = 0, n = 0;
	for (size_t i = digits.n; i > 0; i--) {
		char c = digits.p[i - 1];
		if (!ascii_digit(c))
			continue;
		unsigned d = (unsigned)(c - '0');
		if (n % 2 == 1)
			d = d * 2 > 9 ? d * 2 - 9 : d * 2;
		sum += d;
		n++;
	}
	return n != 0 && sum % 10 == 0;
}

/* ISO 13616: the first four characters go to the end, letters count 10 to 35, modulo 97 is 1.
 */
bool
iban_is_good(struct slice text)
{
	char clean[34];
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == ' ')
			continue;
		if (n == sizeof(clean) || !(ascii_alpha(text.p[i]) || ascii_digit(text.p[i])))
			return false;
		clean[n++] = ascii_lower(text.p[i]);
	}
	unsigned rest = 0;
	if (n < 15)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = clean[(i + 4) % n];
		if (ascii_digit(c))
			rest = (rest * 10 + (unsigned)(c - '0')) % 97;
		else
			rest = (rest * 100 + (unsigned)(c - 'a' + 10)) % 97;
	}
	return rest == 1;
}

static bool
is_good(enum pattern_kind kind, struct slice match)
{
	switch (kind) {
	case PATTERN_PLAIN_TEXT: return true;
	case PATTERN_WITH_LUHN: return luhn_is_good(match);
	case PATTERN_WITH_IBAN: return iban_is_good(match);
	}
	return false;
}

/* What does not pass its check counts as a try: decoys in front do not hide what stands behind.
 */
static bool
count_one(const struct pattern_set *s, const struct one *o, struct slice utf8, unsigned *count)
{
	PCRE2_SIZE at = 0;
	unsigned found = 0;
	for (unsigned tries = 0; found < MATCHES_MOST && at <= utf8.n; tries++) {
		int n = pcre2_match(
			o->code, (PCRE2_SPTR)utf8.p, utf8.n, at, 0, s->data, s->context);
		if (n == PCRE2_ERROR_NOMATCH)
			return true;
		if (n < 0 || tries == TRIES_MOST)
			return false;
		const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(s->data);
		if (is_good(o->kind, (struct slice){utf8.p + ends[0], ends[1] - ends[0]})) {
			(*count)++;
			found++;
		}
		at = ends[1] > ends[0] ? ends[1] : ends[1] + 1;
	}
	return true;
}

bool
pattern_set_count(
	const struct pattern_set *s, struct slice utf8, unsigned counts[SCAN_PATTERNS_MOST])
{
	bool ok = true;
	if (utf8.n == 0)
		return true;
	for (size_t i = 0; i < s->n; i++)
		ok = count_one(s, &s->one[i], utf8, &counts[i]) && ok;
	return ok;
}
