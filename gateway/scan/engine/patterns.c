/*
 * Patterns over text, with what they must add up to; see patterns.h. Matched here, behind the
 * sandbox, because the text is hostile and a pattern can be costly.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/patterns.h"

#include <pcre2.h>

#include "base/mem.h"
#include "base/must.h"
#include "engine/words.h"

enum {
	MATCH_LIMIT = 200000,
	DEPTH_LIMIT = 2000,
	HEAP_LIMIT_KB = 4096,
	MATCHES_MOST = 1000,
	TRIES_MOST = 1000 * 1000,
	STACK_LEAST = 32 * 1024,
	STACK_MOST = 1024 * 1024,
	ENDS_MOST = 64, /* of one place, of different lengths */
	WORK_INTS = 4096,
};

struct one {
	pcre2_code *code;
	struct words *words; /* instead of code */
	pcre2_code *bytes;   /* with a check: the same over bytes, for all ends of a match */
	enum pattern_kind kind;
};

struct pattern_set {
	struct one one[SCAN_PATTERNS_MOST];
	size_t n;
	pcre2_match_context *context;
	pcre2_match_data *data, *all;
	pcre2_jit_stack *stack;
};

struct pattern_set *
pattern_set_new(void)
{
	struct pattern_set *s = MEM_NEW(struct pattern_set);
	s->context = pcre2_match_context_create(NULL);
	s->data = pcre2_match_data_create(1, NULL);
	s->all = pcre2_match_data_create(ENDS_MOST, NULL);
	s->stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, NULL);
	must(s->context != NULL && s->data != NULL && s->all != NULL);
	if (s->stack != NULL)
		pcre2_jit_stack_assign(s->context, NULL, s->stack);
	pcre2_set_match_limit(s->context, MATCH_LIMIT);
	pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
	pcre2_set_heap_limit(s->context, HEAP_LIMIT_KB);
	return s;
}

static void
one_free(struct one *o)
{
	pcre2_code_free(o->code);
	pcre2_code_free(o->bytes);
	words_free(&o->words);
}

void
pattern_set_free(struct pattern_set **s)
{
	if (*s == NULL)
		return;
	for (size_t i = 0; i < (*s)->n; i++)
		one_free(&(*s)->one[i]);
	pcre2_match_context_free((*s)->context);
	pcre2_match_data_free((*s)->data);
	pcre2_match_data_free((*s)->all);
	pcre2_jit_stack_free((*s)->stack);
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
	/* What is checked is ASCII; an expression that names other characters has none of
	 * these. */
	pcre2_code *bytes = kind == PATTERN_PLAIN_TEXT
				    ? NULL
				    : pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
					      nocase ? PCRE2_CASELESS : 0, &code, &at, NULL);
	/* Where there is no machine code (no such processor, no such memory) it is interpreted.
	 */
	(void)pcre2_jit_compile(c, PCRE2_JIT_COMPLETE);
	s->one[s->n++] = (struct one){.code = c, .bytes = bytes, .kind = kind};
	return 0;
}

int
pattern_set_add_words(struct pattern_set *s, struct slice lines, struct err *err)
{
	if (s->n == SCAN_PATTERNS_MOST)
		return err_set(err, "more than %d patterns", SCAN_PATTERNS_MOST);
	struct words *w = words_new(lines, err);
	if (w == NULL)
		return -1;
	s->one[s->n++] = (struct one){.words = w};
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

/* Of the registry of ISO 13616, those in use: where a country has one, no other is taken. */
static unsigned
iban_length(const char *country)
{
	static const char lengths[] =
		"AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18"
		"DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23"
		"IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31"
		"MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24"
		"SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";
	for (size_t i = 0; i + 3 < sizeof(lengths); i += 4)
		if (ascii_lower(lengths[i]) == country[0] &&
			ascii_lower(lengths[i + 1]) == country[1])
			return (unsigned)(lengths[i + 2] - '0') * 10 +
			       (unsigned)(lengths[i + 3] - '0');
	return 0;
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
	if (n < 15 || !ascii_alpha(clean[0]) || !ascii_alpha(clean[1]))
		return false;
	unsigned length = iban_length(clean);
	if (length != 0 && length != n)
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

/* With its machine code, and without it where its stack is too small. */
static int
match(const struct pattern_set *s, const struct one *o, struct slice utf8, size_t at)
{
	int n = pcre2_match(o->code, (PCRE2_SPTR)utf8.p, utf8.n, at, 0, s->data, s->context);
	if (n == PCRE2_ERROR_JIT_STACKLIMIT)
		n = pcre2_match(o->code, (PCRE2_SPTR)utf8.p, utf8.n, at, PCRE2_NO_JIT, s->data,
			s->context);
	return n;
}

/*
 * What matched is too long or too short for its check: of all that match at this place, the end
 * of one that passes; 0: none does.
 */
static size_t
other_end(const struct pattern_set *s, const struct one *o, struct slice utf8, size_t at)
{
	static int work[WORK_INTS];
	if (o->bytes == NULL)
		return 0;
	int n = pcre2_dfa_match(o->bytes, (PCRE2_SPTR)utf8.p, utf8.n, at, PCRE2_ANCHORED,
		s->all, s->context, work, WORK_INTS);
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(s->all);
	for (int i = 0; i < (n == 0 ? ENDS_MOST : n); i++)
		if (is_good(o->kind, (struct slice){utf8.p + at, ends[2 * i + 1] - at}))
			return ends[2 * i + 1];
	return 0;
}

/*
 * What does not pass its check counts as a try, and the next may begin within it: neither
 * decoys in front of a number nor digits beside it hide it.
 */
static bool
count_one(const struct pattern_set *s, const struct one *o, struct slice utf8, unsigned *count)
{
	PCRE2_SIZE at = 0;
	unsigned found = 0;
	for (unsigned tries = 0; found < MATCHES_MOST && at <= utf8.n; tries++) {
		int n = match(s, o, utf8, at);
		if (n == PCRE2_ERROR_NOMATCH)
			return true;
		if (n < 0 || tries == TRIES_MOST)
			return false;
		const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(s->data);
		size_t from = ends[0], to = ends[1];
		if (!is_good(o->kind, (struct slice){utf8.p + from, to - from}))
			to = other_end(s, o, utf8, from);
		if (to > from || (to == from && o->kind == PATTERN_PLAIN_TEXT)) {
			(*count)++;
			found++;
		}
		at = to > from ? to : from + 1;
		while (at < utf8.n && ((unsigned char)utf8.p[at] & 0xc0) == 0x80)
			at++; /* never within a character */
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
	for (size_t i = 0; i < s->n; i++) {
		if (s->one[i].words != NULL)
			counts[i] += words_count(s->one[i].words, utf8, MATCHES_MOST);
		else
			ok = count_one(s, &s->one[i], utf8, &counts[i]) && ok;
	}
	return ok;
}
