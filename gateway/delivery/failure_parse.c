/*
 * The language of failure.rules, which that file's head tells. Read once, at start, from the
 * built-in text and the site's file; errors name file and line. One pass over the text, a token
 * at a time; a line that begins with a blank goes on with the rule before it.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "delivery/failure_priv.h"

enum { NAME_MOST = 40, PATTERN_LEAST = 2 };

struct reader {
	struct slice left;
	size_t line;
	const char *name;
	struct arena *a;
	struct err *err;
	struct failure_words words[FAILURE_CLAUSES_MOST];
};

static int
wrong(struct reader *r, const char *what)
{
	return err_set(r->err, "%s:%zu: %s", r->name, r->line, what);
}

static int
wrong_word(struct reader *r, const char *what, struct slice word)
{
	word = slice_first(word, 60);
	return err_set(r->err, "%s:%zu: %s \"%.*s\"", r->name, r->line, what, SLICE_ARG(word));
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
skip_comments(struct reader *r)
{
	while (r->left.n > 0 && (r->left.p[0] == '#' || r->left.p[0] == '\n')) {
		size_t at = slice_find(r->left, '\n');
		r->line += at < r->left.n;
		r->left = slice_from(r->left, at + 1);
	}
}

/* Over blanks, and over a line's end where the next one goes on. */
static void
skip_blanks(struct reader *r)
{
	for (;;) {
		if (r->left.n > 0 && is_blank(r->left.p[0])) {
			r->left = slice_from(r->left, 1);
		} else if (r->left.n > 1 && r->left.p[0] == '\n' && is_blank(r->left.p[1])) {
			r->left = slice_from(r->left, 2);
			r->line++;
		} else {
			return;
		}
	}
}

static bool
at_end(struct reader *r)
{
	skip_blanks(r);
	return r->left.n == 0 || r->left.p[0] == '\n';
}

/* Up to a blank, '"' or '|'; empty at the rule's end. */
static struct slice
next_word(struct reader *r)
{
	skip_blanks(r);
	size_t n = 0;
	while (n < r->left.n && !is_blank(r->left.p[n]) && r->left.p[n] != '\n' &&
		r->left.p[n] != '"' && r->left.p[n] != '|')
		n++;
	struct slice word = slice_first(r->left, n);
	r->left = slice_from(r->left, n);
	return word;
}

static bool
take(struct reader *r, char c)
{
	if (at_end(r) || r->left.p[0] != c)
		return false;
	r->left = slice_from(r->left, 1);
	return true;
}

static struct failure_any_of
keep(struct reader *r, const struct slice *p, size_t n)
{
	struct slice *copy = arena_array(r->a, n, sizeof(*copy));
	memcpy(copy, p, n * sizeof(*copy));
	return (struct failure_any_of){copy, n};
}

/* "..." in lower case with single spaces; a space in front or behind stays. */
static int
read_pattern(struct reader *r, struct slice *out)
{
	if (!take(r, '"'))
		return wrong(r, "words stand in \"...\"");
	size_t end = 0;
	while (end < r->left.n && r->left.p[end] != '"' && r->left.p[end] != '\n')
		end++;
	if (end == r->left.n || r->left.p[end] != '"')
		return wrong(r, "no '\"' at the end of the words");
	char *lower = arena_alloc(r->a, end + 1);
	size_t n = 0, letters = 0;
	for (size_t i = 0; i < end; i++) {
		char c = is_blank(r->left.p[i]) ? ' ' : ascii_lower(r->left.p[i]);
		if (c < ' ' || c > '~')
			return wrong(r, "words are of printable ASCII");
		if (c == ' ' && n > 0 && lower[n - 1] == ' ')
			continue;
		letters += c == '@' || c == '%' ? PATTERN_LEAST : c != ' ' && c != '*';
		lower[n++] = c;
	}
	if (letters < PATTERN_LEAST)
		return wrong(r, "words of less than two letters say nothing");
	*out = (struct slice){lower, n};
	r->left = slice_from(r->left, end + 1);
	return 0;
}

static int
read_words(struct reader *r, bool but, struct failure_rule *rule)
{
	struct slice any[FAILURE_ANY_OF_MOST];
	size_t n = 0;
	if (rule->n_words == FAILURE_CLAUSES_MOST)
		return wrong(r, "too many clauses of words in one rule");
	do {
		if (n == FAILURE_ANY_OF_MOST)
			return wrong(r, "too many alternatives in one clause");
		if (read_pattern(r, &any[n++]) < 0)
			return -1;
	} while (take(r, '|'));
	r->words[rule->n_words++] = (struct failure_words){keep(r, any, n), but};
	return 0;
}

static int
read_phases(struct reader *r, struct failure_rule *rule)
{
	struct slice list = next_word(r), item;
	if (rule->phases != 0)
		return wrong(r, "a second \"at\"");
	for (bool more = true; more;) {
		more = slice_cut(list, ',', &item, &list);
		unsigned p = 0;
		while (p < FAILURE_PHASES &&
			!slice_eq(item, slice_of(failure_phase_text((enum failure_phase)p))))
			p++;
		if (p == FAILURE_PHASES)
			return wrong_word(r, "no phase is called", item);
		rule->phases |= 1u << p;
	}
	return 0;
}

static bool
is_code(struct slice s)
{
	if (s.n != 3 || s.p[0] < '2' || s.p[0] > '5')
		return false;
	return (ascii_digit(s.p[1]) || s.p[1] == 'x') && (ascii_digit(s.p[2]) || s.p[2] == 'x');
}

static int
read_codes(struct reader *r, struct failure_rule *rule)
{
	struct slice any[FAILURE_ANY_OF_MOST], list = next_word(r), item;
	size_t n = 0;
	if (rule->codes.n != 0)
		return wrong(r, "a second \"code\"");
	for (bool more = true; more;) {
		more = slice_cut(list, ',', &item, &list);
		if (!is_code(item))
			return wrong_word(r, "no reply code (as 550 or 5xx):", item);
		if (n == FAILURE_ANY_OF_MOST)
			return wrong(r, "too many codes");
		any[n++] = arena_slice(r->a, item);
	}
	rule->codes = keep(r, any, n);
	return 0;
}

/* "7", "606-649" or "*". */
static bool
parse_part(struct slice s, uint16_t *least_out, uint16_t *most_out)
{
	struct slice least, most;
	uint64_t from, to;
	if (slice_eq(s, SLICE("*")))
		s = SLICE("0-999");
	if (!slice_cut(s, '-', &least, &most))
		most = least;
	if (!slice_u64(least, &from) || !slice_u64(most, &to) || from > to || to > 999)
		return false;
	*least_out = (uint16_t)from;
	*most_out = (uint16_t)to;
	return true;
}

static bool
parse_enhanced(struct slice s, struct failure_enhanced *out)
{
	if (slice_eq(s, SLICE("none"))) {
		*out = (struct failure_enhanced){0};
		return true;
	}
	for (int i = 0; i < 3; i++) {
		struct slice part;
		if (slice_cut(s, '.', &part, &s) != (i < 2) ||
			!parse_part(part, &out->least[i], &out->most[i]))
			return false;
	}
	return true;
}

static int
read_enhanced(struct reader *r, struct failure_rule *rule)
{
	struct failure_enhanced any[FAILURE_ANY_OF_MOST];
	struct slice list = next_word(r), item;
	size_t n = 0;
	if (rule->n_enhanced != 0)
		return wrong(r, "a second \"enhanced\"");
	for (bool more = true; more;) {
		more = slice_cut(list, ',', &item, &list);
		if (n == FAILURE_ANY_OF_MOST)
			return wrong(r, "too many enhanced codes");
		if (!parse_enhanced(item, &any[n++]))
			return wrong_word(
				r, "no enhanced code (as 5.7.1, *.2.2 or 5.7.600-649):", item);
	}
	struct failure_enhanced *copy = arena_array(r->a, n, sizeof(*copy));
	memcpy(copy, any, n * sizeof(*copy));
	rule->enhanced = copy;
	rule->n_enhanced = n;
	return 0;
}

static int
read_hosts(struct reader *r, struct failure_rule *rule)
{
	struct slice any[FAILURE_ANY_OF_MOST], list = next_word(r), item;
	size_t n = 0;
	if (rule->hosts.n != 0)
		return wrong(r, "a second \"host\"");
	for (bool more = true; more;) {
		more = slice_cut(list, ',', &item, &list);
		for (size_t i = 0; i < item.n; i++)
			if (!failure_in_a_word(item.p[i]) &&
				memchr(".-_*", item.p[i], 4) == NULL)
				return wrong_word(r, "no pattern of a host's name:", item);
		if (item.n == 0 || n == FAILURE_ANY_OF_MOST)
			return wrong(r, "one to 128 patterns of hosts");
		any[n++] = arena_lower(r->a, item);
	}
	rule->hosts = keep(r, any, n);
	return 0;
}

static int
read_outcome(struct reader *r, struct failure_rule *rule)
{
	struct slice word = next_word(r);
	if (!failure_class_parse(word, &rule->class))
		return wrong_word(r, "no class is called", word);
	word = next_word(r);
	if (slice_eq(word, SLICE("permanent")))
		rule->lasts = LASTS_PERMANENT;
	else if (slice_eq(word, SLICE("temporary")))
		rule->lasts = LASTS_TEMPORARY;
	else if (slice_eq(word, SLICE("by-code")))
		rule->lasts = LASTS_BY_CODE;
	else
		return wrong_word(r, "permanent, temporary or by-code, not", word);
	return at_end(r) ? 0 : wrong(r, "the rule ends behind its outcome");
}

static int
read_clause(struct reader *r, struct slice word, struct failure_rule *rule)
{
	static const struct {
		struct slice word;
		int (*read)(struct reader *r, struct failure_rule *rule);
	} clauses[] = {
		{SLICE("at"), read_phases},
		{SLICE("code"), read_codes},
		{SLICE("enhanced"), read_enhanced},
		{SLICE("host"), read_hosts},
	};
	if (slice_eq(word, SLICE("words")))
		return read_words(r, false, rule);
	if (slice_eq(word, SLICE("but")))
		return read_words(r, true, rule);
	for (size_t i = 0; i < sizeof(clauses) / sizeof(clauses[0]); i++) {
		if (!slice_eq(word, clauses[i].word))
			continue;
		if (at_end(r))
			return wrong_word(r, "nothing stands behind", word);
		return clauses[i].read(r, rule);
	}
	return wrong_word(r, "at, code, enhanced, host, words, but or =>, not", word);
}

static int
read_name(struct reader *r, const struct failure_set *set, struct failure_rule *rule)
{
	struct slice word = next_word(r);
	for (size_t i = 0; i < word.n; i++)
		if (!failure_in_a_word(word.p[i]) && word.p[i] != '-')
			return wrong_word(r, "a name is of letters, digits and '-', not", word);
	if (word.n == 0 || word.n > NAME_MOST)
		return wrong(r, "a rule begins with its name, of at most 40 bytes");
	for (size_t i = 0; i < set->n; i++)
		if (slice_eq(word, slice_of(set->rules[i].name)))
			return wrong_word(r, "there is a rule already that is called", word);
	rule->name = arena_text(r->a, word);
	return 0;
}

static int
read_rule(struct reader *r, const struct failure_set *set, struct failure_rule *rule)
{
	*rule = (struct failure_rule){0};
	if (read_name(r, set, rule) < 0)
		return -1;
	for (;;) {
		if (at_end(r))
			return wrong(r, "no \"=>\" in the rule");
		struct slice word = next_word(r);
		if (slice_eq(word, SLICE("=>")))
			break;
		if (read_clause(r, word, rule) < 0)
			return -1;
	}
	struct failure_words *words = arena_array(r->a, rule->n_words, sizeof(*words));
	memcpy(words, r->words, rule->n_words * sizeof(*words));
	rule->words = words;
	return read_outcome(r, rule);
}

/* Before anything else, so that no token is looked at that is not of a line of ours. */
static int
check_lines(struct reader *r, size_t *lines_out)
{
	if (r->left.n > FAILURE_FILE_MOST)
		return err_set(r->err, "%s: larger than %d bytes", r->name, FAILURE_FILE_MOST);
	struct slice line, left = r->left;
	for (bool more = left.n != 0; more;) {
		more = slice_cut(left, '\n', &line, &left);
		if (line.n > FAILURE_LINE_MOST)
			return wrong(r, "a line of more than 1000 bytes");
		for (size_t i = 0; i < line.n; i++)
			if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') ||
				line.p[i] == 0x7f)
				return wrong(r, "a control character");
		r->line += more;
	}
	*lines_out = r->line;
	r->line = 1;
	return 0;
}

static int
read_all(struct reader *r, struct failure_set *set)
{
	size_t lines;
	if (check_lines(r, &lines) < 0)
		return -1;
	set->rules = arena_array(set->arena,
		lines < FAILURE_RULES_MOST ? lines : FAILURE_RULES_MOST, sizeof(*set->rules));
	for (skip_comments(r); r->left.n > 0; skip_comments(r)) {
		if (is_blank(r->left.p[0])) {
			if (at_end(r))
				continue;
			return wrong(r, "a line that goes on, and no rule before it");
		}
		if (set->n == FAILURE_RULES_MOST)
			return wrong(r, "too many rules");
		if (read_rule(r, set, &set->rules[set->n]) < 0)
			return -1;
		set->n++;
	}
	return 0;
}

struct failure_set *
failure_set_parse(struct slice text, const char *name, struct err *err)
{
	struct failure_set *set = MEM_NEW(struct failure_set);
	set->arena = arena_new(8 * 1024 * 1024);
	struct reader r = {.left = text, .line = 1, .name = name, .a = set->arena, .err = err};
	if (read_all(&r, set) < 0)
		failure_set_free(&set);
	return set;
}

void
failure_set_free(struct failure_set **set)
{
	if (*set == NULL)
		return;
	arena_free(&(*set)->arena);
	mem_free(*set);
	*set = NULL;
}
