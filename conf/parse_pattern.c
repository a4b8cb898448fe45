/*
 * `pattern NAME /regex/` and `pattern NAME words { ... }`: what `body contains` looks for. An
 * expression is compiled here once only to find its errors, and looked through for what no time
 * is enough for (regex_bound.h); each user of it compiles it for itself. Words are kept as they
 * are written, for the scanner.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "conf/file.h"
#include "conf/parse_priv.h"
#include "conf/regex_bound.h"

enum {
	WORDS_MOST = 100000,
	WORD_BYTES_MOST = 200,
	WORDS_BYTES_MOST = 8 << 20,
	WORD_COST = 1 + 2 * sizeof(struct slice), /* of each byte of a file of words of one */
};

/* Compiles the expression to see whether it is one, and one whose cost has a bound. */
static bool
check_regex(struct parser *p, const struct token *tok, bool nocase)
{
	int code;
	size_t offset;
	uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | (nocase ? PCRE2_CASELESS : 0);
	struct conf_at at = tok->at;
	pcre2_code *re = pcre2_compile(
		(PCRE2_SPTR)tok->text.p, tok->text.n, options, &code, &offset, NULL);
	if (re != NULL) {
		pcre2_code_free(re);
		const char *why = regex_bound(tok->text, nocase, &offset);
		if (why == NULL)
			return true;
		at.column += 1 + (unsigned)offset;
		return parse_fail(p, at, "%s", why);
	}
	char text[200];
	at.column += 1 + (unsigned)offset;
	if (code == PCRE2_ERROR_LOOKBEHIND_NOT_FIXED_LENGTH)
		return parse_fail(p, at,
			"what is looked back at has no fixed length: write it without * and +, "
			"each alternative of one length, as (?<=ab|cde)");
	if (pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text)) < 0)
		text[0] = '\0';
	return parse_fail(p, at, "the expression is wrong here: %s", text);
}

static bool
parse_regex(struct parser *p, struct conf_pattern *v)
{
	struct token tok = p->tok;
	if (!parse_kind(
		    p, TOK_REGEX, "a regular expression, as in /[0-9]{13,16}/, or \"words\""))
		return false;
	v->regex = arena_slice(p->arena, tok.text);
	v->nocase = slice_eq(tok.flags, SLICE("i"));
	if (tok.flags.n != 0 && !v->nocase)
		parse_fail(p, tok.at,
			"the flag \"%.*s\" is not known: there is \"i\" (without case)",
			SLICE_ARG(slice_first(tok.flags, 20)));
	check_regex(p, &tok, v->nocase);
	if (parse_accept(p, "luhn"))
		v->check = PATTERN_LUHN;
	else if (parse_accept(p, "iban"))
		v->check = PATTERN_IBAN;
	return true;
}

/* Letters and digits are what is compared: a word must have one. */
static bool
is_word(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (ascii_alpha(s.p[i]) || ascii_digit(s.p[i]) || (unsigned char)s.p[i] >= 0x80)
			return s.n <= WORD_BYTES_MOST && !slice_has(s, '\n');
	return false;
}

static bool
add_word(struct parser *p, struct conf_pattern *v, struct conf_at at, struct slice word)
{
	if (!is_word(word))
		return parse_fail(p, at,
			"\"%.*s\" is no word: it needs a letter or a digit, and has at most %d "
			"bytes",
			SLICE_ARG(slice_first(word, 40)), WORD_BYTES_MOST);
	if (v->n_words == WORDS_MOST)
		return parse_fail(p, at, "a pattern has at most %d words", WORDS_MOST);
	v->words = parse_room(p, v->words, v->n_words, sizeof(word));
	v->words[v->n_words++] = word;
	return true;
}

static bool
parse_one_word(struct parser *p, void *arg)
{
	struct conf_at at = p->tok.at;
	struct slice word;
	if (!parse_string(p, "a word, as in \"secret\"", &word))
		return false;
	add_word(p, arg, at, arena_slice(p->arena, word));
	return true;
}

/* A file of words, one a line; what follows a # is a comment. */
static bool
words_file(struct parser *p, struct conf_pattern *v)
{
	struct conf_at at = p->tok.at;
	struct slice path, text;
	struct err err;
	unsigned line = 0;
	if (!parse_string(p, "the name of a file", &path))
		return false;
	path = file_absolute(path, p->source->folder, p->arena);
	if (file_read(path.p, WORDS_BYTES_MOST, p->arena, &text, &err) < 0)
		return parse_fail(p, at, "%s", err.text);
	if (text.n * WORD_COST + CONF_ROOM_LEAST > arena_room(p->arena))
		return parse_fail(
			p, at, "%s: takes more memory than there is room for", path.p);
	while (text.n != 0) {
		struct slice word, comment;
		slice_cut(text, '\n', &word, &text);
		slice_cut(word, '#', &word, &comment);
		word = slice_trim(word);
		if (++line > WORDS_MOST)
			return parse_fail(p, at, "%s: a pattern has at most %d words", path.p,
				WORDS_MOST);
		if (word.n != 0)
			add_word(p, v, (struct conf_at){path.p, line, 1}, word);
	}
	if (v->n_words == 0)
		return parse_fail(p, at, "%s: holds no word", path.p);
	return true;
}

static bool
parse_words(struct parser *p, struct conf_pattern *v)
{
	v->check = PATTERN_WORDS;
	if (parse_accept(p, "file"))
		return words_file(p, v);
	return parse_set(p, "words in { }, or \"file\"", parse_one_word, v);
}

bool
parse_pattern(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	struct conf_pattern *v = ARENA_NEW(p->arena, struct conf_pattern);
	v->at = at;
	if (!parse_name(p, "the name of the pattern", &v->name))
		return false;
	const struct conf_pattern *other = map_get(c->patterns, v->name);
	if (other != NULL)
		return parse_fail(p, at,
			"the pattern \"%.*s\" stands a second time, first at %s:%u",
			SLICE_ARG(v->name), other->at.file, other->at.line);
	map_put(c->patterns, v->name, v);
	return parse_accept(p, "words") ? parse_words(p, v) : parse_regex(p, v);
}
